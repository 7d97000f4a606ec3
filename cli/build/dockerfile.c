#include "cli/build/dockerfile.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/build/expand.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BLANK " \t"

struct parser {
	struct dockerfile *d;
	const char *p, *end; /* of the text that is left */
	unsigned line;	     /* of p */
	unsigned at;	     /* where the instruction in hand begins */
	struct err *err;
};

typedef int take(struct parser *p, struct dockerfile_step *s, const char *text);
static take take_from, take_words, take_command, take_run, take_pairs, take_one, take_copy;

static const struct verb {
	const char *name;
	take *take;
} verbs[DOCKERFILE_VERBS] = {
	[DOCKERFILE_FROM] = { "FROM", take_from },
	[DOCKERFILE_ARG] = { "ARG", take_words },
	[DOCKERFILE_RUN] = { "RUN", take_run },
	[DOCKERFILE_CMD] = { "CMD", take_command },
	[DOCKERFILE_ENTRYPOINT] = { "ENTRYPOINT", take_command },
	[DOCKERFILE_ENV] = { "ENV", take_pairs },
	[DOCKERFILE_LABEL] = { "LABEL", take_pairs },
	[DOCKERFILE_EXPOSE] = { "EXPOSE", take_words },
	[DOCKERFILE_USER] = { "USER", take_one },
	[DOCKERFILE_WORKDIR] = { "WORKDIR", take_one },
	[DOCKERFILE_COPY] = { "COPY", take_copy },
	[DOCKERFILE_ADD] = { "ADD", take_copy },
};

const char *dockerfile_verb(enum dockerfile_verb verb)
{
	return verbs[verb].name;
}

int dockerfile_at(const struct dockerfile *d, const struct dockerfile_step *step, struct err *err)
{
	return err_prefix(err, "%s:%u", d->name, step->line);
}

static void add_word(struct dockerfile_step *s, const char *text, size_t n)
{
	s->words = mem_grow(s->words, s->count + 2, sizeof(*s->words));
	s->words[s->count++] = mem_strndup(text, n);
	s->words[s->count] = NULL;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, BLANK);
}

static int wants(const struct parser *p, const char *what)
{
	return err_set(p->err, ERR_INVALID, "%s", what);
}

/* ---- arguments ---- */

static int take_words(struct parser *p, struct dockerfile_step *s, const char *text)
{
	for (size_t n; *(text = skip_blanks(text)); text += n) {
		n = expand_next(p->d->escape, text);
		add_word(s, text, n);
	}
	return s->count ? 0 : wants(p, "it needs an argument");
}

static int take_one(struct parser *p, struct dockerfile_step *s, const char *text)
{
	if (!*text)
		return wants(p, "it needs an argument");
	if (s->verb == DOCKERFILE_USER && text[expand_next(p->d->escape, text)])
		return wants(p, "it takes one argument");
	add_word(s, text, strlen(text));
	return 0;
}

/* 1 when the text is a JSON array of strings, which are then the words. */
static int take_json(struct dockerfile_step *s, const char *text)
{
	if (*text != '[')
		return 0;
	auto_js *v = js_parse(text, strlen(text), JS_LIMITS_DEFAULT, NULL);
	if (js_type(v) != JS_ARRAY)
		return 0;
	js_each (item, v)
		if (js_type(item) != JS_STRING)
			return 0;
	js_each (item, v)
		add_word(s, js_str(item, ""), strlen(js_str(item, "")));
	s->json = true;
	return 1;
}

static int take_command(struct parser *p, struct dockerfile_step *s, const char *text)
{
	if (take_json(s, text)) {
		/* an empty list takes back what the image below has */
		return s->count || s->verb != DOCKERFILE_RUN ? 0 : wants(p, "it needs a command");
	}
	if (!*text)
		return wants(p, "it needs a command");
	add_word(s, text, strlen(text));
	return 0;
}

