#include "daemon/image/merge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"

#define LINKS_MAX 40u	 /* followed on the way to one name, as the kernel does */
#define NAMES_MAX 65000u /* of one file, in ext4 */

/* A file that one or more names lead to. */
struct file {
	unsigned names;
	struct merge_entry e; /* owns target and xattrs */
	bool written;
};

struct node {
	struct node *parent, *chain; /* chain: same slot of the table */
	struct node *first, *next, *prev;
	struct file *file;
	unsigned layer; /* that put it there */
	unsigned depth;
	char name[];
};

struct merge {
	struct ext4 *disk;
	struct node *root;
	struct node **slots; /* by parent and name; a power of two */
	size_t slot_count, count;
	unsigned layer;
};

static bool is_folder(const struct node *n)
{
	return S_ISDIR(n->file->e.meta.mode);
}

/* ---- files ---- */

static struct file *file_new(const struct merge_entry *e)
{
	struct file *f = mem_zalloc(sizeof(*f));
	struct ext4_xattr *copy = mem_array(e->meta.xattr_count + 1, sizeof(*copy));

	f->names = 1;
	f->e = *e;
	f->e.target = e->target ? mem_strdup(e->target) : NULL;
	for (size_t i = 0; i < e->meta.xattr_count; i++) {
		const struct ext4_xattr *from = &e->meta.xattrs[i];
		copy[i] = (struct ext4_xattr){ mem_strdup(from->name), mem_array(from->n + 1, 1), from->n };
		memcpy(copy[i].value, from->value, from->n);
	}
	f->e.meta.xattrs = copy;
	return f;
}

static void file_free(struct file *f)
{
	for (size_t i = 0; i < f->e.meta.xattr_count; i++) {
		free(f->e.meta.xattrs[i].name);
		free(f->e.meta.xattrs[i].value);
	}
	free((void *)(uintptr_t)f->e.meta.xattrs);
	free((void *)(uintptr_t)f->e.target);
	free(f);
}

/* One name less. */
static int file_drop(struct merge *m, struct file *f, struct err *err)
{
	int rc = 0;
	if (--f->names)
		return 0;
	if (S_ISREG(f->e.meta.mode) && m->disk)
		rc = ext4_forget(m->disk, f->e.ino, err);
	file_free(f);
	return rc;
}

/* ---- the table ---- */

static size_t slot_of(const struct merge *m, const struct node *parent, const char *name, size_t n)
{
	uint64_t h = 1469598103934665603ULL ^ (uintptr_t)parent; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * 1099511628211ULL;
	return (size_t)(h ^ (h >> 29)) & (m->slot_count - 1);
}

static struct node *child_of(const struct merge *m, const struct node *parent, const char *name, size_t n)
{
	for (struct node *c = m->slots[slot_of(m, parent, name, n)]; c; c = c->chain)
		if (c->parent == parent && strlen(c->name) == n && !memcmp(c->name, name, n))
			return c;
	return NULL;
}

static void grow(struct merge *m)
{
	struct node **old = m->slots;
	size_t n = m->slot_count;

	m->slot_count = n ? n * 2 : 1024;
	m->slots = mem_array(m->slot_count, sizeof(struct node *));
	for (size_t i = 0; i < n; i++) {
		for (struct node *c = old[i], *next; c; c = next) {
			size_t at = slot_of(m, c->parent, c->name, strlen(c->name));
			next = c->chain;
			c->chain = m->slots[at];
			m->slots[at] = c;
		}
	}
	free(old);
}

static struct node *node_new(struct merge *m, struct node *parent, const char *name, size_t n, struct file *f)
{
	struct node *c = mem_zalloc(sizeof(*c) + n + 1);

	if (m->count >= m->slot_count)
		grow(m);
	memcpy(c->name, name, n);
	c->parent = parent;
	c->file = f;
	c->layer = m->layer;
	if (!parent)
		return c;
	c->depth = parent->depth + 1;
	c->next = parent->first;
	if (c->next)
		c->next->prev = c;
	parent->first = c;
	size_t at = slot_of(m, parent, name, n);
	c->chain = m->slots[at];
	m->slots[at] = c;
	m->count++;
	return c;
}

