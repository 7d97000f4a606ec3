#include "daemon/notify/event.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

const char *const notify_event_types[] = { "capsule.created", "capsule.running", "capsule.paused", "capsule.destroyed",
	"template.snapshot.created", "template.snapshot.deleted", "host.up", "host.down", NULL };

bool notify_event_known(const char *type)
{
	for (size_t i = 0; notify_event_types[i]; i++)
		if (!strcmp(notify_event_types[i], type))
			return true;
	return false;
}

/* ---- JSON ---- */

char *notify_time(int64_t wall_ms, char out[NOTIFY_TIME_LEN])
{
	char precise[CLOCK_RFC3339_LEN];
	size_t n = strcspn(clock_rfc3339(wall_ms, precise), ".");
	snprintf(out, NOTIFY_TIME_LEN, "%.*sZ", (int)n, precise);
	return out;
}

static void optional(struct jw *w, const char *key, const char *value)
{
	if (value)
		jw_kstr(w, key, value);
}

static void write_event(struct jw *w, const struct notify_event *event)
{
	char when[NOTIFY_TIME_LEN];
	jw_obj(w);
	jw_kstr(w, "event", event->type);
	jw_kstr(w, "timestamp", notify_time(event->wall_ms, when));
	jw_kstr(w, "team_id", event->team_id);
	jw_key(w, "actor");
	jw_obj(w);
	jw_kstr(w, "type", event->actor_type);
	optional(w, "id", event->actor_id);
	optional(w, "name", event->actor_name);
	jw_obj_end(w);
	jw_key(w, "resource");
	jw_obj(w);
	jw_kstr(w, "id", event->resource_id);
	jw_kstr(w, "type", event->resource_type);
	jw_obj_end(w);
	jw_obj_end(w);
}

int notify_event_json(const struct notify_event *event, struct buf *out, struct err *err)
{
	size_t before = out->len;
	struct jw w;
	jw_init(&w, out);
	write_event(&w, event);
	if (!buf_failed(out) && out->len - before <= NOTIFY_EVENT_MAX)
		return 0;
	return err_set(err, ERR_LIMIT, "the event '%.64s' is too large to be sent", event->type);
}

static int parse_time(const char *text, int64_t *out)
{
	struct tm tm = { 0 };
	char again[NOTIFY_TIME_LEN];
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!end || *end)
		return -1;
	*out = (int64_t)timegm(&tm) * 1000;
	/* strptime takes more than we write: blanks, the 31st of June, years without an end */
	return strcmp(notify_time(*out, again), text) != 0 ? -1 : 0;
}

/* Where each string of the event stands in the JSON. */
struct place {
	const char **to;
	const char *outer, *key;
	bool optional;
};

static const char *look_up(const js *doc, const struct place *place)
{
	return js_str(js_get(place->outer ? js_get(doc, place->outer) : doc, place->key), NULL);
}

static struct notify_event *copy_event(const js *doc, struct err *err)
{
	struct notify_event e = { 0 };
	const struct place places[] = { { &e.type, NULL, "event", false }, { &e.team_id, NULL, "team_id", false },
		{ &e.actor_type, "actor", "type", false }, { &e.actor_id, "actor", "id", true },
		{ &e.actor_name, "actor", "name", true }, { &e.resource_id, "resource", "id", false },
		{ &e.resource_type, "resource", "type", false } };
	size_t size = sizeof(e);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *text = look_up(doc, &places[i]);
		if (!text && !places[i].optional) {
			err_set(err, ERR_INVALID, "the event has no '%s%s%s'", places[i].outer ? places[i].outer : "",
				places[i].outer ? "." : "", places[i].key);
			return NULL;
		}
		size += text ? strlen(text) + 1 : 0;
	}
	if (parse_time(js_str(js_get(doc, "timestamp"), ""), &e.wall_ms)) {
		err_set(err, ERR_INVALID, "the event's timestamp is none");
		return NULL;
	}
	char *whole = mem_zalloc(size), *next = whole + sizeof(e);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *text = look_up(doc, &places[i]);
		*places[i].to = text ? memcpy(next, text, strlen(text) + 1) : NULL;
		next += text ? strlen(text) + 1 : 0;
	}
	memcpy(whole, &e, sizeof(e));
	return (struct notify_event *)(void *)whole;
}

