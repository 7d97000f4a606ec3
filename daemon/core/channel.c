#include "daemon/core/channel.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/core/team.h"
#include "daemon/core/uid.h"
#include "daemon/notify/deliver.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define WEBHOOK "webhook"
enum { NAME_MAX_LEN = 64, SECRET_LEN = 64, DUE_MAX = 64, LEASE_MS = 60000 };

static const char purpose[] = "channel";

/* Waits before the second try and so on. */
static const int64_t waits_ms[] = { 10000, 30000, 120000, 600000 };

/* ---- configurations ---- */

static char *seal(struct core *core, char *const *config, struct err *err)
{
	auto_buf plain = BUF_INIT, sealed = BUF_INIT;
	for (size_t i = 0; config[i]; i++)
		buf_add(&plain, config[i], strlen(config[i]) + 1);
	if (secret_seal(&core->secret, purpose, plain.p, plain.len, &sealed, err))
		return NULL;
	return mem_strdup(sealed.p);
}

/* A list as drop_list takes it, or NULL. */
static char **unseal(struct core *core, const char *sealed, struct err *err)
{
	auto_buf plain = BUF_INIT;
	if (secret_unseal(&core->secret, purpose, sealed, &plain, err))
		return NULL;
	char **list = mem_array(1, sizeof(*list));
	size_t n = 0;
	for (size_t at = 0; at < plain.len; at += strlen(plain.p + at) + 1) {
		list = mem_grow(list, n + 2, sizeof(*list));
		list[n++] = mem_strdup(plain.p + at);
		list[n] = NULL;
	}
	return list;
}

/* A webhook's messages are signed: when there is no secret, one is made. Takes and gives a list. */
static char **with_secret(const char *provider, char *const *config)
{
	char **list = copy_list(config), hex[SECRET_LEN + 1];
	const char *have = notify_config_get(list, "secret");
	size_t n = 0;
	if (strcmp(provider, WEBHOOK) != 0 || (have && *have))
		return list;
	for (size_t i = 0; list[i]; i++) { /* an empty one makes way */
		if (str_starts(list[i], "secret="))
			free(list[i]);
		else
			list[n++] = list[i];
	}
	rand_hex(hex, SECRET_LEN);
	list = mem_grow(list, n + 2, sizeof(*list));
	list[n++] = mem_printf("secret=%s", hex);
	list[n] = NULL;
	return list;
}

/* ---- checks ---- */

/* Small letters, '-' for blanks; NULL with INVALID. */
static char *clean_name(const char *text, struct err *err)
{
	auto_free char *name = str_trimmed(text);
	size_t n = strlen(name);
	for (size_t i = 0; i < n; i++)
		name[i] = name[i] == ' ' ? '-' : (char)tolower((unsigned char)name[i]);
	if (n >= 1 && n <= NAME_MAX_LEN && isalnum((unsigned char)name[0]) &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n)
		return mem_steal(&name);
	err_set(err, ERR_INVALID, "'%.80s' cannot be the name of a channel", text);
	err_hint(err, "1 to %d letters, digits and any of . _ -, a letter or digit first", NAME_MAX_LEN);
	return NULL;
}

static const struct notify_provider *find_provider(const char *name, struct err *err)
{
	const struct notify_provider *p = notify_provider_find(name);
	if (!p)
		err_set(err, ERR_INVALID, "there is no provider '%.40s'", name);
	return p;
}

static int check_events(char *const *events, struct err *err)
{
	if (!events || !events[0])
		return err_set(err, ERR_INVALID, "'events' must name at least one");
	for (size_t i = 0; events[i]; i++)
		if (!notify_event_known(events[i]))
			return err_set(err, ERR_INVALID, "there is no event '%.60s'", events[i]);
	return 0;
}

static int name_taken(const char *name, struct err *err)
{
	if (err && err->code == ERR_CONFLICT) {
		err_set(err, ERR_CONFLICT, "the team has a channel named '%s' already", name);
		err_hint(err, "choose another name");
	}
	return -1;
}

/* ---- their records ---- */

int channel_get(struct core *core, int64_t team, const char *uid, struct db_channel *out, struct err *err)
{
	int found = db_channel_get(core->db, team, uid, out, err);
	return found == 1 ? 0 : found < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "there is no such channel");
}

int channel_list(struct core *core, int64_t team, struct db_channel **out, size_t *n, struct err *err)
{
	return db_channel_list(core->db, team, out, n, err);
}

int channel_create(
	struct core *core, int64_t team, const struct channel_spec *spec, struct db_channel *out, char **secret, struct err *err)
{
	auto_free char *name = clean_name(spec->name, err);
	const struct notify_provider *provider = name ? find_provider(spec->provider, err) : NULL;
	char uid[UID_LENGTH + 1];
	if (!provider || check_events(spec->events, err) || notify_config_check(provider, spec->config, err))
		return -1;
	char **config = with_secret(provider->name, spec->config);
	auto_free char *sealed = seal(core, config, err);
	const char *made = strcmp(provider->name, WEBHOOK) == 0 ? notify_config_get(config, "secret") : NULL;
	*secret = made ? mem_strdup(made) : NULL;
	drop_list(config);
	if (!sealed)
		return -1;
	rand_id(uid, UID_LENGTH);
	*out = (struct db_channel){ .uid = mem_strdup(uid),
		.team = team,
		.name = mem_strdup(name),
		.provider = mem_strdup(provider->name),
		.events = copy_list(spec->events),
		.config = mem_steal(&sealed),
		.created_ms = clock_wall_ms(),
		.changed_ms = clock_wall_ms() };
	if (!db_channel_insert(core->db, out, err))
		return 0;
	db_channel_release(out);
	free(mem_steal(secret));
	return name_taken(name, err);
}

