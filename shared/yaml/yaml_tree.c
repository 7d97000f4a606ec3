/* yaml_tree: libyaml's events into a tree, without recursion: `open` is the innermost unfinished collection. */
#include "shared/yaml/yaml_tree.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"

struct yt_doc {
	struct yt_node *root;
	char *file;
};

struct builder {
	struct yt_doc *doc;
	struct yt_limits limits;
	struct err *err;
	struct yt_node *open; /* innermost collection */
	char *key;	      /* key read, its value not yet */
	unsigned key_line;
	size_t nodes;
	unsigned depth;
};

static int fail_line(const struct builder *b, unsigned line, enum err_code code, const char *what)
{
	const char *key = b->key;

	for (const struct yt_node *n = b->open; !key && n; n = n->parent)
		key = n->key;
	return err_set(b->err, code, "%s:%u: %s%s%s", b->doc->file, line, key ? key : "", key ? ": " : "", what);
}

/* Iterative: the depth is bounded, but a free that cannot overflow needs no argument. */
static void node_free(struct yt_node *root)
{
	struct yt_node *n = root;

	while (n) {
		if (n->first) {
			struct yt_node *child = n->first;
			n->first = child->next;
			child->next = n; /* the way back */
			n = child;
			continue;
		}
		struct yt_node *up = n == root ? NULL : n->next;
		free(n->key);
		free(n->text);
		free(n);
		n = up;
	}
}

static bool is_number(const char *s)
{
	if (*s == '-')
		s++;
	if (!isdigit((unsigned char)*s))
		return false;
	if (*s == '0' && isdigit((unsigned char)s[1]))
		return false;
	while (isdigit((unsigned char)*s))
		s++;
	if (*s == '.') {
		s++;
		if (!isdigit((unsigned char)*s))
			return false;
		while (isdigit((unsigned char)*s))
			s++;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		if (!isdigit((unsigned char)*s))
			return false;
		while (isdigit((unsigned char)*s))
			s++;
	}
	return *s == '\0';
}

static enum yt_kind scalar_kind(const char *s, bool plain)
{
	if (!plain)
		return YT_STRING;
	if (*s == '\0' || strcmp(s, "null") == 0 || strcmp(s, "~") == 0)
		return YT_NULL;
	if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
		return YT_BOOL;
	return is_number(s) ? YT_NUMBER : YT_STRING;
}

/* A new node at its place in the tree; NULL with err when a limit is passed. */
static struct yt_node *add_node(struct builder *b, enum yt_kind kind, unsigned line)
{
	if (++b->nodes > b->limits.nodes) {
		fail_line(b, line, ERR_TOO_LARGE, "too many nodes");
		return NULL;
	}
	struct yt_node *n = mem_zalloc(sizeof *n);
	n->kind = kind;
	n->line = b->key ? b->key_line : line;
	n->key = mem_steal(&b->key);
	n->parent = b->open;
	if (!b->open) {
		b->doc->root = n;
	} else {
		if (b->open->last)
			b->open->last->next = n;
		else
			b->open->first = n;
		b->open->last = n;
		b->open->count++;
	}
	return n;
}

static int open_collection(struct builder *b, enum yt_kind kind, unsigned line)
{
	if (b->open && b->open->kind == YT_MAP && !b->key)
		return fail_line(b, line, ERR_INVALID, "a key must be a scalar");
	if (++b->depth > b->limits.depth)
		return fail_line(b, line, ERR_TOO_LARGE, "nested too deeply");
	struct yt_node *n = add_node(b, kind, line);
	if (!n)
		return -1;
	b->open = n;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct yt_node *const *x = a, *const *y = b;
	int c = strcmp((*x)->key, (*y)->key);

	if (c != 0)
		return c;
	return (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

static int check_duplicates(const struct builder *b, const struct yt_node *map)
{
	if (map->count < 2)
		return 0;
	auto_free struct yt_node **sorted = mem_array(map->count, sizeof(struct yt_node *));
	size_t n = 0;
	for (struct yt_node *c = map->first; c; c = c->next)
		sorted[n++] = c;
	qsort(sorted, n, sizeof(struct yt_node *), by_key);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
			return err_set(b->err, ERR_INVALID, "%s:%u: %.64s: duplicate key, first on line %u", b->doc->file,
				sorted[i]->line, sorted[i]->key, sorted[i - 1]->line);
	}
	return 0;
}

static int close_collection(struct builder *b)
{
	struct yt_node *done = b->open;

	if (!done) /* libyaml pairs its events */
		return err_set(b->err, ERR_INTERNAL, "libyaml closes what it did not open");
	if (done->kind == YT_MAP && check_duplicates(b, done) != 0)
		return -1;
	b->open = done->parent;
	b->depth--;
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *ev, unsigned line)
{
	const char *text = (const char *)ev->data.scalar.value;
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (strlen(text) != ev->data.scalar.length)
		return fail_line(b, line, ERR_INVALID, "a NUL in the text");
	if (b->open && b->open->kind == YT_MAP && !b->key) {
		if (plain && strcmp(text, "<<") == 0)
			return fail_line(b, line, ERR_INVALID, "merge keys are not supported");
		b->key = mem_strdup(text);
		b->key_line = line;
		return 0;
	}
	struct yt_node *n = add_node(b, scalar_kind(text, plain), line);
	if (!n)
		return -1;
	n->text = mem_strdup(text);
	return 0;
}

/* What is common to the events that can carry an anchor and a tag. */
static int check_extras(const struct builder *b, unsigned line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return fail_line(b, line, ERR_INVALID, "anchors are not supported");
	if (tag)
		return fail_line(b, line, ERR_INVALID, "tags are not supported");
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
	unsigned line = (unsigned)ev->start_mark.line + 1;

	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return fail_line(b, line, ERR_INVALID, "aliases are not supported");
	case YAML_SCALAR_EVENT:
		if (check_extras(b, line, ev->data.scalar.anchor, ev->data.scalar.tag) != 0)
			return -1;
		return on_scalar(b, ev, line);
	case YAML_MAPPING_START_EVENT:
		if (check_extras(b, line, ev->data.mapping_start.anchor, ev->data.mapping_start.tag) != 0)
			return -1;
		return open_collection(b, YT_MAP, line);
	case YAML_SEQUENCE_START_EVENT:
		if (check_extras(b, line, ev->data.sequence_start.anchor, ev->data.sequence_start.tag) != 0)
			return -1;
		return open_collection(b, YT_SEQ, line);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return close_collection(b);
	case YAML_DOCUMENT_START_EVENT:
		return b->doc->root ? fail_line(b, line, ERR_INVALID, "more than one document") : 0;
	default:
		return 0;
	}
}

