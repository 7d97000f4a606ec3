#include "cli/build/context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/ignore.h"

#define IGNORE_MAX ((size_t)1 << 20)
#define FILES_MAX 1000000u
#define PIECE ((size_t)128 * 1024)

struct rule {
	struct ignore *pattern;
	bool back; /* '!': it is there after all */
};

struct context {
	char *root; /* without links */
	struct rule *rules;
	size_t n;
};

/* ---- .dockerignore ---- */

/* One pattern each, from the top, so that their order is ours to judge. */
static int add_rule(struct context *c, char *line, struct err *err)
{
	struct rule r = { .back = *line == '!' };
	size_t n = strlen(line);
	while (n && strchr(" \t\r", line[n - 1]))
		line[--n] = '\0';
	line += r.back;
	line += strspn(line, " \t");
	while (str_starts(line, "./"))
		line += 2;
	while (*line == '/')
		line++;
	n = strlen(line);
	while (n && line[n - 1] == '/')
		line[--n] = '\0';
	if (!*line || *line == '#' || !strcmp(line, "."))
		return 0;
	auto_free char *pattern = mem_printf("/%s", line);
	r.pattern = ignore_new();
	c->rules = mem_grow(c->rules, c->n + 1, sizeof(*c->rules));
	c->rules[c->n++] = r;
	return ignore_add(r.pattern, "", pattern, err);
}

static int read_rules(struct context *c, const char *path, struct err *err)
{
	auto_buf text = BUF_INIT;
	char *save = NULL;
	int rc = 0;
	if (fs_read(path, IGNORE_MAX, &text, err))
		return -1;
	for (char *line = strtok_r(text.p, "\n", &save); rc == 0 && line; line = strtok_r(NULL, "\n", &save))
		rc = *line == '#' ? 0 : add_rule(c, line, err);
	return rc ? err_prefix(err, "'%s'", path) : 0;
}

static bool fits(const struct rule *r, const char *path)
{
	auto_free char *part = mem_strdup(path);
	for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		bool yes = ignore_match(r->pattern, part, true);
		*slash = '/';
		if (yes)
			return true;
	}
	return ignore_match(r->pattern, part, false);
}

static bool ignored(const struct context *c, const char *path)
{
	for (size_t i = c->n; i-- > 0;)
		if (fits(&c->rules[i], path))
			return !c->rules[i].back;
	return false;
}

struct context *context_open(const char *dir, const char *ignore_file, struct err *err)
{
	struct context *c = mem_zalloc(sizeof(*c));
	struct stat st;

	c->root = realpath(dir, NULL);
	if (!c->root || stat(c->root, &st)) {
		err_sys(err, errno, "cannot look at '%s'", dir);
	} else if (!S_ISDIR(st.st_mode)) {
		err_set(err, ERR_INVALID, "'%s' is no folder", dir);
	} else {
		auto_free char *path =
			ignore_file && fs_exists(ignore_file) ? mem_strdup(ignore_file) : fs_join(c->root, ".dockerignore");
		if (!fs_exists(path) || !read_rules(c, path, err))
			return c;
	}
	context_close(c);
	return NULL;
}

void context_close(struct context *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		ignore_free(c->rules[i].pattern);
	free(c->rules);
	free(c->root);
	free(c);
}

/* ---- what sources mean ---- */

struct picking {
	const struct context *c;
	struct context_pick *out;
	size_t found; /* by this source */
	struct err *err;
};

static int add_file(struct picking *p, const char *path, const char *name, const struct stat *st)
{
	struct context_pick *o = p->out;
	char target[4096];
	ssize_t n = S_ISLNK(st->st_mode) ? readlink(path, target, sizeof(target) - 1) : 0;
	if (n < 0)
		return err_sys(p->err, errno, "cannot read '%s'", path);
	target[n] = '\0';
	if (o->n >= FILES_MAX)
		return err_set(p->err, ERR_TOO_LARGE, "more than %u files", FILES_MAX);
	if ((o->n & (o->n - 1)) == 0)
		o->v = mem_grow(o->v, o->n ? o->n * 2 : 1, sizeof(*o->v));
	o->v[o->n++] = (struct context_file){ .path = mem_strdup(path),
		.name = mem_strdup(name),
		.target = S_ISLNK(st->st_mode) ? mem_strdup(target) : NULL,
		.mode = st->st_mode,
		.size = S_ISREG(st->st_mode) ? st->st_size : 0,
		.mtime = st->st_mtime };
	return 0;
}

static int no_dots(const struct dirent *d)
{
	return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* Below a folder; inside: its path in the context, name: below the target. A folder that is ignored may hold what is not. */
static int add_folder(struct picking *p, const char *inside, const char *name) /* NOLINT(misc-no-recursion) */
{
	auto_free char *path = fs_join(p->c->root, inside);
	struct dirent **names = NULL;
	int n = scandir(path, &names, no_dots, by_bytes), rc = n < 0 ? err_sys(p->err, errno, "cannot read '%s'", path) : 0;

	for (int i = 0; rc == 0 && i < n; i++) {
		auto_free char *below = *inside ? fs_join(inside, names[i]->d_name) : mem_strdup(names[i]->d_name);
		auto_free char *as = *name ? fs_join(name, names[i]->d_name) : mem_strdup(names[i]->d_name);
		auto_free char *full = fs_join(p->c->root, below);
		struct stat st;
		bool skip = ignored(p->c, below);
		if (lstat(full, &st))
			rc = err_sys(p->err, errno, "cannot look at '%s'", full);
		else if (S_ISDIR(st.st_mode)) {
			/* a folder that is not there has no entry; one that must be is made for what is in it */
			rc = skip ? 0 : add_file(p, full, as, &st);
			rc = rc || (skip && !p->c->n) ? rc : add_folder(p, below, as);
		} else if (!skip && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))) {
			rc = add_file(p, full, as, &st);
		}
	}
	free_names(names, n);
	return rc;
}

