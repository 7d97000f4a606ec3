/* draft: the keys about the value itself: type, enum, const, default, format, limits, flags. */
#include "shared/gen/draft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

static const char *const type_names[] = { "any", "null", "boolean", "integer", "number", "string", "array", "object" };

static const struct {
	const char *name;
	enum ct_format format;
} formats[] = {
	{ "int32", CT_FMT_INT32 },
	{ "int64", CT_FMT_INT64 },
	{ "float", CT_FMT_FLOAT },
	{ "double", CT_FMT_DOUBLE },
	{ "date-time", CT_FMT_DATE_TIME },
	{ "date", CT_FMT_DATE },
	{ "uuid", CT_FMT_UUID },
	{ "email", CT_FMT_EMAIL },
	{ "uri", CT_FMT_URI },
	{ "url", CT_FMT_URI },
	{ "byte", CT_FMT_BYTE },
	{ "binary", CT_FMT_BINARY },
	{ "password", CT_FMT_PASSWORD },
	{ "hostname", CT_FMT_HOSTNAME },
	{ "ipv4", CT_FMT_IPV4 },
};

static int add_type(struct model *m, const struct yt_node *at, struct draft *d, unsigned *types)
{
	const char *name = yt_scalar(at);

	for (unsigned i = CT_NULL; name && i <= CT_OBJECT; i++) {
		if (strcmp(name, type_names[i]) != 0)
			continue;
		if (i == CT_NULL)
			d->s.flags |= CT_NULLABLE;
		else
			*types |= 1u << i;
		return 0;
	}
	return yt_error(m->doc, at, m->err, "'%s' is not a type", name ? name : yt_kind_name(at->kind));
}

static int read_type(struct model *m, const struct yt_node *node, struct draft *d)
{
	const struct yt_node *type = yt_get(node, "type");
	unsigned types = 0;

	if (!type)
		return 0;
	if (type->kind == YT_SEQ) {
		for (const struct yt_node *t = type->first; t; t = t->next) {
			if (add_type(m, t, d, &types) != 0)
				return -1;
		}
	} else if (add_type(m, type, d, &types) != 0) {
		return -1;
	}
	if (types == 0)
		types = 1u << CT_NULL;
	if (types & (1u << CT_NUMBER)) /* every integer is a number */
		types |= d->types & (1u << CT_INTEGER);
	if (d->types & (1u << CT_NUMBER))
		d->types |= types & (1u << CT_INTEGER);
	if (d->types)
		types &= d->types;
	if (types == 0)
		return yt_error(m->doc, type, m->err, "contradicts the type of another part of the schema");
	d->types = types;
	return 0;
}

/* A value written in the document must be what the type says: catches `default: 1.10` for a string and `default: yes`. */
static bool fits_type(const struct yt_node *value, const struct draft *d)
{
	static const unsigned kinds[] = {
		[YT_MAP] = 1u << CT_OBJECT,
		[YT_SEQ] = 1u << CT_ARRAY,
		[YT_STRING] = 1u << CT_STRING,
		[YT_NUMBER] = 1u << CT_INTEGER | 1u << CT_NUMBER,
		[YT_BOOL] = 1u << CT_BOOLEAN,
		[YT_NULL] = ~0u,
	};

	return d->types == 0 || (d->types & kinds[value->kind]);
}

static const char *misfit(const struct yt_node *value, const struct draft *d)
{
	return d->types & (1u << CT_STRING) && value->text ? "does not fit the type of the schema: put it in quotes"
							   : "does not fit the type of the schema";
}

static int json_text(struct model *m, const struct yt_node *value, const struct draft *d, ct_str *out)
{
	auto_buf json = BUF_INIT;

	if (!fits_type(value, d))
		return yt_error(m->doc, value, m->err, "%s %s", yt_kind_name(value->kind), misfit(value, d));
	yt_json(value, &json);
	*out = model_str(m, json.p);
	return 0;
}

static int read_enum(struct model *m, const struct yt_node *node, struct draft *d)
{
	const struct yt_node *list = yt_get(node, "enum");
	vec(ct_str) kept = { 0 };
	int rc = 0;

	if (!list)
		return 0;
	if (list->kind != YT_SEQ || list->count == 0)
		return yt_error(m->doc, list, m->err, "must be a list of values");
	for (const struct yt_node *v = list->first; v && rc == 0; v = v->next) {
		ct_str text = 0;
		rc = json_text(m, v, d, &text);
		bool keep = !d->has_enum; /* a second enum in an allOf leaves what both have */
		for (uint32_t i = 0; d->has_enum && i < d->enums.n; i++)
			keep = keep || d->enums.p[i] == text;
		if (v->kind == YT_NULL)
			d->s.flags |= CT_NULLABLE; /* said by the flag, not by the list */
		else if (rc == 0 && keep)
			vec_add(&kept, text);
	}
	d->enums.n = 0;
	vec_join(&d->enums, &kept);
	vec_free(&kept);
	d->has_enum = true;
	return rc;
}

static int read_values(struct model *m, const struct yt_node *node, struct draft *d)
{
	const struct yt_node *def = yt_get(node, "default");
	const struct yt_node *constant = yt_get(node, "const");

	if (def && !fits_type(def, d)) {
		if (model_fault(m, def, "%s %s", yt_kind_name(def->kind), misfit(def, d)) != 0)
			return -1;
	} else if (def) {
		if (json_text(m, def, d, &d->s.def) != 0)
			return -1;
		d->s.flags |= CT_HAS_DEFAULT;
	}
	if (constant && json_text(m, constant, d, &d->s.constant) != 0)
		return -1;
	return read_enum(m, node, d);
}

