#include "cli/render/value.h"

#include <ctype.h>
#include <string.h>

#include "cli/render/text.h"

/* "memoryMb" as "MemoryMb"; "id" as "ID". */
static void label(struct buf *out, const char *key)
{
	if (strcmp(key, "id") == 0) {
		buf_str(out, "ID");
		return;
	}
	struct buf name = BUF_INIT;
	buf_ch(&name, (char)toupper((unsigned char)key[0]));
	buf_str(&name, key[0] ? key + 1 : "");
	text_safe(out, name.p);
	buf_free(&name);
}

static void cell(struct buf *out, const js *v)
{
	if (js_type(v) == JS_STRING) {
		text_safe(out, js_str(v, ""));
		return;
	}
	struct jw w;
	jw_init(&w, out);
	jw_js(&w, v);
}

static void joined(struct buf *out, const js *v)
{
	js_each (item, v) {
		if (item != js_first(v))
			buf_str(out, js_type(v) == JS_OBJECT ? ", " : " ");
		if (js_type(v) == JS_OBJECT) {
			text_safe(out, js_key(item));
			buf_ch(out, '=');
		}
		cell(out, item);
	}
}

static bool is_empty(const js *v)
{
	enum js_type t = js_type(v);
	return t == JS_NULL || (t == JS_STRING && !*js_str(v, "")) || ((t == JS_OBJECT || t == JS_ARRAY) && !js_first(v));
}

void render_block(struct buf *out, const js *v)
{
	size_t width = 0;
	js_each (item, v)
		if (!is_empty(item) && strlen(js_key(item)) > width)
			width = strlen(js_key(item));
	js_each (item, v) {
		if (is_empty(item))
			continue;
		size_t start = out->len;
		label(out, js_key(item));
		buf_ch(out, ':');
		size_t used = out->len - start;
		buf_fmt(out, "%*s", used < width + 3 ? (int)(width + 3 - used) : 1, "");
		if (js_type(item) == JS_OBJECT || js_type(item) == JS_ARRAY)
			joined(out, item);
		else
			cell(out, item);
		buf_ch(out, '\n');
	}
}