struct notify_event *notify_event_parse(const char *json, size_t n, struct err *err)
{
	auto_js *doc = js_parse(json, n, (struct js_limits){ .bytes = NOTIFY_EVENT_MAX, .depth = 4, .members = 64 }, err);
	if (doc)
		return copy_event(doc, err);
	if (err)
		err->code = ERR_INVALID; /* too large is invalid too: we never wrote it */
	return NULL;
}

/* ---- text ---- */

/* C0, DEL, C1, and Unicode's own line and paragraph separators: the character of len bytes at c. */
static bool is_control(const unsigned char *c, size_t len)
{
	if (len == 1)
		return c[0] < 0x20 || c[0] == 0x7f;
	if (len == 2)
		return c[0] == 0xc2 && c[1] < 0xa0;
	return len == 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9);
}

/* Names are the choice of users: a line end in one must not be able to write the line below it. */
static void add_plain(struct buf *out, const char *s)
{
	size_t n = strlen(s);
	for (size_t i = 0; i < n;) {
		size_t len = utf8_len(s + i, n - i);
		if (len == 0)
			buf_str(out, "\xef\xbf\xbd");
		else if (is_control((const unsigned char *)s + i, len))
			buf_ch(out, ' ');
		else
			buf_add(out, s + i, len);
		i += len ? len : 1;
	}
}

static void line(struct buf *out, const char *label, const char *first, const char *second)
{
	buf_str(out, label);
	add_plain(out, first);
	if (second[0])
		buf_ch(out, ' ');
	add_plain(out, second);
	buf_ch(out, '\n');
}

static void add_summary(const struct notify_event *event, struct buf *out)
{
	static const struct {
		const char *type, *before, *after;
	} summaries[] = {
		{ "capsule.created", "Capsule ", "created" },
		{ "capsule.running", "Capsule ", "is running" },
		{ "capsule.paused", "Capsule ", "paused" },
		{ "capsule.destroyed", "Capsule ", "destroyed" },
		{ "template.snapshot.created", "Snapshot ", "created" },
		{ "template.snapshot.deleted", "Snapshot ", "deleted" },
		{ "host.up", "Host ", "is up" },
		{ "host.down", "Host ", "is down" },
		{ "channel.test", "Test message of channel ", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(summaries); i++)
		if (!strcmp(summaries[i].type, event->type)) {
			line(out, summaries[i].before, event->resource_id, summaries[i].after);
			return;
		}
	line(out, "", event->type, event->resource_id);
}

/* "system", "Name (id)", "api_key Name (id)"; of name and id what there is. */
static void add_actor(const struct notify_event *event, struct buf *out)
{
	bool is_user = !strcmp(event->actor_type, "user");
	auto_buf who = BUF_INIT;
	if (event->actor_name)
		buf_str(&who, event->actor_name);
	if (event->actor_id)
		buf_fmt(&who, event->actor_name ? " (%s)" : "%s", event->actor_id);
	if (is_user && who.len)
		line(out, "Actor: ", who.p, "");
	else
		line(out, "Actor: ", event->actor_type, who.p);
}

void notify_event_text(const struct notify_event *event, struct buf *out)
{
	char when[NOTIFY_TIME_LEN];
	size_t before = out->len;
	add_summary(event, out);
	buf_ch(out, '\n');
	line(out, "Event: ", event->type, "");
	line(out, "Resource: ", event->resource_type, event->resource_id);
	add_actor(event, out);
	line(out, "Team: ", event->team_id, "");
	buf_fmt(out, "Time: %s", notify_time(event->wall_ms, when));
	if (buf_failed(out) || out->len - before <= NOTIFY_TEXT_MAX)
		return;
	out->len = before + NOTIFY_TEXT_MAX;
	while (((unsigned char)out->p[out->len] & 0xc0) == 0x80)
		out->len--;
	out->p[out->len] = '\0';
}
