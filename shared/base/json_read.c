/*
 * json_read: the reading half of json.h. A strict scan goes over the bytes first (RFC 8259 grammar, UTF-8, limits),
 * so that cJSON, which is lenient and allocates as it goes, only ever sees documents that are right and small enough.
 */
#include "shared/base/json.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

/* cJSON's own limits: nesting (CJSON_NESTING_LIMIT) and the characters of a number */
#define DEPTH_MAX 1000
#define NUMBER_MAX 63

struct scan {
	const char *s;
	size_t len, pos;
	unsigned depth, members;
	struct js_limits limits;
	char closer[DEPTH_MAX]; /* of each open level: '}' or ']' */
	struct err *err;
};

static int refuse(const struct scan *sc, enum err_code code, const char *what)
{
	size_t line = 1;
	for (size_t i = 0; i < sc->pos && i < sc->len; i++)
		line += sc->s[i] == '\n';
	return err_set(sc->err, code, "invalid json at line %zu, byte %zu: %s", line, sc->pos, what);
}

static int invalid(const struct scan *sc, const char *what)
{
	return refuse(sc, ERR_INVALID, sc->pos < sc->len ? what : "it ends too early");
}

/* The next byte, -1 at the end. */
static int peek(const struct scan *sc)
{
	return sc->pos < sc->len ? (unsigned char)sc->s[sc->pos] : -1;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static int skip_space(struct scan *sc)
{
	int c = peek(sc);
	while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
		sc->pos++;
		c = peek(sc);
	}
	return c;
}

/* Four hex digits at pos; -1 when they are not. */
static int hex4(struct scan *sc)
{
	int v = 0;
	for (int i = 0; i < 4; i++, sc->pos++) {
		int c = peek(sc);
		if (c < 0 || !isxdigit(c))
			return -1;
		v = v * 16 + (is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
	}
	return v;
}

/* After "\u". Refuses NUL, which a C string cannot carry, and lone surrogates, which UTF-8 cannot. */
static int scan_unicode(struct scan *sc)
{
	int v = hex4(sc);
	if (v < 0)
		return invalid(sc, "bad \\u escape");
	if (v == 0)
		return invalid(sc, "NUL character in a string");
	if (v < 0xd800 || v > 0xdfff)
		return 0;
	if (v > 0xdbff || sc->len - sc->pos < 6 || sc->s[sc->pos] != '\\' || sc->s[sc->pos + 1] != 'u')
		return invalid(sc, "lone surrogate");
	sc->pos += 2;
	v = hex4(sc);
	return v >= 0xdc00 && v <= 0xdfff ? 0 : invalid(sc, "lone surrogate");
}

static int scan_escape(struct scan *sc)
{
	sc->pos++;
	int c = peek(sc);
	if (c <= 0 || !strchr("\"\\/bfnrtu", c))
		return invalid(sc, "bad escape");
	sc->pos++;
	return c == 'u' ? scan_unicode(sc) : 0;
}

/* From the opening quote to past the closing one. */
static int scan_string(struct scan *sc)
{
	sc->pos++;
	for (int c = peek(sc); c != '"'; c = peek(sc)) {
		if (c < 0)
			return invalid(sc, "");
		if (c < 0x20)
			return invalid(sc, "control character in a string");
		if (c == '\\') {
			if (scan_escape(sc))
				return -1;
			continue;
		}
		size_t n = utf8_len(sc->s + sc->pos, sc->len - sc->pos);
		if (n == 0)
			return refuse(sc, ERR_INVALID, "invalid utf-8");
		sc->pos += n;
	}
	sc->pos++;
	return 0;
}

static int scan_digits(struct scan *sc)
{
	if (!is_digit(peek(sc)))
		return invalid(sc, "digit expected");
	while (is_digit(peek(sc)))
		sc->pos++;
	return 0;
}

static int scan_number(struct scan *sc)
{
	size_t start = sc->pos;
	if (peek(sc) == '-')
		sc->pos++;
	if (peek(sc) == '0')
		sc->pos++;
	else if (scan_digits(sc))
		return -1;
	if (peek(sc) == '.') {
		sc->pos++;
		if (scan_digits(sc))
			return -1;
	}
	if (peek(sc) == 'e' || peek(sc) == 'E') {
		sc->pos++;
		if (peek(sc) == '+' || peek(sc) == '-')
			sc->pos++;
		if (scan_digits(sc))
			return -1;
	}
	char text[NUMBER_MAX + 1] = { 0 };
	if (sc->pos - start > NUMBER_MAX)
		return refuse(sc, ERR_INVALID, "number is too long");
	memcpy(text, sc->s + start, sc->pos - start);
	return isfinite(strtod(text, NULL)) ? 0 : refuse(sc, ERR_INVALID, "number is out of range");
}

static int scan_scalar(struct scan *sc, int c)
{
	static const char *const words[] = { "true", "false", "null" };
	if (c == '"')
		return scan_string(sc);
	if (c == '-' || is_digit(c))
		return scan_number(sc);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);
		if (n <= sc->len - sc->pos && !memcmp(sc->s + sc->pos, words[i], n)) {
			sc->pos += n;
			return 0;
		}
	}
	return invalid(sc, "value expected");
}

