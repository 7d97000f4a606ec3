/*
 * model: schemas. A component has its slot before anything is read, so that a $ref to it is just a number. An inline schema is
 * read once (its node's mark remembers the index) and stored once if an equal one exists. A node met again while it is
 * being read (possible through $ref with siblings, or allOf) gets a slot of its own at that moment, which ends the cycle.
 */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/gen/draft.h"

enum { MARK_NEW, MARK_BUSY, MARK_INDEX }; /* MARK_INDEX + index: known */
#define DEPTH_MAX 200

static bool single_type(unsigned types)
{
	return types != 0 && (types & (types - 1)) == 0;
}

static uint8_t type_of(unsigned types)
{
	uint8_t t = CT_ANY;

	while (types >>= 1)
		t++;
	return t;
}

/* A type that follows from the other keys. */
static uint8_t guess_type(const struct model *m, const struct draft *d)
{
	if (d->fields.n > 0 || (d->s.flags & (CT_MAP | CT_CLOSED)))
		return CT_OBJECT;
	if (d->s.items != CT_NONE)
		return CT_ARRAY;
	for (uint32_t i = 0; i < d->enums.n; i++) {
		if (model_s(m, d->enums.p[i])[0] != '"')
			return CT_ANY;
	}
	return d->enums.n > 0 ? CT_STRING : CT_ANY;
}

static int store(struct model *m, struct draft *d, uint32_t *slot);

/* type: [string, integer] as alternatives; the limits stay in the schema itself and apply to whatever the value is. */
static int split_types(struct model *m, const struct yt_node *node, struct draft *d)
{
	if (d->alternatives.n > 0)
		return yt_error(m->doc, node, m->err, "several types beside oneOf or anyOf are not supported");
	for (unsigned t = CT_BOOLEAN; t <= CT_OBJECT; t++) {
		if (!(d->types & (1u << t)) || (t == CT_INTEGER && (d->types & (1u << CT_NUMBER))))
			continue;
		struct draft alt;
		uint32_t index = CT_NONE;
		draft_init(&alt);
		alt.s.type = (uint8_t)t;
		if (store(m, &alt, &index) != 0)
			return -1;
		vec_add(&d->alternatives, index);
	}
	d->s.any_of = true;
	return 0;
}

static int apply_required(struct model *m, struct draft *d)
{
	bool listed = d->fields.n > 0 && d->alternatives.n == 0 && !(d->s.flags & CT_MAP);
	uint32_t any = CT_NONE;

	for (uint32_t r = 0; r < d->required.n; r++) {
		ct_str name = d->required.p[r].name;
		uint32_t i = 0;
		while (i < d->fields.n && d->fields.p[i].name != name)
			i++;
		if (i < d->fields.n) {
			d->fields.p[i].required = true;
			continue;
		}
		if (listed)
			return yt_error(m->doc, d->required.p[r].at, m->err, "'%s' is not among the properties", model_s(m, name));
		struct draft anything;
		draft_init(&anything);
		if (any == CT_NONE && store(m, &anything, &any) != 0)
			return -1;
		vec_add(&d->fields, ((struct ct_field){ .name = name, .schema = any, .required = true }));
	}
	return 0;
}

/* All that makes a schema what it is, as bytes: equal bytes, equal schema. */
static void describe(const struct draft *d, struct buf *out)
{
	const struct ct_schema *s = &d->s;

	buf_fmt(out, "%u %u %u %u %u %u %u %u %a %a %u %u %u %d", s->type, s->format, s->flags, s->name, s->description, s->pattern,
		s->def, s->constant, s->min, s->max, s->min_len, s->max_len, s->items, s->any_of);
	for (uint32_t i = 0; i < d->fields.n; i++)
		buf_fmt(out, " f%u:%u:%d", d->fields.p[i].name, d->fields.p[i].schema, d->fields.p[i].required);
	for (uint32_t i = 0; i < d->enums.n; i++)
		buf_fmt(out, " e%u", d->enums.p[i]);
	for (uint32_t i = 0; i < d->alternatives.n; i++)
		buf_fmt(out, " o%u", d->alternatives.p[i]);
	for (uint32_t i = 0; i < d->columns.n; i++)
		buf_fmt(out, " c%u", d->columns.p[i]);
	buf_fmt(out, " s%u", s->brief);
}

