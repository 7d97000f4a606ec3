/* model: paths, operations, parameters, bodies, responses, security. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/gen/model.h"

static const char *const methods[] = { "get", "put", "post", "delete", "patch", "head", "options", "trace" };

static bool is_method(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(s, methods[i]) == 0)
			return true;
	}
	return false;
}

/* ---- parameters ---- */

static int param_place(struct model *m, const struct yt_node *n, struct ct_param *p)
{
	static const char *const places[] = { "path", "query", "header", "cookie" };
	const char *in = yt_str(yt_get(n, "in"));

	for (uint8_t i = 0; in && i < ARRAY_LEN(places); i++) {
		if (strcmp(in, places[i]) == 0) {
			p->in = i;
			return 0;
		}
	}
	return yt_error(m->doc, n, m->err, "'in' must be path, query, header or cookie");
}

static int read_param(struct model *m, struct yt_node *n, struct ct_param *p)
{
	static const char *const keys[] = { "name", "in", "description", "required", "deprecated", "allowEmptyValue", "style",
		"explode", "allowReserved", "schema", "content", "example", "examples", "x-sbx-rest", "x-sbx-secret", NULL };

	if (model_deref(m, &n, "parameters") != 0 || model_check_keys(m, n, keys, "a parameter") != 0)
		return -1;
	*p = (struct ct_param){ .name = model_text(m, n, "name"), .description = model_text(m, n, "description") };
	if (p->name == 0)
		return yt_error(m->doc, n, m->err, "a parameter needs a name");
	if (param_place(m, n, p) != 0)
		return -1;
	p->required = yt_bool(yt_get(n, "required"), false);
	p->explode = yt_bool(yt_get(n, "explode"), p->in == CT_IN_QUERY || p->in == CT_IN_COOKIE);
	p->rest = yt_bool(yt_get(n, "x-sbx-rest"), false);
	p->secret = yt_bool(yt_get(n, "x-sbx-secret"), false);
	if (p->in == CT_IN_PATH && !p->required)
		return yt_error(m->doc, n, m->err, "path parameter '%s' must be required", model_s(m, p->name));
	if (p->rest && p->in != CT_IN_PATH)
		return yt_error(m->doc, n, m->err, "x-sbx-rest is for path parameters");
	struct yt_node *schema = yt_get(n, "schema");
	struct yt_node *content = yt_get(n, "content");
	if (!schema && content && content->first)
		schema = yt_get(content->first, "schema");
	if (!schema)
		return yt_error(m->doc, n, m->err, "parameter '%s' needs a schema", model_s(m, p->name));
	return model_schema(m, schema, &p->schema);
}

/* One list of parameters (of the path or of the operation); a later one replaces an earlier of the same name and place. */
static int read_params(struct model *m, struct yt_node *owner, struct ct_op *op)
{
	struct yt_node *list;

	if (model_member(m, owner, "parameters", YT_SEQ, &list) != 0)
		return -1;
	for (struct yt_node *n = list ? list->first : NULL; n; n = n->next) {
		struct ct_param p;
		if (read_param(m, n, &p) != 0)
			return -1;
		uint32_t i = op->params;
		while (i < m->params.n && !(m->params.p[i].name == p.name && m->params.p[i].in == p.in))
			i++;
		if (i < m->params.n)
			m->params.p[i] = p;
		else
			vec_add(&m->params, p);
	}
	op->param_count = m->params.n - op->params;
	return 0;
}

static const struct ct_param *path_param(const struct model *m, const struct ct_op *op, const char *name, size_t len)
{
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &m->params.p[op->params + i];
		const char *have = model_s(m, p->name);
		if (p->in == CT_IN_PATH && strlen(have) == len && memcmp(have, name, len) == 0)
			return p;
	}
	return NULL;
}

