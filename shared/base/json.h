/*
 * json: reading through cJSON behind limits, writing straight into a buf.
 *
 * Reading: js_parse refuses what a hostile peer would send: over-deep or over-long documents, too many members,
 * duplicate keys, invalid UTF-8, NUL in strings, trailing bytes. The tree is read with the js_* accessors; no
 * other module includes cJSON.
 * Writing: struct jw appends to a buf, tracks commas and nesting, escapes, and replaces invalid UTF-8 with U+FFFD,
 * so its output is always valid JSON.
 */
#ifndef SBX_BASE_JSON_H
#define SBX_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

typedef struct cJSON js;

struct js_limits {
	size_t bytes;	  /* whole document */
	unsigned depth;	  /* nesting */
	unsigned members; /* objects' members and arrays' items, in all */
};
#define JS_LIMITS_DEFAULT ((struct js_limits){ .bytes = 16u << 20, .depth = 64, .members = 100000 })

/* Parse len bytes. NULL and err (INVALID with line and byte; TOO_LARGE past a limit) on refusal. Free with js_free (or auto_js). */
js *js_parse(const char *text, size_t len, struct js_limits limits, struct err *err);
void js_free(js *v);
void js_cleanup(js **v);
#define auto_js __attribute__((cleanup(js_cleanup))) js

enum js_type { JS_NULL, JS_BOOL, JS_NUMBER, JS_STRING, JS_ARRAY, JS_OBJECT };
enum js_type js_type(const js *v);		  /* JS_NULL for v == NULL */
const char *js_type_name(enum js_type type);	  /* "null", "boolean", ... */
const char *js_key(const js *v);		  /* member name, or NULL */
const js *js_get(const js *obj, const char *key); /* exact name; NULL when absent or obj is no object */
const js *js_first(const js *v);		  /* first child of an array or object */
const js *js_next(const js *v);
size_t js_count(const js *v);
#define js_each(it, v) for (const js *it = js_first(v); it; it = js_next(it))

/* Value access with a default for absent, null or wrong type. */
const char *js_str(const js *v, const char *def);
double js_num(const js *v, double def);
bool js_bool(const js *v, bool def);
/* 0 and *out when v is a number that is an integer within +-(2^53 - 1), where a double is exact; -1 otherwise. */
int js_int(const js *v, int64_t *out);

/* A level beyond JW_DEPTH, or an end without a beginning, makes the buffer `failed`. */
#define JW_DEPTH 64
struct jw {
	struct buf *out;
	unsigned depth;
	bool comma[JW_DEPTH + 1]; /* a comma is due before the next item of this level */
};

void jw_init(struct jw *w, struct buf *out);
void jw_obj(struct jw *w);
void jw_obj_end(struct jw *w);
void jw_arr(struct jw *w);
void jw_arr_end(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, const char *s); /* NULL writes null */
void jw_strn(struct jw *w, const char *s, size_t n);
void jw_int(struct jw *w, int64_t v);
void jw_num(struct jw *w, double v); /* shortest that reads back; NaN and infinities write null */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, const char *json, size_t n); /* trusted, already JSON */
void jw_js(struct jw *w, const js *v);		       /* a parsed value again */
/* key and value in one call */
void jw_kstr(struct jw *w, const char *key, const char *s);
void jw_kint(struct jw *w, const char *key, int64_t v);
void jw_kbool(struct jw *w, const char *key, bool v);

/* Length of the valid UTF-8 sequence at s (1..4, n bytes available), or 0 when it is invalid. */
size_t utf8_len(const char *s, size_t n);
/* Are all n bytes UTF-8? */
bool utf8_valid(const char *s, size_t n);

#endif