/* A node without children. */
static int node_remove(struct merge *m, struct node *c, struct err *err)
{
	struct node **p = &m->slots[slot_of(m, c->parent, c->name, strlen(c->name))];

	while (*p != c)
		p = &(*p)->chain;
	*p = c->chain;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->parent->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	int rc = file_drop(m, c->file, err);
	free(c);
	m->count--;
	return rc;
}

/* Everything below c, of layers before `before`; a folder in which something newer lives stays. The depth is bounded. */
static int prune(struct merge *m, struct node *c, unsigned before, struct err *err) // NOLINT(misc-no-recursion)
{
	for (struct node *k = c->first, *next; k; k = next) {
		next = k->next;
		if (prune(m, k, before, err))
			return -1;
		if (k->layer < before && !k->first && node_remove(m, k, err))
			return -1;
	}
	return 0;
}

/* ---- names ---- */

static struct node *fail(struct err *err, const char *path, const char *why)
{
	err_set(err, ERR_INVALID, "the image holds '%.200s', %s", path, why);
	return NULL;
}

static struct node *make_folder(struct merge *m, struct node *parent, const char *name, size_t n, const char *path, struct err *err)
{
	struct merge_entry e = { .meta = { .mode = S_IFDIR | 0755 } };
	if (n > MERGE_NAME_MAX)
		return fail(err, path, "which is too long a name");
	if (parent->depth >= MERGE_DEPTH_MAX)
		return fail(err, path, "which is too deep");
	if (m->count >= MERGE_FILES_MAX) {
		err_set(err, ERR_TOO_LARGE, "the image has more than %u files", MERGE_FILES_MAX);
		return NULL;
	}
	return node_new(m, parent, name, n, file_new(&e));
}

struct walk {
	struct merge *m;
	struct node *at;
	struct buf rest; /* what is still to go */
	const char *path;
	bool make; /* what is missing */
	unsigned links;
};

/* One step down. A symlink puts its target in front of the rest. at is NULL with err, or without when there is nothing. */
static struct node *step(struct walk *w, struct err *err)
{
	size_t n = strcspn(w->rest.p, "/");
	auto_free char *name = mem_strndup(w->rest.p, n);
	buf_drop(&w->rest, n + (w->rest.p[n] == '/'));
	if (!*name || !strcmp(name, "."))
		return w->at;
	if (!strcmp(name, ".."))
		return w->at->parent ? w->at->parent : w->at;
	struct node *c = child_of(w->m, w->at, name, n);
	if (!c)
		return w->make ? make_folder(w->m, w->at, name, n, w->path, err) : NULL;
	if (is_folder(c))
		return c;
	if (!S_ISLNK(c->file->e.meta.mode))
		return fail(err, w->path, "which is in something that is no folder");
	if (++w->links > LINKS_MAX)
		return fail(err, w->path, "whose folders are links that lead in a circle");
	auto_free char *after = mem_strdup(w->rest.p);
	buf_clear(&w->rest);
	buf_fmt(&w->rest, "%s/%s", c->file->e.target, after);
	return c->file->e.target[0] == '/' ? w->m->root : w->at;
}

/* The folder at the first n bytes of path. NULL: err, or not there. */
static struct node *walk(struct merge *m, const char *path, size_t n, bool make, struct err *err)
{
	struct walk w = { .m = m, .at = m->root, .rest = BUF_INIT, .path = path, .make = make };

	buf_add(&w.rest, path, n);
	while (w.at && w.rest.len)
		w.at = step(&w, err);
	buf_free(&w.rest);
	return w.at;
}

/* Where path ends: its folder and the last name. */
struct place {
	struct node *parent;
	const char *name;
	size_t n;
	struct node *there; /* or NULL */
};