static int refuse_heredocs(struct parser *p, const char *text)
{
	for (size_t n; *(text = skip_blanks(text)); text += n) {
		const char *w = text + strspn(text, "0123456789");
		n = expand_next(p->d->escape, text);
		if (!str_starts(w, "<<"))
			continue;
		w += w[2] == '-' ? 3 : 2;
		w += *w == '"' || *w == '\'';
		if (!isalpha((unsigned char)*w) && *w != '_')
			continue;
		err_set(p->err, ERR_INVALID, "here-documents (<<) are not supported");
		return err_hint(p->err, "put the text into a file of the context and COPY it, or write printf '%%s\\n' ...");
	}
	return 0;
}

static int refuse_flag(struct parser *p, const struct dockerfile_step *s, const char *text)
{
	return err_set(p->err, ERR_INVALID, "%s %.*s is not supported", verbs[s->verb].name, (int)strcspn(text, " \t="), text);
}

static int take_run(struct parser *p, struct dockerfile_step *s, const char *text)
{
	if (str_starts(text, "--"))
		return refuse_flag(p, s, text);
	return refuse_heredocs(p, text) ? -1 : take_command(p, s, text);
}

/* NAME=VALUE ..., or NAME and the rest of the line as its value. */
static int take_pairs(struct parser *p, struct dockerfile_step *s, const char *text)
{
	size_t n = expand_next(p->d->escape, text);
	size_t name = expand_name(p->d->escape, text, n);
	if (!n || !name)
		return wants(p, "it needs NAME=VALUE");
	if (name == n) {
		const char *value = skip_blanks(text + n);
		if (!*value)
			return err_set(p->err, ERR_INVALID, "'%.80s' has no value", text);
		auto_free char *pair = mem_printf("%.*s=%s", (int)n, text, value);
		add_word(s, pair, strlen(pair));
		return 0;
	}
	for (; *(text = skip_blanks(text)); text += n) {
		n = expand_next(p->d->escape, text);
		name = expand_name(p->d->escape, text, n);
		if (name == n || name == 0)
			return err_set(p->err, ERR_INVALID, "'%.*s' is not NAME=VALUE", n < 80 ? (int)n : 80, text);
		add_word(s, text, n);
	}
	return 0;
}

/* --name=value before the arguments. */
static int take_flag(struct parser *p, struct dockerfile_step *s, const char *text, size_t n)
{
	const struct {
		const char *name;
		char **value;
	} known[] = { { "--from=", &s->from }, { "--chown=", &s->chown }, { "--chmod=", &s->chmod } };
	auto_free char *flag = mem_strndup(text, n);

	for (size_t i = 0; s->verb != DOCKERFILE_FROM && i < ARRAY_LEN(known); i++) {
		if (!str_starts(flag, known[i].name))
			continue;
		free(*known[i].value);
		*known[i].value = mem_strdup(flag + strlen(known[i].name));
		return **known[i].value ? 0 : err_set(p->err, ERR_INVALID, "%s has no value", flag);
	}
	if (s->verb == DOCKERFILE_FROM && str_same(flag, "--platform=linux/amd64"))
		return 0;
	if (s->verb == DOCKERFILE_COPY && str_same(flag, "--link"))
		return 0; /* about how layers are stored */
	return refuse_flag(p, s, flag);
}

static int take_flags(struct parser *p, struct dockerfile_step *s, const char **text)
{
	while (str_starts(*text, "--")) {
		size_t n = expand_next(p->d->escape, *text);
		if (take_flag(p, s, *text, n))
			return -1;
		*text = skip_blanks(*text + n);
	}
	return 0;
}

static bool is_stage_name(const char *name)
{
	if (!isalpha((unsigned char)*name))
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return false;
	return true;
}

static int take_from(struct parser *p, struct dockerfile_step *s, const char *text)
{
	if (take_flags(p, s, &text) || take_words(p, s, text))
		return -1;
	if (s->count == 1)
		return 0;
	if (s->count != 3 || strcasecmp(s->words[1], "AS") != 0)
		return wants(p, "it must be FROM IMAGE, or FROM IMAGE AS NAME");
	if (!is_stage_name(s->words[2]))
		return err_set(p->err, ERR_INVALID, "'%.80s' cannot be the name of a stage", s->words[2]);
	s->as = mem_steal(&s->words[2]);
	free(s->words[1]);
	s->words[1] = NULL;
	s->count = 1;
	return 0;
}

