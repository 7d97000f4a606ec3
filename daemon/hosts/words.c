#include "daemon/hosts/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/sandbox.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BASE "/sbx/v1"
#define FIGURE_MAX 1e15 /* of a figure: anything above is none */

enum {
	LIST_PAGE = 100, /* sandboxes, whose environments have 256 variables at most: a page stays within JS_LIMITS_DEFAULT */
	PAGES_MAX = 256,
	WORD_MAX = 64,
	TEXT_MAX = 512,
	VCPUS_MAX = 1 << 16,
	MB_MAX = 1 << 30,
	QUICK_MS = 15000,
	SLOW_MS = 300000,
	BUILD_MS = 1800000, /* an image may have to be built first */
};

/* ---- what is asked ---- */

static void write_pairs(struct jw *w, const char *key, char *const *list)
{
	if (!list || !list[0])
		return;
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; list[i]; i++) {
		size_t n = strcspn(list[i], "=");
		auto_free char *name = mem_printf("%.*s", (int)n, list[i]);
		jw_kstr(w, name, list[i][n] ? list[i] + n + 1 : "");
	}
	jw_obj_end(w);
}

static void say_create(struct jw *w, const struct carry_ask *ask)
{
	const struct db_sandbox *row = ask->row;
	bool frozen = str_starts(row->image, SNAPSHOT_IMAGE);
	jw_kstr(w, "id", row->id);
	if (row->name)
		jw_kstr(w, "name", row->name);
	jw_kstr(w, frozen ? "snapshot" : "image", frozen ? row->image + strlen(SNAPSHOT_IMAGE) : row->image);
	if (!frozen) {
		jw_kint(w, "vcpus", row->vcpus);
		if (row->memory_mb)
			jw_kint(w, "memoryMb", row->memory_mb);
	}
	auto_free char *net = net_text(row);
	jw_kstr(w, "net", net);
	write_pairs(w, "env", row->env);
	write_pairs(w, "labels", row->labels);
}

static void say_shape(struct jw *w, const struct carry_ask *ask)
{
	jw_kint(w, "vcpus", ask->row->vcpus);
	jw_kint(w, "memoryMb", ask->row->memory_mb);
	if (ask->row->disk_mb)
		jw_kint(w, "diskMb", ask->row->disk_mb);
}

static void say_force(struct jw *w, const struct carry_ask *ask)
{
	jw_kbool(w, "force", ask->force);
}

static void say_snapshot(struct jw *w, const struct carry_ask *ask)
{
	jw_kstr(w, "name", ask->name);
	jw_kbool(w, "replace", ask->replace);
}

/* False: it is odd. */
typedef bool hear_fn(const struct carry_ask *ask, const js *doc, struct heard *out);
static hear_fn hear_box, hear_list, hear_shot, hear_points, hear_uses;

static const struct verb {
	const char *method, *before, *after; /* the path, around an id or name */
	int64_t limit_ms;
	void (*say)(struct jw *w, const struct carry_ask *ask);
	hear_fn *hear;
} verbs[CARRY_VERBS] = {
	[CARRY_CREATE] = { "POST", "/sandboxes", NULL, BUILD_MS, say_create, hear_box },
	[CARRY_PAUSE] = { "POST", "/sandboxes/", "/pause", SLOW_MS, NULL, hear_box },
	[CARRY_RESUME] = { "POST", "/sandboxes/", "/resume", SLOW_MS, NULL, hear_box },
	[CARRY_STOP] = { "POST", "/sandboxes/", "/stop", SLOW_MS, say_force, hear_box },
	[CARRY_START] = { "POST", "/sandboxes/", "/start", SLOW_MS, NULL, hear_box },
	[CARRY_RESIZE] = { "PATCH", "/sandboxes/", "", QUICK_MS, say_shape, hear_box },
	[CARRY_DELETE] = { "DELETE", "/sandboxes/", "", SLOW_MS, NULL, NULL },
	[CARRY_SNAPSHOT] = { "POST", "/sandboxes/", "/snapshots", SLOW_MS, say_snapshot, hear_shot },
	[CARRY_UNSNAPSHOT] = { "DELETE", "/snapshots/", "", QUICK_MS, NULL, NULL },
	[CARRY_LIST] = { "GET", "/sandboxes", NULL, QUICK_MS, NULL, hear_list },
	[CARRY_POINTS] = { "GET", "/sandboxes/", "/metrics?range=", QUICK_MS, NULL, hear_points },
	[CARRY_AGENT] = { "GET", "/sandboxes/", "/agent", QUICK_MS, NULL, NULL },
	[CARRY_USES] = { "GET", "/stats", NULL, QUICK_MS, NULL, hear_uses },
};

