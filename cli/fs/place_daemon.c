/* place: the store of a daemon, over its native API. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fs/place_internal.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define FETCH_MAX 1000u /* ids in a request of fetchObjects */
#define TRIES 4

struct daemon_place {
	struct place p;
	struct endpoint ep;
	struct buf secret;
	struct client c;
};

static struct daemon_place *as_daemon(struct place *p)
{
	return (struct daemon_place *)(void *)p;
}

static void daemon_close(struct place *p)
{
	struct daemon_place *d = as_daemon(p);
	client_close(&d->c);
	endpoint_free(&d->ep);
	buf_free(&d->secret);
	free(d);
}

static struct client *client_of(struct place *p)
{
	return &as_daemon(p)->c;
}

/* ---- what answers say ---- */

static int odd(const struct place *p, const char *what, struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "'%s' answered with a bad %s", p->name, what);
}

static int hash_at(const struct place *p, const js *v, const char *key, struct hash *out, struct err *err)
{
	return hash_parse(js_str(js_get(v, key), ""), out) ? 0 : odd(p, key, err);
}

static int64_t time_at(const js *v, const char *key)
{
	int64_t wall_ms;
	return clock_parse(js_str(js_get(v, key), ""), &wall_ms) ? -1 : wall_ms;
}

static void body_hash(struct jw *w, const char *key, const struct hash *id)
{
	char hex[HASH_HEX + 1];
	jw_kstr(w, key, id ? hash_hex(id, hex) : NULL);
}

/* ---- labels ---- */

static int list(struct place *p, struct label_list *out, struct err *err)
{
	struct call call = { .op = SBX_OP_LIST_LABELS };
	auto_js *v = client_json(&as_daemon(p)->c, &call, err);
	const js *labels = js_get(v, "labels");
	*out = (struct label_list){ 0 };
	if (!v)
		return -1;
	out->v = mem_array(js_count(labels) + 1, sizeof(*out->v));
	js_each (item, labels) {
		struct label *l = &out->v[out->n];
		struct err why = ERR_INIT;
		const char *name = js_str(js_get(item, "name"), "");
		if (label_check(name, &why) || hash_at(p, item, "tree", &l->head, err)) {
			label_list_free(out);
			return odd(p, "label", err);
		}
		l->name = mem_strdup(name);
		l->at = time_at(item, "movedAt");
		out->n++;
	}
	return 0;
}

static int head(struct place *p, const char *name, struct hash *out, bool *exists, struct err *err)
{
	struct err own = ERR_INIT;
	struct call call = { .op = SBX_OP_GET_LABEL, .path = { name } };
	auto_js *v = client_json(&as_daemon(p)->c, &call, &own);
	*exists = v != NULL;
	if (v)
		return hash_at(p, v, "tree", out, err);
	if (own.code == ERR_NOT_FOUND)
		return 0;
	*err = own;
	return -1;
}

static bool op_of(const char *name, enum label_op *out)
{
	for (int op = LABEL_CREATE; op <= LABEL_RENAME; op++) {
		if (strcmp(label_op_name((enum label_op)op), name) == 0) {
			*out = (enum label_op)op;
			return true;
		}
	}
	return false;
}

static int entry_of(const struct place *p, const js *v, struct label_entry *e, struct err *err)
{
	const char *message = js_str(js_get(v, "message"), NULL);
	if (hash_at(p, v, "to", &e->to, err))
		return -1;
	if (!op_of(js_str(js_get(v, "op"), ""), &e->op))
		return odd(p, "history", err);
	e->at = time_at(v, "at");
	e->has_from = hash_parse(js_str(js_get(v, "from"), ""), &e->from);
	e->has_other = hash_parse(js_str(js_get(v, "other"), ""), &e->other);
	e->message = message ? mem_strdup(message) : NULL;
	return 0;
}

static int log_of(struct place *p, const char *name, size_t limit, struct label_log *out, struct err *err)
{
	auto_free char *n = limit == SIZE_MAX ? NULL : mem_printf("%zu", limit);
	struct call call = { .op = SBX_OP_GET_LABEL_LOG, .path = { name }, .query = { { "limit", n } } };
	auto_js *v = client_json(&as_daemon(p)->c, &call, err);
	const js *log = js_get(v, "log");
	*out = (struct label_log){ 0 };
	if (!v)
		return -1;
	out->v = mem_array(js_count(log) + 1, sizeof(*out->v));
	js_each (item, log) {
		if (entry_of(p, item, &out->v[out->n], err)) {
			label_log_free(out);
			return -1;
		}
		out->n++;
	}
	return 0;
}

