#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/eventlog.h"
#include "daemon/core/mount.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- what a sandbox looks like ---- */

static void write_int_or_null(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	if (v)
		jw_int(w, v);
	else
		jw_null(w);
}

/* What it runs with, or was paused with, where a resize has changed the record since. */
static void write_other_shape(struct jw *w, const struct sandbox *sb)
{
	const struct db_sandbox *row = sandbox_row(sb);
	bool same = row->run_vcpus == row->vcpus && row->run_memory_mb == row->memory_mb;

	jw_key(w, "runsWith");
	if (same || !row->run_vcpus || sandbox_state(sb) == SANDBOX_STOPPED) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_kint(w, "vcpus", row->run_vcpus);
	jw_kint(w, "memoryMb", row->run_memory_mb);
	jw_obj_end(w);
}

static void write_mount(struct jw *w, const struct db_fs *fs)
{
	if (!fs || !fs->tree)
		return;
	jw_key(w, "fs");
	jw_obj(w);
	jw_kstr(w, "path", fs->path);
	jw_kstr(w, "tree", fs->tree);
	jw_kstr(w, "label", fs->label);
	jw_kstr(w, "pushed", fs->pushed);
	jw_obj_end(w);
}

/* Where the time of the create went. */
static void write_phases(struct jw *w, const struct sandbox *sb)
{
	const char *name;
	int64_t us;

	jw_key(w, "createPhases");
	jw_arr(w);
	for (size_t i = 0; sandbox_phase(sb, i, &name, &us); i++) {
		jw_obj(w);
		jw_kstr(w, "name", name);
		jw_key(w, "ms");
		jw_num(w, (double)us / 1000);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

/* Where it is, if that is not simply here, and what is not as usual in it. */
static void write_place(struct jw *w, const struct sandbox *sb)
{
	const char *uid = sandbox_host(sb);
	if (uid)
		jw_kstr(w, "host", uid);
	if (sandbox_row(sb)->host == HOST_CONTROL)
		jw_kbool(w, "carried", true);
	if (sandbox_user(sb))
		jw_kstr(w, "user", sandbox_user(sb));
	if (sandbox_workdir(sb))
		jw_kstr(w, "workdir", sandbox_workdir(sb));
}

void api_write_sandbox(struct jw *w, struct sandbox *sb)
{
	const struct db_sandbox *row = sandbox_row(sb);
	jw_obj(w);
	jw_kstr(w, "id", row->id);
	jw_kstr(w, "name", row->name);
	jw_kstr(w, "state", sandbox_state_name(sandbox_shown_state(sb)));
	jw_kstr(w, "image", row->image);
	if (row->image_digest)
		jw_kstr(w, "imageDigest", row->image_digest);
	jw_kint(w, "vcpus", row->vcpus);
	jw_kint(w, "memoryMb", row->memory_mb);
	write_other_shape(w, sb);
	auto_free char *net = net_text(row);
	jw_kstr(w, "net", net);
	api_write_ports(w, sb);
	api_write_pairs(w, "env", row->env);
	api_write_pairs(w, "labels", row->labels);
	jw_kint(w, "timeoutSeconds", row->timeout_s);
	jw_kint(w, "idleSeconds", row->idle_s);
	api_write_time(w, "createdAt", row->created_ms);
	api_write_time(w, "expiresAt", row->expires_ms);
	write_int_or_null(w, "pid", row->pid);
	jw_kstr(w, "acceleration", row->accel);
	jw_kstr(w, "mac", row->mac);
	jw_kstr(w, "parent", row->parent);
	jw_kstr(w, "reason", row->reason);
	write_place(w, sb);
	write_phases(w, sb);
	jw_key(w, "createMs");
	if (row->create_us)
		jw_num(w, (double)row->create_us / 1000);
	else
		jw_null(w);
	write_mount(w, sandbox_fs(sb));
	jw_obj_end(w);
}

void api_reply_sandbox(struct http_req *r, int status, struct sandbox *sb)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	api_write_sandbox(&w, sb);
	http_reply_json(r, status, &out);
}

void sbx_getSandbox(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	if (sb)
		api_reply_sandbox(r, 200, sb);
}

/* ---- list ---- */

struct filter {
	int64_t team;
	const char *state, *name, *image, *label;
	bool pool;
};

static bool has_label(char *const *labels, const char *want)
{
	size_t n = strlen(want);
	bool whole = strchr(want, '=') != NULL;
	for (size_t i = 0; labels && labels[i]; i++) {
		if (whole ? !strcmp(labels[i], want) : !strncmp(labels[i], want, n) && labels[i][n] == '=')
			return true;
	}
	return false;
}

static bool matches(const struct filter *f, const struct sandbox *sb)
{
	const struct db_sandbox *row = sandbox_row(sb);
	return (f->team == TEAM_ANY || f->team == row->account) && (f->pool || sandbox_state(sb) != SANDBOX_POOLED) &&
		(!f->state || !strcmp(f->state, sandbox_state_name(sandbox_shown_state(sb)))) &&
		(!f->name || (row->name && str_starts(row->name, f->name))) && (!f->image || !strcmp(row->image, f->image)) &&
		(!f->label || has_label(row->labels, f->label));
}

/* A cursor is the id of the last row of its page and its time, so that it holds when that row is deleted meanwhile. */
static bool is_after_cursor(const struct db_sandbox *row, int64_t cursor_ms, const char *cursor_id)
{
	return row->created_ms < cursor_ms || (row->created_ms == cursor_ms && strcmp(row->id, cursor_id) < 0);
}

static int parse_cursor(const char *text, int64_t *ms, const char **id, struct err *err)
{
	*ms = INT64_MAX;
	*id = "";
	if (!text)
		return 0;
	char *end;
	*ms = strtoll(text, &end, 10);
	if (end == text || *end != '-' || !end[1])
		return err_set(err, ERR_INVALID, "'cursor' is not one that this API gave");
	*id = end + 1;
	return 0;
}

void sbx_listSandboxes(struct http_req *r)
{
	struct core *core = api_of(r)->core;
	struct filter f = { .team = api_scope(r),
		.state = http_query(r, "state"),
		.name = http_query(r, "name"),
		.image = http_query(r, "image"),
		.label = http_query(r, "label"),
		.pool = http_query_bool(r, "pool", false) };
	int64_t limit = http_query_int(r, "limit", 100), cursor_ms, n = 0;
	const char *cursor_id;
	struct err err = ERR_INIT;
	if (parse_cursor(http_query(r, "cursor"), &cursor_ms, &cursor_id, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	auto_free char *next = NULL;
	const struct db_sandbox *last = NULL;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "sandboxes");
	jw_arr(&w);
	for (size_t i = sandbox_count(core); i-- > 0;) {
		struct sandbox *sb = sandbox_at(core, i);
		if (!matches(&f, sb) || !is_after_cursor(sandbox_row(sb), cursor_ms, cursor_id))
			continue;
		if (last && n == limit) {
			next = mem_printf("%lld-%s", (long long)last->created_ms, last->id);
			break;
		}
		n++;
		last = sandbox_row(sb);
		api_write_sandbox(&w, sb);
	}
	jw_arr_end(&w);
	jw_kstr(&w, "nextCursor", next);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

/* ---- create ---- */

struct create_call {
	struct http_req *req; /* NULL when the client has gone */
	char *id;	      /* the sandbox may be removed by others at any time */
	bool pending, failed;
};

static void create_call_free(struct create_call *call)
{
	free(call->id);
	free(call);
}

static void on_create_over(struct http_req *r, bool delivered)
{
	struct create_call *call = http_user(r);
	call->req = NULL;
	/* Nobody has learned of it: a create that is not acknowledged leaves nothing. */
	struct sandbox *sb = delivered || call->failed ? NULL : sandbox_find(api_of(r)->core, TEAM_ANY, call->id, NULL);
	bool pending = call->pending; /* on_created is still to come, and frees the call */
	if (sb)
		sandbox_delete(sb, NULL, NULL);
	if (!pending)
		create_call_free(call);
}

static void on_created(void *arg, struct sandbox *sb, const struct err *err)
{
	struct create_call *call = arg;
	call->pending = false;
	call->failed = sb == NULL;
	if (!call->req)
		create_call_free(call);
	else if (err)
		http_reply_err(call->req, err);
	else
		api_reply_sandbox(call->req, 201, sb);
}

void sbx_createSandbox(struct http_req *r)
{
	const js *body = http_body(r);
	int64_t vcpus = 1, memory_mb = 0, timeout_s = 0, idle_s = 0;
	js_int(js_get(body, "vcpus"), &vcpus);
	js_int(js_get(body, "memoryMb"), &memory_mb);
	js_int(js_get(body, "timeoutSeconds"), &timeout_s);
	js_int(js_get(body, "idleSeconds"), &idle_s);
	struct err err = ERR_INIT;
	enum net_mode net;
	const char *net_rules;
	if (net_parse(js_str(js_get(body, "net"), "none"), &net, &net_rules, &err)) {
		http_reply_err(r, &err);
		return;
	}
	size_t port_count;
	auto_free struct port_spec *ports = api_ports(r, js_get(body, "ports"), &port_count);
	char **env = api_pairs(js_get(body, "env")), **labels = api_pairs(js_get(body, "labels"));
	char **tags = api_strings(js_get(body, "hostTags"));
	struct sandbox_spec spec = {
		.id = js_str(js_get(body, "id"), NULL),
		.host = js_str(js_get(body, "host"), NULL),
		.tags = tags,
		.name = js_str(js_get(body, "name"), NULL),
		.image = js_str(js_get(body, "image"), "base"),
		.snapshot = js_str(js_get(body, "snapshot"), NULL),
		.env = env,
		.labels = labels,
		.vcpus = (unsigned)vcpus,
		.memory_mb = (unsigned)memory_mb,
		.timeout_s = timeout_s,
		.idle_s = idle_s,
		.net = net,
		.net_rules = net_rules,
		.ports = ports,
		.port_count = port_count,
		.account = http_team(r),
		.fs_ref = js_str(js_get(js_get(body, "fs"), "ref"), NULL),
		.fs_path = js_str(js_get(js_get(body, "fs"), "path"), "/work"),
	};
	bool refused = api_only_operator(r, spec.fs_ref || net != NET_NONE || port_count, "trees, network and ports");
	if (refused || api_only_control(r, spec.id, "ids of one's own choice")) {
		api_free_list(env);
		api_free_list(labels);
		api_free_list(tags);
		return;
	}
	struct create_call *call = mem_zalloc(sizeof(*call));
	call->req = r;
	call->pending = true;
	struct sandbox *sb = sandbox_create(api_of(r)->core, &spec, on_created, call, &err);
	api_free_list(env);
	api_free_list(labels);
	api_free_list(tags);
	if (!sb) {
		create_call_free(call);
		http_reply_err(r, &err);
		return;
	}
	call->id = mem_strdup(sandbox_row(sb)->id);
	http_set_user(r, call);
	http_on_done(r, on_create_over);
}

/* ---- delete ---- */

struct delete_call {
	struct http_req *req; /* NULL when the client has gone */
};

static void on_delete_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct delete_call *call = http_user(r);
	call->req = NULL;
}

static void on_deleted(void *arg, const struct err *err)
{
	struct delete_call *call = arg;
	if (call->req) {
		http_on_done(call->req, NULL);
		if (err)
			http_reply_err(call->req, err);
		else
			http_reply_empty(call->req, 204);
	}
	free(call);
}

void sbx_deleteSandbox(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	if (!sb)
		return;
	struct delete_call *call = mem_zalloc(sizeof(*call));
	call->req = r;
	http_set_user(r, call);
	http_on_done(r, on_delete_over);
	sandbox_delete(sb, on_deleted, call);
}

/* ---- stats ---- */

static void on_stats(struct collect *c, const struct err *err)
{
	struct sandbox *sb = sandbox_find(api_of(c->req)->core, TEAM_ANY, http_param(c->req, "sandbox"), NULL);
	struct err parse = ERR_INIT;
	auto_js *guest = err ? NULL : js_parse(c->out.p, c->out.len, JS_LIMITS_DEFAULT, &parse);
	if (err || !guest || !sb) {
		http_reply_err(c->req, err ? err : &parse);
		return;
	}
	int64_t memory_kb, disk_kb;
	sandbox_usage(sb, &memory_kb, &disk_kb);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kint(&w, "privateMemoryKb", memory_kb);
	jw_kint(&w, "diskKb", disk_kb);
	jw_key(&w, "guest");
	jw_js(&w, guest);
	jw_obj_end(&w);
	http_reply_json(c->req, 200, &out);
}

void sbx_getSandboxStats(struct http_req *r)
{
	struct sandbox *sb = api_guest(r);
	if (!sb)
		return;
	struct err err = ERR_INIT;
	struct collect *c = collect_new(r, on_stats);
	collect_run(c, execution_info(sb, &collect_ops, c, &err), &err);
}

/* ---- logs ---- */

enum { LOG_QUEUE_MAX = 16 << 20 }; /* a whole log is less */

static void write_event(void *arg, const struct event *event)
{
	auto_buf line = BUF_INIT;
	struct jw w;
	jw_init(&w, &line);
	jw_obj(&w);
	api_write_time(&w, "time", event->wall_ms);
	jw_kstr(&w, "event", event->name);
	jw_kstr(&w, "message", event->message);
	jw_obj_end(&w);
	buf_ch(&line, '\n');
	if (http_stream_write(arg, line.p, line.len) > LOG_QUEUE_MAX)
		http_stream_abort(arg); /* a follower that does not read */
}

struct recent {
	struct http_req *req;
	int64_t since_ms;
};

static void write_recent(void *arg, const struct event *event)
{
	const struct recent *recent = arg;
	if (event->wall_ms >= recent->since_ms)
		write_event(recent->req, event);
}

static void on_log_ended(void *arg)
{
	struct http_req *r = arg;
	http_stream_end(r);
}

static void on_logs_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	eventlog_unfollow(http_user(r));
}

void sbx_getSandboxLogs(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	if (!sb)
		return;
	struct eventlog *log = sandbox_log(sb);
	int64_t tail = http_query_int(r, "tail", INT64_MAX);
	int64_t seconds = http_query_int(r, "sinceSeconds", -1);
	struct recent recent = { .req = r, .since_ms = seconds < 0 ? 0 : clock_wall_ms() - seconds * 1000 };
	bool follow = http_query_bool(r, "follow", false);
	http_stream_begin(r, 200, "application/x-ndjson", -1, NULL);
	if (log && tail > 0)
		eventlog_read(log, (size_t)tail, write_recent, &recent);
	if (!log || !follow) {
		http_stream_end(r);
		return;
	}
	http_set_user(r, eventlog_follow(log, write_event, on_log_ended, r));
	http_on_done(r, on_logs_over);
}
