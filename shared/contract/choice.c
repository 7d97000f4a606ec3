/*
 * contract: oneOf and anyOf. The first alternative that fits is enough. When none does, the error is that of the alternative
 * that was meant: the one whose constant members agree with the value, or the only one of the right type.
 */
#include <stdlib.h>
#include <string.h>

#include "shared/contract/internal.h"

enum { WRONG, POSSIBLE, MEANT };

/* A constant as an enum of one value or a const; NULL when the schema allows more. */
static const char *only_value(const struct contract *c, const struct ct_schema *s)
{
	if (s->constant)
		return ct_s(c, s->constant);
	return s->enum_count == 1 ? ct_s(c, c->enum_pool[s->enums]) : NULL;
}

static int rank(const struct contract *c, const struct ct_schema *s, const js *value)
{
	int result = POSSIBLE;

	if (!ct_type_fits(s, value))
		return WRONG;
	if (js_type(value) != JS_OBJECT)
		return POSSIBLE;
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct ct_field *f = &c->fields[s->fields + i];
		const char *constant = only_value(c, &c->schemas[f->schema]);
		const js *have = constant ? js_get(value, ct_s(c, f->name)) : NULL;
		if (!have)
			continue;
		if (!ct_equals_text(have, constant))
			return WRONG;
		result = MEANT;
	}
	return result;
}

/* "must be a string or an array" */
static int type_list(const struct ct_check *v, const struct ct_schema *s)
{
	auto_buf list = BUF_INIT;

	for (uint32_t i = 0; i < s->one_of_count; i++) {
		const char *phrase = ct_type_phrase(v->c->schemas[v->c->index_pool[s->one_of + i]].type);
		if (!strstr(list.p, phrase))
			buf_fmt(&list, "%s%s", list.len > 0 ? " or " : "", phrase);
	}
	return ct_check_fail(v, "must be %s", list.p);
}

int ct_check_choice(struct ct_check *v, const struct ct_schema *s, const js *value, const struct ct_scope *scope)
{
	struct ct_scope here = { .s = s, .up = scope };
	struct err *outer = v->err;
	struct err best = ERR_INIT;
	int best_rank = WRONG;
	unsigned ties = 0;
	bool right_type = false;

	for (uint32_t i = 0; i < s->one_of_count; i++) {
		uint32_t alternative = v->c->index_pool[s->one_of + i];
		const struct ct_schema *a = &v->c->schemas[alternative];
		struct err e = ERR_INIT;
		v->err = &e;
		int rc = ct_check_value(v, alternative, value, &here);
		v->err = outer;
		if (rc == 0)
			return 0;
		right_type = right_type || ct_type_fits(a, value);
		int r = rank(v->c, a, value);
		ties = r > best_rank ? 1 : ties + (r == best_rank);
		if (r > best_rank) {
			best_rank = r;
			best = e;
		}
	}
	if (!right_type)
		return type_list(v, s);
	if (best_rank != WRONG && ties == 1) {
		if (v->err)
			*v->err = best;
		return -1;
	}
	ct_check_fail(v, "has none of its %u possible forms", s->one_of_count);
	return best_rank != WRONG ? err_hint(v->err, "the first: %s", best.msg) : -1;
}
