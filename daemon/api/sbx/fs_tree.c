/* Tag fs: what is in trees, and merging them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/sbx/fs.h"
#include "daemon/api/sbx/handlers.h"
#include "shared/base/b64.h"
#include "shared/base/mem.h"

/* A longer list is to be asked for folder by folder. */
#define LIST_MAX ((size_t)64 << 20)

static struct vault *vault_of(struct http_req *r)
{
	return core_vault(api_of(r)->core);
}

/* ---- listing ---- */

struct list_call {
	struct vault_list q;
	struct call call;
	char *path;
	struct buf out;
	struct jw w;
};

/* In a thread of the vault. */
static int write_entry(void *arg, const struct vault_entry *e, struct err *err)
{
	struct list_call *c = arg;
	struct jw *w = &c->w;
	auto_free char *mode = mem_printf("%04o", e->mode);
	jw_obj(w);
	jw_kstr(w, "name", e->path);
	if (!utf8_valid(e->path, strlen(e->path))) {
		auto_buf raw = BUF_INIT;
		b64_encode(&raw, e->path, strlen(e->path));
		jw_kstr(w, "rawName", raw.p);
	}
	jw_kstr(w, "type", e->type);
	jw_kstr(w, "mode", mode);
	jw_kint(w, "size", (int64_t)e->size);
	fs_kid(w, "id", &e->id);
	if (e->target) {
		jw_key(w, "target");
		jw_strn(w, e->target, e->target_len);
	}
	jw_obj_end(w);
	if (c->out.len <= LIST_MAX && !buf_failed(&c->out))
		return 0;
	err_set(err, ERR_TOO_LARGE, "the list is longer than %zu MiB", LIST_MAX >> 20);
	return err_hint(err, "list folder by folder");
}

static void on_list(struct vault_op *op)
{
	struct list_call *c = (struct list_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed) {
		http_reply_err(r, &op->err);
	} else if (r) {
		jw_arr_end(&c->w);
		fs_kid(&c->w, "tree", &c->q.folder);
		jw_obj_end(&c->w);
		http_reply_json(r, 200, &c->out);
	}
	buf_free(&c->out);
	free(c->path);
	free(c);
}

void sbx_listTree(struct http_req *r)
{
	struct list_call *c = mem_zalloc(sizeof(*c));
	hash_parse(http_param(r, "tree"), &c->q.tree);
	c->q.path = c->path = mem_strdup(http_query(r, "path"));
	c->q.recursive = http_query_bool(r, "recursive", false);
	c->q.each = write_entry;
	c->q.arg = c;
	buf_init(&c->out);
	jw_init(&c->w, &c->out);
	jw_obj(&c->w);
	jw_key(&c->w, "entries");
	jw_arr(&c->w);
	c->q.op.done = on_list;
	call_begin(&c->call, r);
	vault_list(vault_of(r), &c->q);
}

/* ---- files ---- */

struct file_call {
	struct vault_file q;
	struct call call;
	char *path;
};

/* Is the tag in a list of tags? A weak one is as good (RFC 9110 13.1.2). */
static bool has_tag(const char *list, const char *tag)
{
	while (list && *list) {
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		size_t n = strcspn(list, ",");
		size_t trimmed = n;
		while (trimmed > 0 && (list[trimmed - 1] == ' ' || list[trimmed - 1] == '\t'))
			trimmed--;
		if (trimmed == strlen(tag) && memcmp(list, tag, trimmed) == 0)
			return true;
		list += n;
	}
	return false;
}

static bool read_number(const char **p, uint64_t *out)
{
	if (**p < '0' || **p > '9')
		return false;
	char *end = NULL;
	errno = 0;
	unsigned long long v = strtoull(*p, &end, 10);
	*out = errno == ERANGE ? UINT64_MAX : v;
	*p = end;
	return true;
}

enum range { RANGE_NONE, RANGE_PART, RANGE_BAD };

/* One range of bytes (RFC 9110 14.1.2). Several, and what is malformed, count as none; one that begins behind the end is bad. */
static enum range read_range(const char *text, uint64_t size, uint64_t *first, uint64_t *length)
{
	uint64_t a = 0, b = UINT64_MAX;
	if (!text || strncmp(text, "bytes=", 6) != 0)
		return RANGE_NONE;
	text += 6;
	bool has_first = read_number(&text, &a);
	if (*text++ != '-')
		return RANGE_NONE;
	bool has_last = read_number(&text, &b);
	if (*text != '\0' || (!has_first && !has_last) || (has_first && b < a))
		return RANGE_NONE;
	if (!has_first) {
		a = b < size ? size - b : 0;
		if (b == 0)
			return RANGE_BAD;
		b = UINT64_MAX;
	}
	if (a >= size)
		return RANGE_BAD;
	*first = a;
	*length = (b < size ? b + 1 : size) - a;
	return RANGE_PART;
}

static void reply_bad_range(struct http_req *r, uint64_t size)
{
	struct err err = ERR_INIT;
	auto_free char *all = mem_printf("bytes */%llu", (unsigned long long)size);
	err_set(&err, ERR_INVALID, "the range begins behind the end of the file, which has %llu bytes", (unsigned long long)size);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "error");
	api_write_error(&w, &err);
	jw_obj_end(&w);
	http_add_header(r, "Content-Range", all);
	http_reply_json(r, 416, &out);
}