void words_say(const struct carry_ask *ask, const char *cursor, struct words *out)
{
	const struct verb *v = &verbs[ask->verb];
	*out = (struct words){ .method = v->method, .path = BUF_INIT, .body = BUF_INIT, .limit_ms = v->limit_ms };
	out->upgrade = ask->verb == CARRY_AGENT;
	buf_fmt(&out->path, BASE "%s", v->before);
	if (v->after)
		buf_fmt(&out->path, "%s%s", ask->verb == CARRY_UNSNAPSHOT ? ask->name : ask->id, v->after);
	if (ask->verb == CARRY_POINTS)
		buf_str(&out->path, ask->range);
	if (ask->verb == CARRY_LIST)
		buf_fmt(&out->path, "?limit=%d%s%s", LIST_PAGE, cursor ? "&cursor=" : "", cursor ? cursor : "");
	if (!v->say)
		return;
	struct jw w;
	jw_init(&w, &out->body);
	jw_obj(&w);
	v->say(&w, ask);
	jw_obj_end(&w);
}

void words_free(struct words *w)
{
	buf_free(&w->path);
	buf_free(&w->body);
}

/* ---- what is answered ---- */

static int odd(struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "the host's answer is not as it must be");
}

/* As ids and cursors are, which go into paths. */
static bool is_word(const char *s)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t n = strlen(s);
	return n > 0 && n <= WORD_MAX && strspn(s, good) == n;
}

/* No more than a line, and nothing in it that a terminal would act upon. */
static bool is_plain(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c; c++)
		if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0)) /* C1 in UTF-8 */
			return false;
	return strlen(s) <= TEXT_MAX;
}

static char *keep(struct heard *h, const char *text)
{
	h->texts = mem_grow((void *)h->texts, h->text_count + 1, sizeof(*h->texts));
	return h->texts[h->text_count++] = mem_strdup(text);
}

/* NULL when it is not there. False: it is of no use. */
static bool take_text(struct heard *h, const js *obj, const char *key, const char **out)
{
	const char *text = js_str(js_get(obj, key), NULL);
	*out = NULL;
	if (text && !is_plain(text))
		return false;
	if (text)
		*out = keep(h, text);
	return true;
}

/* 0 when it is not there. */
static bool take_number(const js *obj, const char *key, int64_t max, int64_t *out)
{
	*out = 0;
	js_int(js_get(obj, key), out);
	return *out >= 0 && *out <= max;
}

static bool take_shape(const js *obj, int64_t *vcpus, int64_t *memory_mb)
{
	return take_number(obj, "vcpus", VCPUS_MAX, vcpus) && take_number(obj, "memoryMb", MB_MAX, memory_mb) && *vcpus &&
		*memory_mb;
}

static bool add_box(const js *doc, struct heard *out)
{
	const char *id = js_str(js_get(doc, "id"), "");
	const js *other = js_get(doc, "runsWith");
	const js *runs = js_type(other) == JS_OBJECT ? other : doc;
	struct carry_box box = { 0 };
	bool good = is_word(id) && take_shape(doc, &box.vcpus, &box.memory_mb) &&
		take_shape(runs, &box.run_vcpus, &box.run_memory_mb) && take_text(out, doc, "state", &box.state) && box.state &&
		take_text(out, doc, "reason", &box.reason) && take_text(out, doc, "acceleration", &box.accel) &&
		take_text(out, doc, "imageDigest", &box.digest) && take_text(out, doc, "mac", &box.mac) &&
		take_text(out, doc, "user", &box.user) && take_text(out, doc, "workdir", &box.workdir);
	if (!good)
		return false;
	box.id = keep(out, id);
	out->boxes = mem_grow(out->boxes, out->box_count + 1, sizeof(*out->boxes));
	out->boxes[out->box_count++] = box;
	return true;
}

/* Of the one that was asked about, and no other. */
static bool hear_box(const struct carry_ask *ask, const js *doc, struct heard *out)
{
	return str_same(js_str(js_get(doc, "id"), NULL), ask->id) && add_box(doc, out);
}

/* Those that it carries for us; it may have others of its own. A list without an end is none. */
static bool hear_list(const struct carry_ask *ask, const js *doc, struct heard *out)
{
	const js *list = js_get(doc, "sandboxes");
	const char *cursor = js_str(js_get(doc, "nextCursor"), NULL);
	(void)ask;
	if (js_type(list) != JS_ARRAY || js_count(list) > LIST_PAGE || (cursor && (!is_word(cursor) || ++out->pages >= PAGES_MAX)))
		return false;
	js_each (it, list)
		if (js_bool(js_get(it, "carried"), false) && !add_box(it, out))
			return false;
	out->cursor = cursor ? keep(out, cursor) : NULL;
	return true;
}

