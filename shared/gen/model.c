/* model: the root of the document, and what the other model_*.c share. */
#include "shared/gen/model.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

ct_str model_str(struct model *m, const char *s)
{
	bool fresh;

	return s && *s ? cons_add(&m->pool, s, strlen(s) + 1, &fresh)->off : 0;
}

ct_str model_text(struct model *m, const struct yt_node *n, const char *key)
{
	const char *s = yt_scalar(yt_get(n, key));

	if (!s)
		return 0;
	size_t len = strlen(s);
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		len--;
	auto_free char *trimmed = mem_strndup(s, len);
	return model_str(m, trimmed);
}

const char *model_s(const struct model *m, ct_str s)
{
	return m->pool.bytes.p + s;
}

int model_member(struct model *m, struct yt_node *n, const char *key, enum yt_kind kind, struct yt_node **out)
{
	*out = yt_get(n, key);
	if (*out && (*out)->kind != kind)
		return yt_error(m->doc, *out, m->err, "must be %s", yt_kind_name(kind));
	return 0;
}

static bool in_list(const char *key, const char *const *list)
{
	for (; *list; list++) {
		if (strcmp(key, *list) == 0)
			return true;
	}
	return false;
}

int model_check_keys(struct model *m, const struct yt_node *n, const char *const *known, const char *what)
{
	if (n->kind != YT_MAP)
		return yt_error(m->doc, n, m->err, "%s must be a mapping", what);
	for (const struct yt_node *c = n->first; c; c = c->next) {
		if (str_starts(c->key, "x-sbx-") && !in_list(c->key, known))
			return yt_error(m->doc, c, m->err, "not an extension of %s that sbxgen knows", what);
		if (!str_starts(c->key, "x-") && !in_list(c->key, known))
			return yt_error(m->doc, c, m->err, "not a key of %s, or not supported", what);
	}
	return 0;
}

int model_fault(struct model *m, const struct yt_node *n, const char *fmt, ...)
{
	char text[300];
	struct err warning = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)yt_error(m->doc, n, m->strict ? m->err : &warning, "%s", text);
	if (m->strict)
		return -1;
	buf_fmt(&m->warnings, "%s\n", warning.msg);
	return 0;
}

int model_deref(struct model *m, struct yt_node **n, const char *kind)
{
	auto_free char *prefix = mem_printf("#/components/%s/", kind);
	struct yt_node *all = yt_get(yt_get(yt_root(m->doc), "components"), kind);

	for (int hops = 0;; hops++) {
		struct yt_node *ref = yt_get(*n, "$ref");
		if (!ref)
			return 0;
		const char *path = yt_str(ref);
		if (!path || !str_starts(path, prefix))
			return yt_error(m->doc, ref, m->err, "must begin with '%s'", prefix);
		if (hops > 16)
			return yt_error(m->doc, ref, m->err, "'%s' refers to itself", path);
		struct yt_node *target = yt_get(all, path + strlen(prefix));
		if (!target && strcmp(kind, "responses") != 0)
			return yt_error(m->doc, ref, m->err, "'%s' is not defined", path);
		*n = target;
		if (!target)
			return model_fault(m, ref, "'%s' is not defined", path);
	}
}

int model_strings(struct model *m, struct yt_node *n, const char *key, uint32_t *first, uint32_t *count)
{
	struct yt_node *list;

	if (model_member(m, n, key, YT_SEQ, &list) != 0)
		return -1;
	*first = m->enum_pool.n;
	for (struct yt_node *s = list ? list->first : NULL; s; s = s->next) {
		if (!yt_str(s) || *s->text == '\0')
			return yt_error(m->doc, s, m->err, "must be a string");
		vec_add(&m->enum_pool, model_str(m, s->text));
	}
	*count = m->enum_pool.n - *first;
	return 0;
}