/* A path in the context, which exists: the folder's contents, or the file. Links among its parents must not lead out. */
static int add_source(struct picking *p, const char *inside)
{
	auto_free char *full = *inside ? fs_join(p->c->root, inside) : mem_strdup(p->c->root);
	auto_free char *real = realpath(full, NULL);
	size_t n = strlen(p->c->root);
	struct stat st;

	if (!real)
		return err_sys(p->err, errno, "cannot read '%s'", full);
	if (strncmp(real, p->c->root, n) != 0 || (real[n] && real[n] != '/' && n > 1))
		return err_set(p->err, ERR_FORBIDDEN, "'%s' leads out of the context", inside);
	if (stat(real, &st))
		return err_sys(p->err, errno, "cannot look at '%s'", full);
	if (*inside && ignored(p->c, inside) && !S_ISDIR(st.st_mode))
		return 0;
	p->found++;
	p->out->tops++;
	if (S_ISDIR(st.st_mode)) {
		p->out->folder = true;
		return add_folder(p, real[n] ? real + n + 1 : "", "");
	}
	const char *slash = strrchr(inside, '/');
	return S_ISREG(st.st_mode) ? add_file(p, real, slash ? slash + 1 : inside, &st)
				   : err_set(p->err, ERR_INVALID, "'%s' is neither a file nor a folder", inside);
}

/* The names in `folder` that fit the first part of the pattern, and so on below. */
static int match(struct picking *p, const char *folder, const char *pattern) /* NOLINT(misc-no-recursion) */
{
	size_t len = strcspn(pattern, "/");
	const char *rest = pattern + len + strspn(pattern + len, "/");
	auto_free char *part = mem_strndup(pattern, len);
	auto_free char *path = fs_join(p->c->root, folder);
	struct dirent **names = NULL;
	int n = scandir(path, &names, no_dots, by_bytes), rc = 0;

	for (int i = 0; rc == 0 && i < n; i++) {
		if (fnmatch(part, names[i]->d_name, 0) != 0)
			continue;
		auto_free char *below = *folder ? fs_join(folder, names[i]->d_name) : mem_strdup(names[i]->d_name);
		auto_free char *full = fs_join(p->c->root, below);
		struct stat st;
		if (*rest && (lstat(full, &st) || !S_ISDIR(st.st_mode)))
			continue;
		rc = *rest ? match(p, below, rest) : add_source(p, below);
	}
	free_names(names, n);
	return rc;
}

/* "./a//b/../c/" -> "a/c". FORBIDDEN when it leads out. */
static int clean_source(const char *source, struct buf *out, struct err *err)
{
	auto_free char *copy = mem_strdup(source);
	char *save = NULL;
	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			char *slash = strrchr(out->p, '/');
			if (!out->len)
				return err_set(err, ERR_FORBIDDEN, "'%s' leads out of the context", source);
			out->len = slash ? (size_t)(slash - out->p) : 0;
			out->p[out->len] = '\0';
			continue;
		}
		buf_fmt(out, "%s%s", out->len ? "/" : "", part);
	}
	return 0;
}

static int pick(struct picking *p, const char *source)
{
	auto_buf inside = BUF_INIT;
	struct stat st;
	if (clean_source(source, &inside, p->err))
		return -1;
	p->found = 0;
	auto_free char *full = fs_join(p->c->root, inside.p);
	int rc = 0;
	if (lstat(full, &st) == 0)
		rc = add_source(p, inside.p);
	else if (strpbrk(inside.p, "*?["))
		rc = match(p, "", inside.p);
	if (rc || p->found)
		return rc;
	err_set(p->err, ERR_NOT_FOUND, "there is no '%s' in the context", source);
	return p->c->n ? err_hint(p->err, "or .dockerignore leaves it out") : -1;
}

int context_pick(const struct context *c, char *const *sources, size_t count, struct context_pick *out, struct err *err)
{
	struct picking p = { .c = c, .out = out, .err = err };
	int rc = 0;

	*out = (struct context_pick){ 0 };
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = pick(&p, sources[i]);
	return rc;
}

void context_pick_free(struct context_pick *pick)
{
	for (size_t i = 0; i < pick->n; i++) {
		free(pick->v[i].path);
		free(pick->v[i].name);
		free(pick->v[i].target);
	}
	free(pick->v);
	*pick = (struct context_pick){ 0 };
}

/* ---- hash ---- */

static int hash_contents(const char *path, struct hasher *h, struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_free char *piece = mem_array(PIECE, 1);
	ssize_t n = fd < 0 ? -1 : 1;
	uint64_t size = 0;
	while (n > 0) {
		n = read(fd, piece, PIECE);
		if (n > 0)
			hasher_add(h, piece, (size_t)n);
		size += n > 0 ? (uint64_t)n : 0;
	}
	hasher_add(h, &size, sizeof(size)); /* where it ends */
	return n < 0 ? err_sys(err, errno, "cannot read '%s'", path) : 0;
}

int context_hash(const struct context_pick *pick, struct hasher *h, struct err *err)
{
	for (size_t i = 0; i < pick->n; i++) {
		const struct context_file *f = &pick->v[i];
		auto_free char *what = mem_printf("%o", (unsigned)f->mode);
		hasher_add(h, f->name, strlen(f->name) + 1);
		hasher_add(h, what, strlen(what) + 1);
		if (f->target)
			hasher_add(h, f->target, strlen(f->target) + 1);
		else if (S_ISREG(f->mode) && hash_contents(f->path, h, err))
			return -1;
	}
	return 0;
}
