#include "cli/api/answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/render/table.h"
#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/mem.h"

#define COLUMNS_MAX 8
#define COLUMNS_GUESSED 6
#define LINE_MAX_BYTES ((size_t)16 << 20)

/* ---- rows ---- */

/* A member, or a member of a member: "data.items". */
static const js *walk(const js *v, const char *path)
{
	while (v && *path) {
		size_t n = strcspn(path, ".");
		auto_free char *name = mem_strndup(path, n);
		v = js_get(v, name);
		path += n + (path[n] == '.');
	}
	return v;
}

static uint32_t response_schema(const struct contract *c, const struct ct_op *op, int status)
{
	uint32_t found = CT_NONE;
	for (uint32_t i = 0; i < op->response_count; i++) {
		const struct ct_response *r = &c->responses[op->responses + i];
		if (r->status == status)
			return r->schema;
		if (r->status == 0 || r->status == status / 100)
			found = r->schema;
	}
	return found;
}

/* The schema of a member; through the alternatives where the object has some. */
static uint32_t member_schema(const struct contract *c, uint32_t schema, const char *name)
{
	if (schema == CT_NONE)
		return CT_NONE;
	const struct ct_field *f = ct_find_field(c, schema, name);
	const struct ct_schema *s = &c->schemas[schema];
	for (uint32_t i = 0; i < s->one_of_count && !f; i++)
		f = ct_find_field(c, c->index_pool[s->one_of + i], name);
	return f ? f->schema : CT_NONE;
}

struct found {
	const js *v;
	uint32_t schema;
};

static bool has_columns(const struct contract *c, uint32_t schema)
{
	return schema != CT_NONE && c->schemas[schema].column_count > 0;
}

static uint32_t items_of(const struct contract *c, uint32_t schema)
{
	if (schema == CT_NONE)
		return CT_NONE;
	const struct ct_schema *s = &c->schemas[schema];
	for (uint32_t i = 0; s->items == CT_NONE && i < s->one_of_count; i++) {
		const struct ct_schema *a = &c->schemas[c->index_pool[s->one_of + i]];
		if (a->items != CT_NONE)
			return a->items;
	}
	return s->items;
}

static bool holds_objects(const struct contract *c, struct found f)
{
	uint32_t items = items_of(c, f.schema);
	if (js_type(f.v) != JS_ARRAY)
		return false;
	return js_first(f.v) ? js_type(js_first(f.v)) == JS_OBJECT : items != CT_NONE && c->schemas[items].type == CT_OBJECT;
}

/* The rows of a list: named by the contract, the answer itself, or its only member that is an array of objects. */
static struct found find_rows(const struct contract *c, const struct ct_op *op, struct found doc)
{
	struct found rows = { 0 };
	if (op->rows) {
		rows = doc;
		for (const char *path = ct_s(c, op->rows); *path;) {
			size_t n = strcspn(path, ".");
			auto_free char *name = mem_strndup(path, n);
			rows = (struct found){ js_get(rows.v, name), member_schema(c, rows.schema, name) };
			path += n + (path[n] == '.');
		}
		return rows;
	}
	if (js_type(doc.v) == JS_ARRAY)
		return doc;
	if (has_columns(c, doc.schema))
		return rows;
	js_each (m, doc.v) {
		struct found member = { m, member_schema(c, doc.schema, js_key(m)) };
		if (!holds_objects(c, member))
			continue;
		if (rows.v)
			return (struct found){ 0 };
		rows = member;
	}
	return rows;
}

/* The one object in an envelope of words about it: {"status": "success", "data": {...}}. */
static struct found unwrap(const struct contract *c, struct found doc)
{
	struct found inner = { 0 };
	if (has_columns(c, doc.schema))
		return doc;
	js_each (m, doc.v) {
		if (js_type(m) == JS_ARRAY || (js_type(m) == JS_OBJECT && inner.v))
			return doc;
		if (js_type(m) == JS_OBJECT && js_first(m)) /* an empty one says less than the words */
			inner = (struct found){ m, member_schema(c, doc.schema, js_key(m)) };
	}
	return inner.v && (has_columns(c, inner.schema) || js_count(doc.v) <= 3) ? inner : doc;
}

