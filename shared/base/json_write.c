/* json_write: the writing half of json.h, and UTF-8. No cJSON here: the static guest agent links this file alone. */
#include "shared/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t utf8_len(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
		return 0;
	/* the second byte's range excludes overlong forms, surrogates and what is past U+10FFFF (Unicode, table 3-7) */
	unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool utf8_valid(const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_len(s + i, n - i);
		if (len == 0)
			return false;
	}
	return true;
}

void jw_init(struct jw *w, struct buf *out)
{
	memset(w, 0, sizeof(*w));
	w->out = out;
}

/* Before each item: the comma that is due. After a key none is due, so the same code serves values. */
static void item(struct jw *w)
{
	if (w->comma[w->depth])
		buf_ch(w->out, ',');
	w->comma[w->depth] = true;
}

static void open_level(struct jw *w, char c)
{
	item(w);
	if (w->depth == JW_DEPTH) {
		w->out->failed = true;
		return;
	}
	buf_ch(w->out, c);
	w->comma[++w->depth] = false;
}

/* A level too few or too many is the caller's mistake: the buffer fails rather than hold what is not JSON. */
static void close_level(struct jw *w, char c)
{
	if (w->depth == 0) {
		w->out->failed = true;
		return;
	}
	w->depth--;
	buf_ch(w->out, c);
}

void jw_obj(struct jw *w)
{
	open_level(w, '{');
}

void jw_obj_end(struct jw *w)
{
	close_level(w, '}');
}

void jw_arr(struct jw *w)
{
	open_level(w, '[');
}

void jw_arr_end(struct jw *w)
{
	close_level(w, ']');
}

static void escape(struct buf *out, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, c) : NULL;
	if (at) {
		buf_ch(out, '\\');
		buf_ch(out, to[at - from]);
	} else {
		buf_fmt(out, "\\u%04x", c);
	}
}

static void quoted(struct buf *out, const char *s, size_t n)
{
	buf_ch(out, '"');
	size_t from = 0, i = 0;
	while (i < n) {
		unsigned char c = (unsigned char)s[i];
		size_t len = utf8_len(s + i, n - i);
		if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
			i += len;
			continue;
		}
		buf_add(out, s + from, i - from);
		if (len == 0)
			buf_str(out, "\xef\xbf\xbd");
		else
			escape(out, c);
		from = ++i;
	}
	buf_add(out, s + from, n - from);
	buf_ch(out, '"');
}

void jw_key(struct jw *w, const char *key)
{
	item(w);
	quoted(w->out, key, strlen(key));
	buf_ch(w->out, ':');
	w->comma[w->depth] = false;
}

void jw_strn(struct jw *w, const char *s, size_t n)
{
	item(w);
	quoted(w->out, s, n);
}

void jw_str(struct jw *w, const char *s)
{
	if (s)
		jw_strn(w, s, strlen(s));
	else
		jw_null(w);
}

void jw_raw(struct jw *w, const char *json, size_t n)
{
	item(w);
	buf_add(w->out, json, n);
}

void jw_int(struct jw *w, int64_t v)
{
	item(w);
	buf_fmt(w->out, "%" PRId64, v);
}

void jw_num(struct jw *w, double v)
{
	char text[40];
	if (!isfinite(v)) {
		jw_null(w);
		return;
	}
	int n = 0;
	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	/* a locale's decimal comma is no JSON */
	char *comma = strchr(text, ',');
	if (comma)
		*comma = '.';
	jw_raw(w, text, (size_t)n);
}

void jw_bool(struct jw *w, bool v)
{
	item(w);
	buf_str(w->out, v ? "true" : "false");
}

void jw_null(struct jw *w)
{
	item(w);
	buf_str(w->out, "null");
}

void jw_kstr(struct jw *w, const char *key, const char *s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kint(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_int(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}