/* 1 found, 0 there is no such folder, -1 err. */
static int find_place(struct merge *m, const char *path, bool make, struct place *out, struct err *err)
{
	struct err e = ERR_INIT;
	const char *slash = strrchr(path, '/');

	out->name = slash ? slash + 1 : path;
	out->n = strlen(out->name);
	if (strlen(path) > MERGE_PATH_MAX || out->n > MERGE_NAME_MAX)
		return err_set(err, ERR_INVALID, "the image holds '%.60s...', which is too long a name", path);
	if (!*out->name || !strcmp(out->name, ".") || !strcmp(out->name, ".."))
		return err_set(err, ERR_INVALID, "the image holds '%.200s', which is no name of a file", path);
	out->parent = walk(m, path, slash ? (size_t)(slash - path) : 0, make, &e);
	if (!out->parent) {
		if (e.code != ERR_OK && err)
			*err = e;
		return e.code == ERR_OK ? 0 : -1;
	}
	out->there = child_of(m, out->parent, out->name, out->n);
	return 1;
}

/* ---- layers ---- */

struct merge *merge_new(struct ext4 *disk)
{
	struct merge *m = mem_zalloc(sizeof(*m));
	struct merge_entry e = { .meta = { .mode = S_IFDIR | 0755 } };

	m->disk = disk;
	grow(m);
	m->root = node_new(m, NULL, "", 0, file_new(&e));
	return m;
}

void merge_free(struct merge *m)
{
	if (!m)
		return;
	/* the disk may be gone already, and what is on it does not matter any more */
	m->disk = NULL;
	m->layer++;
	prune(m, m->root, m->layer, NULL);
	file_drop(m, m->root->file, NULL);
	free(m->root);
	free(m->slots);
	free(m);
}

void merge_begin_layer(struct merge *m)
{
	m->layer++;
}

static int set_file(struct merge *m, struct place *p, struct file *f, struct err *err)
{
	int rc = 0;

	/* a file over a folder takes all of it away */
	if (p->there)
		rc = prune(m, p->there, m->layer + 1, err) || node_remove(m, p->there, err) ? -1 : 0;
	if (!rc && m->count >= MERGE_FILES_MAX)
		rc = err_set(err, ERR_TOO_LARGE, "the image has more than %u files", MERGE_FILES_MAX);
	if (rc)
		file_drop(m, f, NULL);
	else
		node_new(m, p->parent, p->name, p->n, f);
	return rc;
}

int merge_put(struct merge *m, const char *path, const struct merge_entry *e, struct err *err)
{
	struct place p = { 0 };
	struct node *folder = m->root;

	if (*path) {
		if (find_place(m, path, true, &p, err) != 1)
			return -1;
		folder = p.there;
	}
	if (folder && is_folder(folder) && S_ISDIR(e->meta.mode)) {
		struct file *f = file_new(e);
		file_free(folder->file);
		folder->file = f;
		folder->layer = m->layer;
		return 0;
	}
	if (!*path)
		return err_set(err, ERR_INVALID, "the top of the image is no folder");
	if (p.parent->depth >= MERGE_DEPTH_MAX)
		return err_set(err, ERR_INVALID, "the image holds '%.60s...', which is too deep", path);
	return set_file(m, &p, file_new(e), err);
}

int merge_hard_link(struct merge *m, const char *path, const char *target, struct err *err)
{
	struct place from, to;
	int found = *target ? find_place(m, target, false, &from, err) : 0;

	if (found < 0)
		return -1;
	if (!found || !from.there || is_folder(from.there)) {
		err_set(err, ERR_INVALID, "the image holds a hard link '%s' to '%s', which is no file of it", path, target);
		return -1;
	}
	if (find_place(m, path, true, &to, err) != 1)
		return -1;
	struct file *f = from.there->file;
	if (to.there && to.there->file == f) {
		to.there->layer = m->layer;
		return 0;
	}
	if (f->names >= NAMES_MAX)
		return err_set(err, ERR_INVALID, "'%s' has more than %u names", target, NAMES_MAX);
	f->names++;
	return set_file(m, &to, f, err);
}

