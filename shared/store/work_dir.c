/* Folders on disk: opening them below each other without following links, their paths, ignore rules. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

#define RULES_FILE ".sbxignore"
#define RULES_MAX ((size_t)1 << 20)
#define OPEN_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Half of what the process may have, so that files and the store find room. */
static unsigned open_limit(void)
{
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur > 8192)
		return 4096;
	return lim.rlim_cur < 64 ? 16 : (unsigned)lim.rlim_cur / 2;
}

static int add_excludes(struct work *w, struct err *err)
{
	for (const char *const *p = w->o->excludes; p && *p; p++) {
		if (ignore_add(w->rules, "", *p, err))
			return -1;
		w->has_rules = true;
	}
	return 0;
}

int work_init(struct work *w, struct store *s, const char *folder, const struct work_options *o, struct err *err)
{
	*w = (struct work){ .store = s, .folder = folder, .o = o, .open_max = open_limit(), .start = work_now() };
	if (pool_init(&w->pool, o, err))
		return -1;
	pthread_rwlock_init(&w->rules_lock, NULL);
	pthread_mutex_init(&w->lock, NULL);
	w->rules = ignore_new();
	struct stat st;
	if (!stat(store_path(s), &st)) {
		w->store_dev = st.st_dev;
		w->store_ino = st.st_ino;
	}
	return add_excludes(w, err);
}

static void big_free(struct big *b)
{
	if (!b)
		return;
	if (b->fd >= 0)
		close(b->fd);
	free(b->ids);
	free(b);
}

void work_free(struct work *w)
{
	while (w->all) {
		struct dir *d = w->all;
		w->all = d->all;
		dir_close(d);
		for (uint32_t i = 0; i < d->count; i++)
			big_free(d->items[i].big);
		free(d->items);
		free(d->names);
		free(d->next);
		free(d->next_names);
		if (d->node)
			tree_unload(d->node);
		free(d->node);
		free(d);
	}
	for (size_t i = 0; i < w->kept_n; i++)
		buf_free(&w->kept[i].bytes);
	free(w->kept);
	index_free(w->index);
	ignore_free(w->rules);
	pthread_mutex_destroy(&w->lock);
	pthread_rwlock_destroy(&w->rules_lock);
	pool_free(&w->pool);
}

struct dir *dir_new(struct work *w, struct dir *parent, uint32_t in_parent)
{
	struct dir *d = mem_zalloc(sizeof(*d));
	d->work = w;
	d->parent = parent;
	d->in_parent = in_parent;
	d->fd = -1;
	d->mode = S_IFDIR | OBJECT_DIR_MODE;
	pthread_mutex_lock(&w->lock);
	d->all = w->all;
	w->all = d;
	pthread_mutex_unlock(&w->lock);
	return d;
}

static const struct item *item_of(const struct dir *d)
{
	return &(d->moved ? d->parent->next : d->parent->items)[d->in_parent];
}

/* Put a part and what ends it before *end. */
static void put_part(char **end, const char *part, size_t len, bool last)
{
	*end -= len + 1;
	memcpy(*end, part, len);
	(*end)[len] = last ? '\0' : '/';
}

/* top/FOLDERS/name, without the parts that are NULL. */
static char *join_path(const struct dir *d, const char *name, const char *top)
{
	size_t total = (top ? strlen(top) + 1 : 0) + (name ? strlen(name) + 1 : 0);
	for (const struct dir *p = d; p->parent; p = p->parent)
		total += item_of(p)->len + (size_t)1;
	char *out = mem_zalloc(total + 1);
	char *end = out + total;
	if (name)
		put_part(&end, name, strlen(name), true);
	for (const struct dir *p = d; p->parent; p = p->parent)
		put_part(&end, item_of(p)->name, item_of(p)->len, end == out + total);
	if (top)
		put_part(&end, top, strlen(top), end == out + total);
	return out;
}

char *dir_path(const struct dir *d, const char *name)
{
	return join_path(d, name, NULL);
}

char *dir_show(const struct dir *d, const char *name)
{
	const char *top = d->work->folder;
	size_t n = strlen(top);
	auto_free char *bare = mem_strndup(top, n > 1 && top[n - 1] == '/' ? n - 1 : n);
	return join_path(d, name, bare);
}

int work_sys(struct err *err, int sys, const struct dir *d, const char *name, const char *verb)
{
	auto_free char *path = dir_show(d, name);
	return err_sys(err, sys, "cannot %s '%s'", verb, path);
}

/* May below be opened through this folder's descriptor? Not when its thread may close it meanwhile: in a scan a folder waits for
 * all below it, in a checkout for those that are new. */