/* The path of servers[0].url, or x-sbx-base: what stands before every path; "" or "/a/b". */
static int read_base(struct model *m, struct yt_node *root)
{
	struct yt_node *at = yt_get(root, "x-sbx-base");
	struct yt_node *servers = yt_get(root, "servers");

	if (!at && servers && servers->first)
		at = yt_get(servers->first, "url");
	const char *url = yt_str(at);
	if (!url)
		return at ? yt_error(m->doc, at, m->err, "must be a string") : 0;
	const char *host = strstr(url, "://");
	const char *path = host ? strchr(host + 3, '/') : url;
	const char *hosted = yt_str(yt_get(servers ? servers->first : NULL, "url"));
	if (hosted && strstr(hosted, "://")) {
		auto_free char *server =
			mem_strndup(hosted, strcspn(strstr(hosted, "://") + 3, "/") + (size_t)(strstr(hosted, "://") + 3 - hosted));
		m->server = model_str(m, server);
	}
	if (!path || *path == '\0')
		return 0;
	if (*path != '/' || strpbrk(path, "{}?#%"))
		return yt_error(m->doc, at, m->err, "the path must begin with '/' and be plain");
	size_t len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	auto_free char *base = mem_strndup(path, len);
	m->base_path = model_str(m, base);
	return 0;
}

/* x-sbx-env: {base-url: [VAR, ...]} */
static int read_env(struct model *m, struct yt_node *root)
{
	static const char *const keys[] = { "base-url", NULL };
	struct yt_node *env;

	if (model_member(m, root, "x-sbx-env", YT_MAP, &env) != 0)
		return -1;
	if (env && model_check_keys(m, env, keys, "x-sbx-env") != 0)
		return -1;
	return model_strings(m, env, "base-url", &m->env_url, &m->env_url_count);
}

static int read_tags(struct model *m, struct yt_node *root)
{
	struct yt_node *list;

	if (model_member(m, root, "tags", YT_SEQ, &list) != 0)
		return -1;
	for (struct yt_node *t = list ? list->first : NULL; t; t = t->next) {
		struct ct_tag tag = { .name = model_text(m, t, "name"), .description = model_text(m, t, "description") };
		if (tag.name == 0)
			return yt_error(m->doc, t, m->err, "a tag needs a name");
		vec_add(&m->tags, tag);
	}
	return 0;
}

/* A member that is "ignore" or "refuse", which is the default. */
static int read_ignore(struct model *m, struct yt_node *root, const char *key, bool *ignore)
{
	struct yt_node *at = yt_get(root, key);
	const char *how = yt_str(at);
	*ignore = how && strcmp(how, "ignore") == 0;
	if (at && !*ignore && (!how || strcmp(how, "refuse") != 0))
		return yt_error(m->doc, at, m->err, "must be 'ignore' or 'refuse'");
	return 0;
}

static int read_root(struct model *m, struct yt_node *root)
{
	static const char *const keys[] = { "openapi", "info", "servers", "tags", "paths", "components", "security", "externalDocs",
		"jsonSchemaDialect", "webhooks", "x-sbx-base", "x-sbx-unknown-fields", "x-sbx-content-types", "x-sbx-teams",
		"x-sbx-env", "x-sbx-faults", NULL };

	if (model_check_keys(m, root, keys, "the document") != 0)
		return -1;
	const char *version = yt_scalar(yt_get(root, "openapi"));
	if (!version || (!str_starts(version, "3.0") && !str_starts(version, "3.1")))
		return yt_error(m->doc, root, m->err, "openapi: must be 3.0.x or 3.1.x");
	struct yt_node *info = yt_get(root, "info");
	m->title = model_text(m, info, "title");
	m->version = model_text(m, info, "version");
	m->description = model_text(m, info, "description");
	if (read_ignore(m, root, "x-sbx-unknown-fields", &m->unknown_fields_ok) != 0 ||
		read_ignore(m, root, "x-sbx-content-types", &m->any_media) != 0)
		return -1;
	struct yt_node *teams = yt_get(root, "x-sbx-teams");
	if (teams && teams->kind != YT_BOOL)
		return yt_error(m->doc, teams, m->err, "must be true or false");
	m->teams = yt_bool(teams, false);
	return read_base(m, root) != 0 || read_env(m, root) != 0 ? -1 : read_tags(m, root);
}