int merge_whiteout(struct merge *m, const char *path, struct err *err)
{
	struct place p;
	int found = *path ? find_place(m, path, false, &p, err) : 0;

	if (found != 1 || !p.there)
		return found < 0 ? -1 : 0;
	if (prune(m, p.there, m->layer, err))
		return -1;
	return p.there->layer < m->layer && !p.there->first ? node_remove(m, p.there, err) : 0;
}

int merge_opaque(struct merge *m, const char *path, struct err *err)
{
	struct err e = ERR_INIT;
	struct node *folder = walk(m, path, strlen(path), false, &e);

	if (!folder && e.code != ERR_OK && err)
		*err = e;
	if (!folder)
		return e.code == ERR_OK ? 0 : -1;
	return prune(m, folder, m->layer, err);
}

int merge_need_folder(struct merge *m, const char *path, mode_t mode, struct err *err)
{
	struct place p;
	struct merge_entry e = { .meta = { .mode = S_IFDIR | mode } };

	if (find_place(m, path, true, &p, err) != 1)
		return -1;
	return p.there ? 0 : merge_put(m, path, &e, err);
}

bool merge_has_file(struct merge *m, const char *path)
{
	auto_free char *at = mem_strdup(path);
	struct place p = { 0 };

	for (unsigned i = 0; i < LINKS_MAX && find_place(m, at, false, &p, NULL) == 1 && p.there; i++) {
		const struct merge_entry *e = &p.there->file->e;
		if (!S_ISLNK(e->meta.mode))
			return S_ISREG(e->meta.mode);
		const char *slash = strrchr(at, '/');
		char *next = e->target[0] == '/' ? mem_strdup(e->target + strspn(e->target, "/"))
						 : mem_printf("%.*s%s", slash ? (int)(slash - at) + 1 : 0, at, e->target);
		free(at);
		at = next;
	}
	return false;
}

/* ---- onto the disk ---- */

/* The file itself, when its first name comes. */
static int write_file(struct merge *m, struct file *f, struct err *err)
{
	struct merge_entry *e = &f->e;

	if (f->written)
		return 0;
	f->written = true;
	if (S_ISLNK(e->meta.mode)) {
		e->meta.mode = S_IFLNK | 0777;
		if (ext4_symlink(m->disk, e->target, &e->ino, err))
			return -1;
	} else if (!S_ISREG(e->meta.mode) && ext4_node(m->disk, &e->meta, &e->ino, err)) {
		return -1;
	}
	return ext4_set(m->disk, e->ino, &e->meta, f->names, err);
}

static int write_children(struct merge *m, const struct node *folder, uint32_t ino, struct err *err);

static int write_node(struct merge *m, const struct node *c, uint32_t parent, struct err *err) // NOLINT(misc-no-recursion)
{
	uint32_t ino;

	/* the file system has its own */
	if (parent == EXT4_ROOT && !strcmp(c->name, "lost+found"))
		return 0;
	if (!is_folder(c)) {
		if (write_file(m, c->file, err) || ext4_link(m->disk, parent, c->name, c->file->e.ino, c->file->e.meta.mode, err))
			return err_prefix(err, "'%s'", c->name);
		return 0;
	}
	if (ext4_mkdir(m->disk, parent, c->name, &ino, err) || ext4_set(m->disk, ino, &c->file->e.meta, 0, err))
		return err_prefix(err, "'%s'", c->name);
	return write_children(m, c, ino, err);
}

/* The depth is bounded. */
static int write_children(struct merge *m, const struct node *folder, uint32_t ino, struct err *err) // NOLINT(misc-no-recursion)
{
	for (const struct node *c = folder->first; c; c = c->next)
		if (write_node(m, c, ino, err))
			return -1;
	return 0;
}

int merge_write(struct merge *m, struct err *err)
{
	if (ext4_set(m->disk, EXT4_ROOT, &m->root->file->e.meta, 0, err))
		return -1;
	return write_children(m, m->root, EXT4_ROOT, err);
}
