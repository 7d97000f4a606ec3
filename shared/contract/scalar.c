/* contract: constants, enums, numbers and strings. */
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "shared/contract/internal.h"

bool ct_equals_text(const js *value, const char *json)
{
	if (js_type(value) == JS_NUMBER) {
		char *end;
		double n = strtod(json, &end);
		return end != json && *end == '\0' && n == js_num(value, NAN);
	}
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_js(&w, value);
	return !buf_failed(&text) && strcmp(text.p, json) == 0;
}

/* "running, stopped": the values without their quotes. */
static void list_values(const struct contract *c, const struct ct_schema *s, struct buf *out)
{
	for (uint32_t i = 0; i < s->enum_count; i++) {
		const char *json = ct_s(c, c->enum_pool[s->enums + i]);
		size_t n = strlen(json);
		bool quoted = n >= 2 && *json == '"';
		buf_str(out, i > 0 ? ", " : "");
		buf_add(out, json + quoted, quoted ? n - 2 : n);
	}
}

int ct_check_listed(const struct ct_check *v, const struct ct_schema *s, const js *value)
{
	if (s->constant && !ct_equals_text(value, ct_s(v->c, s->constant)))
		return ct_check_fail(v, "must be %s", ct_s(v->c, s->constant));
	if (s->enum_count == 0)
		return 0;
	for (uint32_t i = 0; i < s->enum_count; i++) {
		if (ct_equals_text(value, ct_s(v->c, v->c->enum_pool[s->enums + i])))
			return 0;
	}
	auto_buf list = BUF_INIT;
	list_values(v->c, s, &list);
	return ct_check_fail(v, s->enum_count == 1 ? "must be %s" : "must be one of %s", list.p);
}

int ct_check_number(const struct ct_check *v, const struct ct_schema *s, const js *value)
{
	double n = js_num(value, NAN);
	double lo = -INFINITY, hi = INFINITY;

	if (s->format == CT_FMT_INT32) {
		lo = INT32_MIN;
		hi = INT32_MAX;
	}
	if ((s->flags & CT_HAS_MIN) && s->min > lo)
		lo = s->min;
	if ((s->flags & CT_HAS_MAX) && s->max < hi)
		hi = s->max;
	if (n < lo || ((s->flags & CT_EXCL_MIN) && n == lo))
		return ct_check_fail(v, "must be %s %.15g", s->flags & CT_EXCL_MIN ? "more than" : "at least", lo);
	if (n > hi || ((s->flags & CT_EXCL_MAX) && n == hi))
		return ct_check_fail(v, "must be %s %.15g", s->flags & CT_EXCL_MAX ? "less than" : "at most", hi);
	return 0;
}

/* Code points of UTF-8 that is known to be valid. */
static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static int check_pattern(const struct ct_check *v, const char *pattern, const char *text)
{
	regex_t re;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return err_set(v->err, ERR_INTERNAL, "pattern '%s' does not compile", pattern);
	int rc = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	return rc == 0 ? 0 : ct_check_fail(v, "must match %s", pattern);
}

int ct_check_string(const struct ct_check *v, const struct ct_schema *s, const js *value)
{
	const char *text = js_str(value, "");
	size_t n = s->min_len > 0 || s->max_len != UINT32_MAX ? characters(text) : 0;

	if (n < s->min_len && n == 0)
		return ct_check_fail(v, "must not be empty");
	if (n < s->min_len)
		return ct_check_fail(v, "must have at least %u characters", s->min_len);
	if (n > s->max_len)
		return ct_check_fail(v, "must have at most %u characters", s->max_len);
	if (s->format && !ct_format_ok(s->format, text))
		return ct_check_fail(v, "must be %s", ct_format_phrase(s->format));
	return s->pattern ? check_pattern(v, ct_s(v->c, s->pattern), text) : 0;
}
