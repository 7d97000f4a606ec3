/* draft: structure: $ref, allOf, oneOf/anyOf, properties, items, required. */
#include "shared/gen/draft.h"

#include <stdlib.h>
#include <string.h>

#define HOPS_MAX 32
#define WORK_MAX 200000

static const char *const schema_keys[] = { "$ref", "allOf", "oneOf", "anyOf", "type", "format", "title", "description", "default",
	"enum", "const", "nullable", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
	"maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "properties", "required",
	"additionalProperties", "propertyNames", "items", "readOnly", "writeOnly", "deprecated", "example", "examples",
	"externalDocs", "discriminator", "xml", "contentMediaType", "contentEncoding", "$comment", "x-sbx-secret", "x-sbx-columns",
	"x-sbx-short", NULL };

void draft_init(struct draft *d)
{
	*d = (struct draft){ .s = { .items = CT_NONE, .max_len = UINT32_MAX } };
}

void draft_free(struct draft *d)
{
	vec_free(&d->fields);
	vec_free(&d->enums);
	vec_free(&d->columns);
	vec_free(&d->alternatives);
	vec_free(&d->required);
}

/* A member; one of this name that is there gets the schema. */
static void add_field(struct draft *d, struct ct_field f)
{
	uint32_t i = 0;

	while (i < d->fields.n && d->fields.p[i].name != f.name)
		i++;
	if (i < d->fields.n)
		d->fields.p[i].schema = f.schema;
	else
		vec_add(&d->fields, f);
}

static int read_properties(struct model *m, struct yt_node *node, struct draft *d)
{
	struct yt_node *props;

	if (model_member(m, node, "properties", YT_MAP, &props) != 0)
		return -1;
	for (struct yt_node *p = props ? props->first : NULL; p; p = p->next) {
		struct ct_field f = { .name = model_str(m, p->key) };
		if (f.name == 0)
			return yt_error(m->doc, p, m->err, "a property needs a name");
		if (model_schema(m, p, &f.schema) != 0)
			return -1;
		add_field(d, f);
	}
	return 0;
}

static int read_required(struct model *m, struct yt_node *node, struct draft *d)
{
	struct yt_node *list;

	if (model_member(m, node, "required", YT_SEQ, &list) != 0)
		return -1;
	for (struct yt_node *r = list ? list->first : NULL; r; r = r->next) {
		const char *name = yt_scalar(r);
		if (!name || *name == '\0')
			return yt_error(m->doc, r, m->err, "must be the name of a property");
		vec_add(&d->required, ((struct draft_required){ .name = model_str(m, name), .at = r }));
	}
	return 0;
}

/* propertyNames with a list: a map of these names only, which is an object with them as its members. */
static int read_names(struct model *m, struct yt_node *node, struct draft *d)
{
	static const char *const keys[] = { "type", "enum", NULL };
	struct yt_node *names = yt_get(node, "propertyNames");
	struct yt_node *list;

	if (!names)
		return 0;
	if (model_check_keys(m, names, keys, "propertyNames") != 0 || model_member(m, names, "enum", YT_SEQ, &list) != 0)
		return -1;
	if (list && (!(d->s.flags & CT_MAP) || d->s.items == CT_NONE))
		return yt_error(m->doc, names, m->err, "a list of names needs additionalProperties with a schema");
	for (struct yt_node *n = list ? list->first : NULL; n; n = n->next) {
		if (!yt_str(n) || *yt_str(n) == '\0')
			return yt_error(m->doc, n, m->err, "must be a string");
		add_field(d, (struct ct_field){ .name = model_str(m, yt_str(n)), .schema = d->s.items });
	}
	if (list) {
		d->s.flags = (uint16_t)((d->s.flags & ~CT_MAP) | CT_CLOSED);
		d->s.items = CT_NONE;
	}
	return 0;
}

static int read_items(struct model *m, struct yt_node *node, struct draft *d)
{
	struct yt_node *items = yt_get(node, "items");
	struct yt_node *more = yt_get(node, "additionalProperties");

	if (items && model_schema(m, items, &d->s.items) != 0)
		return -1;
	if (!more)
		return 0;
	if (more->kind == YT_BOOL) {
		d->s.flags |= yt_bool(more, false) ? CT_MAP : CT_CLOSED;
		return 0;
	}
	d->s.flags |= CT_MAP;
	return more->kind == YT_MAP && more->count == 0 ? 0 : model_schema(m, more, &d->s.items);
}

static bool is_null_schema(const struct yt_node *n)
{
	const char *type = yt_scalar(yt_get(n, "type"));

	return type && strcmp(type, "null") == 0;
}