static int save(struct core *core, struct db_channel *row, struct err *err)
{
	row->changed_ms = clock_wall_ms();
	if (!db_channel_update(core->db, row, err))
		return 0;
	name_taken(row->name, err);
	db_channel_release(row);
	return -1;
}

int channel_update(struct core *core, int64_t team, const char *uid, const struct channel_change *change, struct db_channel *out,
	struct err *err)
{
	auto_free char *clean = clean_name(change->name, err);
	if (!clean || check_events(change->events, err) || channel_get(core, team, uid, out, err))
		return -1;
	free(out->name);
	out->name = mem_steal(&clean);
	drop_list(out->events);
	out->events = copy_list(change->events);
	return save(core, out, err);
}

int channel_configure(
	struct core *core, int64_t team, const char *uid, char *const *config, struct db_channel *out, struct err *err)
{
	if (channel_get(core, team, uid, out, err))
		return -1;
	const struct notify_provider *provider = find_provider(out->provider, err);
	char **list = provider && !notify_config_check(provider, config, err) ? with_secret(out->provider, config) : NULL;
	char *sealed = list ? seal(core, list, err) : NULL;
	drop_list(list);
	if (!sealed) {
		db_channel_release(out);
		return -1;
	}
	free(out->config);
	out->config = sealed;
	return save(core, out, err);
}

int channel_delete(struct core *core, int64_t team, const char *uid, struct err *err)
{
	return db_channel_delete(core->db, team, uid, err);
}

/* ---- delivery ---- */

struct courier {
	struct core *core;
	struct notify *notify;
	uv_timer_t timer;
	struct trip *trips; /* under way */
	bool closing;
};

/* One attempt, at a piece of news on record or (id 0) of a test. */
struct trip {
	struct trip *next, **pprev;
	struct courier *courier;
	int64_t id, attempts;
	char *name; /* of the channel, for the log */
	channel_tested_cb *cb;
	void *arg;
};

static void on_timer(uv_timer_t *timer)
{
	courier_wake(timer->data);
}

struct courier *courier_new(struct core *core, const struct notify_config *config, struct err *err)
{
	static const struct notify_config usual = { 0 };
	struct courier *c = mem_zalloc(sizeof(*c));
	c->core = core;
	c->notify = notify_new(core->config.loop, config ? config : &usual, err);
	if (!c->notify) {
		free(c);
		return NULL;
	}
	uv_timer_init(core->config.loop, &c->timer);
	c->timer.data = c;
	return c;
}

