#include "shared/store/ignore_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

/* A pattern is a row of steps; matching keeps the set of steps that it may be at, so that no pattern makes it go back. */
enum step_kind {
	STEP_CHAR,
	STEP_ANY,   /* ?: no slash */
	STEP_SET,   /* [...]: no slash when the pattern is one of paths */
	STEP_STAR,  /* a run without slashes */
	STEP_STARS, /* any run */
	STEP_DIRS,  /* the next two steps (any run, a slash), or nothing */
};

struct step {
	uint8_t kind, ch;
	uint16_t set;
};

struct glob {
	struct step *steps;
	size_t n;
	uint8_t (*sets)[32]; /* 256 bits each */
	size_t set_count;
	bool paths;
};

/* The pattern while it is read. */
struct reading {
	const char *p, *end, *begin;
	struct glob *g;
};

static void add_step(struct glob *g, enum step_kind kind, char ch)
{
	g->steps[g->n++] = (struct step){ .kind = (uint8_t)kind, .ch = (uint8_t)ch };
}

/* ---- sets ---- */

static void set_range(uint8_t *set, uint8_t from, uint8_t to)
{
	for (unsigned c = from; c <= to; c++)
		set[c / 8] |= (uint8_t)(1u << c % 8);
}

static bool set_class(uint8_t *set, const char *name, size_t n)
{
	static const struct {
		const char *name;
		int (*is)(int c);
	} classes[] = {
		{ "alnum", isalnum },
		{ "alpha", isalpha },
		{ "blank", isblank },
		{ "cntrl", iscntrl },
		{ "digit", isdigit },
		{ "graph", isgraph },
		{ "lower", islower },
		{ "print", isprint },
		{ "punct", ispunct },
		{ "space", isspace },
		{ "upper", isupper },
		{ "xdigit", isxdigit },
	};

	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		if (strlen(classes[i].name) != n || memcmp(classes[i].name, name, n) != 0)
			continue;
		for (int c = 0; c < 128; c++)
			if (classes[i].is(c))
				set_range(set, (uint8_t)c, (uint8_t)c);
		return true;
	}
	return false;
}

/* "[:name:]" at p. 1 it was one (p is behind it), 0 it is an ordinary '[', -1 bad. */
static int read_class(struct reading *r, uint8_t *set)
{
	const char *name = r->p + 2, *end;

	if (r->end - r->p < 2 || r->p[0] != '[' || r->p[1] != ':')
		return 0;
	end = memchr(name, ']', (size_t)(r->end - name));
	if (!end)
		return -1;
	if (end == name || end[-1] != ':')
		return 0;
	if (!set_class(set, name, (size_t)(end - 1 - name)))
		return -1;
	r->p = end + 1;
	return 1;
}

/* One character, perhaps quoted. */
static bool read_char(struct reading *r, uint8_t *ch)
{
	if (r->p < r->end && *r->p == '\\')
		r->p++;
	if (r->p == r->end)
		return false;
	*ch = (uint8_t)*r->p++;
	return true;
}

/* What stands between the brackets. A ']' right after the opening one is an ordinary character. */
static bool read_members(struct reading *r, uint8_t *set)
{
	bool first = true;
	int before = -1; /* a character that may begin a range */

	for (; r->p < r->end && (first || *r->p != ']'); first = false) {
		uint8_t ch;
		if (*r->p == '-' && before > 0 && r->end - r->p > 1 && r->p[1] != ']') {
			r->p++;
			if (!read_char(r, &ch))
				return false;
			if (ch >= before)
				set_range(set, (uint8_t)before, ch);
			before = -1;
			continue;
		}
		int class = read_class(r, set);
		if (class < 0)
			return false;
		if (class > 0) {
			before = -1;
			continue;
		}
		if (!read_char(r, &ch))
			return false;
		set_range(set, ch, ch);
		before = ch;
	}
	return r->p++ < r->end;
}

static bool read_set(struct reading *r)
{
	struct glob *g = r->g;
	bool negated = r->p < r->end && (*r->p == '!' || *r->p == '^');

	r->p += negated;
	g->sets = mem_grow(g->sets, g->set_count + 1, sizeof(*g->sets));
	uint8_t *set = g->sets[g->set_count];
	memset(set, 0, sizeof(*g->sets));
	if (!read_members(r, set))
		return false;
	for (size_t i = 0; negated && i < sizeof(*g->sets); i++)
		set[i] = (uint8_t)~set[i];
	if (g->paths)
		set['/' / 8] &= (uint8_t) ~(1u << '/' % 8);
	g->steps[g->n++] = (struct step){ .kind = STEP_SET, .set = (uint16_t)g->set_count++ };
	return true;
}