/* Into *slot, or if that is CT_NONE into a new one or that of an equal schema. */
static int store(struct model *m, struct draft *d, uint32_t *slot)
{
	bool fresh = true;

	if (*slot == CT_NONE) {
		auto_buf key = BUF_INIT;
		describe(d, &key);
		struct cons_entry *e = cons_add(&m->known_schemas, key.p, key.len, &fresh);
		if (fresh) {
			e->value = m->schemas.n;
			vec_add(&m->schemas, d->s);
		}
		*slot = e->value;
	}
	if (!fresh)
		return 0;
	d->s.fields = m->fields.n;
	d->s.field_count = d->fields.n;
	vec_join(&m->fields, &d->fields);
	d->s.enums = m->enum_pool.n;
	d->s.enum_count = d->enums.n;
	vec_join(&m->enum_pool, &d->enums);
	d->s.columns = m->enum_pool.n;
	d->s.column_count = d->columns.n;
	vec_join(&m->enum_pool, &d->columns);
	d->s.one_of = m->index_pool.n;
	d->s.one_of_count = d->alternatives.n;
	vec_join(&m->index_pool, &d->alternatives);
	m->schemas.p[*slot] = d->s;
	return 0;
}

/* Read node and finish it; *slot as for store. */
static int build(struct model *m, struct yt_node *node, ct_str name, uint32_t *slot)
{
	struct draft d;

	draft_init(&d);
	int rc = draft_read(m, node, &d, 0);
	if (rc == 0) {
		if (name)
			d.s.name = name;
		if (d.types == 0)
			d.s.type = guess_type(m, &d);
		else if (single_type(d.types) || d.types == (1u << CT_NUMBER | 1u << CT_INTEGER))
			d.s.type = single_type(d.types) ? type_of(d.types) : CT_NUMBER;
		else
			rc = split_types(m, node, &d);
	}
	if (rc == 0)
		rc = apply_required(m, &d);
	if (rc == 0 && node->mark >= MARK_INDEX) /* a slot was given away meanwhile */
		*slot = node->mark - MARK_INDEX;
	if (rc == 0)
		rc = store(m, &d, slot);
	draft_free(&d);
	return rc;
}

int model_components(struct model *m)
{
	struct yt_node *components = yt_get(yt_root(m->doc), "components");
	struct yt_node *all;

	if (model_member(m, components, "schemas", YT_MAP, &all) != 0)
		return -1;
	for (struct yt_node *c = all ? all->first : NULL; c; c = c->next) {
		c->mark = MARK_INDEX + m->schemas.n;
		vec_add(&m->schemas, ((struct ct_schema){ .items = CT_NONE, .max_len = UINT32_MAX }));
	}
	for (struct yt_node *c = all ? all->first : NULL; c; c = c->next) {
		uint32_t slot = c->mark - MARK_INDEX;
		if (build(m, c, model_str(m, c->key), &slot) != 0)
			return -1;
	}
	return 0;
}

int model_schema(struct model *m, struct yt_node *n, uint32_t *index)
{
	if (yt_get(n, "$ref") && n->count == 1) {
		if (model_deref(m, &n, "schemas") != 0)
			return -1;
		*index = n->mark - MARK_INDEX;
		return 0;
	}
	if (n->mark == MARK_BUSY) {
		n->mark = MARK_INDEX + m->schemas.n;
		vec_add(&m->schemas, ((struct ct_schema){ .items = CT_NONE, .max_len = UINT32_MAX }));
	}
	if (n->mark >= MARK_INDEX) {
		*index = n->mark - MARK_INDEX;
		return 0;
	}
	if (++m->depth > DEPTH_MAX)
		return yt_error(m->doc, n, m->err, "schemas are nested too deeply");
	n->mark = MARK_BUSY;
	*index = CT_NONE;
	if (build(m, n, 0, index) != 0)
		return -1;
	n->mark = MARK_INDEX + *index;
	m->depth--;
	return 0;
}
