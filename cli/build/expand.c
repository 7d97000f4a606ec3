#include "cli/build/expand.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "shared/base/mem.h"

#define DEPTH_MAX 16u

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Past a quoted part that begins at p, or as far as there is text. */
static const char *skip_quoted(char escape, const char *p)
{
	char quote = *p++;
	while (*p && *p != quote) {
		if (*p == escape && quote == '"' && p[1])
			p++;
		p++;
	}
	return *p ? p + 1 : p;
}

/* Past one character, quoted part or escaped character. */
static const char *skip_one(char escape, const char *p)
{
	if (*p == '\'' || *p == '"')
		return skip_quoted(escape, p);
	return *p == escape && p[1] ? p + 2 : p + 1;
}

size_t expand_next(char escape, const char *text)
{
	const char *p = text;
	while (*p && !is_blank(*p))
		p = skip_one(escape, p);
	return (size_t)(p - text);
}

size_t expand_name(char escape, const char *word, size_t n)
{
	const char *p = word;
	while (p < word + n && *p != '=')
		p = skip_one(escape, p);
	return p < word + n ? (size_t)(p - word) : n;
}

/* ---- putting in ---- */

struct state {
	const struct expand *x;
	const char *p; /* what comes next */
	struct buf *out;
	unsigned depth;
	struct err *err;
};

static int expand_to(struct state *s, char end);

static const char *lookup(const struct state *s, const char *name, size_t n)
{
	return s->x->value ? s->x->value(s->x->arg, name, n) : NULL;
}

/* What stands behind the operator, up to the brace. */
static int operand(struct state *s, struct buf *out) /* NOLINT(misc-no-recursion) */
{
	struct state inner = *s;
	inner.out = out;
	if (++inner.depth > DEPTH_MAX)
		return err_set(s->err, ERR_INVALID, "variables within variables within variables, and so on");
	int rc = expand_to(&inner, '}');
	s->p = inner.p;
	return rc;
}

/* ${name<colon><op>word} */
struct operation {
	const char *name;
	size_t n;
	bool colon;
	char op;
};

static int apply(struct state *s, const struct operation *o, struct err *err) /* NOLINT(misc-no-recursion) */
{
	auto_buf word = BUF_INIT;
	const char *value = lookup(s, o->name, o->n);
	bool set = value && !(o->colon && !*value);
	if (operand(s, &word))
		return -1;
	if (o->op == '?' && !set)
		return err_set(err, ERR_INVALID, "'%.*s' is not set%s%.200s", (int)o->n, o->name, word.len ? ": " : "", word.p);
	if (o->op == '+' ? set : !set)
		buf_add(s->out, word.p, word.len);
	else if (o->op != '+')
		buf_str(s->out, value);
	return 0;
}

static int braced(struct state *s) /* NOLINT(misc-no-recursion) */
{
	struct operation o = { .name = s->p };
	while (is_name(s->p[o.n]))
		o.n++;
	s->p += o.n;
	if (!o.n)
		return err_set(s->err, ERR_INVALID, "'${' without the name of a variable");
	if (*s->p == '}') {
		s->p++;
		const char *value = lookup(s, o.name, o.n);
		if (value)
			buf_str(s->out, value);
		return 0;
	}
	o.colon = *s->p == ':';
	s->p += o.colon;
	o.op = *s->p;
	if (!o.op || !strchr("-+?", o.op)) {
		err_set(s->err, ERR_INVALID, "'${%.*s' is not ended by '}', or goes on in an unknown way", (int)o.n, o.name);
		return err_hint(s->err, "known are ${x}, ${x:-word}, ${x:+word} and ${x:?word}");
	}
	s->p++;
	return apply(s, &o, s->err);
}

/* At the character behind '$'. */
static int variable(struct state *s) /* NOLINT(misc-no-recursion) */
{
	size_t n = 0;
	if (*s->p == '{') {
		s->p++;
		return braced(s);
	}
	while (is_name(s->p[n]))
		n++;
	if (!n) { /* a plain dollar */
		buf_ch(s->out, '$');
		return 0;
	}
	const char *value = lookup(s, s->p, n);
	s->p += n;
	if (value)
		buf_str(s->out, value);
	return 0;
}

static int unended(const struct state *s, char quote)
{
	return err_set(s->err, ERR_INVALID, "a %c is not ended by another", quote);
}

static int single(struct state *s)
{
	const char *end = strchr(s->p, '\'');
	if (!end)
		return unended(s, '\'');
	buf_add(s->out, s->p, (size_t)(end - s->p));
	s->p = end + 1;
	return 0;
}

static int quoted(struct state *s) /* NOLINT(misc-no-recursion) */
{
	while (*s->p && *s->p != '"') {
		char c = *s->p++;
		if (c == '$') {
			if (variable(s))
				return -1;
			continue;
		}
		/* others than these keep it */
		if (c == s->x->escape && *s->p && (*s->p == '"' || *s->p == '$' || *s->p == s->x->escape))
			c = *s->p++;
		buf_ch(s->out, c);
	}
	if (!*s->p)
		return unended(s, '"');
	s->p++;
	return 0;
}

/* To the end of the text (end 0), or past that character. */
static int expand_to(struct state *s, char end) /* NOLINT(misc-no-recursion) */
{
	int rc = 0;
	while (rc == 0 && *s->p && *s->p != end) {
		char c = *s->p++;
		if (c == '\'') {
			rc = single(s);
		} else if (c == '"') {
			rc = quoted(s);
		} else if (c == '$') {
			rc = variable(s);
		} else {
			if (c == s->x->escape && *s->p)
				c = *s->p++;
			buf_ch(s->out, c);
		}
	}
	if (rc || !end)
		return rc;
	if (!*s->p)
		return err_set(s->err, ERR_INVALID, "a '${' is not ended by '}'");
	s->p++;
	return 0;
}

int expand_word(const struct expand *x, const char *word, struct buf *out, struct err *err)
{
	struct state s = { .x = x, .p = word, .out = out, .err = err };
	return expand_to(&s, '\0');
}
