#include "daemon/http/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

static struct req_pair *find_pair(const struct http_req *r, const char *key)
{
	for (size_t i = 0; i < r->query_count; i++) {
		if (strcmp(r->query[i].key, key) == 0)
			return &r->query[i];
	}
	return NULL;
}

static void add_pair(struct http_req *r, struct req_pair pair)
{
	r->query = mem_grow(r->query, r->query_count + 1, sizeof(*r->query));
	r->query[r->query_count++] = pair;
}

struct query_ctx {
	struct http_req *r;
	struct err *err;
	bool failed;
};

/* A list may be given as a=1&a=2 as well as a=1,2: it is handed on as the latter. */
static int repeat(struct http_req *r, struct req_pair *pair, const char *value, struct err *err)
{
	const struct contract *c = r->d->contract;
	const struct ct_param *p = ct_find_param(c, r->op, CT_IN_QUERY, pair->key);
	if (!p || !p->explode || c->schemas[p->schema].type != CT_ARRAY)
		return err_set(err, ERR_INVALID, "'%s' is given twice", pair->key);
	char *joined = mem_printf("%s,%s", pair->value, value);
	free(pair->value);
	pair->value = joined;
	return 0;
}

static enum MHD_Result on_argument(
	void *cls, enum MHD_ValueKind kind, const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct query_ctx *q = cls;
	struct http_req *r = q->r;
	(void)kind;
	if (key_len == 0 && !value)
		return MHD_YES;
	char *k = mem_strndup(key, key_len);
	char *v = mem_strndup(value ? value : "", value ? value_len : 0);
	struct req_pair *old = NULL;
	if (!check_decode(k) || !check_decode(v))
		q->failed = err_set(q->err, ERR_INVALID, "query is not valid percent-encoded UTF-8") != 0;
	else if (r->query_count >= HTTP_MAX_QUERY)
		q->failed = err_set(q->err, ERR_INVALID, "more than %u query parameters", HTTP_MAX_QUERY) != 0;
	else if ((old = find_pair(r, k)))
		q->failed = repeat(r, old, v, q->err) != 0;
	if (q->failed || old) {
		free(k);
		free(v);
		return q->failed ? MHD_NO : MHD_YES;
	}
	add_pair(r, (struct req_pair){ k, v });
	return MHD_YES;
}

int params_read(struct http_req *r, struct err *err)
{
	struct query_ctx q = { .r = r, .err = err };
	MHD_get_connection_values_n(r->conn, MHD_GET_ARGUMENT_KIND, on_argument, &q);
	return q.failed ? -1 : 0;
}

bool params_is_credential(const char *key)
{
	return strcmp(key, "apiKey") == 0 || strcmp(key, "token") == 0;
}

static int check_query_names(struct http_req *r, struct err *err)
{
	const struct contract *c = r->d->contract;
	for (size_t i = 0; i < r->query_count && !c->unknown_fields_ok; i++) {
		const char *key = r->query[i].key;
		if (!params_is_credential(key) && !ct_find_param(c, r->op, CT_IN_QUERY, key))
			return err_set(err, ERR_INVALID, "unknown query parameter '%s'", key);
	}
	return 0;
}

/* Text of a default that the contract has as JSON; NULL for null. */
static char *default_text(const struct contract *c, const struct ct_schema *schema)
{
	const char *def = ct_s(c, schema->def);
	if (strcmp(def, "null") == 0)
		return NULL;
	if (def[0] != '"')
		return mem_strdup(def);
	auto_js *v = js_parse(def, strlen(def), JS_LIMITS_DEFAULT, NULL);
	const char *s = js_str(v, NULL);
	return s ? mem_strdup(s) : NULL;
}

static const char *param_value(struct http_req *r, const struct ct_param *p, const char *name)
{
	if (p->in == CT_IN_PATH)
		return http_param(r, name);
	if (p->in == CT_IN_HEADER)
		return http_header(r, name);
	const struct req_pair *pair = p->in == CT_IN_QUERY ? find_pair(r, name) : NULL;
	return pair ? pair->value : NULL;
}

/* A list that was joined (see repeat) is checked item by item, as ct_validate_text wants it. */
static int check_value(struct http_req *r, const struct ct_param *p, const char *value, struct err *err)
{
	const struct contract *c = r->d->contract;
	if (p->in != CT_IN_QUERY || !p->explode || c->schemas[p->schema].type != CT_ARRAY)
		return ct_validate_text(c, p, value, err);
	for (;;) {
		size_t n = strcspn(value, ",");
		auto_free char *item = mem_strndup(value, n);
		if (ct_validate_text(c, p, item, err) != 0)
			return -1;
		if (value[n] == '\0')
			return 0;
		value += n + 1;
	}
}

int params_check(struct http_req *r, struct err *err)
{
	const struct contract *c = r->d->contract;
	if (check_query_names(r, err) != 0)
		return -1;
	for (uint32_t i = 0; i < r->op->param_count; i++) {
		const struct ct_param *p = &c->params[r->op->params + i];
		const struct ct_schema *schema = &c->schemas[p->schema];
		const char *name = ct_s(c, p->name);
		const char *value = param_value(r, p, name);
		char *def = NULL;
		if (value && p->in == CT_IN_PATH && !utf8_valid(value, strlen(value)))
			return err_set(err, ERR_INVALID, "'%s' is not valid UTF-8", name);
		if (value && check_value(r, p, value, err) != 0)
			return -1;
		if (!value && p->required && p->in != CT_IN_COOKIE)
			return err_set(err, ERR_INVALID, "'%s' is required", name);
		if (!value && p->in == CT_IN_QUERY && (schema->flags & CT_HAS_DEFAULT))
			def = default_text(c, schema);
		if (def)
			add_pair(r, (struct req_pair){ mem_strdup(name), def });
	}
	return 0;
}

/* ---- what handlers ask ---- */

void *http_app(struct http_req *r)
{
	return r->s->config.arg;
}

const struct identity *http_identity(struct http_req *r)
{
	return &r->who;
}

int64_t http_team(struct http_req *r)
{
	return r->who.team;
}

bool http_is_local(struct http_req *r)
{
	return r->local;
}

bool http_is_head(struct http_req *r)
{
	return r->head;
}

int http_op(struct http_req *r)
{
	return (int)r->op_index;
}

const char *http_param(struct http_req *r, const char *name)
{
	for (unsigned i = 0; i < r->match.count; i++) {
		if (strcmp(r->match.names[i], name) == 0)
			return r->match.values[i];
	}
	return NULL;
}

const char *http_query(struct http_req *r, const char *name)
{
	const struct req_pair *pair = find_pair(r, name);
	return pair ? pair->value : NULL;
}

int64_t http_query_int(struct http_req *r, const char *name, int64_t def)
{
	const char *text = http_query(r, name);
	if (!text)
		return def;
	char *end = NULL;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' ? v : def;
}

bool http_query_bool(struct http_req *r, const char *name, bool def)
{
	const char *text = http_query(r, name);
	if (!text)
		return def;
	return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

const char *http_header(struct http_req *r, const char *name)
{
	return MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, name);
}

const js *http_body(struct http_req *r)
{
	return r->json;
}

void http_set_user(struct http_req *r, void *user)
{
	r->user = user;
}

void *http_user(struct http_req *r)
{
	return r->user;
}

void http_on_done(struct http_req *r, void (*cb)(struct http_req *r, bool delivered))
{
	r->on_done = cb;
}
