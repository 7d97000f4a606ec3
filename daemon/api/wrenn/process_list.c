/* process_list: what runs in a capsule without anybody having to wait for it: commands in the background, streams, terminals. */
#include "daemon/api/wrenn/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

static void refuse(struct http_req *r, const struct err *err)
{
	struct err said = *err;
	wrenn_refusal(&said);
	http_reply_err(r, &said);
}

/* The sessions of an answer of the agent, which is not trusted; NULL when the request has been answered. */
static js *sessions(struct collect *c, const struct err *err)
{
	struct err parse = ERR_INIT;
	js *list = err ? NULL : js_parse(c->out.p, c->out.len, JS_LIMITS_DEFAULT, &parse);
	if (!list) {
		parse.code = ERR_PROTOCOL;
		refuse(c->req, err ? err : &parse);
	}
	return list;
}

static bool runs(const js *session)
{
	return js_bool(js_get(session, "running"), false);
}

static void write_process(struct jw *w, const js *session)
{
	const js *command = js_get(session, "command"), *cmd = js_first(command);
	int64_t pid = 0;
	js_int(js_get(session, "pid"), &pid);
	jw_obj(w);
	jw_kint(w, "pid", pid);
	jw_kstr(w, "tag", js_str(js_get(session, "session"), ""));
	jw_kstr(w, "cmd", js_str(cmd, ""));
	if (js_count(command) > 1) {
		jw_key(w, "args");
		jw_arr(w);
		for (const js *arg = js_next(cmd); arg; arg = js_next(arg))
			jw_str(w, js_str(arg, ""));
		jw_arr_end(w);
	}
	jw_obj_end(w);
}

static void on_list(struct collect *c, const struct err *err)
{
	auto_js *list = sessions(c, err);
	auto_buf out = BUF_INIT;
	struct jw w;
	if (!list)
		return;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "processes");
	jw_arr(&w);
	js_each (it, list)
		if (runs(it))
			write_process(&w, it);
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(c->req, 200, &out);
}

void wrenn_select(struct http_req *r, struct sandbox *sb, void (*done)(struct collect *c, const struct err *err))
{
	struct err err = ERR_INIT;
	struct collect *c = collect_new(r, done);
	collect_run(c, execution_sessions(sb, &collect_ops, c, &err), &err);
}

void wrenn_listProcesses(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	if (sb)
		wrenn_select(r, sb, on_list);
}

/* ---- one of them ---- */

static const js *find(const js *list, const char *selector)
{
	int64_t want = 0, pid = 0;
	bool by_pid = parse_int(selector, "pid", 1, INT32_MAX, &want, NULL) == 0;
	js_each (it, list) {
		if (!runs(it))
			continue;
		if (!strcmp(js_str(js_get(it, "session"), ""), selector))
			return it;
		if (by_pid && js_int(js_get(it, "pid"), &pid) == 0 && pid == want)
			return it;
	}
	return NULL;
}

char *wrenn_selected(struct collect *c, const struct err *err)
{
	struct err gone = ERR_INIT;
	auto_js *list = sessions(c, err);
	if (!list)
		return NULL;
	const js *it = find(list, http_param(c->req, "selector"));
	if (it)
		return mem_strdup(js_str(js_get(it, "session"), ""));
	err_set(&gone, ERR_NOT_FOUND, "process not found");
	http_reply_err(c->req, &gone);
	return NULL;
}

static void on_killed(struct collect *c, const struct err *err)
{
	if (err && err->code != ERR_NOT_FOUND) /* that is: ended meanwhile */
		refuse(c->req, err);
	else
		http_reply_empty(c->req, 204);
}

static void on_kill(struct collect *found, const struct err *err)
{
	struct http_req *r = found->req;
	auto_free char *tag = wrenn_selected(found, err);
	struct sandbox *sb = tag ? wrenn_guest(r) : NULL;
	struct err failed = ERR_INIT;
	if (!sb)
		return;
	int signo = !strcmp(http_query(r, "signal"), "SIGTERM") ? SIGTERM : SIGKILL;
	struct collect *c = collect_new(r, on_killed);
	collect_run(c, execution_kill_session(sb, tag, signo, &collect_ops, c, &failed), &failed);
}

void wrenn_killProcess(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	if (sb)
		wrenn_select(r, sb, on_kill);
}
