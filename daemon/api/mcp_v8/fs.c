/*
 * mcp-v8, tag fs: labels, pushes, merges. reference/mcp-v8.md 1.4 and 2.7 to 2.10. What a request names is echoed as it was
 * spelled; what the store says is lower case. Errors of ours that the original cannot have keep its shape.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/dialects.h"
#include "daemon/api/mcp_v8/label_name.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/vault.h"
#include "shared/base/mem.h"

#define MESSAGE_MAX 4096u

static struct vault *vault_of(struct http_req *r)
{
	return core_vault(api_of(r)->core);
}

static char *copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static void put_id(struct jw *w, const char *key, const struct hash *id)
{
	char hex[HASH_HEX + 1];
	jw_kstr(w, key, id ? hash_hex(id, hex) : NULL);
}

/* ---- refusals ---- */

static void reply_error(struct http_req *r, int status, const char *text)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "error", text);
	jw_obj_end(&w);
	http_reply_json(r, status, &out);
}

/* Always false, for use in a condition. The text may be longer than an err's: it repeats what was sent. */
static bool __attribute__((format(printf, 2, 3))) refuse(struct http_req *r, const char *fmt, ...)
{
	auto_buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vfmt(&text, fmt, ap);
	va_end(ap);
	reply_error(r, 400, text.p);
	return false;
}

static void reply_failure(struct http_req *r, const struct err *e)
{
	bool refused = e->code == ERR_INVALID || e->code == ERR_NOT_FOUND || e->code == ERR_TOO_LARGE;
	/* 409 is a rejected push, which this is not */
	reply_error(r, refused ? 400 : e->code == ERR_CONFLICT ? 503 : err_status(e->code), e->msg);
}

static bool read_id(struct http_req *r, const char *what, const char *text, struct hash *out)
{
	return hash_parse(text, out) || refuse(r, "invalid %s: %s", what, text);
}

static bool check_message(struct http_req *r, const char *message)
{
	size_t n = message ? strlen(message) : 0;
	return n <= MESSAGE_MAX || refuse(r, "label message too long: %zu bytes (max %u)", n, MESSAGE_MAX);
}

/* ---- lists ---- */

