/* contract: a JSON value, or the text of a parameter, against a schema. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/contract/internal.h"

#define DEPTH_MAX 256
#define WORK_MAX 400000 /* nested alternatives multiply: a hostile value must not */

int ct_check_fail(const struct ct_check *v, const char *fmt, ...)
{
	auto_buf text = BUF_INIT;
	va_list ap;

	if (v->path.len > 0)
		buf_fmt(&text, "'%s' ", v->path.p);
	else
		buf_str(&text, "the body ");
	va_start(ap, fmt);
	buf_vfmt(&text, fmt, ap);
	va_end(ap);
	return err_set(v->err, ERR_INVALID, "%s", text.p);
}

const char *ct_type_phrase(uint8_t type)
{
	static const char *const phrases[] = { "anything", "null", "a boolean", "an integer", "a number", "a string", "an array",
		"an object" };

	return type < ARRAY_LEN(phrases) ? phrases[type] : phrases[0];
}

static bool is_integer(const js *value)
{
	double n = js_num(value, NAN);

	return n == floor(n); /* false for NaN */
}

bool ct_type_fits(const struct ct_schema *s, const js *value)
{
	static const uint8_t types[] = { [JS_NULL] = CT_NULL,
		[JS_BOOL] = CT_BOOLEAN,
		[JS_NUMBER] = CT_NUMBER,
		[JS_STRING] = CT_STRING,
		[JS_ARRAY] = CT_ARRAY,
		[JS_OBJECT] = CT_OBJECT };
	uint8_t have = types[js_type(value)];

	if (s->type == CT_ANY || s->type == have || (have == CT_NULL && (s->flags & CT_NULLABLE)))
		return true;
	return s->type == CT_INTEGER && have == CT_NUMBER && is_integer(value);
}

static int by_text(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* Sorted texts instead of comparing each with each: the number of items is the peer's choice. */
static int check_unique(const struct ct_check *v, const js *value)
{
	size_t count = js_count(value), n = 0;
	bool twice = false, failed = count > SIZE_MAX / sizeof(char *);
	char **texts = failed ? NULL : mem_try(count * sizeof(char *) + 1);

	failed = failed || !texts;
	for (const js *item = js_first(value); item && !failed; item = js_next(item)) {
		struct buf text = BUF_INIT;
		struct jw w;
		jw_init(&w, &text);
		jw_js(&w, item);
		texts[n] = buf_take(&text, NULL);
		failed = !texts[n];
		n += !failed;
	}
	if (!failed && n > 1)
		qsort(texts, n, sizeof(char *), by_text);
	for (size_t i = 1; i < n && !failed; i++)
		twice = twice || strcmp(texts[i - 1], texts[i]) == 0;
	while (n > 0)
		free(texts[--n]);
	free(texts);
	if (failed)
		return ct_check_fail(v, "is too large");
	return twice ? ct_check_fail(v, "must not have the same item twice") : 0;
}

static int check_array(struct ct_check *v, const struct ct_schema *s, const js *value)
{
	size_t n = js_count(value), i = 0, len = v->path.len;

	if (n < s->min_len)
		return ct_check_fail(v, n == 0 ? "must not be empty" : "must have at least %u items", s->min_len);
	if (n > s->max_len)
		return ct_check_fail(v, "must have at most %u items", s->max_len);
	for (const js *item = js_first(value); item && s->items != CT_NONE; item = js_next(item), i++) {
		buf_fmt(&v->path, "[%zu]", i);
		int rc = ct_check_value(v, s->items, item, NULL);
		if (!buf_failed(&v->path))
			v->path.p[v->path.len = len] = '\0';
		if (rc != 0)
			return -1;
	}
	return (s->flags & CT_UNIQUE) ? check_unique(v, value) : 0;
}

static int check_type(struct ct_check *v, const struct ct_schema *s, const js *value, const struct ct_scope *scope)
{
	switch (js_type(value)) {
	case JS_NUMBER:
		if (s->type == CT_INTEGER && fabs(js_num(value, 0)) > 9007199254740992.0)
			return ct_check_fail(v, "is too large");
		return ct_check_number(v, s, value);
	case JS_STRING:
		return ct_check_string(v, s, value);
	case JS_ARRAY:
		return check_array(v, s, value);
	case JS_OBJECT:
		return ct_check_object(v, s, value, scope);
	case JS_NULL:
	case JS_BOOL:
	default:
		return 0;
	}
}

int ct_check_value(struct ct_check *v, uint32_t schema, const js *value, const struct ct_scope *scope)
{
	const struct ct_schema *s = &v->c->schemas[schema];

	if (js_type(value) == JS_NULL && (s->flags & CT_NULLABLE))
		return 0;
	if (v->depth >= DEPTH_MAX || ++v->work > WORK_MAX)
		return ct_check_fail(v, "is too complex");
	if (!ct_type_fits(s, value))
		return ct_check_fail(v, "must be %s", ct_type_phrase(s->type));
	if (ct_check_listed(v, s, value) != 0)
		return -1;
	v->depth++;
	int rc = check_type(v, s, value, scope);
	if (rc == 0 && s->one_of_count > 0)
		rc = ct_check_choice(v, s, value, scope);
	v->depth--;
	return rc;
}

int ct_validate(const struct contract *c, uint32_t schema, const js *value, struct err *err)
{
	struct ct_check v = { .c = c, .err = err, .path = BUF_INIT };

	if (schema == CT_NONE)
		return 0;
	int rc = ct_check_value(&v, schema, value, NULL);
	buf_free(&v.path);
	return rc;
}