static int read_double(struct model *m, const struct yt_node *at, double *out)
{
	if (at->kind != YT_NUMBER)
		return yt_error(m->doc, at, m->err, "must be a number");
	*out = strtod(at->text, NULL);
	if (!isfinite(*out))
		return yt_error(m->doc, at, m->err, "is too large");
	return 0;
}

/* minimum and exclusiveMinimum (or the maximum pair) in both styles: 3.0 has a boolean beside, 3.1 a number of its own. */
static int read_bound(struct model *m, const struct yt_node *node, struct draft *d, bool upper)
{
	const struct yt_node *plain = yt_get(node, upper ? "maximum" : "minimum");
	const struct yt_node *excl = yt_get(node, upper ? "exclusiveMaximum" : "exclusiveMinimum");
	unsigned has = upper ? CT_HAS_MAX : CT_HAS_MIN, strict = upper ? CT_EXCL_MAX : CT_EXCL_MIN;
	double *slot = upper ? &d->s.max : &d->s.min;
	const struct yt_node *list[2] = { plain, excl && excl->kind != YT_BOOL ? excl : NULL };

	for (int i = 0; i < 2; i++) {
		double v = 0;
		if (!list[i])
			continue;
		if (read_double(m, list[i], &v) != 0)
			return -1;
		bool is_strict = i == 1 || yt_bool(excl, false);
		bool tighter = !(d->s.flags & has) || (upper ? v < *slot : v > *slot) || (v == *slot && is_strict);
		if (!tighter)
			continue;
		*slot = v;
		d->s.flags = (uint16_t)((d->s.flags & ~strict) | has | (is_strict ? strict : 0));
	}
	return 0;
}

static int read_lengths(struct model *m, const struct yt_node *node, struct draft *d)
{
	static const char *const keys[][2] = { { "minLength", "maxLength" }, { "minItems", "maxItems" },
		{ "minProperties", "maxProperties" } };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (int upper = 0; upper < 2; upper++) {
			const struct yt_node *at = yt_get(node, keys[i][upper]);
			double v = 0;
			if (!at)
				continue;
			if (read_double(m, at, &v) != 0)
				return -1;
			if (v < 0 || v >= UINT32_MAX || v != floor(v))
				return yt_error(m->doc, at, m->err, "must be a whole number from 0");
			if (upper && v < d->s.max_len)
				d->s.max_len = (uint32_t)v;
			if (!upper && v > d->s.min_len)
				d->s.min_len = (uint32_t)v;
		}
	}
	return 0;
}

static int read_text_rules(struct model *m, const struct yt_node *node, struct draft *d)
{
	const struct yt_node *pattern = yt_get(node, "pattern");
	const char *format = yt_str(yt_get(node, "format"));

	for (size_t i = 0; format && i < ARRAY_LEN(formats); i++) {
		if (strcmp(format, formats[i].name) == 0)
			d->s.format = (uint8_t)formats[i].format;
	}
	if (d->s.format == CT_FMT_PASSWORD)
		d->s.flags |= CT_SECRET;
	if (!pattern)
		return 0;
	if (!yt_str(pattern))
		return yt_error(m->doc, pattern, m->err, "must be a string");
	auto_buf ere = BUF_INIT;
	struct err why = ERR_INIT;
	if (pattern_translate(pattern->text, &ere, &why) != 0)
		return yt_error(m->doc, pattern, m->err, "%s", why.msg);
	d->s.pattern = model_str(m, ere.p);
	return 0;
}

static int read_flags(struct model *m, const struct yt_node *node, struct draft *d)
{
	static const struct {
		const char *key;
		unsigned flag;
	} flags[] = {
		{ "nullable", CT_NULLABLE },
		{ "uniqueItems", CT_UNIQUE },
		{ "readOnly", CT_READ_ONLY },
		{ "writeOnly", CT_WRITE_ONLY },
		{ "deprecated", CT_DEPRECATED },
		{ "x-sbx-secret", CT_SECRET },
	};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const struct yt_node *at = yt_get(node, flags[i].key);
		if (at && at->kind != YT_BOOL)
			return yt_error(m->doc, at, m->err, "must be true or false");
		if (yt_bool(at, false))
			d->s.flags = (uint16_t)(d->s.flags | flags[i].flag);
	}
	ct_str brief = model_text(m, node, "x-sbx-short");
	if (brief)
		d->s.brief = brief;
	ct_str description = model_text(m, node, "description");
	if (description)
		d->s.description = description;
	return 0;
}

static int read_columns(struct model *m, struct yt_node *node, struct draft *d)
{
	struct yt_node *list;

	if (model_member(m, node, "x-sbx-columns", YT_SEQ, &list) != 0)
		return -1;
	if (list)
		vec_free(&d->columns);
	for (const struct yt_node *c = list ? list->first : NULL; c; c = c->next) {
		if (!yt_str(c))
			return yt_error(m->doc, c, m->err, "must be the name of a property");
		vec_add(&d->columns, model_str(m, c->text));
	}
	return 0;
}

int draft_value(struct model *m, struct yt_node *node, struct draft *d)
{
	if (read_type(m, node, d) != 0 || read_values(m, node, d) != 0 || read_text_rules(m, node, d) != 0)
		return -1;
	if (read_bound(m, node, d, false) != 0 || read_bound(m, node, d, true) != 0)
		return -1;
	return read_lengths(m, node, d) != 0 || read_columns(m, node, d) != 0 ? -1 : read_flags(m, node, d);
}
