#include "shared/gen/emit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/gen/names.h"

struct names {
	struct buf lower, upper; /* "mcp_v8", "MCP_V8" */
};

static void names_init(struct names *n, const char *name)
{
	buf_init(&n->lower);
	buf_init(&n->upper);
	name_c(name, &n->lower);
	for (size_t i = 0; i < n->lower.len; i++)
		buf_ch(&n->upper, (char)toupper((unsigned char)n->lower.p[i]));
}

static void names_free(struct names *n)
{
	buf_free(&n->lower);
	buf_free(&n->upper);
}

/* A C string literal. Octal, since a hex escape would swallow the digits after it; \? since ?? begins a trigraph. */
static void literal(struct buf *out, const char *s, const char *end)
{
	buf_ch(out, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\' || c == '?')
			buf_fmt(out, "\\%c", c);
		else if (c == '\n')
			buf_str(out, "\\n");
		else if (c < 0x20 || c >= 0x7f)
			buf_fmt(out, "\\%03o", c);
		else
			buf_ch(out, (char)c);
	}
	buf_fmt(out, "%s\"", end);
}

/* ---- header ---- */

static int check_unique(const struct model *m, struct err *err)
{
	struct cons seen;
	bool fresh = true;

	cons_init(&seen);
	for (uint32_t i = 0; i < m->ops.n && fresh; i++) {
		auto_buf name = BUF_INIT;
		name_snake_upper(model_s(m, m->ops.p[i].id), &name);
		(void)cons_add(&seen, name.p, name.len, &fresh);
		if (!fresh || strcmp(name.p, "COUNT") == 0) {
			fresh = false;
			err_set(err, ERR_INVALID, "operationId '%s' gives no C name of its own", model_s(m, m->ops.p[i].id));
		}
	}
	cons_free(&seen);
	return fresh ? 0 : -1;
}

int emit_header(const struct model *m, struct buf *out, struct err *err)
{
	struct names n;

	if (check_unique(m, err) != 0)
		return -1;
	names_init(&n, m->name);
	buf_fmt(out, "/* Written by sbxgen from %s: do not edit. */\n", m->name);
	buf_fmt(out, "#ifndef SBX_GEN_%s_CONTRACT_H\n#define SBX_GEN_%s_CONTRACT_H\n\n", n.upper.p, n.upper.p);
	buf_str(out, "#include \"shared/contract/contract.h\"\n\n");
	buf_fmt(out, "extern const struct contract contract_%s;\n\nenum %s_op {\n", n.lower.p, n.lower.p);
	for (uint32_t i = 0; i < m->ops.n; i++) {
		const struct ct_op *op = &m->ops.p[i];
		buf_fmt(out, "\t%s_OP_", n.upper.p);
		name_snake_upper(model_s(m, op->id), out);
		buf_fmt(out, ", /* %s %s */\n", model_s(m, op->method), model_s(m, op->path));
	}
	buf_fmt(out, "\t%s_OP_COUNT\n};\n\n/* X(operationId, ENUM_SUFFIX), in the order of the enum. */\n", n.upper.p);
	buf_fmt(out, "#define %s_OPERATIONS(X)", n.upper.p);
	for (uint32_t i = 0; i < m->ops.n; i++) {
		buf_str(out, " \\\n\tX(");
		name_c(model_s(m, m->ops.p[i].id), out);
		buf_str(out, ", ");
		name_snake_upper(model_s(m, m->ops.p[i].id), out);
		buf_ch(out, ')');
	}
	buf_str(out, "\n\n#endif\n");
	names_free(&n);
	return 0;
}

/* ---- source ---- */

/* Writes `.name = value, ` when the value is not 0, as a designated initializer leaves it. */
static void member(struct buf *out, const char *name, uint32_t value)
{
	if (value == CT_NONE)
		buf_fmt(out, ".%s = CT_NONE, ", name);
	else if (value != 0)
		buf_fmt(out, ".%s = %u, ", name, value);
}

static void range(struct buf *out, const char *name, const char *count_name, uint32_t first, uint32_t count)
{
	if (count > 0)
		buf_fmt(out, ".%s = %u, .%s = %u, ", name, first, count_name, count);
}

static void number(struct buf *out, const char *name, double v)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_fmt(out, ".%s = %s%s, ", name, text, strpbrk(text, ".e") ? "" : ".0");
}

/* An empty array is no C: one zero element stands for it. */
static void table_begin(struct buf *out, const char *type, const char *name, uint32_t count)
{
	buf_fmt(out, "static const %s %s[%u] = {\n", type, name, count > 0 ? count : 1);
	if (count == 0)
		buf_str(out, "\t0\n");
}

