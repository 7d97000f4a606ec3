/* Capsules: their life, and what they use. */
#include "daemon/api/wrenn/wrenn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/points.h"
#include "daemon/core/catalog.h"
#include "daemon/core/metrics.h"
#include "daemon/core/snapshot.h"
#include "daemon/core/usage.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { VCPUS_DEFAULT = 1, MEMORY_DEFAULT = 512, VCPUS_MAX = 16, MEMORY_MIN = 128, MEMORY_MAX = 16384 };

/* ---- how it is shown ---- */

const char *wrenn_status(const struct sandbox *sb)
{
	static const char *const words[SANDBOX_STATES] = {
		[SANDBOX_CREATING] = "pending",
		[SANDBOX_RUNNING] = "running",
		[SANDBOX_PAUSING] = "paused",
		[SANDBOX_PAUSED] = "paused",
		[SANDBOX_RESUMING] = "paused",
		[SANDBOX_STOPPING] = "stopped",
		[SANDBOX_STOPPED] = "stopped",
		[SANDBOX_STARTING] = "starting",
		[SANDBOX_DELETING] = "stopped",
		[SANDBOX_POOLED] = "pending",
		[SANDBOX_MISSING] = "missing",
	};
	return words[sandbox_state(sb)];
}

void wrenn_write_capsule(struct jw *w, const struct sandbox *sb)
{
	const struct db_sandbox *row = sandbox_row(sb);
	jw_obj(w);
	wrenn_kid(w, "id", UID_CAPSULE, row->id);
	jw_kstr(w, "status", wrenn_status(sb));
	jw_kstr(w, "template", row->template ? row->template : row->image);
	jw_kint(w, "vcpus", row->vcpus);
	jw_kint(w, "memory_mb", row->memory_mb);
	jw_kint(w, "timeout_sec", row->idle_s);
	wrenn_ktime(w, "created_at", row->created_ms);
	wrenn_ktime(w, "started_at", row->started_ms);
	wrenn_ktime(w, "last_active_at", row->active_ms);
	wrenn_ktime(w, "last_updated", row->changed_ms ? row->changed_ms : row->created_ms);
	jw_obj_end(w);
}

static void reply_capsule(struct http_req *r, int status, const struct sandbox *sb)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	wrenn_write_capsule(&w, sb);
	http_reply_json(r, status, &out);
}

static void reply_past(struct http_req *r, const struct db_past *row)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	wrenn_kid(&w, "id", UID_CAPSULE, row->id);
	jw_kstr(&w, "status", row->state);
	jw_kstr(&w, "template", row->template ? row->template : row->image);
	jw_kint(&w, "vcpus", row->vcpus);
	jw_kint(&w, "memory_mb", row->memory_mb);
	jw_kint(&w, "timeout_sec", row->idle_s);
	wrenn_ktime(&w, "created_at", row->created_ms);
	wrenn_ktime(&w, "started_at", row->started_ms);
	wrenn_ktime(&w, "last_active_at", row->active_ms);
	wrenn_ktime(&w, "last_updated", row->ended_ms);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

/* Its record after its end: 1 (release it), 0, -1. */
static int find_past(struct http_req *r, struct db_past *past, struct err *err)
{
	int rc = sandbox_past(wrenn_core(r), http_team(r), wrenn_uid(r, UID_CAPSULE, "id"), past, err);
	if (rc == 0)
		err_set(err, ERR_NOT_FOUND, "sandbox not found");
	return rc;
}

static struct sandbox *find_live(struct http_req *r)
{
	const char *id = wrenn_uid(r, UID_CAPSULE, "id");
	struct sandbox *sb = sandbox_find(wrenn_core(r), http_team(r), id, NULL);
	return sb && !strcmp(sandbox_row(sb)->id, id) ? sb : NULL;
}

void wrenn_getCapsule(struct http_req *r)
{
	struct sandbox *sb = find_live(r);
	struct db_past past;
	struct err err = ERR_INIT;
	if (sb) {
		reply_capsule(r, 200, sb);
	} else if (find_past(r, &past, &err) == 1) {
		reply_past(r, &past);
		db_past_release(&past);
	} else {
		http_reply_err(r, &err);
	}
}