static int move(struct place *p, const struct label_move *m, struct hash *current, bool *exists, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	body_hash(&w, "tree", &m->to);
	body_hash(&w, "expected", m->any ? NULL : m->expected);
	if (m->any)
		jw_kbool(&w, "force", true);
	if (m->op == LABEL_RESET)
		jw_kstr(&w, "op", "reset");
	if (m->other)
		body_hash(&w, "other", m->other);
	if (m->message)
		jw_kstr(&w, "message", m->message);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_MOVE_LABEL, .path = { m->name }, .json = &body };
	struct err own = ERR_INIT;
	if (client_call(&as_daemon(p)->c, &call, NULL, &own) == 0)
		return 0;
	if (own.code == ERR_CONFLICT)
		return head(p, m->name, current, exists, err) ? -1 : 1;
	*err = own;
	return -1;
}

static int remove_label(struct place *p, const char *name, const struct hash *expected, struct err *err)
{
	char hex[HASH_HEX + 1];
	struct call call = {
		.op = SBX_OP_DELETE_LABEL, .path = { name }, .query = { { "expected", expected ? hash_hex(expected, hex) : NULL } }
	};
	return client_call(&as_daemon(p)->c, &call, NULL, err);
}

static int rename_label(struct place *p, const char *from, const char *to, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", to);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_RENAME_LABEL, .path = { from }, .json = &body };
	return client_call(&as_daemon(p)->c, &call, NULL, err);
}

static int resolve(struct place *p, const char *text, struct ref *out, struct err *err)
{
	struct call call = { .op = SBX_OP_RESOLVE_REF, .query = { { "ref", text } } };
	auto_js *v = client_json(&as_daemon(p)->c, &call, err);
	*out = (struct ref){ 0 };
	if (!v || hash_at(p, v, "tree", &out->tree, err))
		return -1;
	const char *label = js_str(js_get(v, "label"), NULL);
	out->label = label ? mem_strdup(label) : NULL;
	out->path = mem_strdup(js_str(js_get(v, "path"), ""));
	return 0;
}

/* ---- giving: questions, then one upload ---- */

struct upload {
	struct daemon_place *d;
	struct moving *m;
	bool begun, stopped; /* stopped: the daemon has answered in the middle */
	struct remote_counts counts;
};

static int ask(void *arg, const struct hash *ids, size_t n, bool *have, struct err *err)
{
	struct upload *u = arg;
	char hex[HASH_HEX + 1];
	auto_buf body = BUF_INIT;
	struct jw w;
	if (moving_step(u->m, "objects", &u->counts, err))
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_key(&w, "ids");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jw_str(&w, hash_hex(&ids[i], hex));
	jw_arr_end(&w);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_HAVE_OBJECTS, .json = &body };
	auto_js *v = client_json(&u->d->c, &call, err);
	if (!v)
		return -1;
	for (size_t i = 0; i < n; i++)
		have[i] = true;
	size_t at = 0;
	js_each (item, js_get(v, "missing")) { /* in the order given */
		while (at < n && strcmp(hash_hex(&ids[at], hex), js_str(item, "")) != 0)
			at++;
		if (at == n)
			return odd(&u->d->p, "list of what is missing", err);
		have[at++] = false;
	}
	return 0;
}

static int send_piece(void *arg, const void *data, size_t n, struct err *err)
{
	struct upload *u = arg;
	struct call call = { .op = SBX_OP_UPLOAD_OBJECTS, .stream = true };
	if (!u->begun && client_begin(&u->d->c, &call, err))
		return -1;
	u->begun = true;
	u->counts.bytes += n;
	int rc = client_send(&u->d->c, data, n, err);
	if (rc > 0) {
		u->stopped = true;
		return err_set(err, ERR_IO, "the daemon took no more");
	}
	return rc ? -1 : moving_step(u->m, "objects", &u->counts, err);
}

static int drain(struct client *c, struct err *err)
{
	const char *data;
	size_t n;
	int rc;
	while ((rc = client_read(c, &data, &n, err)) == 1)
		;
	return rc;
}

static int give_once(struct upload *u, struct store *from, const struct hash *trees, size_t n, struct err *err)
{
	struct remote_counts sent;
	struct client *c = &u->d->c;
	int rc = remote_send(from, trees, n, &(struct remote_peer){ ask, send_piece, u }, &sent, err);
	u->counts.objects += sent.objects;
	if (rc && u->stopped) {
		/* why is in the answer */
		struct err why = ERR_INIT;
		if (client_head(c, &why))
			*err = why;
	}
	if (rc == 0 && (client_send_end(c, err) || client_head(c, err) || drain(c, err)))
		rc = -1;
	if (rc)
		client_close(c); /* in the middle of a request: this connection is over */
	return rc;
}