static void row_end(struct buf *out)
{
	if (str_ends(out->p, ", "))
		out->len -= 2;
	else
		buf_ch(out, '0'); /* all members are zero */
	out->p[out->len] = '\0';
	buf_str(out, "},\n");
}

static void emit_pool(const struct model *m, struct buf *out)
{
	const struct cons *pool = &m->pool;

	buf_str(out, "static const char pool[] =");
	for (uint32_t i = 0; i < pool->entries.n; i++) {
		buf_str(out, "\n\t");
		literal(out, pool->bytes.p + pool->entries.p[i].off, i + 1 < pool->entries.n ? "\\0" : "");
	}
	buf_str(out, ";\n\n");
}

static void emit_schemas(const struct model *m, struct buf *out)
{
	table_begin(out, "struct ct_schema", "schemas", m->schemas.n);
	for (uint32_t i = 0; i < m->schemas.n; i++) {
		const struct ct_schema *s = &m->schemas.p[i];
		buf_str(out, "\t{");
		member(out, "type", s->type);
		member(out, "format", s->format);
		member(out, "flags", s->flags);
		member(out, "name", s->name);
		member(out, "description", s->description);
		member(out, "pattern", s->pattern);
		member(out, "def", s->def);
		member(out, "constant", s->constant);
		if (s->flags & CT_HAS_MIN)
			number(out, "min", s->min);
		if (s->flags & CT_HAS_MAX)
			number(out, "max", s->max);
		member(out, "min_len", s->min_len);
		if (s->max_len == UINT32_MAX)
			buf_str(out, ".max_len = UINT32_MAX, ");
		else
			member(out, "max_len", s->max_len);
		member(out, "items", s->items);
		range(out, "fields", "field_count", s->fields, s->field_count);
		range(out, "enums", "enum_count", s->enums, s->enum_count);
		range(out, "one_of", "one_of_count", s->one_of, s->one_of_count);
		range(out, "columns", "column_count", s->columns, s->column_count);
		member(out, "brief", s->brief);
		member(out, "any_of", s->any_of);
		row_end(out);
	}
	buf_str(out, "};\n\n");
}

static void emit_fields(const struct model *m, struct buf *out)
{
	table_begin(out, "struct ct_field", "fields", m->fields.n);
	for (uint32_t i = 0; i < m->fields.n; i++) {
		const struct ct_field *f = &m->fields.p[i];
		buf_fmt(out, "\t{%u, %u, %u, %d}, /* %s */\n", f->name, f->flag, f->schema, f->required,
			strstr(model_s(m, f->name), "*/") ? "" : model_s(m, f->name));
	}
	buf_str(out, "};\n\n");
}

static void emit_params(const struct model *m, struct buf *out)
{
	table_begin(out, "struct ct_param", "params", m->params.n);
	for (uint32_t i = 0; i < m->params.n; i++) {
		const struct ct_param *p = &m->params.p[i];
		buf_str(out, "\t{");
		member(out, "name", p->name);
		member(out, "description", p->description);
		member(out, "flag", p->flag);
		member(out, "in", p->in);
		member(out, "required", p->required);
		member(out, "explode", p->explode);
		member(out, "rest", p->rest);
		member(out, "secret", p->secret);
		member(out, "schema", p->schema);
		row_end(out);
	}
	buf_str(out, "};\n\n");
}

static void emit_responses(const struct model *m, struct buf *out)
{
	table_begin(out, "struct ct_response", "responses", m->responses.n);
	for (uint32_t i = 0; i < m->responses.n; i++) {
		const struct ct_response *r = &m->responses.p[i];
		buf_str(out, "\t{");
		member(out, "status", r->status);
		member(out, "description", r->description);
		member(out, "media_type", r->media_type);
		member(out, "schema", r->schema);
		row_end(out);
	}
	buf_str(out, "};\n\n");
	table_begin(out, "struct ct_scheme", "schemes", m->schemes.n);
	for (uint32_t i = 0; i < m->schemes.n; i++) {
		const struct ct_scheme *s = &m->schemes.p[i];
		buf_fmt(out, "\t{%u, %u, %u, %u, %d, %u, %u}, /* %s */\n", s->id, s->name, s->kind, s->in, s->routing, s->env,
			s->env_count, strstr(model_s(m, s->id), "*/") ? "" : model_s(m, s->id));
	}
	buf_str(out, "};\n\n");
}

