#include "cli/verbs.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define VERBS_MAX 16

const struct verb *verbs_find(const struct command *c, const char *word)
{
	for (const struct verb *v = c->verbs; v->name; v++)
		if (!strcmp(word, v->name) || str_same(word, v->alias))
			return v;
	return NULL;
}

static int unknown(const struct command *c, const char *word, struct err *err)
{
	const char *names[VERBS_MAX];
	auto_buf all = BUF_INIT;
	size_t n = 0;
	for (const struct verb *v = c->verbs; v->name && n < VERBS_MAX; v++) {
		buf_fmt(&all, "%s%s", n ? ", " : "", v->name);
		names[n++] = v->name;
	}
	const char *near = opt_nearest(word, names, n);
	err_set(err, ERR_USAGE, "unknown command '%s %s %s'", c->group, c->name, word);
	return near ? err_hint(err, "did you mean 'sbx %s %s %s'?", c->group, c->name, near)
		    : err_hint(err, "it is one of %s", all.p);
}

/* Is the word among those of a text with blanks between them? */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);
	while (text && *text) {
		size_t len = strcspn(text, " ");
		if (len == n && !memcmp(text, word, n))
			return true;
		text += len + (text[len] == ' ');
	}
	return false;
}

static int check(const struct command *c, const struct verb *v, const void *options, size_t n, struct err *err)
{
	int rc = 0;
	if (n < v->min || n > v->max)
		rc = err_set(err, ERR_USAGE, n < v->min ? "arguments are missing" : "too many arguments");
	for (const struct opt *o = c->options; rc == 0 && o && o->kind != OPT_END; o++)
		if (opt_is_set(o, options) && !has_word(v->takes, o->name))
			rc = err_set(err, ERR_USAGE, "'%s' has no option '--%s'", v->name, o->name);
	return rc ? err_hint(err, "usage: sbx %s %s %s%s%s", c->group, c->name, v->name, *v->usage ? " " : "", v->usage) : 0;
}

int verbs_run(struct cli *cli, const void *options, const struct args *args, struct err *err)
{
	const struct command *c = cli->command;
	const struct verb *v = verbs_find(c, args->v[0]);
	if (!v)
		return unknown(c, args->v[0], err);
	cli->words[2] = v->name;
	if (check(c, v, options, args->n - 1, err))
		return -1;
	const struct args rest = { args->v + 1, args->n - 1, args->plain ? args->plain - 1 : 0 };
	return v->run(cli, options, &rest, err);
}
