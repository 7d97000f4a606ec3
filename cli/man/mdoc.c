#include "cli/man/mdoc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define COLUMNS 76

/* ---- characters ---- */

/* One character of text that stands for itself. Dashes become the ASCII ones, since options and code are copied from pages. */
static void put_char(struct buf *out, char c)
{
	static const struct {
		char c;
		const char *as;
	} special[] = { { '\\', "\\e" }, { '-', "\\-" }, { '\'', "\\(aq" }, { '`', "\\(ga" }, { '"', "\\(dq" }, { '~', "\\(ti" },
		{ '^', "\\(ha" } };
	for (size_t i = 0; i < ARRAY_LEN(special); i++) {
		if (special[i].c == c) {
			buf_str(out, special[i].as);
			return;
		}
	}
	buf_ch(out, c == '\t' ? ' ' : c);
}

void mdoc_arg(struct buf *out, const char *text)
{
	bool spaces = strchr(text, ' ') != NULL;
	buf_str(out, spaces ? " \"\\&" : " \\&");
	for (; *text; text++)
		put_char(out, *text);
	buf_str(out, spaces ? "\"" : "");
}

void mdoc_literal(struct buf *out, const char *lines)
{
	buf_str(out, ".Bd -literal -offset indent\n");
	while (*lines) {
		size_t n = strcspn(lines, "\n");
		size_t indent = n >= 2 && lines[0] == ' ' && lines[1] == ' ' ? 2 : 0;
		buf_str(out, n > indent ? "\\&" : "");
		for (size_t i = indent; i < n; i++)
			put_char(out, lines[i]);
		buf_ch(out, '\n');
		lines += n + (lines[n] == '\n');
	}
	buf_str(out, ".Ed\n");
}

/* ---- running text ---- */

struct text {
	struct buf *out;
	size_t column;
	bool bold;
};

static void end_line(struct text *t)
{
	if (t->column > 0)
		buf_ch(t->out, '\n');
	t->column = 0;
}

/* Does a dash in a word belong to an option or a name of the shell? Between letters it is a hyphen. */
static bool is_hyphen(const char *word, size_t i)
{
	return i > 0 && word[0] != '-' && isalpha((unsigned char)word[i - 1]);
}

static void put_word(struct text *t, const char *word, size_t n)
{
	auto_buf w = BUF_INIT;
	for (size_t i = 0; i < n; i++) {
		if (word[i] == '`') {
			t->bold = !t->bold;
			buf_str(&w, t->bold ? "\\fB" : "\\fR");
		} else if (!t->bold && ((word[i] == '-' && is_hyphen(word, i)) || (word[i] == '\'' && i > 0) || word[i] == '"')) {
			buf_ch(&w, word[i]);
		} else {
			put_char(&w, word[i]);
		}
	}
	if (t->column > 0 && t->column + 1 + w.len > COLUMNS)
		end_line(t);
	if (t->column > 0)
		buf_ch(t->out, ' ');
	else if (*w.p == '.')
		buf_str(t->out, "\\&");
	buf_add(t->out, w.p, w.len);
	t->column += w.len + 1;
}

static bool ends_sentence(const char *word, size_t n)
{
	while (n > 1 && strchr(")\"'`]", word[n - 1]))
		n--;
	return n > 1 && strchr(".?!", word[n - 1]) && !(n >= 4 && word[n - 3] == '.');
}

void mdoc_text(struct buf *out, const char *text)
{
	struct text t = { .out = out };
	bool ticks = true; /* all of them in pairs */
	for (const char *c = text; *c; c++)
		ticks = ticks != (*c == '`');
	while (*text) {
		size_t gap = strspn(text, " \t\r\n");
		const char *first = memchr(text, '\n', gap);
		if (first && memchr(first + 1, '\n', gap - (size_t)(first + 1 - text)) && text[gap]) {
			end_line(&t);
			buf_str(out, ".Pp\n");
		}
		text += gap;
		size_t n = strcspn(text, " \t\r\n");
		if (n == 0)
			break;
		if (ticks) {
			put_word(&t, text, n);
		} else {
			auto_free char *plain = mem_strndup(text, n);
			for (char *c = plain; *c; c++)
				*c = *c == '`' ? '\'' : *c;
			put_word(&t, plain, n);
		}
		if (ends_sentence(text, n))
			end_line(&t);
		text += n;
	}
	end_line(&t);
}

/* ---- macros ---- */