/* ---- the rest ---- */

static void read_stars(struct reading *r)
{
	const char *star = r->p - 1;
	bool leads = star == r->begin || star[-1] == '/', two = r->p < r->end && *r->p == '*';

	while (r->p < r->end && *r->p == '*')
		r->p++;
	bool slash = r->p < r->end && *r->p == '/';
	bool quoted_slash = r->end - r->p > 1 && r->p[0] == '\\' && r->p[1] == '/';
	bool whole = two && leads && (slash || quoted_slash || r->p == r->end);
	if (whole && slash && r->g->paths) {
		add_step(r->g, STEP_DIRS, 0);
		add_step(r->g, STEP_STARS, 0);
		add_step(r->g, STEP_CHAR, '/');
		r->p++;
	} else {
		add_step(r->g, whole || !r->g->paths ? STEP_STARS : STEP_STAR, 0);
	}
}

static bool read_pattern(struct reading *r)
{
	while (r->p < r->end) {
		char ch = *r->p++;
		switch (ch) {
		case '*':
			read_stars(r);
			break;
		case '?':
			add_step(r->g, STEP_ANY, 0);
			break;
		case '[':
			if (!read_set(r))
				return false;
			break;
		case '\\':
			if (r->p == r->end)
				return false;
			add_step(r->g, STEP_CHAR, *r->p++);
			break;
		default:
			add_step(r->g, STEP_CHAR, ch);
			break;
		}
	}
	return true;
}

struct glob *glob_new(const char *pattern, size_t n, bool paths, size_t literal)
{
	if (n > GLOB_MAX)
		return NULL;
	struct glob *g = mem_zalloc(sizeof(*g));
	g->steps = mem_array(n, sizeof(*g->steps));
	g->paths = paths;
	for (size_t i = 0; i < literal; i++)
		add_step(g, STEP_CHAR, pattern[i]);
	struct reading r = { .p = pattern + literal, .end = pattern + n, .begin = pattern + literal, .g = g };
	if (!read_pattern(&r)) {
		glob_free(g);
		return NULL;
	}
	return g;
}

void glob_free(struct glob *g)
{
	if (!g)
		return;
	free(g->steps);
	free(g->sets);
	free(g);
}

/* Add what can be reached without a character: stars may be empty. */
static void close_set(const struct glob *g, uint8_t *at)
{
	for (size_t i = 0; i < g->n; i++) {
		if (!at[i])
			continue;
		if (g->steps[i].kind == STEP_STAR || g->steps[i].kind == STEP_STARS || g->steps[i].kind == STEP_DIRS)
			at[i + 1] = 1;
		if (g->steps[i].kind == STEP_DIRS)
			at[i + 3] = 1;
	}
}

static bool advance(const struct glob *g, const uint8_t *at, uint8_t *next, uint8_t ch)
{
	bool any = false;

	memset(next, 0, g->n + 1);
	for (size_t i = 0; i < g->n; i++) {
		const struct step *s = &g->steps[i];
		if (!at[i])
			continue;
		bool stay = s->kind == STEP_STARS || (s->kind == STEP_STAR && ch != '/');
		bool go = (s->kind == STEP_CHAR && s->ch == ch) || (s->kind == STEP_ANY && (ch != '/' || !g->paths)) ||
			(s->kind == STEP_SET && (g->sets[s->set][ch / 8] >> ch % 8 & 1));
		if (stay)
			next[i] = 1;
		if (go)
			next[i + 1] = 1;
		any |= stay || go;
	}
	return any;
}

bool glob_match(const struct glob *g, const char *text, size_t n)
{
	uint8_t sets[2][GLOB_MAX + 1], *at = sets[0], *next = sets[1];
	size_t skip = 0;

	/* What comes before the first wildcard must simply be equal. */
	for (; skip < g->n && g->steps[skip].kind == STEP_CHAR; skip++)
		if (skip >= n || g->steps[skip].ch != (uint8_t)text[skip])
			return false;
	memset(at, 0, g->n + 1);
	at[skip] = 1;
	for (size_t i = skip;; i++) {
		close_set(g, at);
		if (i == n)
			return at[g->n];
		if (!advance(g, at, next, (uint8_t)text[i]))
			return false;
		uint8_t *t = at;
		at = next;
		next = t;
	}
}