static int read_schemes(struct model *m)
{
	static const char *const places[] = { "path", "query", "header", "cookie" };
	struct yt_node *all = yt_get(yt_get(yt_root(m->doc), "components"), "securitySchemes");

	for (struct yt_node *c = all ? all->first : NULL; c; c = c->next) {
		struct yt_node *n = c;
		if (model_deref(m, &n, "securitySchemes") != 0)
			return -1;
		struct ct_scheme s = { .id = model_str(m, c->key), .kind = CT_SCHEME_OTHER, .in = CT_IN_HEADER };
		const char *type = yt_str(yt_get(n, "type"));
		const char *scheme = yt_str(yt_get(n, "scheme"));
		const char *in = yt_str(yt_get(n, "in"));
		if (!type)
			return yt_error(m->doc, n, m->err, "'type' is required");
		if (strcmp(type, "http") == 0 && scheme)
			s.kind = strcmp(scheme, "bearer") == 0 ? CT_SCHEME_BEARER
				: strcmp(scheme, "basic") == 0 ? CT_SCHEME_BASIC
							       : CT_SCHEME_OTHER;
		if (strcmp(type, "apiKey") == 0) {
			s.kind = CT_SCHEME_KEY;
			s.name = model_text(m, n, "name");
			s.in = 0;
			for (uint8_t i = CT_IN_QUERY; in && i <= CT_IN_COOKIE; i++)
				s.in = strcmp(in, places[i]) == 0 ? i : s.in;
			if (s.name == 0 || s.in == 0)
				return yt_error(m->doc, n, m->err, "an apiKey needs 'name', and 'in': query, header or cookie");
		}
		s.routing = yt_bool(yt_get(n, "x-sbx-routing"), false);
		if (model_strings(m, n, "x-sbx-env", &s.env, &s.env_count) != 0)
			return -1;
		vec_add(&m->schemes, s);
	}
	return 0;
}

static int build(struct model *m)
{
	struct yt_node *root = yt_root(m->doc);

	if (read_root(m, root) != 0 || model_faults(m) != 0 || read_schemes(m) != 0 || model_components(m) != 0)
		return -1;
	return model_ops(m) != 0 || model_commands(m) != 0 ? -1 : model_flags(m);
}

struct model *model_build(struct yt_doc *doc, const char *name, bool strict, struct err *err)
{
	struct err local = ERR_INIT;
	struct model *m = mem_zalloc(sizeof *m);
	bool fresh;

	m->doc = doc;
	m->err = err ? err : &local;
	m->name = mem_strdup(name);
	m->strict = strict;
	buf_init(&m->warnings);
	cons_init(&m->pool);
	cons_init(&m->known_schemas);
	(void)cons_add(&m->pool, "", 1, &fresh); /* offset 0 is "" */
	if (build(m) != 0) {
		model_free(m);
		return NULL;
	}
	m->doc = NULL;
	m->err = NULL;
	return m;
}

void model_free(struct model *m)
{
	if (!m)
		return;
	buf_free(&m->warnings);
	cons_free(&m->pool);
	cons_free(&m->known_schemas);
	vec_free(&m->schemas);
	vec_free(&m->fields);
	vec_free(&m->params);
	vec_free(&m->responses);
	vec_free(&m->contents);
	vec_free(&m->faults);
	vec_free(&m->tags);
	vec_free(&m->schemes);
	vec_free(&m->ops);
	vec_free(&m->index_pool);
	vec_free(&m->enum_pool);
	free(m->name);
	free(m);
}

struct contract model_contract(const struct model *m)
{
	return (struct contract){
		.name = m->name,
		.title = model_s(m, m->title),
		.version = model_s(m, m->version),
		.base_path = model_s(m, m->base_path),
		.description = model_s(m, m->description),
		.server = model_s(m, m->server),
		.fault_shape = model_s(m, m->fault_shape),
		.pool = m->pool.bytes.p,
		.schemas = m->schemas.p,
		.fields = m->fields.p,
		.params = m->params.p,
		.responses = m->responses.p,
		.contents = m->contents.p,
		.faults = m->faults.p,
		.tags = m->tags.p,
		.schemes = m->schemes.p,
		.ops = m->ops.p,
		.index_pool = m->index_pool.p,
		.enum_pool = m->enum_pool.p,
		.schema_count = m->schemas.n,
		.op_count = m->ops.n,
		.fault_count = m->faults.n,
		.tag_count = m->tags.n,
		.scheme_count = m->schemes.n,
		.env_url = m->env_url,
		.env_url_count = m->env_url_count,
		.unknown_fields_ok = m->unknown_fields_ok,
		.any_media = m->any_media,
	};
}