/* Segments are plain text or one whole {parameter}, every parameter is declared, and only the last may take the rest. */
static int check_path(struct model *m, const struct yt_node *at, const struct ct_op *op)
{
	unsigned segments = 0, in_path = 0, declared = 0;

	for (const char *s = model_s(m, op->path); *s; segments++) {
		const char *end = strchrnul(++s, '/');
		size_t len = (size_t)(end - s);
		if (len == 0 && (*end || segments > 0))
			return yt_error(m->doc, at, m->err, "an empty segment in the path");
		if (memchr(s, '{', len) || memchr(s, '}', len)) {
			if (len < 3 || s[0] != '{' || memchr(s + 1, '{', len - 1) || memchr(s, '}', len - 1) || s[len - 1] != '}')
				return yt_error(m->doc, at, m->err, "a parameter must be a whole segment");
			const struct ct_param *p = path_param(m, op, s + 1, len - 2);
			if (!p)
				return yt_error(m->doc, at, m->err, "path parameter '%.*s' is not declared", (int)len - 2, s + 1);
			if (p->rest && *end)
				return yt_error(m->doc, at, m->err, "x-sbx-rest must be last in the path");
			in_path++;
		}
		s = end;
	}
	for (uint32_t i = 0; i < op->param_count; i++)
		declared += m->params.p[op->params + i].in == CT_IN_PATH;
	if (declared != in_path)
		return yt_error(m->doc, at, m->err, "a path parameter is declared that the path does not have, or has twice");
	if (segments > CT_DEPTH_MAX || in_path > CT_PARAMS_MAX)
		return yt_error(m->doc, at, m->err, "more than %d segments or %d parameters", CT_DEPTH_MAX, CT_PARAMS_MAX);
	return 0;
}

/* ---- bodies and responses ---- */

static bool is_json(const char *media)
{
	return str_starts(media, "application/json") || str_ends(media, "+json");
}

/* The JSON one, or the first. */
static struct yt_node *pick_media(const struct yt_node *content)
{
	struct yt_node *best = content ? content->first : NULL;

	for (struct yt_node *c = best; c; c = c->next) {
		if (is_json(c->key))
			return c;
	}
	return best;
}

static int media_schema(struct model *m, struct yt_node *media, uint32_t *index)
{
	static const char *const keys[] = { "schema", "example", "examples", "encoding", NULL };
	struct yt_node *schema = yt_get(media, "schema");

	*index = CT_NONE;
	if (model_check_keys(m, media, keys, "a media type") != 0)
		return -1;
	return schema ? model_schema(m, schema, index) : 0;
}

static int read_content(struct model *m, struct yt_node *media)
{
	struct ct_content c = { .media = model_str(m, media->key), .kind = CT_BODY_STREAM };

	if (str_starts(media->key, "application/x-www-form-urlencoded"))
		return yt_error(m->doc, media, m->err, "form bodies are not supported");
	if (is_json(media->key))
		c.kind = CT_BODY_JSON;
	else if (str_starts(media->key, "multipart/"))
		c.kind = CT_BODY_MULTIPART;
	if (media_schema(m, media, &c.schema) != 0)
		return -1;
	vec_add(&m->contents, c);
	return 0;
}

static int read_body(struct model *m, struct yt_node *op_node, struct ct_op *op)
{
	static const char *const keys[] = { "description", "content", "required", NULL };
	struct yt_node *n = yt_get(op_node, "requestBody");
	struct yt_node *content;

	op->bodies = m->contents.n;
	if (!n)
		return 0;
	if (model_deref(m, &n, "requestBodies") != 0 || model_check_keys(m, n, keys, "a request body") != 0)
		return -1;
	if (model_member(m, n, "content", YT_MAP, &content) != 0)
		return -1;
	if (!content || !content->first)
		return yt_error(m->doc, n, m->err, "a request body needs a media type");
	if (yt_bool(yt_get(n, "required"), false))
		op->flags |= CT_OP_BODY_REQUIRED;
	/* the preferred one first, the others in their order */
	struct yt_node *best = pick_media(content);
	if (read_content(m, best) != 0)
		return -1;
	for (struct yt_node *media = content->first; media; media = media->next) {
		if (media != best && read_content(m, media) != 0)
			return -1;
	}
	op->body_count = m->contents.n - op->bodies;
	return 0;
}

