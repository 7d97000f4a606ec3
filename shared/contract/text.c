/* contract: parameters, which come as text: written as the JSON that their schema asks for, and checked as that. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/contract/internal.h"

static bool is_json_number(const char *s)
{
	char *end;

	if (*s != '-' && !isdigit((unsigned char)*s))
		return false;
	if (s[*s == '-'] == '0' && isdigit((unsigned char)s[1 + (*s == '-')]))
		return false;
	(void)strtod(s, &end);
	return *end == '\0' && strspn(s, "0123456789+-.eE") == strlen(s);
}

static bool is_json(const char *s)
{
	auto_js *v = js_parse(s, strlen(s), JS_LIMITS_DEFAULT, NULL);

	return v != NULL;
}

static void item_json(const struct contract *c, uint32_t schema, const char *s, size_t n, struct buf *out);

/* The first alternative under which the text is valid decides what it is. */
static bool choice_json(const struct contract *c, const struct ct_schema *s, const char *text, struct buf *out)
{
	for (uint32_t i = 0; i < s->one_of_count; i++) {
		uint32_t alternative = c->index_pool[s->one_of + i];
		auto_buf json = BUF_INIT;
		if (c->schemas[alternative].one_of_count > 0)
			continue;
		item_json(c, alternative, text, strlen(text), &json);
		auto_js *v = js_parse(json.p, json.len, JS_LIMITS_DEFAULT, NULL);
		if (!v || ct_validate(c, alternative, v, NULL) != 0)
			continue;
		buf_add(out, json.p, json.len);
		return true;
	}
	return false;
}

static void array_json(const struct contract *c, const struct ct_schema *s, const char *text, struct buf *out)
{
	buf_ch(out, '[');
	while (*text) {
		size_t n = strcspn(text, ",");
		item_json(c, s->items, text, n, out);
		text += n;
		if (*text == ',' && text++)
			buf_ch(out, ',');
		if (*text == '\0' && text[-1] == ',')
			item_json(c, s->items, text, 0, out);
	}
	buf_ch(out, ']');
}

/* Text that is not what the schema wants becomes a string: the check then says what it should have been. An array in an
 * array has no separator of its own, so below the top there are only plain values. */
static void text_json(const struct contract *c, uint32_t schema, const char *text, bool top, struct buf *out)
{
	const struct ct_schema *s = schema == CT_NONE ? NULL : &c->schemas[schema];
	uint8_t type = s ? s->type : CT_ANY;
	bool raw = ((type == CT_INTEGER || type == CT_NUMBER) && is_json_number(text)) ||
		(type == CT_BOOLEAN && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) ||
		(type == CT_OBJECT && *text == '{' && is_json(text));

	if (raw) {
		buf_str(out, text);
	} else if (top && type == CT_ARRAY) {
		array_json(c, s, text, out);
	} else if (!(top && s && s->one_of_count > 0 && choice_json(c, s, text, out))) {
		struct jw w;
		jw_init(&w, out);
		jw_str(&w, text);
	}
}

static void item_json(const struct contract *c, uint32_t schema, const char *s, size_t n, struct buf *out)
{
	auto_free char *item = mem_try(n + 1);

	if (!item) {
		out->failed = true;
		return;
	}
	memcpy(item, s, n);
	item[n] = '\0';
	text_json(c, schema, item, false, out);
}

int ct_validate_text(const struct contract *c, const struct ct_param *p, const char *text, struct err *err)
{
	struct ct_check v = { .c = c, .err = err, .path = BUF_INIT };
	auto_buf json = BUF_INIT;
	const struct ct_schema *s = &c->schemas[p->schema];
	uint32_t schema = s->type == CT_ARRAY && p->explode ? s->items : p->schema;

	if (!utf8_valid(text, strlen(text)))
		return err_set(err, ERR_INVALID, "'%s' must be UTF-8", ct_s(c, p->name));
	if (schema == CT_NONE)
		return 0;
	text_json(c, schema, text, true, &json);
	auto_js *value = buf_failed(&json) ? NULL : js_parse(json.p, json.len, JS_LIMITS_DEFAULT, err);
	if (!value)
		return err_set(err, ERR_TOO_LARGE, "'%s' is too large", ct_s(c, p->name));
	buf_str(&v.path, ct_s(c, p->name));
	int rc = ct_check_value(&v, schema, value, NULL);
	buf_free(&v.path);
	return rc;
}
