#include "cli/opt.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define NAMES_MAX 512

/* One option being read: its row, where its value goes, and how the person wrote it. */
struct hit {
	const struct opt *opt;
	char *slot;
	char shown[72];
};

const char *opt_nearest(const char *word, const char *const *names, size_t n)
{
	const char *best = NULL;
	unsigned best_distance = 3;
	for (size_t i = 0; i < n; i++) {
		unsigned d = str_distance(word, names[i]);
		if (d < best_distance && d < strlen(names[i])) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}

static bool find(const struct opt_parse *p, const char *name, size_t len, char letter, struct hit *hit)
{
	for (size_t s = 0; s < ARRAY_LEN(p->sets); s++) {
		for (const struct opt *o = p->sets[s].table; o && o->kind != OPT_END; o++) {
			bool is_name = name && strlen(o->name) == len && memcmp(o->name, name, len) == 0;
			if (!is_name && !(letter && o->letter == letter))
				continue;
			hit->opt = o;
			hit->slot = (char *)p->sets[s].into + o->off;
			return true;
		}
	}
	return false;
}

static int unknown_long(const struct opt_parse *p, const char *name, size_t len, struct err *err)
{
	const char *names[NAMES_MAX];
	size_t n = 0;
	for (size_t s = 0; s < ARRAY_LEN(p->sets); s++)
		for (const struct opt *o = p->sets[s].table; o && o->kind != OPT_END && n < NAMES_MAX; o++)
			names[n++] = o->name;
	auto_free char *word = mem_strndup(name, len);
	const char *near = opt_nearest(word, names, n);
	err_set(err, ERR_USAGE, "unknown option '--%s'", word);
	return near ? err_hint(err, "did you mean '--%s'?", near) : -1;
}

static int parse_number(const struct hit *hit, const char *text, struct err *err)
{
	const struct opt *o = hit->opt;
	char *end;
	errno = 0;
	double v = strtod(text, &end);
	bool whole = o->kind == OPT_INT;
	bool plain = strspn(text, whole ? "0123456789" : "0123456789.") == strlen(text);
	if (end == text || *end != '\0' || errno || !plain || !isfinite(v))
		return err_set(err, ERR_USAGE, "option '%s' takes a %snumber, not '%s'", hit->shown, whole ? "whole " : "", text);
	if (v < o->min || v > o->max)
		return err_set(
			err, ERR_USAGE, "option '%s' must be between %.15g and %.15g, not '%s'", hit->shown, o->min, o->max, text);
	*(struct opt_num *)(void *)hit->slot = (struct opt_num){ .set = true, .v = v };
	return 0;
}

static int parse_time(const struct hit *hit, const char *text, struct err *err)
{
	static const struct {
		char unit;
		double seconds;
	} units[] = { { '\0', 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	const struct opt *o = hit->opt;
	size_t digits = strspn(text, "0123456789");
	double v = strtod(text, NULL);
	for (size_t i = 0; i < ARRAY_LEN(units) && digits > 0 && (text[digits] == '\0' || text[digits + 1] == '\0'); i++) {
		if (text[digits] != units[i].unit)
			continue;
		v *= units[i].seconds;
		if (v < o->min || v > o->max)
			return err_set(err, ERR_USAGE, "option '%s' must be between %.15g and %.15g seconds, not '%s'", hit->shown,
				o->min, o->max, text);
		*(struct opt_num *)(void *)hit->slot = (struct opt_num){ .set = true, .v = v };
		return 0;
	}
	return err_set(err, ERR_USAGE, "option '%s' takes a time such as 90, 10m, 2h or 1d, not '%s'", hit->shown, text);
}

static int parse_choice(const struct hit *hit, const char *text, struct err *err)
{
	char all[160] = "";
	size_t n = 0;
	for (const char *const *c = hit->opt->choices; *c; c++) {
		if (strcmp(*c, text) == 0) {
			*(const char **)(void *)hit->slot = text;
			return 0;
		}
		for (const char *s = n ? ", " : ""; *s && n + 1 < sizeof(all); s++)
			all[n++] = *s;
		for (const char *s = *c; *s && n + 1 < sizeof(all); s++)
			all[n++] = *s;
		all[n] = '\0';
	}
	return err_set(err, ERR_USAGE, "option '%s' takes one of %s, not '%s'", hit->shown, all, text);
}

static void add_text(const struct hit *hit, char *text)
{
	struct opt_list *list = (struct opt_list *)(void *)hit->slot;
	list->v = mem_grow(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = text;
}

static int parse_pair(const struct hit *hit, char *text, struct err *err)
{
	const char *eq = strchr(text, '=');
	if (eq == text || *text == '\0' || (!eq && hit->opt->kind == OPT_PAIRS))
		return err_set(err, ERR_USAGE, "option '%s' takes KEY=VALUE, not '%s'", hit->shown, text);
	add_text(hit, text);
	return 0;
}

static int set_value(const struct hit *hit, char *text, struct err *err)
{
	switch (hit->opt->kind) {
	case OPT_STR:
	case OPT_MAYBE:
		*(const char **)(void *)hit->slot = text;
		return 0;
	case OPT_INT:
	case OPT_NUM:
		return parse_number(hit, text, err);
	case OPT_TIME:
		return parse_time(hit, text, err);
	case OPT_ENUM:
		return parse_choice(hit, text, err);
	case OPT_PAIRS:
	case OPT_ENV:
		return parse_pair(hit, text, err);
	case OPT_LIST:
		add_text(hit, text);
		return 0;
	case OPT_SWITCH:
	case OPT_BOOL:
	case OPT_END:
		break;
	}
	return err_set(err, ERR_INTERNAL, "option '%s' has no kind", hit->shown);
}

/* One of the choices, or something after one that ends in ':'. */
static bool is_choice(const struct opt *o, const char *text)
{
	for (const char *const *c = o->choices; *c; c++)
		if (strcmp(*c, text) == 0 || (str_ends(*c, ":") && str_starts(text, *c)))
			return true;
	return false;
}

/* Returns how many further arguments were used, or -1. */
static int take_maybe(const struct hit *hit, char *inline_value, int left, char **next, struct err *err)
{
	const char **slot = (const char **)(void *)hit->slot;
	if (inline_value && !is_choice(hit->opt, inline_value))
		return parse_choice(hit, inline_value, err);
	bool takes = !inline_value && left > 0 && is_choice(hit->opt, *next);
	*slot = inline_value ? inline_value : takes ? *next : hit->opt->choices[0];
	return takes;
}

/* The value is the rest of this argument (inline_value) or the next argument. */
static int take_value(const struct hit *hit, char *inline_value, int left, char **next, struct err *err)
{
	if (inline_value)
		return set_value(hit, inline_value, err);
	if (left < 1)
		return err_set(err, ERR_USAGE, "option '%s' needs a value", hit->shown);
	return set_value(hit, *next, err) ? -1 : 1;
}

static int parse_switch(const struct hit *hit, const char *text, struct err *err)
{
	static char yes[] = "true", no[] = "false";
	if (text && strcmp(text, yes) != 0 && strcmp(text, no) != 0)
		return err_set(err, ERR_USAGE, "option '%s' takes true or false, not '%s'", hit->shown, text);
	add_text(hit, text && strcmp(text, no) == 0 ? no : yes);
	return 0;
}

/* "no-x" for a switch x. */
static bool negation(const struct opt_parse *p, const char *text, size_t len)
{
	struct hit hit = { .shown = "" };
	if (len < 4 || memcmp(text, "no-", 3) != 0 || text[len] == '=' || !find(p, text + 3, len - 3, 0, &hit) ||
		hit.opt->kind != OPT_SWITCH)
		return false;
	return parse_switch(&hit, "false", NULL) == 0;
}

/* Returns how many further arguments were used (0 or 1), or -1. */
static int long_option(struct opt_parse *p, char *text, int left, char **next, struct err *err)
{
	char *eq = strchr(text, '=');
	size_t len = eq ? (size_t)(eq - text) : strlen(text);
	struct hit hit;
	if (!find(p, text, len, 0, &hit))
		return negation(p, text, len) ? 0 : unknown_long(p, text, len, err);
	size_t shown = len < sizeof(hit.shown) - 3 ? len : sizeof(hit.shown) - 3;
	memcpy(hit.shown, "--", 2);
	memcpy(hit.shown + 2, text, shown);
	hit.shown[shown + 2] = '\0';
	if (hit.opt->kind == OPT_SWITCH)
		return parse_switch(&hit, eq ? eq + 1 : NULL, err);
	if (hit.opt->kind == OPT_MAYBE)
		return take_maybe(&hit, eq ? eq + 1 : NULL, left, next, err);
	if (hit.opt->kind != OPT_BOOL)
		return take_value(&hit, eq ? eq + 1 : NULL, left, next, err);
	if (eq)
		return err_set(err, ERR_USAGE, "option '%s' takes no value", hit.shown);
	*(bool *)hit.slot = true;
	return 0;
}

static int short_options(struct opt_parse *p, char *text, int left, char **next, struct err *err)
{
	for (char *c = text; *c; c++) {
		struct hit hit;
		if (!find(p, NULL, 0, *c, &hit))
			return err_set(err, ERR_USAGE, "unknown option '-%c'", *c);
		hit.shown[0] = '-';
		hit.shown[1] = *c;
		hit.shown[2] = '\0';
		if (hit.opt->kind == OPT_SWITCH) {
			(void)parse_switch(&hit, NULL, err);
			continue;
		}
		if (hit.opt->kind == OPT_MAYBE)
			return take_maybe(&hit, c[1] ? c + 1 + (c[1] == '=') : NULL, left, next, err);
		if (hit.opt->kind != OPT_BOOL)
			return take_value(&hit, c[1] ? c + 1 + (c[1] == '=') : NULL, left, next, err);
		*(bool *)hit.slot = true;
	}
	return 0;
}

int opt_parse(struct opt_parse *p, int argc, char **argv, struct err *err)
{
	p->args = mem_array((size_t)argc + 1, sizeof(*p->args));
	p->count = 0;
	p->plain = SIZE_MAX;
	bool options = true;
	int i = 0;
	for (; i < argc; i++) {
		char *a = argv[i];
		if (!options || a[0] != '-' || a[1] == '\0') {
			if (p->stop_first)
				break;
			if (p->command_after >= 0 && p->count >= (size_t)p->command_after)
				options = false;
			p->args[p->count++] = a;
			continue;
		}
		if (strcmp(a, "--") == 0) {
			options = false;
			p->plain = p->count;
			continue;
		}
		int left = argc - i - 1;
		int used = a[1] == '-' ? long_option(p, a + 2, left, argv + i + 1, err)
				       : short_options(p, a + 1, left, argv + i + 1, err);
		if (used < 0)
			return -1;
		i += used;
	}
	p->used = (size_t)i;
	if (p->plain > p->count)
		p->plain = p->count;
	return 0;
}

void opt_parse_free(struct opt_parse *p)
{
	free(p->args);
	p->args = NULL;
	for (size_t s = 0; s < ARRAY_LEN(p->sets); s++) {
		for (const struct opt *o = p->sets[s].table; o && o->kind != OPT_END; o++) {
			if (o->kind != OPT_PAIRS && o->kind != OPT_ENV && o->kind != OPT_LIST && o->kind != OPT_SWITCH)
				continue;
			struct opt_list *list = (struct opt_list *)(void *)((char *)p->sets[s].into + o->off);
			free(list->v);
			*list = (struct opt_list){ 0 };
		}
	}
}

bool opt_is_set(const struct opt *o, const void *into)
{
	const void *at = (const char *)into + o->off;
	switch (o->kind) {
	case OPT_END:
		break;
	case OPT_BOOL:
		return *(const bool *)at;
	case OPT_STR:
	case OPT_ENUM:
	case OPT_MAYBE:
		return *(const char *const *)at != NULL;
	case OPT_INT:
	case OPT_NUM:
	case OPT_TIME:
		return ((const struct opt_num *)at)->set;
	case OPT_PAIRS:
	case OPT_ENV:
	case OPT_LIST:
	case OPT_SWITCH:
		return ((const struct opt_list *)at)->n > 0;
	}
	return false;
}