/* "200", "4XX", "default" as ct_response.status has it. */
static bool parse_status(const char *s, uint16_t *out)
{
	if (strcmp(s, "default") == 0) {
		*out = 0;
		return true;
	}
	if (strlen(s) != 3 || s[0] < '1' || s[0] > '5')
		return false;
	if (strcmp(s + 1, "XX") == 0) {
		*out = (uint16_t)(s[0] - '0');
		return true;
	}
	if (!isdigit((unsigned char)s[1]) || !isdigit((unsigned char)s[2]))
		return false;
	*out = (uint16_t)((s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0'));
	return true;
}

static int read_response(struct model *m, struct yt_node *node, struct ct_op *op)
{
	static const char *const keys[] = { "description", "headers", "content", "links", NULL };
	struct ct_response r = { .schema = CT_NONE };
	struct yt_node *n = node;
	struct yt_node *content;

	if (!parse_status(node->key, &r.status))
		return yt_error(m->doc, node, m->err, "not a status");
	if (model_deref(m, &n, "responses") != 0)
		return -1;
	if (!n) {
		vec_add(&m->responses, r);
		return 0;
	}
	if (model_check_keys(m, n, keys, "a response") != 0)
		return -1;
	if (model_member(m, n, "content", YT_MAP, &content) != 0)
		return -1;
	r.description = model_text(m, n, "description");
	struct yt_node *media = pick_media(content);
	if (media) {
		r.media_type = model_str(m, media->key);
		if (media_schema(m, media, &r.schema) != 0)
			return -1;
		if (str_starts(media->key, "text/event-stream") || str_starts(media->key, "application/x-ndjson"))
			op->flags |= CT_OP_STREAM;
	}
	if (r.status == 101)
		op->flags |= CT_OP_WEBSOCKET;
	vec_add(&m->responses, r);
	return 0;
}

static int read_responses(struct model *m, struct yt_node *node, struct ct_op *op)
{
	struct yt_node *all;

	if (model_member(m, node, "responses", YT_MAP, &all) != 0)
		return -1;
	op->responses = m->responses.n;
	for (struct yt_node *r = all ? all->first : NULL; r; r = r->next) {
		if (read_response(m, r, op) != 0)
			return -1;
	}
	op->response_count = m->responses.n - op->responses;
	return 0;
}

/* ---- the operation ---- */

static uint32_t scheme_index(const struct model *m, const char *id)
{
	for (uint32_t i = 0; i < m->schemes.n; i++) {
		if (strcmp(model_s(m, m->schemes.p[i].id), id) == 0)
			return i;
	}
	return CT_NONE;
}

/* The operation's own security, else the document's; none, or one alternative that asks nothing, makes it public. That is never
 * inherited: an operation that is forgotten would be open to everybody. */
static int read_security(struct model *m, struct yt_node *node, struct ct_op *op)
{
	struct yt_node *own = yt_get(node, "security"), *list = own;
	bool open = false;

	if (!list)
		list = yt_get(yt_root(m->doc), "security");
	if (list && list->kind != YT_SEQ)
		return yt_error(m->doc, list, m->err, "must be a sequence");
	op->security = m->index_pool.n;
	for (struct yt_node *alt = list ? list->first : NULL; alt; alt = alt->next) {
		if (alt->kind != YT_MAP)
			return yt_error(m->doc, alt, m->err, "must be a mapping of schemes");
		open = open || alt->count == 0;
		for (struct yt_node *s = alt->first; s; s = s->next) {
			uint32_t index = scheme_index(m, s->key);
			if (index == CT_NONE)
				return yt_error(m->doc, s, m->err, "no such security scheme");
			vec_add(&m->index_pool, s->next ? index | CT_SCHEME_AND : index);
		}
	}
	op->security_count = m->index_pool.n - op->security;
	if (open || op->security_count == 0)
		op->flags |= CT_OP_PUBLIC;
	if (op->flags & CT_OP_PUBLIC && !own)
		return model_fault(m, node, "is public and does not say so: if it is meant, write 'security: []'");
	return 0;
}

static int read_command(struct model *m, struct yt_node *node, struct ct_op *op)
{
	struct yt_node *at = yt_get(node, "x-sbx-command");
	const char *text = yt_str(at);

	if (!at)
		return 0;
	const char *space = text ? strrchr(text, ' ') : NULL;
	if (!space || space == text || space[1] == '\0' || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789- ") != strlen(text))
		return yt_error(m->doc, at, m->err, "must be a noun and a verb in lower case: 'sandbox create'");
	auto_free char *noun = mem_strndup(text, (size_t)(space - text));
	op->noun = model_str(m, noun);
	op->verb = model_str(m, space + 1);
	for (uint32_t i = 0; i < m->ops.n; i++) { /* those that are derived come later and make way */
		const struct ct_op *o = &m->ops.p[i];
		if (o->noun == op->noun && o->verb == op->verb)
			return yt_error(m->doc, at, m->err, "'%s' is the command of '%s' already", text, model_s(m, o->id));
	}
	return 0;
}

static int read_flags(struct model *m, struct yt_node *node, struct ct_op *op)
{
	static const struct {
		const char *key;
		unsigned flag;
	} flags[] = { { "x-sbx-websocket", CT_OP_WEBSOCKET }, { "x-sbx-stream", CT_OP_STREAM }, { "x-sbx-local", CT_OP_LOCAL },
		{ "x-sbx-teams", CT_OP_TEAMS }, { "x-sbx-shared", CT_OP_SHARED }, { "deprecated", CT_OP_DEPRECATED } };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const struct yt_node *at = yt_get(node, flags[i].key);
		if (at && at->kind != YT_BOOL)
			return yt_error(m->doc, at, m->err, "must be true or false");
		if (yt_bool(at, flags[i].flag == CT_OP_TEAMS && m->teams))
			op->flags = (uint16_t)(op->flags | flags[i].flag);
	}
	return 0;
}

/* Another path of the operation names the same parameters, in whatever order. */
static int check_also(struct model *m, struct yt_node *node, const struct ct_op *op)
{
	const char *also = model_s(m, op->also);
	struct yt_node *at = yt_get(node, "x-sbx-also");
	unsigned n = 0, of_path = 0;

	if (op->also == 0)
		return 0;
	if (*also != '/')
		return yt_error(m->doc, at, m->err, "must begin with '/'");
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &m->params.p[op->params + i];
		auto_free char *mark = mem_printf("{%s}", model_s(m, p->name));
		of_path += p->in == CT_IN_PATH;
		n += p->in == CT_IN_PATH && strstr(also, mark);
	}
	return n == of_path ? 0 : yt_error(m->doc, at, m->err, "must have the parameters of the path");
}

static int read_limit(struct model *m, struct yt_node *node, struct ct_op *op)
{
	const struct yt_node *at = yt_get(node, "x-sbx-body-limit");
	const char *text = yt_scalar(at);
	int64_t limit = 0;

	if (at && (!text || parse_int(text, "limit", 1, UINT32_MAX, &limit, NULL) != 0))
		return yt_error(m->doc, at, m->err, "must be a number of bytes");
	op->body_limit = (uint32_t)limit;
	return 0;
}

/* Are two paths equal but for the names of their parameters? */
static bool same_requests(const char *a, const char *b)
{
	while (*a && *b) {
		if (*a != *b)
			return false;
		if (*a == '{') {
			a += strcspn(a, "}");
			b += strcspn(b, "}");
		}
		a++;
		b++;
	}
	return *a == *b;
}

static int check_id(struct model *m, const struct yt_node *node, const struct ct_op *op)
{
	if (op->id == 0)
		return yt_error(m->doc, node, m->err, "an operation needs an operationId");
	for (uint32_t i = 0; i < m->ops.n; i++) {
		if (m->ops.p[i].id == op->id)
			return yt_error(m->doc, node, m->err, "operationId '%s' is taken", model_s(m, op->id));
		if (m->ops.p[i].method == op->method && same_requests(model_s(m, m->ops.p[i].path), model_s(m, op->path)))
			return yt_error(m->doc, node, m->err, "takes the same requests as '%s'", model_s(m, m->ops.p[i].id));
	}
	return 0;
}

static int read_op(struct model *m, struct yt_node *item, struct yt_node *node)
{
	static const char *const keys[] = { "tags", "summary", "description", "externalDocs", "operationId", "parameters",
		"requestBody", "responses", "callbacks", "deprecated", "security", "servers", "x-sbx-command", "x-sbx-websocket",
		"x-sbx-stream", "x-sbx-local", "x-sbx-teams", "x-sbx-shared", "x-sbx-rows", "x-sbx-also", "x-sbx-body-limit",
		NULL };
	struct ct_op op = { .id = model_text(m, node, "operationId"), .params = m->params.n };
	auto_free char *method = mem_strdup(node->key);
	bool is_root = m->base_path && strcmp(item->key, "/") == 0; /* "/v1", not "/v1/" */
	auto_free char *path = mem_printf("%s%s", model_s(m, m->base_path), is_root ? "" : item->key);

	if (model_check_keys(m, node, keys, "an operation") != 0)
		return -1;
	for (char *c = method; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	op.method = model_str(m, method);
	op.path = model_str(m, path);
	op.summary = model_text(m, node, "summary");
	op.description = model_text(m, node, "description");
	op.rows = model_text(m, node, "x-sbx-rows");
	op.also = model_text(m, node, "x-sbx-also");
	const struct yt_node *tags = yt_get(node, "tags");
	if (tags && tags->kind == YT_SEQ && tags->first)
		op.tag = model_str(m, yt_scalar(tags->first));
	if (check_id(m, node, &op) != 0 || read_params(m, item, &op) != 0 || read_params(m, node, &op) != 0)
		return -1;
	if (check_path(m, item, &op) != 0 || check_also(m, node, &op) != 0 || read_body(m, node, &op) != 0 ||
		read_responses(m, node, &op) != 0)
		return -1;
	if (read_flags(m, node, &op) != 0 || read_limit(m, node, &op) != 0 || read_security(m, node, &op) != 0)
		return -1;
	if (read_command(m, node, &op) != 0)
		return -1;
	vec_add(&m->ops, op);
	return 0;
}

int model_ops(struct model *m)
{
	struct yt_node *paths;

	if (model_member(m, yt_root(m->doc), "paths", YT_MAP, &paths) != 0)
		return -1;
	if (!paths || paths->count == 0)
		return yt_error(m->doc, yt_root(m->doc), m->err, "the document has no paths");
	for (struct yt_node *item = paths->first; item; item = item->next) {
		if (item->key[0] != '/' || strpbrk(item->key, "?#%"))
			return yt_error(m->doc, item, m->err, "a path must begin with '/' and be plain");
		if (item->kind != YT_MAP)
			return yt_error(m->doc, item, m->err, "must be a mapping");
		for (struct yt_node *n = item->first; n; n = n->next) {
			if (is_method(n->key)) {
				if (read_op(m, item, n) != 0)
					return -1;
			} else if (strcmp(n->key, "parameters") != 0 && strcmp(n->key, "summary") != 0 &&
				strcmp(n->key, "description") != 0 && strcmp(n->key, "servers") != 0 && !str_starts(n->key, "x-")) {
				return yt_error(m->doc, n, m->err, "not a method");
			}
		}
	}
	return 0;
}