static bool is_listed(const struct sandbox *sb, int64_t team)
{
	return sandbox_row(sb)->account == team && sandbox_state(sb) != SANDBOX_POOLED && strcmp(wrenn_status(sb), "stopped") != 0;
}

void wrenn_listCapsules(struct http_req *r)
{
	const struct core *core = wrenn_core(r);
	int64_t team = http_team(r);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_arr(&w);
	for (size_t i = sandbox_count(core); i-- > 0;) {
		const struct sandbox *sb = sandbox_at(core, i);
		if (is_listed(sb, team))
			wrenn_write_capsule(&w, sb);
	}
	jw_arr_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- create ---- */

struct create_call {
	struct call call; /* first */
	struct core *core;
	struct identity who;
	char *template, *id; /* id: of the capsule, which others may remove at any time */
	int64_t vcpus, memory_mb, idle_s;
	bool pending, failed;
};

static void create_call_free(struct create_call *c)
{
	free(c->template);
	free(c->id);
	free(c);
}

/* Nobody has learned of it: a create that is not acknowledged leaves nothing. */
static void on_create_over(struct http_req *r, bool delivered)
{
	struct create_call *c = http_user(r);
	struct sandbox *sb = delivered || c->failed || !c->id ? NULL : sandbox_find(c->core, TEAM_ANY, c->id, NULL);
	c->call.req = NULL;
	bool pending = c->pending; /* the callback is still to come, and frees the call */
	if (sb)
		sandbox_delete(sb, NULL, NULL);
	if (!pending)
		create_call_free(c);
}

static void create_failed(struct create_call *c, const struct err *err)
{
	struct http_req *r = c->call.req;
	c->pending = false;
	c->failed = true;
	if (r)
		http_reply_err(r, err); /* on_create_over frees */
	else
		create_call_free(c);
}

static void on_created(void *arg, struct sandbox *sb, const struct err *err)
{
	struct create_call *c = arg;
	if (err) {
		struct err said = wrenn_failure(err);
		create_failed(c, &said);
		return;
	}
	c->pending = false;
	if (!c->call.req) {
		create_call_free(c);
		return;
	}
	audit_sandbox(AUDIT_SANDBOX_CREATE, &c->who, sb);
	reply_capsule(c->call.req, 201, sb);
}

static int check_shape(const struct create_call *c, struct err *err)
{
	if (c->vcpus > VCPUS_MAX)
		return err_set(err, ERR_INVALID, "'vcpus' must be at most %d", VCPUS_MAX);
	if (c->memory_mb < MEMORY_MIN || c->memory_mb > MEMORY_MAX)
		return err_set(err, ERR_INVALID, "'memory_mb' must be %d to %d", MEMORY_MIN, MEMORY_MAX);
	return 0;
}

/* snapshot NULL: from the image that the template is. */
static void create(struct create_call *c, const struct snapshot *snapshot)
{
	struct err err = ERR_INIT;
	struct sandbox_spec spec = { .image = !strcmp(c->template, WRENN_MINIMAL) ? "base" : c->template,
		.snapshot = snapshot ? c->template : NULL,
		.template = c->template,
		.vcpus = (unsigned)(snapshot ? snapshot->vcpus : c->vcpus),
		.memory_mb = (unsigned)(snapshot ? snapshot->memory_mb : c->memory_mb),
		.idle_s = c->idle_s,
		.net = NET_NONE,
		.account = c->who.team };
	if (!snapshot && check_shape(c, &err)) {
		create_failed(c, &err);
		return;
	}
	struct sandbox *sb = sandbox_create(c->core, &spec, on_created, c, &err);
	if (!sb)
		create_failed(c, &err);
	else
		c->id = mem_strdup(sandbox_row(sb)->id);
}

static void on_template(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct create_call *c = arg;
	struct err said = ERR_INIT;
	if (!c->call.req) {
		create_call_free(c);
	} else if (err) {
		if (err->code == ERR_NOT_FOUND)
			err_set(&said, ERR_NOT_FOUND, "template '%s' not found", c->template);
		create_failed(c, err->code == ERR_NOT_FOUND ? &said : err);
	} else {
		create(c, n ? &list[0] : NULL);
	}
}

/* Numbers are of 32 bits on this wire. */
static int64_t number(const js *body, const char *key, int64_t def, struct err *err)
{
	int64_t v = def;
	if (js_int(js_get(body, key), &v) == 0 && (v > INT32_MAX || v < INT32_MIN))
		err_set(err, ERR_INVALID, "'%s' is too large", key);
	return v;
}

static int64_t positive(int64_t v, int64_t def)
{
	return v > 0 ? v : def;
}

void wrenn_createCapsule(struct http_req *r)
{
	const js *body = http_body(r);
	const char *template = js_str(js_get(body, "template"), "");
	struct err err = ERR_INIT;
	if (*template == '\0')
		template = WRENN_MINIMAL;
	int64_t vcpus = number(body, "vcpus", 0, &err), memory_mb = number(body, "memory_mb", 0, &err);
	int64_t timeout = number(body, "timeout_sec", 0, &err);
	if (err.code) {
		http_reply_err(r, &err);
		return;
	}
	if (snapshot_check_name(template, &err)) {
		err_set(&err, ERR_INVALID, "'%.80s' cannot be the name of a template", template);
		http_reply_err(r, &err);
		return;
	}
	struct create_call *c = mem_zalloc(sizeof(*c));
	*c = (struct create_call){ .core = wrenn_core(r),
		.who = *http_identity(r),
		.template = mem_strdup(template),
		.vcpus = positive(vcpus, VCPUS_DEFAULT),
		.memory_mb = positive(memory_mb, MEMORY_DEFAULT),
		.idle_s = timeout,
		.pending = true };
	c->call.req = r;
	http_set_user(r, c);
	http_on_done(r, on_create_over);
	if (wrenn_is_platform(c->core, template))
		create(c, NULL);
	else
		snapshot_list(c->core, c->who.team, template, on_template, c);
}

/* ---- its life ---- */

struct life_call {
	struct call call; /* first */
	struct identity who;
	enum audit_kind kind;
	bool gone; /* answers with 204 */
};

static struct life_call *life_call_new(struct http_req *r, enum audit_kind kind)
{
	struct life_call *c = mem_zalloc(sizeof(*c));
	*c = (struct life_call){ .who = *http_identity(r), .kind = kind };
	call_begin(&c->call, r);
	return c;
}

/* An operation that fails is the host's failure, unless it was refused for the state. */
static void reply_failure(struct http_req *r, const struct err *err)
{
	struct err said = wrenn_failure(err);
	if (said.code == ERR_CONFLICT)
		said.code = ERR_STATE;
	http_reply_err(r, &said);
}

static void on_life_done(void *arg, struct sandbox *sb, const struct err *err)
{
	struct life_call *c = arg;
	struct http_req *r = call_end(&c->call);
	if (!err)
		audit_sandbox(c->kind, &c->who, sb);
	if (r && err)
		reply_failure(r, err);
	else if (r)
		reply_capsule(r, 200, sb);
	free(c);
}

static void refused(struct life_call *c, const struct err *err)
{
	struct http_req *r = call_end(&c->call);
	free(c);
	reply_failure(r, err);
}

void wrenn_pauseCapsule(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = wrenn_capsule(r);
	if (!sb || !api_settle(r, sb))
		return;
	struct life_call *c = life_call_new(r, AUDIT_SANDBOX_PAUSE);
	if (sandbox_pause(sb, false, on_life_done, c, &err))
		refused(c, &err);
}

void wrenn_resumeCapsule(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = wrenn_capsule(r);
	if (!sb || !api_settle(r, sb))
		return;
	struct life_call *c = life_call_new(r, AUDIT_SANDBOX_RESUME);
	if (sandbox_resume(sb, on_life_done, c, &err))
		refused(c, &err);
}

void wrenn_pingCapsule(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	if (!sb)
		return;
	sandbox_touch(sb);
	http_reply_empty(r, 204);
}

static void on_destroyed(void *arg, const struct err *err)
{
	struct life_call *c = arg;
	struct http_req *r = call_end(&c->call);
	if (r)
		wrenn_reply_done(r, err ? -1 : 0, err);
	free(c);
}

void wrenn_destroyCapsule(struct http_req *r)
{
	struct sandbox *sb = find_live(r);
	struct db_past past;
	struct err err = ERR_INIT;
	if (sb) {
		/* as asked, since what is told of it then is gone */
		audit_sandbox(AUDIT_SANDBOX_DESTROY, http_identity(r), sb);
		sandbox_delete(sb, on_destroyed, life_call_new(r, AUDIT_SANDBOX_DESTROY));
		return;
	}
	int rc = find_past(r, &past, &err);
	if (rc == 1)
		db_past_release(&past);
	wrenn_reply_done(r, rc == 1 ? 0 : -1, &err);
}

/* ---- what it uses ---- */

static double known(float v)
{
	return isnan(v) ? 0 : (double)v;
}

static void write_point(struct jw *w, const struct point *p, int64_t vcpus)
{
	double cpu = known(p->v[FIGURE_CPU]) / (double)(vcpus ? vcpus : 1);
	jw_obj(w);
	jw_kint(w, "timestamp_unix", p->wall_ms / 1000);
	jw_key(w, "cpu_pct");
	jw_num(w, fmin(fmax(round(cpu * 100) / 100, 0), 100));
	jw_kint(w, "mem_bytes", (int64_t)known(p->v[FIGURE_RESIDENT]) * 1024);
	jw_kint(w, "disk_bytes", (int64_t)known(p->v[FIGURE_DISK]) * 1024);
	jw_obj_end(w);
}

static void reply_metrics(struct http_req *r, const struct sandbox *sb, const struct point *list, size_t n, const struct err *err)
{
	if (err) {
		reply_failure(r, err);
		return;
	}
	if (!sb && !(sb = wrenn_capsule(r)))
		return;
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	wrenn_kid(&w, "sandbox_id", UID_CAPSULE, sandbox_row(sb)->id);
	jw_kstr(&w, "range", http_query(r, "range"));
	jw_key(&w, "points");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_point(&w, &list[i], sandbox_row(sb)->vcpus);
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void wrenn_getCapsuleMetrics(struct http_req *r)
{
	struct err err = ERR_INIT;
	const struct sandbox *sb = wrenn_capsule(r);
	if (!sb)
		return;
	const char *status = wrenn_status(sb);
	if (!strcmp(status, "running") || !strcmp(status, "paused")) {
		api_points(r, sb, http_query(r, "range"), reply_metrics);
		return;
	}
	err_set(&err, ERR_NOT_FOUND, "there are no metrics of a sandbox that is %s", status);
	http_reply_err(r, &err);
}

static void write_series(struct jw *w, const char *key, const struct db_use *all, size_t n, size_t off)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < n; i++)
		jw_int(w, *(const int64_t *)((const char *)&all[i] + off));
	jw_arr_end(w);
}

