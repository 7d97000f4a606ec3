/* Tag fs: labels, references, figures and care of the store. */
#include <stdlib.h>

#include "daemon/api/sbx/fs.h"
#include "daemon/api/sbx/handlers.h"
#include "shared/base/mem.h"

static char *copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static struct vault *vault_of(struct http_req *r)
{
	return core_vault(api_of(r)->core);
}

void fs_kid(struct jw *w, const char *key, const struct hash *id)
{
	char hex[HASH_HEX + 1];
	jw_kstr(w, key, id ? hash_hex(id, hex) : NULL);
}

static void write_label(struct jw *w, const char *name, const struct hash *tree, int64_t at)
{
	jw_obj(w);
	jw_kstr(w, "name", name);
	fs_kid(w, "tree", tree);
	api_write_time(w, "movedAt", at);
	jw_obj_end(w);
}

static void reply_label(struct http_req *r, int status, const char *name, const struct hash *tree, int64_t at)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_label(&w, name, tree, at);
	http_reply_json(r, status, &out);
}

void fs_reply_conflict(struct http_req *r, const struct err *err, const struct hash *current)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "error");
	api_write_error(&w, err);
	fs_kid(&w, "current", current);
	jw_obj_end(&w);
	http_reply_json(r, 409, &out);
}

void fs_reply_rejected(struct http_req *r, const char *label, const struct hash *current)
{
	struct err err = ERR_INIT;
	char hex[HASH_HEX + 1];
	if (current)
		err_set(&err, ERR_CONFLICT, "label '%s' is at %s, not where it was expected", label, hash_hex(current, hex));
	else
		err_set(&err, ERR_CONFLICT, "there is no label '%s', but one was expected", label);
	err_hint(&err, "%s", current ? "merge with that tree and try again, or force it" : "expect none, or force it");
	fs_reply_conflict(r, &err, current);
}

/* ---- all labels ---- */

struct labels_call {
	struct vault_labels q;
	struct call call;
};