/* ---- tables ---- */

static void header(const char *path, struct buf *out)
{
	for (const char *p = path; *p; p++) {
		bool word = p > path && isupper((unsigned char)*p) && islower((unsigned char)p[-1]);
		if (word)
			buf_ch(out, ' ');
		buf_ch(out, isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : ' ');
	}
}

static void cell(struct table *t, const js *v)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	if (js_type(v) == JS_STRING)
		buf_str(&text, js_str(v, ""));
	else if (js_type(v) == JS_ARRAY)
		js_each (item, v) {
			jw_init(&w, &text);
			buf_str(&text, item == js_first(v) ? "" : ",");
			if (js_type(item) == JS_STRING)
				buf_str(&text, js_str(item, ""));
			else
				jw_js(&w, item);
		}
	else if (v && js_type(v) != JS_NULL) {
		jw_init(&w, &text);
		jw_js(&w, v);
	}
	table_cell(t, text.p);
}

/* Without columns in the contract: the plain members of the first row. */
static size_t guess_columns(const js *rows, const char **columns)
{
	size_t n = 0;
	js_each (m, js_first(rows)) {
		if (js_type(m) != JS_OBJECT && js_type(m) != JS_ARRAY && n < COLUMNS_GUESSED)
			columns[n++] = js_key(m);
	}
	return n;
}

static size_t pick_columns(const struct contract *c, uint32_t items, const js *rows, const char **columns)
{
	if (!has_columns(c, items))
		return guess_columns(rows, columns);
	const struct ct_schema *s = &c->schemas[items];
	size_t n = 0;
	for (; n < s->column_count && n < COLUMNS_MAX; n++)
		columns[n] = ct_s(c, c->enum_pool[s->columns + n]);
	return n;
}

static void print_rows(struct cli *cli, const struct contract *c, const struct ct_op *op, struct found rows)
{
	const char *columns[COLUMNS_MAX];
	size_t n = pick_columns(c, items_of(c, rows.schema), rows.v, columns);
	if (!js_first(rows.v)) {
		const char *noun = ct_s(c, op->noun);
		size_t len = strlen(noun);
		cli_warn(cli, "no %s%s found", noun, len > 0 && noun[len - 1] == 's' ? "" : "s");
		return;
	}
	if (n == 0) { /* plain values: one a line */
		js_each (row, rows.v) {
			struct table one;
			table_init(&one, NULL, 0);
			one.columns = 1;
			cell(&one, row);
			table_print(&one, &cli->out);
			table_free(&one);
		}
		return;
	}
	char *headers[COLUMNS_MAX];
	for (size_t i = 0; i < n; i++) {
		struct buf text = BUF_INIT;
		header(columns[i], &text);
		headers[i] = buf_take(&text, NULL);
	}
	struct table t;
	table_init(&t, (const char *const *)headers, n);
	js_each (row, rows.v)
		for (size_t i = 0; i < n; i++)
			cell(&t, walk(row, columns[i]));
	table_print(&t, &cli->out);
	table_free(&t);
	for (size_t i = 0; i < n; i++)
		free(headers[i]);
}

void answer_print(struct cli *cli, const struct contract *c, const struct ct_op *op, int status, const js *doc)
{
	cli_document(cli, doc);
	if (cli->format != FORMAT_TABLE)
		return;
	struct found all = { doc, response_schema(c, op, status) };
	if (js_type(doc) == JS_STRING) {
		text_safe(&cli->out, js_str(doc, ""));
		buf_ch(&cli->out, '\n');
		return;
	}
	if (js_type(doc) != JS_OBJECT && js_type(doc) != JS_ARRAY) {
		render_json(&cli->out, doc);
		return;
	}
	struct found rows = find_rows(c, op, all);
	if (rows.v)
		print_rows(cli, c, op, rows);
	else
		render_block(&cli->out, unwrap(c, all).v);
}

/* ---- streams ---- */

void answer_stream_init(struct answer_stream *s, struct cli *cli, bool sse)
{
	*s = (struct answer_stream){ .cli = cli, .sse = sse, .text = BUF_INIT, .event = BUF_INIT, .data = BUF_INIT };
}

