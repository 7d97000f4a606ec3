#include "cli/api/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"

static void put_string(struct buf *out, const char *text, size_t n)
{
	struct jw w;
	jw_init(&w, out);
	jw_strn(&w, text, n);
}

static bool is_json(const char *text)
{
	auto_js *v = js_parse(text, strlen(text), JS_LIMITS_DEFAULT, NULL);
	return v != NULL;
}

/* "external:internal" of "443:3000": what comes after the last name may hold colons; trailing parts may be missing. */
static int short_json(const struct contract *c, uint32_t schema, const char *text, struct buf *out, struct err *err)
{
	const struct ct_schema *s = &c->schemas[schema];
	const char *names = ct_s(c, s->brief), *at = text;
	buf_ch(out, '{');
	for (const char *name = names; *name;) {
		size_t n = strcspn(name, ":");
		bool last = name[n] == '\0';
		size_t len = last ? strlen(at) : strcspn(at, ":");
		auto_free char *key = mem_strndup(name, n);
		auto_free char *part = mem_strndup(at, len);
		const struct ct_field *field = ct_find_field(c, schema, key);
		if (len == 0 && field && field->required) {
			err_set(err, ERR_USAGE, "'%s' is not of the form %s", text, names);
			return -1;
		}
		if (len > 0 && field) {
			buf_str(out, out->p[out->len - 1] == '{' ? "" : ",");
			put_string(out, key, n);
			buf_ch(out, ':');
			if (value_json(c, field->schema, part, out, err))
				return -1;
		}
		at += len + (at[len] == ':');
		name += n + !last;
	}
	buf_ch(out, '}');
	return 0;
}

/* The word as the one constant member of an alternative: "sticky" for {"type": "sticky"}. */
static bool word_json(const struct contract *c, uint32_t schema, const char *text, struct buf *out)
{
	const struct ct_schema *s = &c->schemas[schema];
	auto_buf word = BUF_INIT;
	put_string(&word, text, strlen(text));
	for (uint32_t i = 0; s->type == CT_OBJECT && i < s->field_count; i++) {
		const struct ct_field *field = &c->fields[s->fields + i];
		const struct ct_schema *v = &c->schemas[field->schema];
		const char *only = v->constant ? ct_s(c, v->constant) : v->enum_count == 1 ? ct_s(c, c->enum_pool[v->enums]) : "";
		if (strcmp(only, word.p) != 0)
			continue;
		buf_ch(out, '{');
		put_string(out, ct_s(c, field->name), strlen(ct_s(c, field->name)));
		buf_fmt(out, ":%s}", word.p);
		return true;
	}
	return false;
}

/* The first alternative under which the text is valid. */
static bool choice_json(const struct contract *c, const struct ct_schema *s, const char *text, struct buf *out)
{
	for (uint32_t i = 0; i < s->one_of_count; i++) {
		uint32_t alternative = c->index_pool[s->one_of + i];
		auto_buf json = BUF_INIT;
		if (!word_json(c, alternative, text, &json) && value_json(c, alternative, text, &json, NULL))
			continue;
		auto_js *v = js_parse(json.p, json.len, JS_LIMITS_DEFAULT, NULL);
		if (!v || ct_validate(c, alternative, v, NULL) != 0)
			continue;
		buf_add(out, json.p, json.len);
		return true;
	}
	return false;
}

static bool is_number(const char *s)
{
	char *end;
	if (*s != '-' && !isdigit((unsigned char)*s))
		return false;
	(void)strtod(s, &end);
	return *end == '\0' && strspn(s, "0123456789+-.eE") == strlen(s) && is_json(s);
}

int value_json(
	const struct contract *c, uint32_t schema, const char *text, struct buf *out, struct err *err) // NOLINT(misc-no-recursion)
{
	const struct ct_schema *s = schema == CT_NONE ? NULL : &c->schemas[schema];
	uint8_t type = s ? s->type : CT_ANY;
	bool raw = false;
	switch (type) {
	case CT_INTEGER:
	case CT_NUMBER:
		raw = is_number(text);
		break;
	case CT_BOOLEAN:
		raw = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
		break;
	case CT_OBJECT:
	case CT_ARRAY:
		raw = (*text == '{' || *text == '[') && is_json(text);
		break;
	case CT_ANY:
		raw = (!s || s->one_of_count == 0) && is_json(text);
		break;
	default:
		break;
	}
	if (raw) {
		buf_str(out, text);
		return 0;
	}
	if (s && s->brief)
		return short_json(c, schema, text, out, err);
	if (s && s->one_of_count > 0 && choice_json(c, s, text, out))
		return 0;
	put_string(out, text, strlen(text));
	return 0;
}