static void on_labels(struct vault_op *op)
{
	struct labels_call *c = (struct labels_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed) {
		http_reply_err(r, &op->err);
	} else if (r) {
		auto_buf out = BUF_INIT;
		struct jw w;
		jw_init(&w, &out);
		jw_obj(&w);
		jw_key(&w, "labels");
		jw_arr(&w);
		for (size_t i = 0; i < c->q.out.n; i++)
			write_label(&w, c->q.out.v[i].name, &c->q.out.v[i].head, c->q.out.v[i].at);
		jw_arr_end(&w);
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	label_list_free(&c->q.out);
	free(c);
}

void sbx_listLabels(struct http_req *r)
{
	struct labels_call *c = mem_zalloc(sizeof(*c));
	c->q.op.done = on_labels;
	call_begin(&c->call, r);
	vault_labels(vault_of(r), &c->q);
}

/* ---- one label and its history ---- */

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

static void start_log(struct http_req *r, size_t limit, void (*done)(struct vault_op *op))
{
	struct log_call *c = mem_zalloc(sizeof(*c));
	c->q.name = c->name = copy(http_param(r, "label"));
	c->q.limit = limit;
	c->q.op.done = done;
	call_begin(&c->call, r);
	vault_log(vault_of(r), &c->q);
}

/* A name that no label can have is one that no label has. */
static void reply_no_label(struct http_req *r, struct err *err)
{
	if (err->code == ERR_INVALID)
		err_set(err, ERR_NOT_FOUND, "no label '%s'", http_param(r, "label"));
	http_reply_err(r, err);
}

static void on_head(struct vault_op *op)
{
	struct log_call *c = (struct log_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && (op->failed || c->q.out.n == 0))
		reply_no_label(r, &op->err);
	else if (r)
		reply_label(r, 200, c->name, &c->q.out.v[c->q.out.n - 1].to, c->q.out.v[c->q.out.n - 1].at);
	log_free(c);
}

void sbx_getLabel(struct http_req *r)
{
	start_log(r, 1, on_head);
}

static void write_move(struct jw *w, const struct label_entry *e)
{
	jw_obj(w);
	api_write_time(w, "at", e->at);
	fs_kid(w, "from", e->has_from ? &e->from : NULL);
	fs_kid(w, "to", &e->to);
	jw_kstr(w, "op", label_op_name(e->op));
	if (e->has_other)
		fs_kid(w, "other", &e->other);
	if (e->message)
		jw_kstr(w, "message", e->message);
	jw_obj_end(w);
}

static void on_log(struct vault_op *op)
{
	struct log_call *c = (struct log_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed) {
		reply_no_label(r, &op->err);
	} else if (r) {
		auto_buf out = BUF_INIT;
		struct jw w;
		jw_init(&w, &out);
		jw_obj(&w);
		jw_kstr(&w, "label", c->name);
		jw_key(&w, "log");
		jw_arr(&w);
		for (size_t i = 0; i < c->q.out.n; i++)
			write_move(&w, &c->q.out.v[i]);
		jw_arr_end(&w);
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	log_free(c);
}

void sbx_getLabelLog(struct http_req *r)
{
	int64_t limit = http_query_int(r, "limit", -1);
	start_log(r, limit < 0 ? SIZE_MAX : (size_t)limit, on_log);
}

/* ---- moves ---- */

struct move_call {
	struct vault_move q;
	struct call call;
	char *name, *message;
};

static void reply_unknown(struct http_req *r, const struct move_call *c)
{
	struct err err = ERR_INIT;
	char hex[HASH_HEX + 1];
	err_set(&err, ERR_STATE, "%s is not in the history of label '%s'", hash_hex(&c->q.to, hex), c->name);
	err_hint(&err, "force it if that is what you want");
	http_reply_err(r, &err);
}

static void on_moved(struct vault_op *op)
{
	struct move_call *c = (struct move_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		http_reply_err(r, &op->err);
	else if (r && c->q.how == VAULT_REJECTED)
		fs_reply_rejected(r, c->name, c->q.exists ? &c->q.current : NULL);
	else if (r && c->q.how == VAULT_UNKNOWN)
		reply_unknown(r, c);
	else if (r)
		reply_label(r, c->q.exists ? 200 : 201, c->name, &c->q.to, c->q.at);
	free(c->name);
	free(c->message);
	free(c);
}

bool fs_expected(const js *body, struct hash *out)
{
	return hash_parse(js_str(js_get(body, "expected"), ""), out);
}

void sbx_moveLabel(struct http_req *r)
{
	const js *body = http_body(r);
	bool force = js_bool(js_get(body, "force"), false);
	bool reset = js_str(js_get(body, "op"), "push")[0] == 'r';
	struct move_call *c = mem_zalloc(sizeof(*c));
	struct vault_move *q = &c->q;
	q->name = c->name = copy(http_param(r, "label"));
	q->message = c->message = copy(js_str(js_get(body, "message"), NULL));
	hash_parse(js_str(js_get(body, "tree"), ""), &q->to);
	q->has_other = hash_parse(js_str(js_get(body, "other"), ""), &q->other);
	q->when = fs_expected(body, &q->expected) ? VAULT_EXPECTED : VAULT_ABSENT;
	if (force || (reset && !js_get(body, "expected")))
		q->when = VAULT_ANY;
	q->what = reset ? LABEL_RESET : force ? LABEL_FORCE : q->has_other ? LABEL_MERGE : LABEL_PUSH;
	q->known = reset && !force;
	q->create = q->want_at = true;
	q->op.done = on_moved;
	call_begin(&c->call, r);
	vault_move(vault_of(r), q);
}

struct remove_call {
	struct vault_remove q;
	struct call call;
	char *name;
};

static void on_removed(struct vault_op *op)
{
	struct remove_call *c = (struct remove_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		reply_no_label(r, &op->err);
	else if (r && c->q.rejected)
		fs_reply_rejected(r, c->name, &c->q.current);
	else if (r)
		http_reply_empty(r, 204);
	free(c->name);
	free(c);
}

void sbx_deleteLabel(struct http_req *r)
{
	const char *expected = http_query(r, "expected");
	struct remove_call *c = mem_zalloc(sizeof(*c));
	c->q.name = c->name = copy(http_param(r, "label"));
	c->q.has_expected = expected && hash_parse(expected, &c->q.expected);
	c->q.op.done = on_removed;
	call_begin(&c->call, r);
	vault_remove(vault_of(r), &c->q);
}

struct rename_call {
	struct vault_rename q;
	struct call call;
	char *from, *to;
};

static void on_renamed(struct vault_op *op)
{
	struct rename_call *c = (struct rename_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		http_reply_err(r, &op->err);
	else if (r)
		reply_label(r, 200, c->to, &c->q.head, c->q.at);
	free(c->from);
	free(c->to);
	free(c);
}

void sbx_renameLabel(struct http_req *r)
{
	struct rename_call *c = mem_zalloc(sizeof(*c));
	c->q.from = c->from = copy(http_param(r, "label"));
	c->q.to = c->to = copy(js_str(js_get(http_body(r), "name"), ""));
	c->q.op.done = on_renamed;
	call_begin(&c->call, r);
	vault_rename(vault_of(r), &c->q);
}

/* ---- references ---- */

struct resolve_call {
	struct vault_resolve q;
	struct call call;
	char *text;
};

static void on_resolved(struct vault_op *op)
{
	struct resolve_call *c = (struct resolve_call *)op;
	struct http_req *r = call_end(&c->call);
	const struct ref *ref = &c->q.ref;
	if (r && op->failed) {
		http_reply_err(r, &op->err);
	} else if (r) {
		auto_buf out = BUF_INIT;
		struct jw w;
		jw_init(&w, &out);
		jw_obj(&w);
		fs_kid(&w, "tree", &ref->tree);
		jw_kstr(&w, "label", ref->label);
		jw_kstr(&w, "path", ref->path ? ref->path : "");
		jw_kstr(&w, "type", c->q.type);
		fs_kid(&w, "id", &c->q.id);
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	ref_free(&c->q.ref);
	free(c->text);
	free(c);
}

void sbx_resolveRef(struct http_req *r)
{
	struct resolve_call *c = mem_zalloc(sizeof(*c));
	c->q.text = c->text = copy(http_query(r, "ref"));
	c->q.op.done = on_resolved;
	call_begin(&c->call, r);
	vault_resolve(vault_of(r), &c->q);
}

/* ---- figures and care ---- */

struct stats_call {
	struct vault_stats q;
	struct call call;
};

static void on_stats(struct vault_op *op)
{
	struct stats_call *c = (struct stats_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed) {
		http_reply_err(r, &op->err);
	} else if (r) {
		const struct store_totals *t = &c->q.out;
		auto_buf out = BUF_INIT;
		struct jw w;
		jw_init(&w, &out);
		jw_obj(&w);
		jw_kstr(&w, "path", c->q.path);
		jw_kbool(&w, "readOnly", c->q.read_only);
		jw_kint(&w, "labels", (int64_t)c->q.labels);
		jw_kint(&w, "objects", (int64_t)t->objects);
		jw_kint(&w, "bytes", (int64_t)t->bytes);
		jw_kint(&w, "storedBytes", (int64_t)t->stored);
		jw_kint(&w, "packs", (int64_t)t->packs);
		jw_kint(&w, "diskBytes", (int64_t)t->disk);
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	free(c);
}

void sbx_getStoreStats(struct http_req *r)
{
	struct stats_call *c = mem_zalloc(sizeof(*c));
	c->q.op.done = on_stats;
	call_begin(&c->call, r);
	vault_stats(vault_of(r), &c->q);
}

struct gc_call {
	struct vault_gc q;
	struct call call;
};

static void on_swept(struct vault_op *op)
{
	struct gc_call *c = (struct gc_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed) {
		http_reply_err(r, &op->err);
	} else if (r) {
		auto_buf out = BUF_INIT;
		struct jw w;
		jw_init(&w, &out);
		jw_obj(&w);
		jw_kbool(&w, "dryRun", c->q.dry);
		jw_kint(&w, "kept", (int64_t)c->q.out.kept);
		jw_kint(&w, "removed", (int64_t)c->q.out.removed);
		jw_kint(&w, "freedBytes", (int64_t)c->q.out.freed);
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	free(c);
}

void sbx_collectStore(struct http_req *r)
{
	struct gc_call *c = mem_zalloc(sizeof(*c));
	c->q.dry = js_bool(js_get(http_body(r), "dryRun"), false);
	c->q.op.done = on_swept;
	call_begin(&c->call, r);
	vault_gc(vault_of(r), &c->q);
}
