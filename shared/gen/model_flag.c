/*
 * model: the flags of the command line, one a parameter and one a property: kebab-case of the name, in the singular where the flag
 * can be repeated (an array, a map); `--input` and such, which every command has for itself, get "-value". Two properties that
 * would share a flag keep their plurals; if that is not enough, it is an error.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/gen/model.h"
#include "shared/gen/names.h"

/* An array or a map, itself or in one of its alternatives. */
static bool repeats(const struct model *m, uint32_t schema)
{
	const struct ct_schema *s = &m->schemas.p[schema];

	if (s->type == CT_ARRAY || ((s->flags & CT_MAP) && s->field_count == 0))
		return true;
	for (uint32_t i = 0; i < s->one_of_count; i++) {
		if (m->schemas.p[m->index_pool.p[s->one_of + i]].type == CT_ARRAY)
			return true;
	}
	return false;
}

/* Flags that every generated command has for itself. */
static const char *const reserved[] = { "api-key", "base-url", "context", "help", "host", "input", "null", "output", "output-file",
	"verbose" };

static ct_str flag_of(struct model *m, const char *name, uint32_t schema)
{
	auto_buf flag = BUF_INIT;

	name_kebab(name, &flag);
	if (repeats(m, schema))
		name_singular(&flag);
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (strcmp(flag.p, reserved[i]) == 0) {
			buf_str(&flag, "-value");
			break;
		}
	}
	return model_str(m, flag.p);
}

static bool taken(const struct model *m, const struct ct_schema *s, uint32_t except, ct_str flag)
{
	for (uint32_t i = 0; i < s->field_count; i++) {
		if (i != except && m->fields.p[s->fields + i].flag == flag)
			return true;
	}
	return false;
}

static int object_flags(struct model *m, const struct ct_schema *s)
{
	for (uint32_t i = 0; i < s->field_count; i++) {
		struct ct_field *f = &m->fields.p[s->fields + i];
		f->flag = flag_of(m, model_s(m, f->name), f->schema);
	}
	for (uint32_t i = 0; i < s->field_count; i++) {
		struct ct_field *f = &m->fields.p[s->fields + i];
		auto_buf plain = BUF_INIT;
		if (taken(m, s, i, f->flag))
			name_kebab(model_s(m, f->name), &plain);
		if (plain.len > 0)
			f->flag = model_str(m, plain.p);
	}
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct ct_field *f = &m->fields.p[s->fields + i];
		if (taken(m, s, i, f->flag))
			return err_set(m->err, ERR_INVALID, "%s:1: properties: '%s' of '%s' has the flag of another property",
				yt_file(m->doc), model_s(m, f->name), model_s(m, s->name));
	}
	return 0;
}

/* "X-Freestyle-Vm-Id" -> "Vm-Id", "X-Confirm-Name" -> "Confirm-Name". */
static const char *header_name(const struct model *m, const char *name)
{
	size_t n = strcspn(m->name, "-");

	if (strncasecmp(name, "x-", 2) != 0)
		return name;
	name += 2;
	return strncasecmp(name, m->name, n) == 0 && name[n] == '-' && name[n + 1] ? name + n + 1 : name;
}

int model_flags(struct model *m)
{
	for (uint32_t i = 0; i < m->schemas.n; i++) {
		if (object_flags(m, &m->schemas.p[i]) != 0)
			return -1;
	}
	for (uint32_t i = 0; i < m->params.n; i++) {
		struct ct_param *p = &m->params.p[i];
		const char *name = model_s(m, p->name);
		p->flag = flag_of(m, p->in == CT_IN_HEADER ? header_name(m, name) : name, p->schema);
	}
	return 0;
}