static void emit_contents(const struct model *m, struct buf *out)
{
	table_begin(out, "struct ct_content", "contents", m->contents.n);
	for (uint32_t i = 0; i < m->contents.n; i++) {
		const struct ct_content *c = &m->contents.p[i];
		buf_fmt(out, "\t{%u, %u, ", c->media, c->kind);
		buf_fmt(out, c->schema == CT_NONE ? "CT_NONE},\n" : "%u},\n", c->schema);
	}
	buf_str(out, "};\n\n");
	table_begin(out, "struct ct_fault", "faults", m->faults.n);
	for (uint32_t i = 0; i < m->faults.n; i++) {
		const struct ct_fault *f = &m->faults.p[i];
		buf_fmt(out, "\t{%u, %u, %u, %u, %u}, /* %s */\n", f->kind, f->status, f->as, f->code, f->message,
			model_s(m, f->kind));
	}
	buf_str(out, "};\n\n");
	table_begin(out, "struct ct_tag", "tags", m->tags.n);
	for (uint32_t i = 0; i < m->tags.n; i++)
		buf_fmt(out, "\t{%u, %u},\n", m->tags.p[i].name, m->tags.p[i].description);
	buf_str(out, "};\n\n");
}

static void emit_ops(const struct model *m, struct buf *out)
{
	table_begin(out, "struct ct_op", "ops", m->ops.n);
	for (uint32_t i = 0; i < m->ops.n; i++) {
		const struct ct_op *o = &m->ops.p[i];
		buf_str(out, "\t{");
		member(out, "id", o->id);
		member(out, "method", o->method);
		member(out, "path", o->path);
		member(out, "tag", o->tag);
		member(out, "also", o->also);
		member(out, "summary", o->summary);
		member(out, "description", o->description);
		member(out, "noun", o->noun);
		member(out, "verb", o->verb);
		member(out, "flags", o->flags);
		range(out, "bodies", "body_count", o->bodies, o->body_count);
		member(out, "body_limit", o->body_limit);
		member(out, "rows", o->rows);
		range(out, "params", "param_count", o->params, o->param_count);
		range(out, "responses", "response_count", o->responses, o->response_count);
		range(out, "security", "security_count", o->security, o->security_count);
		row_end(out);
	}
	buf_str(out, "};\n\n");
}

static void emit_numbers(const char *type, const char *name, const uint32_t *p, uint32_t n, struct buf *out)
{
	table_begin(out, type, name, n);
	for (uint32_t i = 0; i < n; i++)
		buf_fmt(out, "%s%u,%s", i % 16 == 0 ? "\t" : " ", p[i], i % 16 == 15 || i + 1 == n ? "\n" : "");
	buf_str(out, "};\n\n");
}

static void emit_text(struct buf *out, const char *name, const char *value)
{
	buf_fmt(out, "\t.%s = ", name);
	literal(out, value, "");
	buf_str(out, ",\n");
}

void emit_source(const struct model *m, const char *header, struct buf *out)
{
	struct names n;

	names_init(&n, m->name);
	buf_fmt(out, "/* Written by sbxgen from %s: do not edit. */\n#include \"%s\"\n\n", m->name, header);
	emit_pool(m, out);
	emit_schemas(m, out);
	emit_fields(m, out);
	emit_params(m, out);
	emit_responses(m, out);
	emit_contents(m, out);
	emit_ops(m, out);
	emit_numbers("uint32_t", "index_pool", m->index_pool.p, m->index_pool.n, out);
	emit_numbers("ct_str", "enum_pool", m->enum_pool.p, m->enum_pool.n, out);
	buf_fmt(out, "const struct contract contract_%s = {\n", n.lower.p);
	emit_text(out, "name", m->name);
	emit_text(out, "title", model_s(m, m->title));
	emit_text(out, "version", model_s(m, m->version));
	emit_text(out, "base_path", model_s(m, m->base_path));
	emit_text(out, "description", model_s(m, m->description));
	emit_text(out, "server", model_s(m, m->server));
	emit_text(out, "fault_shape", model_s(m, m->fault_shape));
	buf_str(out,
		"\t.pool = pool,\n\t.schemas = schemas,\n\t.fields = fields,\n\t.params = params,\n"
		"\t.responses = responses,\n\t.contents = contents,\n\t.faults = faults,\n\t.tags = tags,\n\t.schemes = "
		"schemes,\n\t.ops = ops,\n"
		"\t.index_pool = index_pool,\n\t.enum_pool = enum_pool,\n");
	buf_fmt(out, "\t.schema_count = %u,\n\t.op_count = %u,\n", m->schemas.n, m->ops.n);
	buf_fmt(out, "\t.fault_count = %u,\n\t.tag_count = %u,\n\t.scheme_count = %u,\n", m->faults.n, m->tags.n, m->schemes.n);
	buf_fmt(out, "\t.env_url = %u,\n\t.env_url_count = %u,\n", m->env_url, m->env_url_count);
	buf_fmt(out, "\t.unknown_fields_ok = %s,\n", m->unknown_fields_ok ? "true" : "false");
	buf_fmt(out, "\t.any_media = %s,\n};\n", m->any_media ? "true" : "false");
	names_free(&n);
}