/* Only a list of strings and nothing else that restricts: alternatives of this kind together are one enum. */
static bool is_plain_enum(const struct yt_node *n)
{
	const char *type = yt_str(yt_get(n, "type"));
	const struct yt_node *values = yt_get(n, "enum");

	if (!type || strcmp(type, "string") != 0 || !values || values->kind != YT_SEQ)
		return false;
	for (const struct yt_node *c = n->first; c; c = c->next) {
		if (strcmp(c->key, "type") != 0 && strcmp(c->key, "enum") != 0 && strcmp(c->key, "description") != 0 &&
			strcmp(c->key, "title") != 0)
			return false;
	}
	return true;
}

struct alternatives {
	unsigned count, enums; /* without null; of these plain enums */
	struct yt_node *only;
	bool null;
};

static struct alternatives survey(const struct yt_node *list)
{
	struct alternatives a = { 0 };

	for (struct yt_node *n = list->first; n; n = n->next) {
		if (is_null_schema(n)) {
			a.null = true;
			continue;
		}
		a.count++;
		a.enums += is_plain_enum(n);
		a.only = n;
	}
	return a;
}

static int join_enums(struct model *m, struct yt_node *list, struct draft *d)
{
	if (d->has_enum)
		return yt_error(m->doc, list, m->err, "beside 'enum' is not supported");
	for (struct yt_node *n = list->first; n; n = n->next) {
		if (is_null_schema(n))
			continue;
		struct draft part;
		draft_init(&part);
		int rc = draft_value(m, n, &part);
		if (rc == 0)
			vec_join(&d->enums, &part.enums);
		draft_free(&part);
		if (rc != 0)
			return -1;
	}
	d->has_enum = true;
	d->types = 1u << CT_STRING;
	return 0;
}

static int read_alternatives(struct model *m, struct yt_node *node, struct draft *d, const char *key, unsigned hops)
{
	struct yt_node *list;

	if (model_member(m, node, key, YT_SEQ, &list) != 0)
		return -1;
	if (!list)
		return 0;
	struct alternatives a = survey(list);
	if (a.null)
		d->s.flags |= CT_NULLABLE;
	if (a.count == 0)
		return yt_error(m->doc, list, m->err, "needs an alternative that is not null");
	if (a.count == 1)
		return draft_read(m, a.only, d, hops + 1);
	if (a.enums == a.count)
		return join_enums(m, list, d);
	if (d->alternatives.n > 0)
		return yt_error(m->doc, list, m->err, "a second list of alternatives in one schema is not supported");
	for (struct yt_node *n = list->first; n; n = n->next) {
		uint32_t index;
		if (is_null_schema(n))
			continue;
		if (model_schema(m, n, &index) != 0)
			return -1;
		vec_add(&d->alternatives, index);
	}
	d->s.any_of = strcmp(key, "anyOf") == 0;
	return 0;
}

static int read_parts(struct model *m, struct yt_node *node, struct draft *d, unsigned hops)
{
	struct yt_node *ref = yt_get(node, "$ref");
	struct yt_node *parts;

	if (ref) {
		struct yt_node *target = node;
		if (model_deref(m, &target, "schemas") != 0 || draft_read(m, target, d, hops + 1) != 0)
			return -1;
		/* A copy of a component that says no more than what it is for, or that it may be null, keeps the name. */
		d->s.name = model_str(m, target->key);
	}
	if (model_member(m, node, "allOf", YT_SEQ, &parts) != 0)
		return -1;
	if (parts && parts->count == 0)
		return yt_error(m->doc, parts, m->err, "must not be empty");
	for (struct yt_node *p = parts ? parts->first : NULL; p; p = p->next) {
		if (draft_read(m, p, d, hops + 1) != 0)
			return -1;
	}
	if (parts && (parts->count > 1 || yt_get(node, "properties")))
		d->s.name = 0;
	return 0;
}

int draft_read(struct model *m, struct yt_node *node, struct draft *d, unsigned hops)
{
	if (hops > HOPS_MAX)
		return yt_error(m->doc, node, m->err, "the schema refers to itself by $ref or allOf");
	if (++m->work > WORK_MAX)
		return yt_error(m->doc, node, m->err, "the document is too complex");
	if (node->kind == YT_BOOL && yt_bool(node, false))
		return 0;
	if (model_check_keys(m, node, schema_keys, "a schema") != 0 || read_parts(m, node, d, hops) != 0)
		return -1;
	if (draft_value(m, node, d) != 0)
		return -1;
	if (read_alternatives(m, node, d, "oneOf", hops) != 0 || read_alternatives(m, node, d, "anyOf", hops) != 0)
		return -1;
	if (read_properties(m, node, d) != 0 || read_items(m, node, d) != 0 || read_names(m, node, d) != 0)
		return -1;
	return read_required(m, node, d);
}