void answer_stream_free(struct answer_stream *s)
{
	buf_free(&s->text);
	buf_free(&s->event);
	buf_free(&s->data);
}

/* As it came, but for a terminal, which it must not command. */
static void put_text(struct buf *out, const char *text, size_t n)
{
	if (!isatty(STDOUT_FILENO)) {
		buf_add(out, text, n);
		return;
	}
	auto_free char *copy = mem_strndup(text, n);
	text_safe(out, copy);
}

/* One JSON object of NDJSON, or whatever else the line is. */
static void print_line(struct answer_stream *s, const char *line, size_t n)
{
	auto_js *doc = js_parse(line, n, JS_LIMITS_DEFAULT, NULL);
	struct buf *out = &s->cli->out;
	if (n == 0)
		return; /* keeps the connection alive */
	if (doc && s->cli->format == FORMAT_YAML) {
		buf_str(out, "---\n");
		render_yaml(out, doc);
	} else if (doc && s->cli->format == FORMAT_JSON) {
		buf_add(out, line, n);
		buf_ch(out, '\n');
	} else {
		put_text(out, line, n);
		buf_ch(out, '\n');
	}
}

/* An event of a server: {"event", "data"} for programs. For people the output of a command is just that, and others have their
 * name before them. */
static void print_event(struct answer_stream *s)
{
	const char *name = s->event.len > 0 ? s->event.p : "message";
	if (s->cli->format != FORMAT_TABLE) {
		auto_buf line = BUF_INIT;
		struct jw w;
		jw_init(&w, &line);
		jw_obj(&w);
		jw_kstr(&w, "event", name);
		jw_kstr(&w, "data", s->data.p);
		jw_obj_end(&w);
		print_line(s, line.p, line.len);
		return;
	}
	bool err = strcmp(name, "stderr") == 0;
	auto_buf line = BUF_INIT;
	if (!err && strcmp(name, "stdout") != 0 && strcmp(name, "message") != 0)
		buf_fmt(&line, "%s: ", name);
	put_text(&line, s->data.p, s->data.len);
	buf_ch(&line, '\n');
	if (err)
		(void)!write(STDERR_FILENO, line.p, line.len); /* where standard error is closed there is nobody to tell */
	else
		buf_add(&s->cli->out, line.p, line.len);
}

/* A line of text/event-stream (HTML standard, 9.2.6). */
static void event_line(struct answer_stream *s, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);
	size_t name = colon ? (size_t)(colon - line) : n;
	size_t skip = colon ? name + 1 : n;
	if (n == 0) {
		if (s->data.len > 0 || s->event.len > 0)
			print_event(s);
		buf_clear(&s->data);
		buf_clear(&s->event);
		return;
	}
	if (skip < n && line[skip] == ' ')
		skip++;
	if (name == 5 && memcmp(line, "event", 5) == 0) {
		buf_clear(&s->event);
		buf_add(&s->event, line + skip, n - skip);
	} else if (name == 4 && memcmp(line, "data", 4) == 0) {
		buf_str(&s->data, s->data.len > 0 ? "\n" : "");
		buf_add(&s->data, line + skip, n - skip);
	}
}

static void whole_line(struct answer_stream *s, const char *line, size_t n)
{
	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (s->sse)
		event_line(s, line, n);
	else
		print_line(s, line, n);
}

int answer_stream_add(struct answer_stream *s, const char *data, size_t n, struct err *err)
{
	const char *nl;
	size_t used = 0;
	buf_add(&s->text, data, n);
	while ((nl = memchr(s->text.p + used, '\n', s->text.len - used))) {
		size_t end = (size_t)(nl - s->text.p);
		whole_line(s, s->text.p + used, end - used);
		used = end + 1;
	}
	buf_drop(&s->text, used);
	if (s->text.len > LINE_MAX_BYTES || buf_failed(&s->text) || s->data.len > LINE_MAX_BYTES)
		return err_set(err, ERR_PROTOCOL, "the answer has too long a line");
	return cli_flush(s->cli, err);
}

int answer_stream_end(struct answer_stream *s, struct err *err)
{
	if (s->text.len > 0)
		whole_line(s, s->text.p, s->text.len);
	if (s->sse)
		event_line(s, "", 0);
	return cli_flush(s->cli, err);
}