static bool hear_shot(const struct carry_ask *ask, const js *doc, struct heard *out)
{
	const char *name = js_str(js_get(doc, "name"), NULL), *tree = js_str(js_get(doc, "tree"), "");
	const char *image, *parent, *accel;
	struct snapshot shot = { 0 };
	int64_t disk_mb;
	bool good = str_same(name, ask->name) && hash_parse(tree, &shot.tree) && take_text(out, doc, "image", &image) &&
		take_text(out, doc, "parent", &parent) && take_text(out, doc, "acceleration", &accel) &&
		take_number(doc, "vcpus", VCPUS_MAX, &shot.vcpus) && take_number(doc, "memoryMb", MB_MAX, &shot.memory_mb) &&
		take_number(doc, "diskMb", MB_MAX, &disk_mb) &&
		take_number(doc, "storedBytes", (int64_t)MB_MAX << 20, &shot.stored) &&
		!clock_parse(js_str(js_get(doc, "createdAt"), ""), &shot.created_ms);
	if (!good)
		return false;
	shot.name = keep(out, name);
	shot.image = (char *)(uintptr_t)image;
	shot.parent = (char *)(uintptr_t)parent;
	shot.accel = (char *)(uintptr_t)accel;
	shot.disk = (uint64_t)disk_mb << 20;
	out->shot = shot;
	return true;
}

static const char *const figure_keys[FIGURES] = {
	[FIGURE_CPU] = "cpuPercent",
	[FIGURE_PRIVATE] = "privateMemoryKb",
	[FIGURE_RESIDENT] = "residentMemoryKb",
	[FIGURE_DISK] = "diskKb",
	[FIGURE_READ] = "readBytesPerSecond",
	[FIGURE_WRITTEN] = "writtenBytesPerSecond",
	[FIGURE_RECEIVED] = "receivedBytesPerSecond",
	[FIGURE_SENT] = "sentBytesPerSecond",
};

/* NAN: none. */
static float take_figure(const js *v)
{
	double n = js_num(v, NAN);
	return n >= 0 && n <= FIGURE_MAX ? (float)n : NAN;
}

static void take_figures(const js *obj, struct point *out)
{
	for (size_t i = 0; i < FIGURES; i++)
		out->v[i] = take_figure(js_get(obj, figure_keys[i]));
}

static bool hear_points(const struct carry_ask *ask, const js *doc, struct heard *out)
{
	const js *list = js_get(doc, "points");
	(void)ask;
	if (js_type(list) != JS_ARRAY)
		return false;
	free(out->points);
	out->points = mem_array(js_count(list) + 1, sizeof(*out->points));
	out->point_count = 0;
	js_each (it, list) {
		struct point p = { 0 };
		if (clock_parse(js_str(js_get(it, "time"), ""), &p.wall_ms))
			return false;
		take_figures(it, &p);
		out->points[out->point_count++] = p;
	}
	return true;
}

static bool hear_uses(const struct carry_ask *ask, const js *doc, struct heard *out)
{
	const js *list = js_get(doc, "sandboxes");
	(void)ask;
	if (js_type(list) != JS_ARRAY)
		return false;
	free(out->uses);
	out->uses = mem_array(js_count(list) + 1, sizeof(*out->uses));
	out->use_count = 0;
	js_each (it, list) {
		const char *id = js_str(js_get(it, "id"), "");
		if (!is_word(id))
			return false;
		struct carry_use *use = &out->uses[out->use_count++];
		*use = (struct carry_use){ .id = keep(out, id) };
		take_figures(it, &use->now);
	}
	return true;
}

/* What it refuses, as it says it. */
static int refused(int status, const js *doc, struct err *err)
{
	const js *e = js_get(doc, "error") ? js_get(doc, "error") : doc;
	const char *name = js_str(js_get(e, "code"), NULL), *hint = js_str(js_get(e, "hint"), "");
	const char *message = js_str(js_get(e, "message"), "");
	enum err_code code = name ? err_from_name(name) : err_from_status(status);
	if (code == ERR_OK)
		return odd(err);
	if (code == ERR_UNAUTHORIZED || code == ERR_FORBIDDEN) /* a matter between the two daemons */
		code = ERR_UNAVAILABLE;
	err_set(err, code, "%s", *message && is_plain(message) ? message : "refused by the host");
	return *hint && is_plain(hint) ? err_hint(err, "%s", hint) : -1;
}

int words_hear(const struct carry_ask *ask, int status, const char *body, size_t n, struct heard *out, struct err *err)
{
	const struct verb *v = &verbs[ask->verb];
	bool good = status >= 200 && status < 300;
	out->cursor = NULL;
	if (good && !v->hear)
		return ask->verb == CARRY_AGENT ? odd(err) : 0; /* it did not switch */
	if (status < 200 || (status >= 300 && status < 400))
		return odd(err);
	auto_js *doc = js_parse(body, n, JS_LIMITS_DEFAULT, NULL);
	if (!good)
		return refused(status, doc, err);
	return doc && v->hear(ask, doc, out) ? 0 : odd(err);
}

void heard_free(struct heard *h)
{
	for (size_t i = 0; i < h->text_count; i++)
		free(h->texts[i]);
	free((void *)h->texts);
	free(h->boxes);
	free(h->points);
	free(h->uses);
}