struct labels_call {
	struct vault_labels q;
	struct call call;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static void reply_labels(struct http_req *r, struct label_list *l)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	for (size_t i = 0; i < l->n; i++) {
		char *theirs = mcp_label_to_theirs(l->v[i].name);
		free(l->v[i].name);
		l->v[i].name = theirs;
	}
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_name);
	jw_obj(&w);
	jw_key(&w, "labels");
	jw_arr(&w);
	for (size_t i = 0; i < l->n; i++) {
		jw_obj(&w);
		jw_kstr(&w, "name", l->v[i].name);
		put_id(&w, "ca_id", &l->v[i].head);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void on_labels(struct vault_op *op)
{
	struct labels_call *c = (struct labels_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		reply_failure(r, &op->err);
	else if (r)
		reply_labels(r, &c->q.out);
	label_list_free(&c->q.out);
	free(c);
}

void mcp_v8_fs_labels_handler(struct http_req *r)
{
	struct labels_call *c = mem_zalloc(sizeof(*c));
	c->q.op.done = on_labels;
	call_begin(&c->call, r);
	vault_labels(vault_of(r), &c->q);
}

/* ---- one label ---- */

struct log_call {
	struct vault_log q;
	struct call call;
	char *name;
};

static void log_free(struct log_call *c)
{
	label_log_free(&c->q.out);
	free(c->name);
	free(c);
}

/* False when there can be no label of this name. */
static bool start_log(struct http_req *r, size_t limit, void (*done)(struct vault_op *op))
{
	struct err ignored = ERR_INIT;
	char *ours = mcp_label_to_ours(http_param(r, "label"), &ignored);
	if (!ours)
		return false;
	struct log_call *c = mem_zalloc(sizeof(*c));
	c->q.name = c->name = ours;
	c->q.limit = limit;
	c->q.op.done = done;
	call_begin(&c->call, r);
	vault_log(vault_of(r), &c->q);
	return true;
}

/* No label of this name, or one that ours cannot have, escaped though it is. */
static bool is_unknown(const struct vault_op *op)
{
	return op->failed && (op->err.code == ERR_NOT_FOUND || op->err.code == ERR_INVALID);
}

static void reply_head(struct http_req *r, const char *label, const char *ca_id)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "label", label);
	jw_kstr(&w, "ca_id", ca_id);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void reply_unknown(struct http_req *r)
{
	auto_free char *text = mem_printf("unknown label: %s", http_param(r, "label"));
	reply_error(r, 404, text);
}

static void on_resolved(struct vault_op *op)
{
	struct log_call *c = (struct log_call *)op;
	struct http_req *r = call_end(&c->call);
	char hex[HASH_HEX + 1];
	if (r && (is_unknown(op) || (!op->failed && c->q.out.n == 0)))
		reply_unknown(r);
	else if (r && op->failed)
		reply_failure(r, &op->err);
	else if (r)
		reply_head(r, http_param(r, "label"), hash_hex(&c->q.out.v[c->q.out.n - 1].to, hex));
	log_free(c);
}

void mcp_v8_fs_resolve_handler(struct http_req *r)
{
	if (!start_log(r, 1, on_resolved))
		reply_unknown(r);
}

/* The original knows four words. */
static const char *word_of(enum label_op op)
{
	return op == LABEL_MERGE ? "push" : op == LABEL_RENAME ? "reset" : label_op_name(op);
}

static void reply_log(struct http_req *r, const struct label_log *log)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "label", http_param(r, "label"));
	jw_key(&w, "log");
	jw_arr(&w);
	for (size_t i = 0; log && i < log->n; i++) {
		const struct label_entry *e = &log->v[i];
		jw_obj(&w);
		jw_kint(&w, "at", e->at);
		put_id(&w, "from", e->has_from ? &e->from : NULL);
		put_id(&w, "to", &e->to);
		jw_kstr(&w, "op", word_of(e->op));
		if (e->message)
			jw_kstr(&w, "message", e->message);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void on_log(struct vault_op *op)
{
	struct log_call *c = (struct log_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed && !is_unknown(op))
		reply_failure(r, &op->err);
	else if (r)
		reply_log(r, op->failed ? NULL : &c->q.out);
	log_free(c);
}

void mcp_v8_fs_log_handler(struct http_req *r)
{
	int64_t limit = http_query_int(r, "limit", -1);
	if (!start_log(r, limit < 0 ? SIZE_MAX : (size_t)limit, on_log))
		reply_log(r, NULL);
}

/* ---- moves ---- */

struct move_call {
	struct vault_move q;
	struct call call;
	char *label, *ca_id; /* as sent */
	char *ours, *message;
	void (*reply)(struct http_req *r, const struct move_call *c);
};

static void on_moved(struct vault_op *op)
{
	struct move_call *c = (struct move_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		reply_failure(r, &op->err);
	else if (r)
		c->reply(r, c);
	free(c->label);
	free(c->ca_id);
	free(c->ours);
	free(c->message);
	free(c);
}

/* Go on with a move whose ids were checked; body has label or name, ca_id, message. Answers when it may not be. */
static void start_move(struct http_req *r, const char *label, const struct vault_move *q,
	void (*reply)(struct http_req *r, const struct move_call *c))
{
	const js *body = http_body(r);
	const char *message = js_str(js_get(body, "message"), NULL);
	struct err err = ERR_INIT;
	if (!check_message(r, message))
		return;
	char *ours = mcp_label_to_ours(label, &err);
	if (!ours) {
		refuse(r, "%s", err.msg);
		return;
	}
	struct move_call *c = mem_zalloc(sizeof(*c));
	c->q = *q;
	c->q.missing_ok = true; /* the original asks for the form of an id only */
	c->q.name = c->ours = ours;
	c->q.message = c->message = copy(message);
	c->q.op.done = on_moved;
	c->label = mem_strdup(label);
	c->ca_id = mem_strdup(js_str(js_get(body, "ca_id"), ""));
	c->reply = reply;
	call_begin(&c->call, r);
	vault_move(vault_of(r), &c->q);
}

static void reply_set(struct http_req *r, const struct move_call *c)
{
	reply_head(r, c->label, c->ca_id);
}

void mcp_v8_fs_set_label_handler(struct http_req *r)
{
	const js *body = http_body(r);
	struct vault_move q = { .when = VAULT_ANY, .what = LABEL_RESET, .create = true };
	if (read_id(r, "CA id", js_str(js_get(body, "ca_id"), ""), &q.to))
		start_move(r, js_str(js_get(body, "name"), ""), &q, reply_set);
}

static void reply_reset(struct http_req *r, const struct move_call *c)
{
	if (c->q.how == VAULT_UNKNOWN)
		refuse(r, "CA id %s is not in the reflog for label '%s'; pass allow_unlogged to reset anyway", c->ca_id, c->label);
	else
		reply_head(r, c->label, c->ca_id);
}

void mcp_v8_fs_reset_handler(struct http_req *r)
{
	const js *body = http_body(r);
	struct vault_move q = { .when = VAULT_ANY, .what = LABEL_RESET };
	q.known = !js_bool(js_get(body, "allow_unlogged"), false);
	if (read_id(r, "CA id", js_str(js_get(body, "ca_id"), ""), &q.to))
		start_move(r, js_str(js_get(body, "label"), ""), &q, reply_reset);
}

static void reply_pushed(struct http_req *r, const char *label, const char *ca_id)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "status", label ? "advanced" : "detached");
	if (label)
		jw_kstr(&w, "label", label);
	jw_kstr(&w, "ca_id", ca_id);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void reply_push(struct http_req *r, const struct move_call *c)
{
	if (c->q.how == VAULT_MOVED) {
		reply_pushed(r, c->label, c->ca_id);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "status", "rejected");
	jw_kstr(&w, "label", c->label);
	put_id(&w, "current", c->q.exists ? &c->q.current : NULL);
	jw_obj_end(&w);
	http_reply_json(r, 409, &out);
}

void mcp_v8_fs_push_handler(struct http_req *r)
{
	const js *body = http_body(r);
	const char *ca_id = js_str(js_get(body, "ca_id"), ""), *label = js_str(js_get(body, "label"), NULL);
	const char *expected = js_str(js_get(body, "expected"), NULL);
	bool force = js_bool(js_get(body, "force"), false);
	struct vault_move q = { .when = expected ? VAULT_EXPECTED : VAULT_ABSENT, .what = LABEL_PUSH };
	if (force) {
		q.when = VAULT_ANY;
		q.what = LABEL_RESET; /* as the original logs it */
	}
	if (js_bool(js_get(body, "detach"), false))
		reply_pushed(r, NULL, ca_id);
	else if (!label)
		refuse(r, "fs push requires a label unless detach is true");
	else if (read_id(r, "CA id", ca_id, &q.to) && (force || !expected || read_id(r, "expected CA id", expected, &q.expected)))
		start_move(r, label, &q, reply_push);
}

/* ---- merge ---- */

struct merge_call {
	struct vault_merge q;
	struct call call;
};

static void put_text(struct jw *w, const char *key, const char *text, size_t n)
{
	if (!text)
		return;
	jw_key(w, key);
	jw_strn(w, text, n);
}

static void put_conflict(struct jw *w, const struct conflict *f)
{
	jw_obj(w);
	jw_kstr(w, "path", f->path);
	put_id(w, "base", f->has_base ? &f->base : NULL);
	put_id(w, "ours", f->has_ours ? &f->ours : NULL);
	put_id(w, "theirs", f->has_theirs ? &f->theirs : NULL);
	jw_kstr(w, "kind", conflict_kind_name(f->kind));
	put_text(w, "markers", f->markers, f->markers_len);
	put_text(w, "diff_ours", f->diff_ours, f->diff_ours_len);
	put_text(w, "diff_theirs", f->diff_theirs, f->diff_theirs_len);
	jw_obj_end(w);
}

static void reply_merge(struct http_req *r, const struct merge_result *m)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "status", m->clean ? "merged" : "conflict");
	if (m->clean) {
		put_id(&w, "ca_id", &m->tree);
	} else {
		jw_key(&w, "conflicts");
		jw_arr(&w);
		for (size_t i = 0; i < m->count; i++)
			put_conflict(&w, &m->conflicts[i]);
		jw_arr_end(&w);
	}
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void on_merged(struct vault_op *op)
{
	struct merge_call *c = (struct merge_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed && op->err.code == ERR_NOT_FOUND)
		refuse(r, "fs_merge: get tree node: %s", op->err.msg);
	else if (r && op->failed)
		reply_failure(r, &op->err);
	else if (r)
		reply_merge(r, &c->q.result);
	merge_result_free(&c->q.result);
	free(c);
}

