/* contract: members of objects: known, required, valid. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/util.h"
#include "shared/contract/internal.h"

static const struct ct_field *own_field(const struct contract *c, const struct ct_schema *s, const char *name)
{
	return ct_find_field(c, (uint32_t)(s - c->schemas), name);
}

/* Known to a schema around an alternative, or, under anyOf, to a sister of the alternative. */
static bool known_around(const struct contract *c, const struct ct_scope *scope, const char *name)
{
	for (; scope; scope = scope->up) {
		if (own_field(c, scope->s, name))
			return true;
		for (uint32_t i = 0; scope->s->any_of && i < scope->s->one_of_count; i++) {
			if (ct_find_field(c, c->index_pool[scope->s->one_of + i], name))
				return true;
		}
	}
	return false;
}

static void nearest_in(const struct contract *c, const struct ct_schema *s, const char *name, const char **best, unsigned *distance)
{
	for (uint32_t i = 0; i < s->field_count; i++) {
		const char *have = ct_s(c, c->fields[s->fields + i].name);
		unsigned d = strcasecmp(have, name) == 0 ? 0 : str_distance(have, name);
		if (d < *distance) {
			*distance = d;
			*best = have;
		}
	}
}

static void list_fields(const struct contract *c, const struct ct_schema *s, struct buf *out)
{
	for (uint32_t i = 0; i < s->field_count; i++)
		buf_fmt(out, "%s%s", out->len > 0 ? ", " : "", ct_s(c, c->fields[s->fields + i].name));
}

/* "did you mean 'memoryMb'?", or what there is. */
static int unknown_hint(const struct ct_check *v, const struct ct_schema *s, const struct ct_scope *scope, const char *name)
{
	const char *best = NULL;
	unsigned distance = (unsigned)(strnlen(name, 64) / 3) + 2;
	auto_buf all = BUF_INIT;

	nearest_in(v->c, s, name, &best, &distance);
	list_fields(v->c, s, &all);
	for (; scope; scope = scope->up) {
		nearest_in(v->c, scope->s, name, &best, &distance);
		list_fields(v->c, scope->s, &all);
	}
	if (best)
		return err_hint(v->err, "did you mean '%s'?", best);
	return all.len > 0 ? err_hint(v->err, "known fields: %s", all.p) : -1;
}

/* Are members refused that the schema does not name? An object that names none is a free one. */
static bool is_closed(const struct contract *c, const struct ct_schema *s, const struct ct_scope *scope)
{
	if ((s->flags & CT_MAP) || s->one_of_count > 0)
		return false;
	if ((s->flags & CT_CLOSED) || (scope && (scope->s->flags & CT_CLOSED)))
		return true;
	return !c->unknown_fields_ok && (s->field_count > 0 || (scope && scope->s->field_count > 0));
}

static void push_name(struct buf *path, const char *name)
{
	if (path->len > 0)
		buf_ch(path, '.');
	for (size_t i = 0; i < 64 && name[i]; i++)
		buf_ch(path, (unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i]);
}

static void pop(struct buf *path, size_t len)
{
	if (!buf_failed(path))
		path->p[path->len = len] = '\0';
}

static int check_member(struct ct_check *v, const struct ct_schema *s, const js *member, const struct ct_scope *scope)
{
	const char *name = js_key(member);
	const struct ct_field *field = own_field(v->c, s, name);
	size_t len = v->path.len;
	int rc = 0;

	push_name(&v->path, name);
	if (field) {
		rc = ct_check_value(v, field->schema, member, NULL);
	} else if ((s->flags & CT_MAP) && s->items != CT_NONE && !known_around(v->c, scope, name)) {
		rc = ct_check_value(v, s->items, member, NULL);
	} else if (is_closed(v->c, s, scope) && !known_around(v->c, scope, name)) {
		ct_check_fail(v, "is not a known field");
		rc = unknown_hint(v, s, scope, name);
	}
	pop(&v->path, len);
	return rc;
}

static int check_required(struct ct_check *v, const struct ct_schema *s, const js *value)
{
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct ct_field *f = &v->c->fields[s->fields + i];
		const char *name = ct_s(v->c, f->name);
		if (!f->required || js_get(value, name))
			continue;
		size_t len = v->path.len;
		push_name(&v->path, name);
		int rc = ct_check_fail(v, "is required");
		pop(&v->path, len);
		return rc;
	}
	return 0;
}

int ct_check_object(struct ct_check *v, const struct ct_schema *s, const js *value, const struct ct_scope *scope)
{
	size_t n = js_count(value);

	if (n < s->min_len)
		return ct_check_fail(v, n == 0 ? "must not be empty" : "must have at least %u members", s->min_len);
	if (n > s->max_len)
		return ct_check_fail(v, "must have at most %u members", s->max_len);
	js_each (m, value) {
		if (check_member(v, s, m, scope) != 0)
			return -1;
	}
	return check_required(v, s, value);
}