static int take_copy(struct parser *p, struct dockerfile_step *s, const char *text)
{
	if (take_flags(p, s, &text) || refuse_heredocs(p, text) || (!take_json(s, text) && take_words(p, s, text)))
		return -1;
	if (s->count < 2)
		return wants(p, "it needs a source and a target");
	if (s->from && s->verb == DOCKERFILE_ADD)
		return wants(p, "--from is for COPY");
	return 0;
}

/* ---- instructions ---- */

static int unknown(struct parser *p, const char *word, size_t n)
{
	static const char *const others[] = { "HEALTHCHECK", "MAINTAINER", "ONBUILD", "SHELL", "STOPSIGNAL", "VOLUME" };
	auto_free char *name = mem_strndup(word, n < 40 ? n : 40);
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		known |= !strcasecmp(others[i], name);
	err_set(p->err, ERR_INVALID, known ? "%s is not supported" : "unknown instruction '%s'", name);
	return err_hint(p->err, "there are FROM, ARG, RUN, CMD, ENTRYPOINT, ENV, LABEL, EXPOSE, USER, WORKDIR, COPY and ADD");
}

static struct dockerfile_step *new_step(struct parser *p, enum dockerfile_verb verb, const char *text)
{
	struct dockerfile *d = p->d;
	if ((d->count & (d->count - 1)) == 0)
		d->steps = mem_grow(d->steps, d->count ? d->count * 2 : 1, sizeof(*d->steps));
	struct dockerfile_step *s = &d->steps[d->count++];
	*s = (struct dockerfile_step){
		.verb = verb, .line = p->at, .text = mem_strdup(text), .words = mem_array(1, sizeof(char *))
	};
	return s;
}

static int check_order(const struct parser *p, enum dockerfile_verb verb)
{
	bool from = verb == DOCKERFILE_FROM || verb == DOCKERFILE_ARG;
	for (size_t i = 0; !from && i < p->d->count; i++)
		from = p->d->steps[i].verb == DOCKERFILE_FROM;
	if (from)
		return 0;
	return err_set(p->err, ERR_INVALID, "%s comes before FROM, which says what it begins with", verbs[verb].name);
}

static int instruction(struct parser *p, char *text)
{
	for (size_t n = strlen(text); n && strchr(BLANK, text[n - 1]);)
		text[--n] = '\0';
	size_t word = strcspn(text, BLANK);
	for (enum dockerfile_verb v = 0; v < DOCKERFILE_VERBS; v++) {
		if (strlen(verbs[v].name) != word || strncasecmp(verbs[v].name, text, word) != 0)
			continue;
		if (p->d->count >= DOCKERFILE_STEPS_MAX)
			return err_set(p->err, ERR_INVALID, "more than %u instructions", DOCKERFILE_STEPS_MAX);
		if (check_order(p, v))
			return -1;
		if (verbs[v].take(p, new_step(p, v, text), skip_blanks(text + word)) == 0)
			return 0;
		return p->err && str_starts(p->err->msg, "it ") ? err_prefix(p->err, "%s", verbs[v].name) : -1;
	}
	return unknown(p, text, word);
}

/* ---- lines ---- */

/* The next line without its end and without blanks before it. false at the end of the text. */
static bool next_line(struct parser *p, const char **line, size_t *n)
{
	if (p->p >= p->end)
		return false;
	const char *nl = memchr(p->p, '\n', (size_t)(p->end - p->p)), *end = nl ? nl : p->end;
	*line = p->p;
	p->p = nl ? nl + 1 : p->end;
	p->line++;
	if (end > *line && end[-1] == '\r')
		end--;
	*n = (size_t)(end - *line);
	return true;
}