/* Worth another try: the way was cut, the daemon is there still or again. */
static bool is_cut(const struct err *err)
{
	return err->sys != EINTR && (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT);
}

static void watch_cancel(struct daemon_place *d, struct moving *m)
{
	d->c.cancel_fd = m && m->cancel ? m->cancel->fired_fd : -1;
}

static int give(struct place *p, struct store *from, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	struct upload u = { .d = as_daemon(p), .m = m };
	int rc = -1;
	watch_cancel(u.d, m);
	for (int i = 0; i < TRIES; i++) {
		uint64_t before = u.counts.bytes;
		u.begun = u.stopped = false;
		rc = give_once(&u, from, trees, n, err);
		/* what came whole was kept: no progress, no sense */
		if (rc == 0 || !is_cut(err) || u.counts.bytes == before)
			break;
	}
	watch_cancel(u.d, NULL);
	m->counts = u.counts;
	return rc;
}

/* ---- taking: a walk down to what is missing, a request for many objects at a time ---- */

struct download {
	struct daemon_place *d;
	struct moving *m;
	struct store *to;
	struct remote_counts counts;
};

struct id_list {
	struct hash *v;
	size_t n, room;
};

static void id_add(struct id_list *l, const struct hash *id)
{
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->v = mem_grow(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = *id;
}

static int request_objects(struct download *dl, const struct hash *ids, size_t n, struct err *err)
{
	char hex[HASH_HEX + 1];
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kbool(&w, "only", true);
	jw_key(&w, "want");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		jw_str(&w, hash_hex(&ids[i], hex));
	jw_arr_end(&w);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_FETCH_OBJECTS, .json = &body };
	return client_begin(&dl->d->c, &call, err) || client_head(&dl->d->c, err) ? -1 : 0;
}

static int fetch_once(struct download *dl, const struct hash *ids, size_t n, struct err *err)
{
	struct remote_counts got = { 0 };
	const char *data;
	size_t len;
	struct remote_receiver *r = remote_receiver_new(dl->to, err);
	if (!r)
		return -1;
	int rc = request_objects(dl, ids, n, err);
	while (rc == 0 && (rc = client_read(&dl->d->c, &data, &len, err)) == 1) {
		remote_receiver_counts(r, &got);
		got.objects += dl->counts.objects;
		got.bytes += dl->counts.bytes;
		rc = remote_receiver_add(r, data, len, err) || moving_step(dl->m, "objects", &got, err) ? -1 : 0;
	}
	rc = moving_finish(r, rc, &got, err);
	dl->counts.objects += got.objects;
	dl->counts.bytes += got.bytes;
	if (rc)
		client_close(&dl->d->c);
	return rc;
}

/* Those that are not here yet, of what is left of them after each try. */
static int fetch_ids(struct download *dl, const struct hash *ids, size_t n, struct err *err)
{
	for (int i = 0;; i++) {
		struct id_list left = { 0 };
		for (size_t k = 0; k < n; k++)
			if (!store_has(dl->to, &ids[k]))
				id_add(&left, &ids[k]);
		uint64_t before = dl->counts.objects;
		int rc = left.n ? fetch_once(dl, left.v, left.n, err) : 0;
		free(left.v);
		if (rc == 0 || i + 1 == TRIES || !(is_cut(err) || err->code == ERR_PROTOCOL) || dl->counts.objects == before)
			return rc;
	}
}

static int fetch_list(struct download *dl, const struct id_list *l, struct err *err)
{
	for (size_t at = 0; at < l->n; at += FETCH_MAX) {
		size_t n = l->n - at < FETCH_MAX ? l->n - at : FETCH_MAX;
		if (fetch_ids(dl, l->v + at, n, err))
			return -1;
	}
	return 0;
}

/* What a folder that has come leads to. */
static int look_into(struct download *dl, const struct hash *id, struct hash_set *seen, struct id_list *trees,
	struct id_list *chunks, struct err *err)
{
	struct tree_node t;
	if (tree_load(dl->to, id, &t, err))
		return -1;
	for (uint32_t i = 0; i < t.node.count; i++) {
		const struct child *c = &t.node.children[i];
		for (uint32_t k = 0; c->has_file && c->file.chunked && k < c->file.chunks; k++) {
			struct hash chunk;
			memcpy(chunk.b, c->file.data + (size_t)k * HASH_LEN, HASH_LEN);
			if (hash_set_add(seen, &chunk) && !store_has(dl->to, &chunk))
				id_add(chunks, &chunk);
		}
		if (c->has_dir && !hash_eq(&c->dir, &object_empty) && hash_set_add(seen, &c->dir))
			id_add(trees, &c->dir);
	}
	tree_unload(&t);
	return 0;
}

