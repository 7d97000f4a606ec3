#include "cli/render/value.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"

/* Words that YAML 1.1 or 1.2 reads as something else than text. */
static const char *const words[] = { "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", "+.inf",
	".nan" };

static bool plain_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '_';
}

/* Text that needs no quotes: it begins with a letter, and holds nothing with a meaning in YAML. */
static bool is_plain(const char *s)
{
	if (!plain_start(*s))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	for (const char *c = s; *c; c++) {
		bool colon = *c == ':' && c[1] && c[1] != ' ';
		if (!plain_start(*c) && !(*c >= '0' && *c <= '9') && !strchr("-.+@= ", *c) && !colon)
			return false;
	}
	return s[strlen(s) - 1] != ' ';
}

/* Quoted text is JSON's, which YAML 1.2 contains; what JSON lets pass is escaped as well: C1 controls, and the separators that
 * YAML 1.1 takes for line breaks. */
static void text(struct buf *out, const char *s)
{
	if (is_plain(s)) {
		buf_str(out, s);
		return;
	}
	auto_buf quoted = BUF_INIT;
	struct jw w;
	jw_init(&w, &quoted);
	jw_str(&w, s);
	for (size_t i = 0; i < quoted.len; i++) {
		unsigned char c = (unsigned char)quoted.p[i], next = (unsigned char)quoted.p[i + 1];
		if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
			buf_fmt(out, "\\u%04x", next);
			i++;
		} else if (strncmp(quoted.p + i, "\xe2\x80\xa8", 3) == 0 || strncmp(quoted.p + i, "\xe2\x80\xa9", 3) == 0) {
			buf_str(out, (unsigned char)quoted.p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
			i += 2;
		} else if (c == 0x7f) {
			buf_str(out, "\\u007f");
		} else {
			buf_ch(out, (char)c);
		}
	}
}

static void scalar(struct buf *out, const js *v)
{
	if (js_type(v) == JS_STRING) {
		text(out, js_str(v, ""));
		return;
	}
	if (!js_first(v) && js_type(v) == JS_ARRAY) {
		buf_str(out, "[]");
		return;
	}
	if (js_type(v) == JS_OBJECT) {
		buf_str(out, "{}");
		return;
	}
	struct jw w;
	jw_init(&w, out);
	jw_js(&w, v);
}

static void members(struct buf *out, const js *v, unsigned depth, bool first_inline);

/* What follows "key:" or "-". */
static void nested(struct buf *out, const js *v, unsigned depth, bool in_list) /* NOLINT(misc-no-recursion) */
{
	if (!js_first(v) || (js_type(v) != JS_OBJECT && js_type(v) != JS_ARRAY)) {
		buf_ch(out, ' ');
		scalar(out, v);
		buf_ch(out, '\n');
		return;
	}
	buf_ch(out, in_list ? ' ' : '\n');
	members(out, v, depth + 1, in_list);
}

static void members(struct buf *out, const js *v, unsigned depth, bool first_inline) /* NOLINT(misc-no-recursion) */
{
	js_each (item, v) {
		if (item != js_first(v) || !first_inline)
			buf_fmt(out, "%*s", (int)depth * 2, "");
		if (js_type(v) == JS_OBJECT) {
			text(out, js_key(item));
			buf_ch(out, ':');
			nested(out, item, depth, false);
		} else {
			buf_ch(out, '-');
			nested(out, item, depth, true);
		}
	}
}

void render_yaml(struct buf *out, const js *v)
{
	if (js_first(v) && (js_type(v) == JS_OBJECT || js_type(v) == JS_ARRAY)) {
		members(out, v, 0, false);
		return;
	}
	scalar(out, v);
	buf_ch(out, '\n');
}