static void trim(const char **line, size_t *n)
{
	while (*n && strchr(BLANK, **line)) {
		(*line)++;
		(*n)--;
	}
}

/* A line goes on when the escape character is its last, but for blanks: that is then cut off. */
static bool goes_on(const struct parser *p, const char *line, size_t *n)
{
	size_t k = *n;
	while (k && strchr(BLANK, line[k - 1]))
		k--;
	if (!k || line[k - 1] != p->d->escape)
		return false;
	*n = k - 1;
	return true;
}

/* An instruction with the lines that it goes on in; comments and empty lines between them are left out. */
static int next_instruction(struct parser *p, struct buf *text)
{
	const char *line;
	size_t n;
	bool more = true;

	buf_clear(text);
	while (more && next_line(p, &line, &n)) {
		const char *start = line;
		size_t left = n;
		trim(&start, &left);
		if (!left || *start == '#')
			continue;
		if (!text->len) {
			p->at = p->line;
			line = start;
			n = left;
		}
		more = goes_on(p, line, &n);
		buf_add(text, line, n);
	}
	return text->len > 0;
}

/* Directives are comments "name=value" before anything else. */
static int take_directives(struct parser *p)
{
	struct parser ahead = *p;
	const char *line;
	size_t n;

	while (next_line(&ahead, &line, &n)) {
		trim(&line, &n);
		auto_free char *text = mem_strndup(line, n);
		char name[16] = "", value[80] = "";
		if (sscanf(text, "# %15[A-Za-z] = %79[^ \t]", name, value) != 2)
			return 0;
		if (!strcasecmp(name, "escape")) {
			p->at = ahead.line;
			if (strcmp(value, "\\") != 0 && strcmp(value, "`") != 0)
				return err_set(p->err, ERR_INVALID, "'%s' cannot be the escape character: it is \\ or `", value);
			p->d->escape = *value;
		} else if (strcasecmp(name, "syntax") != 0 && strcasecmp(name, "check") != 0) {
			return 0;
		}
		p->p = ahead.p;
		p->line = ahead.line;
	}
	return 0;
}

static int parse(struct parser *p)
{
	auto_buf text = BUF_INIT;
	const char *nul = memchr(p->p, '\0', (size_t)(p->end - p->p));
	int rc = 0;

	p->at = 1;
	if (nul)
		return err_set(p->err, ERR_INVALID, "it is no text");
	if (p->end - p->p >= 3 && !memcmp(p->p, "\xef\xbb\xbf", 3))
		p->p += 3;
	rc = take_directives(p);
	while (rc == 0 && next_instruction(p, &text))
		rc = buf_failed(&text) ? err_set(p->err, ERR_LIMIT, "out of memory") : instruction(p, text.p);
	return rc;
}

static bool has_from(const struct dockerfile *d)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->steps[i].verb == DOCKERFILE_FROM)
			return true;
	return false;
}

int dockerfile_parse(const char *name, const char *text, size_t n, struct dockerfile *out, struct err *err)
{
	struct parser p = { .d = out, .p = text, .end = text + n, .err = err };

	*out = (struct dockerfile){ .name = mem_strdup(name), .escape = '\\' };
	if (n > DOCKERFILE_MAX)
		return err_set(err, ERR_INVALID, "'%s' is larger than %zu bytes", name, DOCKERFILE_MAX);
	if (parse(&p))
		return err_prefix(err, "%s:%u", name, p.at);
	return has_from(out) ? 0 : err_set(err, ERR_INVALID, "'%s' has no FROM", name);
}

void dockerfile_free(struct dockerfile *d)
{
	for (size_t i = 0; i < d->count; i++) {
		struct dockerfile_step *s = &d->steps[i];
		for (size_t k = 0; s->words && k < s->count; k++)
			free(s->words[k]);
		free(s->words);
		free(s->text);
		free(s->from);
		free(s->chown);
		free(s->chmod);
		free(s->as);
	}
	free(d->steps);
	free(d->name);
	*d = (struct dockerfile){ 0 };
}