/* Before an item of the open level: count it and, in an object, read the key and the colon. */
static int scan_item(struct scan *sc)
{
	if (sc->members++ >= sc->limits.members)
		return refuse(sc, ERR_TOO_LARGE, "too many members");
	if (sc->closer[sc->depth - 1] == ']')
		return 0;
	if (skip_space(sc) != '"')
		return invalid(sc, "member name expected");
	if (scan_string(sc))
		return -1;
	if (skip_space(sc) != ':')
		return invalid(sc, "':' expected");
	sc->pos++;
	return 0;
}

/* After a complete value: close levels, up to the comma before the next item or the end of the document. */
static int scan_after(struct scan *sc)
{
	while (sc->depth > 0) {
		int c = skip_space(sc);
		if (c == ',') {
			sc->pos++;
			return scan_item(sc);
		}
		if (c != sc->closer[sc->depth - 1])
			return invalid(sc, sc->closer[sc->depth - 1] == '}' ? "',' or '}' expected" : "',' or ']' expected");
		sc->pos++;
		sc->depth--;
	}
	return 0;
}

static int scan_open(struct scan *sc, char closer)
{
	if (sc->depth >= sc->limits.depth || sc->depth >= DEPTH_MAX)
		return refuse(sc, ERR_TOO_LARGE, "nested too deeply");
	sc->closer[sc->depth++] = closer;
	sc->pos++;
	return skip_space(sc) == closer ? scan_after(sc) : scan_item(sc);
}

/* No recursion: the levels are in sc->closer. */
static int scan_document(struct scan *sc)
{
	do {
		int c = skip_space(sc);
		if (c == '{' || c == '[') {
			if (scan_open(sc, c == '{' ? '}' : ']'))
				return -1;
		} else if (scan_scalar(sc, c) || scan_after(sc)) {
			return -1;
		}
	} while (sc->depth > 0);
	if (skip_space(sc) >= 0)
		return invalid(sc, "bytes after the document");
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int duplicate(const char *key, struct err *err)
{
	return err_set(err, ERR_INVALID, "invalid json: duplicate member '%.64s'", key);
}

/* Big objects: sort the names, look at neighbours. */
static int check_big(const cJSON *obj, size_t n, struct err *err)
{
	auto_free const char **keys = mem_try(n * sizeof(*keys));
	if (!keys)
		return err_set(err, ERR_TOO_LARGE, "invalid json: no memory for %zu members", n);
	size_t i = 0;
	for (const cJSON *it = obj->child; it; it = it->next)
		keys[i++] = it->string;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n; i++)
		if (!strcmp(keys[i - 1], keys[i]))
			return duplicate(keys[i], err);
	return 0;
}

static int check_object(const cJSON *obj, struct err *err)
{
	size_t n = js_count(obj);
	if (n > 16)
		return check_big(obj, n, err);
	for (const cJSON *a = obj->child; a; a = a->next)
		for (const cJSON *b = a->next; b; b = b->next)
			if (!strcmp(a->string, b->string))
				return duplicate(a->string, err);
	return 0;
}

/* Recursion is bounded by limits.depth. */
static int check_duplicates(const cJSON *v, struct err *err)
{
	if (cJSON_IsObject(v) && check_object(v, err))
		return -1;
	for (const cJSON *it = js_first(v); it; it = it->next)
		if (it->child && check_duplicates(it, err))
			return -1;
	return 0;
}

