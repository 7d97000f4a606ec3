#include "shared/store/ignore.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/ignore_internal.h"

struct rule {
	char *text; /* without '!' and the slashes at its ends */
	size_t len;
	struct glob *glob; /* NULL: a plain name or path, or with suffix the end of a name */
	bool negated, dirs_only, base_only, suffix;
};

/* The rules of one folder, in their order. */
struct group {
	char *folder; /* "" or a path */
	size_t len;
	struct rule *rules;
	size_t n;
};

/* Sorted by folder. */
struct groups {
	struct group *v;
	size_t n;
};

/* What was given one by one (--exclude) goes before what stands in files. */
struct ignore {
	struct groups given, files;
};

struct ignore *ignore_new(void)
{
	return mem_zalloc(sizeof(struct ignore));
}

static void rule_free(struct rule *r)
{
	free(r->text);
	glob_free(r->glob);
}

static void group_free(struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		rule_free(&g->rules[i]);
	free(g->rules);
	free(g->folder);
}

static void groups_free(struct groups *gs)
{
	for (size_t i = 0; i < gs->n; i++)
		group_free(&gs->v[i]);
	free(gs->v);
}

void ignore_free(struct ignore *g)
{
	if (!g)
		return;
	groups_free(&g->given);
	groups_free(&g->files);
	free(g);
}

/* ---- reading patterns ---- */

static bool is_wild(char c)
{
	return c == '*' || c == '?' || c == '[' || c == '\\';
}

static size_t plain_length(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && !is_wild(p[i]))
		i++;
	return i;
}

/* false: it can match nothing. */
static bool rule_read(const char *p, size_t n, struct rule *out)
{
	struct rule r = { 0 };

	if (n && *p == '!') {
		r.negated = true;
		p++;
		n--;
	}
	if (n && p[n - 1] == '/') {
		r.dirs_only = true;
		n--;
	}
	r.base_only = !memchr(p, '/', n);
	if (!r.base_only && *p == '/') {
		p++;
		n--;
	}
	if (!n)
		return false;
	size_t plain = plain_length(p, n);
	if (plain < n && r.base_only && *p == '*' && plain_length(p + 1, n - 1) == n - 1) {
		r.suffix = true;
		p++;
		n--;
	} else if (plain < n) {
		r.glob = glob_new(p, n, !r.base_only, r.base_only ? 0 : plain);
		if (!r.glob)
			return false;
	}
	r.text = mem_strndup(p, n);
	r.len = n;
	*out = r;
	return true;
}

/* ---- groups ---- */

static int folder_order(const struct group *g, const char *folder, size_t len)
{
	int order = memcmp(g->folder, folder, g->len < len ? g->len : len);

	return order ? order : g->len < len ? -1 : g->len > len;
}

