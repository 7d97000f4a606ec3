/* contract: look-ups, and paths of operations filled in. */
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/contract/contract.h"

uint32_t ct_op_by_id(const struct contract *c, const char *id)
{
	for (uint32_t i = 0; i < c->op_count; i++) {
		if (strcmp(ct_s(c, c->ops[i].id), id) == 0)
			return i;
	}
	return CT_NONE;
}

const struct ct_param *ct_find_param(const struct contract *c, const struct ct_op *op, enum ct_in in, const char *name)
{
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &c->params[op->params + i];
		const char *have = ct_s(c, p->name);
		/* the names of headers know no case */
		if (p->in == in && (in == CT_IN_HEADER ? strcasecmp(have, name) : strcmp(have, name)) == 0)
			return p;
	}
	return NULL;
}

const struct ct_field *ct_find_field(const struct contract *c, uint32_t schema, const char *name)
{
	if (schema >= c->schema_count)
		return NULL;
	const struct ct_schema *s = &c->schemas[schema];
	for (uint32_t i = 0; i < s->field_count; i++) {
		if (strcmp(ct_s(c, c->fields[s->fields + i].name), name) == 0)
			return &c->fields[s->fields + i];
	}
	return NULL;
}

static const struct ct_param *path_param(const struct contract *c, const struct ct_op *op, const char *name, size_t len)
{
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &c->params[op->params + i];
		const char *have = ct_s(c, p->name);
		if (p->in == CT_IN_PATH && strncmp(have, name, len) == 0 && have[len] == '\0')
			return p;
	}
	return NULL;
}

int ct_path(const struct contract *c, uint32_t op, const char *const *values, size_t n, struct buf *out, struct err *err)
{
	const struct ct_op *o = &c->ops[op];
	const char *path = ct_s(c, o->path);
	size_t used = 0;

	while (*path) {
		const char *open = strchrnul(path, '{');
		buf_add(out, path, (size_t)(open - path));
		if (*open == '\0')
			break;
		const char *name = open + 1;
		size_t len = strcspn(name, "}");
		const struct ct_param *p = path_param(c, o, name, len);
		if (used == n || !values[used])
			return err_set(err, ERR_INVALID, "'%.*s' is required", (int)len, name);
		if (*values[used] == '\0' && !(p && p->rest))
			return err_set(err, ERR_INVALID, "'%.*s' must not be empty", (int)len, name);
		buf_url(out, values[used++]); /* slashes too: servers that know no rest parameter take it as one segment */
		path = name + len + (name[len] == '}');
	}
	if (used != n)
		return err_set(err, ERR_INVALID, "'%s' has only %zu parameters in its path", ct_s(c, o->id), used);
	return 0;
}