static void trip_free(struct trip *t)
{
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	free(t->name);
	free(t);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void courier_close(struct courier *c)
{
	if (!c)
		return;
	c->closing = true;
	for (struct trip *t = c->trips, *next; t; t = next) {
		next = t->next;
		trip_free(t);
	}
	notify_close(c->notify);
	uv_close((uv_handle_t *)&c->timer, on_closed);
}

static struct trip *trip_new(struct courier *c, const char *name)
{
	struct trip *t = mem_zalloc(sizeof(*t));
	*t = (struct trip){ .courier = c, .name = mem_strdup(name), .next = c->trips, .pprev = &c->trips };
	if (t->next)
		t->next->pprev = &t->next;
	c->trips = t;
	return t;
}

/* Is it worth another try? */
static bool may_retry(const struct trip *t, const struct err *err)
{
	return err->code != ERR_INVALID && err->code != ERR_FORBIDDEN && t->attempts <= (int64_t)ARRAY_LEN(waits_ms);
}

static void on_delivered(void *arg, const struct err *why)
{
	struct trip *t = arg;
	struct courier *c = t->courier;
	struct err err = ERR_INIT;
	int rc;
	if (t->cb) {
		t->cb(t->arg, why);
		trip_free(t);
		return;
	}
	if (why && may_retry(t, why)) {
		rc = db_delivery_defer(c->core->db, t->id, clock_wall_ms() + waits_ms[t->attempts - 1], &err);
	} else {
		if (why)
			log_warn("channel", "%s: given up after %lld tries: %s", t->name, (long long)t->attempts, why->msg);
		rc = db_delivery_delete(c->core->db, t->id, &err);
	}
	if (rc)
		log_warn("channel", "%s", err.msg);
	trip_free(t);
	courier_wake(c);
}

/* The attempt is on record before it is made: a daemon that dies meanwhile makes it again when the lease is over. */
static int send_one(struct courier *c, struct db_delivery *row, struct err *err)
{
	struct db_channel channel;
	int found = db_channel_by_id(c->core->db, row->channel, &channel, err);
	if (found != 1)
		return found;
	char **config = unseal(c->core, channel.config, err);
	struct notify_event *event = config ? notify_event_parse(row->event, strlen(row->event), err) : NULL;
	row->attempts++;
	row->due_ms = clock_wall_ms() + LEASE_MS;
	int rc = event ? db_delivery_update(c->core->db, row, err) : -1;
	if (rc == 0) {
		struct trip *t = trip_new(c, channel.name);
		t->id = row->id;
		t->attempts = row->attempts;
		notify_send(c->notify, channel.provider, config, event, on_delivered, t);
	}
	free(event);
	drop_list(config);
	db_channel_release(&channel);
	return rc;
}

void courier_wake(struct courier *c)
{
	struct db *db = c->core->db;
	struct db_delivery *due;
	size_t n;
	int64_t next = 0, now = clock_wall_ms();
	struct err err = ERR_INIT;
	if (c->closing || !db)
		return;
	if (db_delivery_due(db, now, DUE_MAX, &due, &n, &err)) {
		log_warn("channel", "%s", err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!send_one(c, &due[i], &err))
			continue;
		log_warn("channel", "news cannot be delivered: %s", err.msg);
		db_delivery_delete(db, due[i].id, NULL);
	}
	db_deliveries_release(due, n);
	if (db_delivery_next(db, &next, &err) == 0 && next)
		uv_timer_start(&c->timer, on_timer, next > now ? (uint64_t)(next - now) : 1, 0);
}

static bool wants(const struct db_channel *channel, const char *event)
{
	for (size_t i = 0; channel->events[i]; i++)
		if (!strcmp(channel->events[i], event))
			return true;
	return false;
}

static const char *public_id(const char *type, const char *uid, char text[UID_TEXT])
{
	const char *prefix = uid ? uid_prefix(type) : NULL; /* a name is itself */
	return prefix ? uid_format(prefix, uid, text) : uid;
}

static int write_event(struct core *core, const char *type, const struct db_audit *note, struct buf *out, struct err *err)
{
	char team_id[UID_TEXT], actor[UID_TEXT], resource[UID_TEXT];
	struct db_team team;
	if (team_get(core, note->team, &team, err))
		return -1;
	uid_format(UID_TEAM, team.uid, team_id);
	db_team_release(&team);
	const struct notify_event event = { .type = type,
		.team_id = team_id,
		.actor_type = note->actor_type,
		.actor_id = public_id(note->actor_type, note->actor_id, actor),
		.actor_name = note->actor_name,
		.resource_id = public_id(note->resource_type, note->resource_id, resource),
		.resource_type = note->resource_type,
		.wall_ms = note->created_ms };
	return notify_event_json(&event, out, err);
}

void channel_announce(struct core *core, const char *event, const struct db_audit *note)
{
	struct db_channel *all;
	size_t n, told = 0;
	struct err err = ERR_INIT;
	auto_buf json = BUF_INIT;
	if (db_channel_list(core->db, note->team, &all, &n, &err)) {
		log_warn("channel", "%s", err.msg);
		return;
	}
	for (size_t i = n; i-- > 0;) { /* oldest first */
		if (!wants(&all[i], event))
			continue;
		struct db_delivery row = { .channel = all[i].id, .due_ms = clock_wall_ms() };
		if (told++ == 0 && write_event(core, event, note, &json, &err))
			break;
		row.event = json.p;
		if (db_delivery_insert(core->db, &row, &err))
			break;
	}
	if (err.code)
		log_warn("channel", "news are lost: %s", err.msg);
	db_channels_release(all, n);
	if (told)
		courier_wake(core->courier);
}

static void send_test(struct courier *c, const char *provider, char *const *config, channel_tested_cb *cb, void *arg)
{
	const struct notify_event event = { .type = "channel.test",
		.team_id = "test",
		.actor_type = "system",
		.resource_id = "test",
		.resource_type = "channel",
		.wall_ms = clock_wall_ms() };
	struct trip *t = trip_new(c, "test");
	t->cb = cb;
	t->arg = arg;
	notify_send(c->notify, provider, config, &event, on_delivered, t);
}

int channel_test(struct core *core, const struct channel_spec *spec, channel_tested_cb *cb, void *arg, struct err *err)
{
	const struct notify_provider *provider = find_provider(spec->provider, err);
	if (!provider || notify_config_check(provider, spec->config, err))
		return -1;
	char **config = with_secret(provider->name, spec->config);
	send_test(core->courier, provider->name, config, cb, arg);
	drop_list(config);
	return 0;
}

int channel_test_saved(struct core *core, int64_t team, const char *uid, channel_tested_cb *cb, void *arg, struct err *err)
{
	struct db_channel channel;
	if (channel_get(core, team, uid, &channel, err))
		return -1;
	char **config = unseal(core, channel.config, err);
	if (config)
		send_test(core->courier, channel.provider, config, cb, arg);
	int rc = config ? 0 : -1;
	drop_list(config);
	db_channel_release(&channel);
	return rc;
}