/* Where the folder's group is, or would be. */
static size_t group_place(const struct groups *gs, const char *folder, size_t len, bool *there)
{
	size_t low = 0, high = gs->n;

	*there = false;
	while (low < high && !*there) {
		size_t middle = low + (high - low) / 2;
		int order = folder_order(&gs->v[middle], folder, len);
		if (order == 0) {
			*there = true;
			low = middle;
		} else if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

static size_t folder_length(const char *folder)
{
	size_t len = strlen(folder);

	while (len && folder[len - 1] == '/')
		len--;
	return len;
}

static struct group *group_for(struct groups *gs, const char *folder)
{
	size_t len = folder_length(folder);
	bool there;
	size_t at = group_place(gs, folder, len, &there);

	if (!there) {
		gs->v = mem_grow(gs->v, gs->n + 1, sizeof(*gs->v));
		memmove(gs->v + at + 1, gs->v + at, (gs->n - at) * sizeof(*gs->v));
		gs->v[at] = (struct group){ .folder = mem_strndup(folder, len), .len = len };
		gs->n++;
	}
	return &gs->v[at];
}

static void group_add(struct group *g, struct rule r)
{
	/* Room grows by doubling: the number alone says when. */
	if ((g->n & (g->n - 1)) == 0)
		g->rules = mem_grow(g->rules, g->n ? g->n * 2 : 1, sizeof(*g->rules));
	g->rules[g->n++] = r;
}

int ignore_add(struct ignore *g, const char *folder, const char *pattern, struct err *err)
{
	struct rule r;

	if (!rule_read(pattern, strlen(pattern), &r)) {
		(void)err_set(err, ERR_INVALID, "the pattern '%.200s' can match nothing", pattern);
		return err_hint(
			err, "patterns are as in gitignore(5): brackets must be closed, and a backslash quotes what follows it");
	}
	group_add(group_for(&g->given, folder), r);
	return 0;
}

/* Blanks at the end do not count unless a backslash quotes them. */
static size_t without_blanks(const char *p, size_t n)
{
	size_t end = 0;

	for (size_t i = 0; i < n; i++) {
		bool quoted = p[i] == '\\';
		if (quoted && ++i == n)
			return n;
		if (quoted || p[i] != ' ')
			end = i + 1;
	}
	return end;
}

void ignore_add_file(struct ignore *g, const char *folder, const char *text, size_t n)
{
	const char *end = text + n;
	struct group *group = NULL;

	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (const char *p = text, *next; p < end; p = next) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		struct rule r;
		next = nl ? nl + 1 : end;
		if (len && p[len - 1] == '\r')
			len--;
		len = strnlen(p, len);
		if (!len || *p == '#' || !rule_read(p, without_blanks(p, len), &r))
			continue;
		if (!group)
			group = group_for(&g->files, folder);
		group_add(group, r);
	}
}

static void groups_pop(struct groups *gs, const char *folder)
{
	size_t len = folder_length(folder), kept = 0;

	for (size_t i = 0; i < gs->n; i++) {
		struct group *g = &gs->v[i];
		if (g->len >= len && memcmp(g->folder, folder, len) == 0 && (!len || g->len == len || g->folder[len] == '/'))
			group_free(g);
		else
			gs->v[kept++] = *g;
	}
	gs->n = kept;
}

void ignore_pop(struct ignore *g, const char *folder)
{
	groups_pop(&g->given, folder);
	groups_pop(&g->files, folder);
}

/* ---- matching ---- */

/* path is below the rule's folder, base where its last part begins. */
static bool rule_match(const struct rule *r, const char *path, size_t n, size_t base, bool is_dir)
{
	if (r->dirs_only && !is_dir)
		return false;
	if (r->base_only) {
		path += base;
		n -= base;
	}
	if (r->suffix)
		return n >= r->len && memcmp(path + n - r->len, r->text, r->len) == 0;
	if (!r->glob)
		return n == r->len && memcmp(path, r->text, n) == 0;
	return glob_match(r->glob, path, n);
}

enum verdict { UNDECIDED, IGNORED, KEPT };

static enum verdict group_match(const struct group *g, const char *path, size_t n, size_t base, bool is_dir)
{
	size_t skip = g->len ? g->len + 1 : 0;

	for (size_t i = g->n; i-- > 0;)
		if (rule_match(&g->rules[i], path + skip, n - skip, base - skip, is_dir))
			return g->rules[i].negated ? KEPT : IGNORED;
	return UNDECIDED;
}

/* The deepest folder that says something about the path decides. */
static enum verdict groups_match(const struct groups *gs, const char *path, size_t n, bool is_dir)
{
	size_t base = n, folder;

	if (!gs->n)
		return UNDECIDED;
	while (base && path[base - 1] != '/')
		base--;
	for (folder = base ? base - 1 : 0;; folder--) {
		bool there;
		size_t at = group_place(gs, path, folder, &there);
		enum verdict v = there ? group_match(&gs->v[at], path, n, base, is_dir) : UNDECIDED;
		if (v != UNDECIDED || !folder)
			return v;
		while (folder && path[folder - 1] != '/')
			folder--;
		folder += !folder;
	}
}

static enum verdict decide(const struct ignore *g, const char *path, size_t n, bool is_dir)
{
	enum verdict v = groups_match(&g->given, path, n, is_dir);

	return v != UNDECIDED ? v : groups_match(&g->files, path, n, is_dir);
}

bool ignore_match(const struct ignore *g, const char *path, bool is_dir)
{
	size_t n = strlen(path);

	if (!g->given.n && !g->files.n)
		return false;
	while (n && path[n - 1] == '/') {
		n--;
		is_dir = true;
	}
	/* What is in an ignored folder is ignored, and nothing takes it back. */
	for (const char *slash = memchr(path, '/', n); slash; slash = memchr(slash + 1, '/', (size_t)(path + n - slash - 1)))
		if (decide(g, path, (size_t)(slash - path), true) == IGNORED)
			return true;
	return n && decide(g, path, n, is_dir) == IGNORED;
}
