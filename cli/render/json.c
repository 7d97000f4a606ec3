#include "cli/render/value.h"

static void scalar(struct buf *out, const js *v)
{
	struct jw w;
	jw_init(&w, out);
	jw_js(&w, v);
}

static void newline(struct buf *out, unsigned depth)
{
	buf_fmt(out, "\n%*s", (int)depth * 2, "");
}

/* Depth is bounded by the parser's limit. */
static void value(struct buf *out, const js *v, unsigned depth) /* NOLINT(misc-no-recursion) */
{
	enum js_type type = js_type(v);
	if (type != JS_OBJECT && type != JS_ARRAY) {
		scalar(out, v);
		return;
	}
	if (!js_first(v)) {
		buf_str(out, type == JS_OBJECT ? "{}" : "[]");
		return;
	}
	buf_ch(out, type == JS_OBJECT ? '{' : '[');
	js_each (item, v) {
		if (item != js_first(v))
			buf_ch(out, ',');
		newline(out, depth + 1);
		if (type == JS_OBJECT) {
			struct jw w;
			jw_init(&w, out);
			jw_str(&w, js_key(item));
			buf_str(out, ": ");
		}
		value(out, item, depth + 1);
	}
	newline(out, depth);
	buf_ch(out, type == JS_OBJECT ? '}' : ']');
}

void render_json(struct buf *out, const js *v)
{
	value(out, v, 0);
	buf_ch(out, '\n');
}