static void put_usage_word(struct buf *out, const char *word, size_t n)
{
	bool more = n > 3 && memcmp(word + n - 3, "...", 3) == 0;
	auto_free char *text = mem_strndup(word, more ? n - 3 : n);
	if (strcmp(text, "|") == 0) {
		buf_str(out, " |");
	} else if (*text == '-') {
		buf_str(out, " Fl");
		mdoc_arg(out, text + 1);
	} else {
		buf_str(out, " Ar");
		mdoc_arg(out, text);
	}
	buf_str(out, more ? " ..." : "");
}

void mdoc_usage(struct buf *out, const char *usage)
{
	auto_buf line = BUF_INIT;
	while (*usage) {
		size_t n = strcspn(usage, " []");
		if (n > 0)
			put_usage_word(&line, usage, n);
		usage += n;
		if (*usage == '[' || *usage == ']')
			buf_str(&line, *usage == '[' ? " Oo" : " Oc");
		usage += *usage != '\0';
	}
	if (line.len > 0)
		buf_fmt(out, ".%s\n", line.p + 1);
}

void mdoc_option(struct buf *out, char letter, const char *name, const char *value)
{
	auto_free char *dashed = mem_printf("-%s", name);
	buf_str(out, ".It");
	if (letter)
		buf_fmt(out, " Fl %c ,", letter);
	buf_str(out, " Fl");
	mdoc_arg(out, dashed);
	if (*value) {
		buf_str(out, " Ar");
		mdoc_arg(out, value);
	}
	buf_ch(out, '\n');
}

void mdoc_options(struct buf *out, const struct opt *table)
{
	if (!table || table->kind == OPT_END)
		return;
	buf_str(out, ".Bl -tag -width Ds\n");
	for (const struct opt *o = table; o->kind != OPT_END; o++) {
		auto_buf about = BUF_INIT;
		buf_str(&about, o->help);
		for (const char *const *c = o->choices; c && *c && !strstr(o->help, o->choices[0]); c++)
			buf_fmt(&about, "%s%s%s", c == o->choices ? " (one of " : ", ", *c, c[1] ? "" : ")");
		if (o->max > 0)
			buf_fmt(&about, " (%.15g to %.15g)", o->min, o->max);
		if (o->env)
			buf_fmt(&about, " (environment: %s)", o->env);
		mdoc_option(out, o->letter, o->name, o->arg ? o->arg : "");
		mdoc_text(out, about.p);
	}
	buf_str(out, ".El\n");
}

void mdoc_head(struct buf *out, const char *date, const char *name, const char *section, const char *summary)
{
	size_t n = strlen(summary);
	auto_buf title = BUF_INIT;
	for (const char *c = name; *c; c++)
		buf_ch(&title, (char)toupper((unsigned char)*c));
	auto_free char *line = mem_strndup(summary, n > 0 && summary[n - 1] == '.' ? n - 1 : n);
	if (*line && !isupper((unsigned char)line[1]))
		*line = (char)tolower((unsigned char)*line);
	buf_fmt(out, ".Dd %s\n.Dt %s %s\n.Os\n.Sh NAME\n.Nm %s\n.Nd", date, title.p, section, name);
	mdoc_arg(out, line);
	buf_ch(out, '\n');
}

static int by_section(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	int section = strrchr(x, '(')[1] - strrchr(y, '(')[1];
	size_t nx = strcspn(x, "("), ny = strcspn(y, "("), n = nx < ny ? nx : ny;
	int name = section ? section : strncasecmp(x, y, n);
	return name ? name : (nx > ny) - (nx < ny);
}

void mdoc_see(struct buf *out, const char **names, size_t n, const char *self)
{
	bool any = false;
	qsort(names, n, sizeof(*names), by_section);
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(names[i], "(");
		if (strcmp(names[i], self) == 0)
			continue;
		buf_fmt(out, "%s.Xr %.*s %c", any ? " ,\n" : "", (int)len, names[i], names[i][len + 1]);
		any = true;
	}
	buf_str(out, any ? "\n" : "");
}

/* "sbx 1 ," */
static void put_reference(struct buf *out, const char *at, size_t n)
{
	size_t name = strcspn(at, " \n"), rest = name + 2;
	buf_str(out, "\\fB");
	for (size_t i = 0; i < name; i++)
		put_char(out, at[i]);
	buf_fmt(out, "\\fR(%c)", at[name + 1]);
	if (n > rest)
		buf_add(out, at + rest + 1, n - rest - 1);
	buf_ch(out, '\n');
}

void mdoc_finish(struct buf *out, const char *page)
{
	while (*page) {
		size_t n = strcspn(page, "\n");
		if (str_starts(page, ".Xr "))
			put_reference(out, page + 4, n - 4);
		else
			buf_fmt(out, "%.*s\n", (int)n, page);
		page += n + (page[n] == '\n');
	}
}