js *js_parse(const char *text, size_t len, struct js_limits limits, struct err *err)
{
	if (len > limits.bytes) {
		err_set(err, ERR_TOO_LARGE, "invalid json: %zu bytes are more than the %zu allowed", len, limits.bytes);
		return NULL;
	}
	struct scan sc;
	sc.s = text;
	sc.len = len;
	sc.pos = 0;
	sc.depth = sc.members = 0;
	sc.limits = limits;
	sc.err = err;
	if (scan_document(&sc))
		return NULL;
	auto_js *v = cJSON_ParseWithLength(text, len);
	if (!v) {
		err_set(err, ERR_TOO_LARGE, "invalid json: no memory for a document of %zu bytes", len);
		return NULL;
	}
	if (check_duplicates(v, err))
		return NULL;
	return mem_steal(&v);
}

void js_free(js *v)
{
	cJSON_Delete(v);
}

void js_cleanup(js **v)
{
	cJSON_Delete(*v);
}

enum js_type js_type(const js *v)
{
	static const struct {
		int bit;
		enum js_type type;
	} types[] = {
		{ cJSON_True | cJSON_False, JS_BOOL },
		{ cJSON_Number, JS_NUMBER },
		{ cJSON_String, JS_STRING },
		{ cJSON_Array, JS_ARRAY },
		{ cJSON_Object, JS_OBJECT },
	};
	for (size_t i = 0; v && i < ARRAY_LEN(types); i++)
		if (v->type & types[i].bit)
			return types[i].type;
	return JS_NULL;
}

const char *js_type_name(enum js_type type)
{
	static const char *const names[] = { "null", "boolean", "number", "string", "array", "object" };
	return (size_t)type < ARRAY_LEN(names) ? names[type] : "null";
}

const char *js_key(const js *v)
{
	return v ? v->string : NULL;
}

const js *js_get(const js *obj, const char *key)
{
	return cJSON_IsObject(obj) ? cJSON_GetObjectItemCaseSensitive(obj, key) : NULL;
}

const js *js_first(const js *v)
{
	return v ? v->child : NULL;
}

const js *js_next(const js *v)
{
	return v ? v->next : NULL;
}

size_t js_count(const js *v)
{
	size_t n = 0;
	for (const js *it = js_first(v); it; it = it->next)
		n++;
	return n;
}

const char *js_str(const js *v, const char *def)
{
	return cJSON_IsString(v) ? v->valuestring : def;
}

double js_num(const js *v, double def)
{
	return cJSON_IsNumber(v) ? v->valuedouble : def;
}

bool js_bool(const js *v, bool def)
{
	return cJSON_IsBool(v) ? cJSON_IsTrue(v) : def;
}

int js_int(const js *v, int64_t *out)
{
	/* at 2^53 itself the next integer has already been rounded onto it */
	const double limit = 9007199254740992.0;
	if (!cJSON_IsNumber(v) || !(v->valuedouble > -limit && v->valuedouble < limit) || trunc(v->valuedouble) != v->valuedouble)
		return -1;
	*out = (int64_t)v->valuedouble;
	return 0;
}

static void write_children(struct jw *w, const js *v)
{
	for (const js *it = v->child; it; it = it->next) {
		if (it->string)
			jw_key(w, it->string);
		jw_js(w, it);
	}
}

static void write_number(struct jw *w, const js *v)
{
	int64_t n = 0;
	if (js_int(v, &n) || (n == 0 && signbit(v->valuedouble)))
		jw_num(w, v->valuedouble);
	else
		jw_int(w, n);
}

void jw_js(struct jw *w, const js *v)
{
	switch (js_type(v)) {
	case JS_NULL:
		jw_null(w);
		break;
	case JS_BOOL:
		jw_bool(w, js_bool(v, false));
		break;
	case JS_NUMBER:
		write_number(w, v);
		break;
	case JS_STRING:
		jw_str(w, v->valuestring);
		break;
	case JS_ARRAY:
		jw_arr(w);
		write_children(w, v);
		jw_arr_end(w);
		break;
	case JS_OBJECT:
		jw_obj(w);
		write_children(w, v);
		jw_obj_end(w);
		break;
	}
}