static void send_part(struct file_call *c, struct http_req *r, enum range range, uint64_t first, uint64_t length)
{
	int status = range == RANGE_PART ? 206 : 200;
	if (range == RANGE_PART) {
		auto_free char *part = mem_printf("bytes %llu-%llu/%llu", (unsigned long long)first,
			(unsigned long long)(first + length - 1), (unsigned long long)c->q.size);
		http_add_header(r, "Content-Range", part);
	}
	if (http_is_head(r)) {
		http_stream_begin(r, status, "application/octet-stream", (int64_t)length, NULL);
		http_stream_end(r);
	} else if (c->q.size <= VAULT_INLINE) {
		auto_buf out = BUF_INIT;
		buf_add(&out, c->q.data.p + first, (size_t)length);
		http_reply(r, status, "application/octet-stream", &out);
	} else {
		struct fs_send *s = fs_send_new(r, status, (int64_t)length);
		s->stream = vault_read(vault_of(r), &c->q, first, length, &fs_send_ops, s);
	}
}

static void send_file(struct file_call *c, struct http_req *r)
{
	char hex[HASH_HEX + 1];
	auto_free char *tag = mem_printf("\"%s\"", hash_hex(&c->q.id, hex));
	http_add_header(r, "ETag", tag);
	http_add_header(r, "Accept-Ranges", "bytes");
	http_add_header(r, "X-Content-Type-Options", "nosniff");
	if (has_tag(http_header(r, "If-None-Match"), tag)) {
		http_reply_empty(r, 304);
		return;
	}
	uint64_t first = 0, length = c->q.size;
	const char *same = http_header(r, "If-Range");
	enum range range = RANGE_NONE;
	if (!same || strcmp(same, tag) == 0)
		range = read_range(http_header(r, "Range"), c->q.size, &first, &length);
	if (range == RANGE_BAD)
		reply_bad_range(r, c->q.size);
	else
		send_part(c, r, range, first, length);
}

static void on_file(struct vault_op *op)
{
	struct file_call *c = (struct file_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		http_reply_err(r, &op->err);
	else if (r)
		send_file(c, r);
	buf_free(&c->q.data);
	free(c->path);
	free(c);
}

void sbx_readTreeFile(struct http_req *r)
{
	struct file_call *c = mem_zalloc(sizeof(*c));
	hash_parse(http_param(r, "tree"), &c->q.tree);
	c->q.path = c->path = mem_strdup(http_query(r, "path"));
	c->q.op.done = on_file;
	call_begin(&c->call, r);
	vault_file(vault_of(r), &c->q);
}

/* ---- merge ---- */

struct merge_call {
	struct vault_merge q;
	struct call call;
	char *ours, *theirs, *base, *into, *message;
};

static char *copy(const js *v)
{
	const char *s = js_str(v, NULL);
	return s ? mem_strdup(s) : NULL;
}

static void write_text(struct jw *w, const char *key, const char *text, size_t n)
{
	if (!text)
		return;
	jw_key(w, key);
	jw_strn(w, text, n);
}

void fs_write_conflict(struct jw *w, const struct conflict *f)
{
	jw_obj(w);
	jw_kstr(w, "path", f->path);
	jw_kstr(w, "kind", conflict_kind_name(f->kind));
	fs_kid(w, "base", f->has_base ? &f->base : NULL);
	fs_kid(w, "ours", f->has_ours ? &f->ours : NULL);
	fs_kid(w, "theirs", f->has_theirs ? &f->theirs : NULL);
	write_text(w, "markers", f->markers, f->markers_len);
	write_text(w, "diffOurs", f->diff_ours, f->diff_ours_len);
	write_text(w, "diffTheirs", f->diff_theirs, f->diff_theirs_len);
	jw_obj_end(w);
}

static void reply_merged(struct http_req *r, const struct merge_call *c)
{
	const struct merge_result *m = &c->q.result;
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kbool(&w, "clean", m->clean);
	fs_kid(&w, "tree", &m->tree);
	fs_kid(&w, "base", c->q.m.base);
	fs_kid(&w, "ours", &c->q.m.ours);
	fs_kid(&w, "theirs", &c->q.m.theirs);
	if (c->into && m->clean)
		jw_kstr(&w, "label", c->into);
	jw_key(&w, "conflicts");
	jw_arr(&w);
	for (size_t i = 0; i < m->count; i++)
		fs_write_conflict(&w, &m->conflicts[i]);
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void on_merged(struct vault_op *op)
{
	struct merge_call *c = (struct merge_call *)op;
	struct http_req *r = call_end(&c->call);
	if (r && op->failed)
		http_reply_err(r, &op->err);
	else if (r && c->q.how == VAULT_REJECTED)
		fs_reply_rejected(r, c->into, c->q.exists ? &c->q.current : NULL);
	else if (r)
		reply_merged(r, c);
	merge_result_free(&c->q.result);
	free(c->ours);
	free(c->theirs);
	free(c->base);
	free(c->into);
	free(c->message);
	free(c);
}

static enum merge_prefer read_prefer(const char *word)
{
	return word[0] == 'o' ? PREFER_OURS : word[0] == 't' ? PREFER_THEIRS : PREFER_NONE;
}

void sbx_mergeTrees(struct http_req *r)
{
	const js *body = http_body(r);
	struct merge_call *c = mem_zalloc(sizeof(*c));
	struct vault_merge *q = &c->q;
	q->ours = c->ours = copy(js_get(body, "ours"));
	q->theirs = c->theirs = copy(js_get(body, "theirs"));
	q->base = c->base = copy(js_get(body, "base"));
	q->into = c->into = copy(js_get(body, "into"));
	q->message = c->message = copy(js_get(body, "message"));
	q->m.style = MERGE_NATIVE;
	q->m.prefer = read_prefer(js_str(js_get(body, "prefer"), "none"));
	q->m.renames = js_bool(js_get(body, "renames"), true);
	q->when = fs_expected(body, &q->expected) ? VAULT_EXPECTED : js_get(body, "expected") ? VAULT_ABSENT : VAULT_OURS;
	q->op.done = on_merged;
	call_begin(&c->call, r);
	vault_merge(vault_of(r), q);
}
