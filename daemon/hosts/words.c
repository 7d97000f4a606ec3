#include "daemon/hosts/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/sandbox.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BASE "/sbx/v1"

enum { LIST_PAGE = 1000, QUICK_MS = 15000, SLOW_MS = 300000, BUILD_MS = 1800000 }; /* an image may have to be built first */

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

static int hear_box(const js *doc, struct heard *out, struct err *err);
static int hear_list(const js *doc, struct heard *out, struct err *err);
static int hear_shot(const js *doc, struct heard *out, struct err *err);
static int hear_points(const js *doc, struct heard *out, struct err *err);

static const struct verb {
	const char *method, *before, *after; /* the path, around an id or name */
	int64_t limit_ms;
	void (*say)(struct jw *w, const struct carry_ask *ask);
	int (*hear)(const js *doc, struct heard *out, struct err *err);
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

static int64_t number(const js *obj, const char *key)
{
	int64_t v = 0;
	js_int(js_get(obj, key), &v);
	return v;
}

static int hear_box(const js *doc, struct heard *out, struct err *err)
{
	const js *other = js_get(doc, "runsWith");
	struct carry_box box = { .id = js_str(js_get(doc, "id"), NULL),
		.state = js_str(js_get(doc, "state"), NULL),
		.reason = js_str(js_get(doc, "reason"), NULL),
		.accel = js_str(js_get(doc, "acceleration"), NULL),
		.digest = js_str(js_get(doc, "imageDigest"), NULL),
		.mac = js_str(js_get(doc, "mac"), NULL),
		.vcpus = number(doc, "vcpus"),
		.memory_mb = number(doc, "memoryMb") };
	const js *runs = js_type(other) == JS_OBJECT ? other : doc;
	box.run_vcpus = number(runs, "vcpus");
	box.run_memory_mb = number(runs, "memoryMb");
	if (!box.id || !box.state || box.vcpus < 1 || box.memory_mb < 1)
		return odd(err);
	out->boxes = mem_grow(out->boxes, out->box_count + 1, sizeof(*out->boxes));
	out->boxes[out->box_count++] = box;
	return 0;
}

/* Those that it carries for us; it may have others of its own. */
static int hear_list(const js *doc, struct heard *out, struct err *err)
{
	const js *list = js_get(doc, "sandboxes");
	if (js_type(list) != JS_ARRAY)
		return odd(err);
	js_each(it, list)
		if (js_bool(js_get(it, "carried"), false) && hear_box(it, out, err))
			return -1;
	out->cursor = js_str(js_get(doc, "nextCursor"), NULL);
	return 0;
}

static int hear_shot(const js *doc, struct heard *out, struct err *err)
{
	const char *tree = js_str(js_get(doc, "tree"), "");
	out->shot = (struct snapshot){ .name = (char *)(uintptr_t)js_str(js_get(doc, "name"), NULL),
		.image = (char *)(uintptr_t)js_str(js_get(doc, "image"), NULL),
		.parent = (char *)(uintptr_t)js_str(js_get(doc, "parent"), NULL),
		.accel = (char *)(uintptr_t)js_str(js_get(doc, "acceleration"), NULL),
		.vcpus = number(doc, "vcpus"),
		.memory_mb = number(doc, "memoryMb"),
		.disk = (uint64_t)number(doc, "diskMb") << 20 };
	bool whole = out->shot.name && hash_parse(tree, &out->shot.tree);
	if (!whole || clock_parse(js_str(js_get(doc, "createdAt"), ""), &out->shot.created_ms))
		return odd(err);
	return 0;
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

static int hear_points(const js *doc, struct heard *out, struct err *err)
{
	const js *list = js_get(doc, "points");
	size_t n = js_count(list);
	if (js_type(list) != JS_ARRAY)
		return odd(err);
	out->points = mem_array(n + 1, sizeof(*out->points));
	js_each(it, list) {
		struct point p = { 0 };
		if (clock_parse(js_str(js_get(it, "time"), ""), &p.wall_ms))
			return odd(err);
		for (size_t i = 0; i < FIGURES; i++)
			p.v[i] = (float)js_num(js_get(it, figure_keys[i]), NAN);
		out->points[out->point_count++] = p;
	}
	return 0;
}

/* What it refuses, as it says it. */
static int refused(int status, const js *doc, struct err *err)
{
	const js *e = js_get(doc, "error") ? js_get(doc, "error") : doc;
	const char *code = js_str(js_get(e, "code"), NULL);
	err_set(err, code ? err_from_name(code) : err_from_status(status), "%s", js_str(js_get(e, "message"), "refused by the host"));
	if (js_str(js_get(e, "hint"), NULL))
		err_hint(err, "%s", js_str(js_get(e, "hint"), ""));
	if (err->code == ERR_UNAUTHORIZED || err->code == ERR_FORBIDDEN) /* a matter between the two daemons */
		err->code = ERR_UNAVAILABLE;
	return -1;
}

int words_hear(enum carry_verb verb, int status, const char *body, size_t n, struct heard *out, struct err *err)
{
	const struct verb *v = &verbs[verb];
	bool good = status >= 200 && status < 300;
	out->cursor = NULL;
	if (good && !v->hear)
		return 0;
	js *doc = js_parse(body, n, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return good ? odd(err) : refused(status, NULL, err);
	out->docs = mem_grow((void *)out->docs, out->doc_count + 1, sizeof(*out->docs));
	out->docs[out->doc_count++] = doc;
	return good ? v->hear(doc, out, err) : refused(status, doc, err);
}

void heard_free(struct heard *h)
{
	for (size_t i = 0; i < h->doc_count; i++)
		js_free(h->docs[i]);
	free((void *)h->docs);
	free(h->boxes);
	free(h->points);
}