static bool usable(const struct dir *p, const struct dir *below)
{
	return (!below || !p->work->writing || below->fresh) && p->fd >= 0;
}

int dir_open(struct dir *d, bool *own)
{
	*own = false;
	if (d->fd >= 0)
		return d->fd;
	/* down from the next one above that is open */
	size_t depth = 0, n = 0;
	const struct dir *below = NULL, *p = d;
	for (; p && !usable(p, below); p = p->parent) {
		below = p;
		depth++;
	}
	auto_free const struct dir **chain = mem_array(depth, sizeof(struct dir *));
	for (const struct dir *q = d; n < depth; q = q->parent)
		chain[n++] = q;
	int fd = p ? p->fd : -1;
	while (n) {
		const struct dir *next = chain[--n];
		int sub = next->parent ? openat(fd, item_of(next)->name, OPEN_FLAGS)
				       : open(d->work->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int sys = errno;
		if (*own)
			close(fd);
		*own = sub >= 0;
		errno = sys;
		if (sub < 0)
			return -1;
		fd = sub;
	}
	return fd;
}

void dir_keep_open(struct dir *d, int fd)
{
	d->fd = fd;
	atomic_fetch_add(&d->work->open, 1);
}

void dir_close(struct dir *d)
{
	if (d->fd < 0)
		return;
	close(d->fd);
	d->fd = -1;
	atomic_fetch_sub(&d->work->open, 1);
}

void dir_close_if_many(struct dir *d)
{
	if (d->parent && atomic_load(&d->work->open) > d->work->open_max)
		dir_close(d);
}

struct item *items_find(struct item *items, uint32_t count, const char *name, size_t len)
{
	uint32_t lo = 0, hi = count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct item *it = &items[mid];
		size_t n = it->len < len ? it->len : len;
		int c = memcmp(it->name, name, n);
		if (!c && it->len == len)
			return it;
		if (c < 0 || (!c && it->len < len))
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct item *dir_find(const struct dir *d, const char *name, size_t len)
{
	return items_find(d->items, d->count, name, len);
}

void dir_set_next(struct dir *d, const struct node *node)
{
	size_t room = 0;
	for (uint32_t i = 0; i < node->count; i++)
		room += node->children[i].name_len + (size_t)1;
	char *name = d->next_names = mem_array(room + 1, 1);
	d->next = mem_array(node->count, sizeof(*d->next));
	d->next_count = node->count;
	for (uint32_t i = 0; i < node->count; i++) {
		const struct child *c = &node->children[i];
		memcpy(name, c->name, c->name_len);
		d->next[i] = (struct item){ .name = name, .len = c->name_len };
		name += c->name_len + (size_t)1;
	}
}

/* ---- ignore rules: seldom there, and then behind a lock ---- */

bool work_ignored(struct work *w, const char *path, bool is_dir)
{
	pthread_rwlock_rdlock(&w->rules_lock);
	bool yes = ignore_match(w->rules, path, is_dir);
	pthread_rwlock_unlock(&w->rules_lock);
	return yes;
}

int work_add_rules(struct dir *d, int fd, struct err *err)
{
	struct work *w = d->work;
	auto_fd int file = openat(fd, RULES_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (file < 0 || fstat(file, &st) || !S_ISREG(st.st_mode))
		return 0; /* it is told when it is read as a file */
	auto_buf text = BUF_INIT;
	while (text.len <= RULES_MAX) {
		char *p = buf_reserve(&text, 65536);
		ssize_t n = p ? read(file, p, 65536) : -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return work_sys(err, p ? errno : ENOMEM, d, RULES_FILE, "read");
		if (n == 0)
			break;
		buf_commit(&text, (size_t)n);
	}
	if (text.len > RULES_MAX) {
		auto_free char *path = dir_show(d, RULES_FILE);
		return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path, RULES_MAX);
	}
	auto_free char *path = dir_path(d, NULL);
	pthread_rwlock_wrlock(&w->rules_lock);
	ignore_add_file(w->rules, path, text.p, text.len);
	pthread_rwlock_unlock(&w->rules_lock);
	d->rules = true;
	w->has_rules = true;
	return 0;
}

void work_drop_rules(struct dir *d)
{
	if (!d->rules || d->work->keep)
		return;
	auto_free char *path = dir_path(d, NULL);
	pthread_rwlock_wrlock(&d->work->rules_lock);
	ignore_pop(d->work->rules, path);
	pthread_rwlock_unlock(&d->work->rules_lock);
}