/* Blanks around it and its case do not count. */
static bool read_prefer(struct http_req *r, const char *text, enum merge_prefer *out)
{
	static const char *const words[] = { [PREFER_NONE] = "none", [PREFER_OURS] = "ours", [PREFER_THEIRS] = "theirs" };
	const char *p = text ? text : "";
	p += strspn(p, " \t\r\n\f\v");
	size_t n = strlen(p);
	while (n > 0 && isspace((unsigned char)p[n - 1]))
		n--;
	*out = PREFER_NONE;
	for (size_t i = 0; i < ARRAY_LEN(words) && n > 0; i++) {
		if (strlen(words[i]) == n && strncasecmp(words[i], p, n) == 0) {
			*out = (enum merge_prefer)i;
			return true;
		}
	}
	return n == 0 || refuse(r, "invalid prefer '%s': expected ours|theirs|none", text);
}

void mcp_v8_fs_merge_handler(struct http_req *r)
{
	const js *body = http_body(r);
	const char *base = js_str(js_get(body, "base"), NULL);
	struct tree_merge m = { .style = MERGE_MCP };
	struct hash base_id;
	if (!read_prefer(r, js_str(js_get(body, "prefer"), NULL), &m.prefer))
		return;
	if (base && !read_id(r, "CA id", base, &base_id))
		return;
	if (!read_id(r, "CA id", js_str(js_get(body, "ours"), ""), &m.ours) ||
		!read_id(r, "CA id", js_str(js_get(body, "theirs"), ""), &m.theirs))
		return;
	struct merge_call *c = mem_zalloc(sizeof(*c));
	c->q.m = m;
	if (base) {
		c->q.base_id = base_id;
		c->q.m.base = &c->q.base_id;
	}
	c->q.op.done = on_merged;
	call_begin(&c->call, r);
	vault_merge(vault_of(r), &c->q);
}