/* Folders that are here whole need no walk. */
static int drop_whole(struct remote_haver *haver, struct id_list *l, struct err *err)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++) {
		bool have = false;
		if (remote_have(haver, &l->v[i], 1, &have, err))
			return -1;
		if (!have)
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
	return 0;
}

static int take_level(
	struct download *dl, struct remote_haver *haver, struct hash_set *seen, struct id_list *level, struct err *err)
{
	struct id_list trees = { 0 }, chunks = { 0 };
	int rc = drop_whole(haver, level, err) || fetch_list(dl, level, err) ? -1 : 0;
	for (size_t i = 0; rc == 0 && i < level->n; i++)
		rc = look_into(dl, &level->v[i], seen, &trees, &chunks, err);
	if (rc == 0)
		rc = fetch_list(dl, &chunks, err);
	free(chunks.v);
	free(level->v);
	*level = trees;
	return rc;
}

static int take(struct place *p, struct store *to, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	struct download dl = { .d = as_daemon(p), .m = m, .to = to };
	struct hash_set *seen = hash_set_new();
	/* of before: what is fetched meanwhile is not asked about again */
	struct remote_haver *haver = remote_haver_new(to);
	struct id_list level = { 0 };
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		if (hash_set_add(seen, &trees[i]))
			id_add(&level, &trees[i]);
	watch_cancel(dl.d, m);
	while (rc == 0 && level.n)
		rc = take_level(&dl, haver, seen, &level, err);
	watch_cancel(dl.d, NULL);
	free(level.v);
	remote_haver_free(haver);
	hash_set_free(seen);
	m->counts = dl.counts;
	return rc;
}

/* ---- care ---- */

static uint64_t number_at(const js *v, const char *key)
{
	int64_t n = 0;
	return js_int(js_get(v, key), &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

static int stats(struct place *p, struct place_totals *out, struct err *err)
{
	struct call call = { .op = SBX_OP_GET_STORE_STATS };
	auto_js *v = client_json(&as_daemon(p)->c, &call, err);
	if (!v)
		return -1;
	*out = (struct place_totals){ .path = mem_strdup(js_str(js_get(v, "path"), "")),
		.read_only = js_bool(js_get(v, "readOnly"), false),
		.labels = number_at(v, "labels"),
		.t = { .objects = number_at(v, "objects"),
			.bytes = number_at(v, "bytes"),
			.stored = number_at(v, "storedBytes"),
			.packs = number_at(v, "packs"),
			.disk = number_at(v, "diskBytes") } };
	return 0;
}

static int gc(struct place *p, bool dry, struct store_swept *out, struct err *err)
{
	struct client *c = &as_daemon(p)->c;
	auto_buf body = BUF_INIT;
	buf_fmt(&body, "{\"dryRun\":%s}", dry ? "true" : "false");
	struct call call = { .op = SBX_OP_COLLECT_STORE, .json = &body };
	int timeout = c->timeout_ms;
	c->timeout_ms = 0; /* as long as it takes */
	auto_js *v = client_json(c, &call, err);
	c->timeout_ms = timeout;
	if (!v)
		return -1;
	*out = (struct store_swept){
		.kept = number_at(v, "kept"), .removed = number_at(v, "removed"), .freed = number_at(v, "freedBytes")
	};
	return 0;
}

static const struct place_ops ops = {
	.close = daemon_close,
	.client = client_of,
	.list = list,
	.head = head,
	.log = log_of,
	.move = move,
	.remove = remove_label,
	.rename = rename_label,
	.resolve = resolve,
	.give = give,
	.take = take,
	.stats = stats,
	.gc = gc,
};

struct place *place_open_daemon(struct endpoint *ep, struct buf *secret, const char *name, const char *prefix)
{
	struct daemon_place *d = mem_zalloc(sizeof(*d));
	d->p = (struct place){ .ops = &ops, .name = mem_strdup(name), .prefix = mem_strdup(prefix) };
	d->ep = *ep;
	d->secret = *secret;
	client_init(&d->c, &d->ep);
	return &d->p;
}