/* Bytes that are no UTF-8 are met while reading ahead: libyaml knows only their offset, and the key at hand is another's. */
static int bad_bytes(struct builder *b, const yaml_parser_t *parser, const char *text, size_t n)
{
	size_t line = 1;
	for (size_t i = 0; i < n && i < parser->problem_offset; i++)
		line += text[i] == '\n';
	return err_set(b->err, ERR_INVALID, "%s:%zu: %s", b->doc->file, line, parser->problem);
}

static int run(struct builder *b, yaml_parser_t *parser, const char *text, size_t n)
{
	for (bool more = true; more;) {
		yaml_event_t ev;
		if (!yaml_parser_parse(parser, &ev)) {
			if (parser->error == YAML_READER_ERROR && parser->problem)
				return bad_bytes(b, parser, text, n);
			const char *what = parser->problem ? parser->problem : "not YAML";
			return fail_line(b, (unsigned)parser->problem_mark.line + 1, ERR_INVALID, what);
		}
		more = ev.type != YAML_STREAM_END_EVENT;
		int rc = on_event(b, &ev);
		yaml_event_delete(&ev);
		if (rc != 0)
			return -1;
	}
	if (!b->doc->root)
		return err_set(b->err, ERR_INVALID, "%s:1: the document is empty", b->doc->file);
	return 0;
}

struct yt_doc *yt_parse(const char *text, size_t n, const char *file, struct yt_limits limits, struct err *err)
{
	if (n > limits.bytes) {
		err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", file, limits.bytes);
		return NULL;
	}
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser)) {
		err_set(err, ERR_INTERNAL, "cannot initialize libyaml");
		return NULL;
	}
	struct builder b = { .limits = limits, .err = err, .doc = mem_zalloc(sizeof(struct yt_doc)) };
	b.doc->file = mem_strdup(file);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
	int rc = run(&b, &parser, text, n);
	yaml_parser_delete(&parser);
	free(b.key);
	if (rc != 0) {
		yt_free(b.doc);
		return NULL;
	}
	return b.doc;
}

void yt_free(struct yt_doc *doc)
{
	if (!doc)
		return;
	node_free(doc->root);
	free(doc->file);
	free(doc);
}

struct yt_node *yt_root(struct yt_doc *doc)
{
	return doc->root;
}

const char *yt_file(const struct yt_doc *doc)
{
	return doc->file;
}

struct yt_node *yt_get(const struct yt_node *n, const char *key)
{
	if (!n || n->kind != YT_MAP)
		return NULL;
	for (struct yt_node *c = n->first; c; c = c->next) {
		if (strcmp(c->key, key) == 0)
			return c;
	}
	return NULL;
}

const char *yt_str(const struct yt_node *n)
{
	return n && n->kind == YT_STRING ? n->text : NULL;
}

const char *yt_scalar(const struct yt_node *n)
{
	return n ? n->text : NULL;
}

bool yt_bool(const struct yt_node *n, bool def)
{
	return n && n->kind == YT_BOOL ? strcmp(n->text, "true") == 0 : def;
}

const char *yt_kind_name(enum yt_kind kind)
{
	static const char *const names[] = { "a mapping", "a sequence", "a string", "a number", "a boolean", "null" };

	return names[kind];
}

static void json_node(struct jw *w, const struct yt_node *n) // NOLINT(misc-no-recursion): depth is bounded by yt_limits
{
	switch (n->kind) {
	case YT_MAP:
		jw_obj(w);
		for (const struct yt_node *c = n->first; c; c = c->next) {
			jw_key(w, c->key);
			json_node(w, c);
		}
		jw_obj_end(w);
		break;
	case YT_SEQ:
		jw_arr(w);
		for (const struct yt_node *c = n->first; c; c = c->next)
			json_node(w, c);
		jw_arr_end(w);
		break;
	case YT_STRING:
		jw_str(w, n->text);
		break;
	case YT_NULL:
		jw_null(w);
		break;
	case YT_NUMBER:
	case YT_BOOL:
	default:
		jw_raw(w, n->text, strlen(n->text)); /* checked to be JSON by scalar_kind */
		break;
	}
}

void yt_json(const struct yt_node *n, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	json_node(&w, n);
}

int yt_error(const struct yt_doc *doc, const struct yt_node *n, struct err *err, const char *fmt, ...)
{
	char text[400];
	const char *key = NULL;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (const struct yt_node *up = n; !key && up; up = up->parent)
		key = up->key;
	return err_set(err, ERR_INVALID, "%s:%u: %s%s%s", doc->file, n ? n->line : 1, key ? key : "", key ? ": " : "", text);
}