static void write_stats(struct jw *w, const char *range, const struct db_use *now, const struct db_use *peak)
{
	jw_kstr(w, "range", range);
	jw_key(w, "current");
	jw_obj(w);
	jw_kint(w, "running_count", now->running);
	jw_kint(w, "vcpus_reserved", now->vcpus);
	jw_kint(w, "memory_mb_reserved", now->memory_mb);
	jw_obj_end(w);
	jw_key(w, "peaks");
	jw_obj(w);
	jw_kint(w, "running_count", peak->running);
	jw_kint(w, "vcpus", peak->vcpus);
	jw_kint(w, "memory_mb", peak->memory_mb);
	jw_obj_end(w);
}

void wrenn_getCapsuleStats(struct http_req *r)
{
	const char *range = http_query(r, "range");
	int64_t team = http_team(r), range_s = 0, bucket_s = 1;
	struct db_use now, peak, *all;
	size_t n;
	struct err err = ERR_INIT;
	usage_range(range, &range_s, &bucket_s);
	usage_now(wrenn_core(r), team, &now);
	if (usage_peaks(wrenn_core(r), team, &peak, &err) || usage_series(wrenn_core(r), team, range_s, bucket_s, &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	write_stats(&w, range, &now, &peak);
	jw_key(&w, "series");
	jw_obj(&w);
	jw_key(&w, "labels");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		wrenn_time(&w, all[i].at_s * 1000);
	jw_arr_end(&w);
	write_series(&w, "running", all, n, offsetof(struct db_use, running));
	write_series(&w, "vcpus", all, n, offsetof(struct db_use, vcpus));
	write_series(&w, "memory_mb", all, n, offsetof(struct db_use, memory_mb));
	jw_obj_end(&w);
	jw_obj_end(&w);
	free(all);
	http_reply_json(r, 200, &out);
}
