/*
 * The stat index: what a folder's files looked like when their content was last known, and the tree that they made.
 *
 * It may be trusted only as far as the store still has that tree with all it leads to. Two things can take it away. A write that
 * was not ended: packs are written in order and the top node comes last, so that node is looked for. A gc: the packs that were
 * there when the index was saved must be there still, and none that came later may be missing in the row of their numbers; else the
 * whole tree is looked through once (tree_reach). The file is replaced by rename without fsync: it begins with a hash of all the
 * rest, and is made again when that is wrong.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/work_internal.h"

#define INDEX_MAGIC "sbxidx1\n" /* in the byte order and layout of the machine: not for travelling */
#define NAMES_MAX UINT32_MAX

struct index_pack {
	uint64_t number, ino;
};

struct index_head {
	char magic[8];
	struct hash sum; /* of all that follows this field */
	uint32_t layout; /* sizes of the structs: another build's index is not read */
	uint32_t pad;
	uint64_t dirs, items, packs, names;
};

struct index {
	const struct index_head *head;
	const struct index_dir *dirs;
	const struct index_item *items;
	const struct index_pack *packs;
	const char *names;
	void *map;
	size_t map_len;
};

#define INDEX_LAYOUT ((uint32_t)(sizeof(struct index_head) << 20 | sizeof(struct index_dir) << 10 | sizeof(struct index_item)))
#define SUM_END (offsetof(struct index_head, sum) + sizeof(struct hash))

void stamp_of(const struct stat *st, struct stamp *out)
{
	*out = (struct stamp){ .dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.ctime = st->st_ctim.tv_sec,
		.ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode };
}

bool stamp_eq(const struct stamp *a, const struct stamp *b)
{
	return !memcmp(a, b, offsetof(struct stamp, known));
}

struct timespec work_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now;
}

bool stamp_racy(const struct stamp *s, const struct timespec *now)
{
	/* a file system that counts whole (pairs of) seconds */
	if (!s->ctime_ns && !s->mtime_ns)
		return s->ctime + 2 > now->tv_sec;
	return s->ctime > now->tv_sec || (s->ctime == now->tv_sec && (long)s->ctime_ns >= now->tv_nsec);
}

/* ---- reading ---- */

static bool items_good(const struct index *ix, uint32_t number)
{
	const struct index_dir *d = &ix->dirs[number];
	if (d->first > ix->head->items || d->count > ix->head->items - d->first)
		return false;
	for (uint32_t i = 0; i < d->count; i++) {
		const struct index_item *it = &ix->items[d->first + i];
		if (it->name >= ix->head->names || it->name_len >= ix->head->names - it->name || ix->names[it->name + it->name_len])
			return false;
		if (!object_name_ok(ix->names + it->name, it->name_len))
			return false;
		/* folders come after the one they are in: no circles */
		if (it->dir && (it->dir <= number || it->dir >= ix->head->dirs))
			return false;
		if (i && strcmp(ix->names + it[-1].name, ix->names + it->name) >= 0)
			return false;
	}
	return true;
}

/* n things of size bytes after *at; NULL when there are not so many bytes. */
static const void *section(const uint8_t *data, size_t len, size_t *at, uint64_t n, size_t size)
{
	if (n > (len - *at) / size)
		return NULL;
	const void *p = data + *at;
	*at += n * size;
	return p;
}

struct index *index_parse(const void *data, size_t n)
{
	const struct index_head *head = data;
	struct hash sum;
	if (n < sizeof(*head) || memcmp(head->magic, INDEX_MAGIC, sizeof(head->magic)) || head->layout != INDEX_LAYOUT)
		return NULL;
	hash_of((const uint8_t *)data + SUM_END, n - SUM_END, &sum);
	if (!hash_eq(&sum, &head->sum))
		return NULL;
	auto_free struct index *ix = mem_zalloc(sizeof(*ix));
	size_t at = sizeof(*head);
	ix->head = head;
	ix->dirs = section(data, n, &at, head->dirs, sizeof(*ix->dirs));
	ix->items = ix->dirs ? section(data, n, &at, head->items, sizeof(*ix->items)) : NULL;
	ix->packs = ix->items ? section(data, n, &at, head->packs, sizeof(*ix->packs)) : NULL;
	ix->names = ix->packs ? section(data, n, &at, head->names, 1) : NULL;
	if (!ix->names || at != n || !head->dirs || head->dirs > UINT32_MAX)
		return NULL;
	for (uint32_t i = 0; i < head->dirs; i++)
		if (!items_good(ix, i))
			return NULL;
	return mem_steal(&ix);
}

void index_free(struct index *ix)
{
	if (!ix)
		return;
	if (ix->map)
		munmap(ix->map, ix->map_len);
	free(ix);
}

const struct hash *index_tree(const struct index *ix)
{
	return &ix->dirs[0].id;
}

const struct index_dir *index_dir(const struct index *ix, uint32_t n)
{
	return &ix->dirs[n];
}

const struct index_item *index_items(const struct index *ix, const struct index_dir *d)
{
	return ix->items + d->first;
}

const char *index_name(const struct index *ix, const struct index_item *it)
{
	return ix->names + it->name;
}

/* Where what belongs to a folder is kept: STORE/index/HASH-OF-PATH.SUFFIX. NULL when the folder is not there. */
static char *index_path(struct store *s, const char *folder, const char *suffix)
{
	auto_free char *real = realpath(folder, NULL);
	if (!real)
		return NULL;
	struct hash h;
	char hex[HASH_HEX + 1];
	hash_of(real, strlen(real), &h);
	hash_hex(&h, hex);
	return mem_printf("%s/index/%.32s.%s", store_path(s), hex, suffix);
}

/* The packs of a store by number. */
struct packs {
	struct index_pack *v;
	size_t n;
};

static int pack_order(const void *a, const void *b)
{
	const struct index_pack *x = a, *y = b;
	return (x->number > y->number) - (x->number < y->number);
}

static void list_packs(struct store *s, struct packs *out)
{
	*out = (struct packs){ 0 };
	auto_free char *path = fs_join(store_path(s), "packs");
	DIR *d = opendir(path);
	if (!d)
		return;
	/* safe, as each DIR is one thread's */
	for (struct dirent *e = readdir(d); e; e = readdir(d)) { /* NOLINT(concurrency-mt-unsafe) */
		char *end = NULL;
		unsigned long long number = strtoull(e->d_name, &end, 10);
		if (end == e->d_name || strcmp(end, ".pack"))
			continue;
		out->v = mem_grow(out->v, out->n + 1, sizeof(*out->v));
		out->v[out->n++] = (struct index_pack){ .number = number, .ino = e->d_ino };
	}
	closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), pack_order);
}

/* No pack was removed since the index was saved. */
static bool packs_stand(const struct index *ix, struct store *s)
{
	struct packs now;
	list_packs(s, &now);
	size_t old = ix->head->packs;
	bool good = now.n >= old;
	for (size_t i = 0; good && i < now.n; i++) {
		if (i < old)
			good = now.v[i].number == ix->packs[i].number && now.v[i].ino == ix->packs[i].ino;
		else
			good = i ? now.v[i].number == now.v[i - 1].number + 1 : now.v[i].number <= 1;
	}
	free(now.v);
	return good;
}

static void note_missing(void *arg, const struct hash *id)
{
	(void)id;
	*(bool *)arg = true;
}

static int go_on(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)kind;
	(void)id;
	(void)err;
	return *(bool *)arg ? 1 : 0;
}

static bool whole(struct store *s, const struct hash *tree)
{
	bool missing = false;
	struct hash_set *seen = hash_set_new();
	int rc = tree_reach(s, tree, seen, go_on, &missing, note_missing, NULL);
	hash_set_free(seen);
	return !rc && !missing;
}

struct index *index_load(struct store *s, const char *folder)
{
	auto_free char *path = index_path(s, folder, "stat");
	auto_fd int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(struct index_head))
		return NULL;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	struct index *ix = index_parse(map, (size_t)st.st_size);
	if (!ix) {
		munmap(map, (size_t)st.st_size);
		return NULL;
	}
	ix->map = map;
	ix->map_len = (size_t)st.st_size;
	if (store_has(s, index_tree(ix)) && (packs_stand(ix, s) || whole(s, index_tree(ix))))
		return ix;
	index_free(ix);
	return NULL;
}

void index_forget(struct store *s, const char *folder)
{
	auto_free char *path = index_path(s, folder, "stat");
	if (path)
		unlink(path);
}

/* ---- writing ---- */

struct saving {
	struct buf dirs, items, names;
	struct dir **order; /* in breadth */
	size_t n, max;
	struct timespec now;
};

static void save_item(struct saving *sv, const struct item *it)
{
	struct index_item out = { .stamp = it->stamp, .name = (uint32_t)sv->names.len, .name_len = it->len };
	if (it->dir) {
		out.dir = it->dir->number = (uint32_t)sv->n;
		out.stamp = (struct stamp){ .mode = it->dir->mode };
		if (sv->n == sv->max) {
			sv->max += sv->max / 2 + 64;
			sv->order = mem_grow(sv->order, sv->max, sizeof(struct dir *));
		}
		sv->order[sv->n++] = it->dir;
	} else if (it->flags & ITEM_WRITE) {
		/* written by a checkout: as git, what is as new as the index is looked at again */
		out.stamp.known = !stamp_racy(&it->stamp, &sv->now);
	}
	buf_add(&sv->items, &out, sizeof(out));
	buf_add(&sv->names, it->name, it->len + (size_t)1);
}

static void save_dir(struct saving *sv, const struct dir *d)
{
	struct index_dir row = { .id = d->id, .first = (uint32_t)(sv->items.len / sizeof(struct index_item)) };
	const struct item *items = d->next ? d->next : d->items;
	uint32_t count = d->next ? d->next_count : d->count;
	for (uint32_t i = 0; i < count; i++) {
		if (items[i].flags & ITEM_GONE)
			continue;
		save_item(sv, &items[i]);
		row.count++;
	}
	buf_add(&sv->dirs, &row, sizeof(row));
}

/* A name of its own beside the path, then the rename: no reader sees a part. */
static int replace(const char *path, const struct buf *parts, size_t n, struct err *err)
{
	char id[9];
	rand_id(id, 8);
	auto_free char *tmp = mem_printf("%s.%s", path, id);
	auto_fd int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot create '%s'", tmp);
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++)
		rc = fs_write_all(fd, parts[i].p, parts[i].len, err);
	if (!rc && rename(tmp, path))
		rc = err_sys(err, errno, "cannot replace '%s'", path);
	if (rc)
		unlink(tmp);
	return rc;
}

static int make_index_folder(struct store *s, struct err *err)
{
	auto_free char *path = fs_join(store_path(s), "index");
	return fs_exists(path) ? 0 : fs_mkdirs(path, 0700, err);
}

static int write_index(const char *path, struct saving *sv, const struct packs *packs, struct err *err)
{
	struct index_head head = { .layout = INDEX_LAYOUT,
		.dirs = sv->n,
		.items = sv->items.len / sizeof(struct index_item),
		.packs = packs->n,
		.names = sv->names.len };
	memcpy(head.magic, INDEX_MAGIC, sizeof(head.magic));
	struct buf pack_bytes = { .p = packs->n ? (char *)packs->v : buf_empty, .len = packs->n * sizeof(*packs->v) };
	struct buf head_bytes = { .p = (char *)&head, .len = sizeof(head) };
	struct buf parts[] = { head_bytes, sv->dirs, sv->items, pack_bytes, sv->names };
	struct hasher h;
	hasher_init(&h);
	hasher_add(&h, (char *)&head + SUM_END, sizeof(head) - SUM_END);
	for (size_t i = 1; i < ARRAY_LEN(parts); i++)
		hasher_add(&h, parts[i].p, parts[i].len);
	hasher_end(&h, &head.sum);
	return replace(path, parts, ARRAY_LEN(parts), err);
}

int index_save(struct store *s, const char *folder, struct dir *top, struct err *err)
{
	auto_free char *path = index_path(s, folder, "stat");
	if (!path || make_index_folder(s, err))
		return -1;
	struct saving sv = { .dirs = BUF_INIT, .items = BUF_INIT, .names = BUF_INIT, .max = 64, .n = 1, .now = work_now() };
	sv.order = mem_array(sv.max, sizeof(struct dir *));
	sv.order[0] = top;
	for (size_t i = 0; i < sv.n && sv.n < UINT32_MAX; i++)
		save_dir(&sv, sv.order[i]);
	struct packs packs;
	list_packs(s, &packs);
	int rc = -1;
	if (buf_failed(&sv.dirs) || buf_failed(&sv.items) || buf_failed(&sv.names))
		err_set(err, ERR_TOO_LARGE, "too many files for the stat index");
	else
		rc = write_index(path, &sv, &packs, err);
	free(packs.v);
	free(sv.order);
	buf_free(&sv.dirs);
	buf_free(&sv.items);
	buf_free(&sv.names);
	return rc;
}

/* ---- where the folder came from: HASH-OF-THE-REST TREE-HEX [LABEL] in lines ---- */

int work_set_origin(struct store *s, const char *folder, const char *label, const struct hash *tree, struct err *err)
{
	auto_free char *path = index_path(s, folder, "origin");
	if (!path)
		return err_sys(err, errno, "cannot find '%s'", folder);
	if (make_index_folder(s, err))
		return -1;
	char hex[HASH_HEX + 1];
	struct hash sum;
	auto_buf text = BUF_INIT;
	auto_buf line = BUF_INIT;
	buf_fmt(&text, "%s\n%s%s", hash_hex(tree, hex), label ? label : "", label ? "\n" : "");
	hash_of(text.p, text.len, &sum);
	buf_fmt(&line, "%s\n", hash_hex(&sum, hex));
	if (buf_failed(&text) || buf_failed(&line))
		return err_set(err, ERR_TOO_LARGE, "no memory for a label");
	struct buf parts[] = { line, text };
	return replace(path, parts, ARRAY_LEN(parts), err);
}

static bool parse_origin(const struct buf *b, struct work_origin *out)
{
	struct hash sum, want;
	char hex[HASH_HEX + 1];
	if (b->len < 2 * (HASH_HEX + 1) || b->p[HASH_HEX] != '\n' || b->p[2 * HASH_HEX + 1] != '\n')
		return false;
	hash_of(b->p + HASH_HEX + 1, b->len - HASH_HEX - 1, &sum);
	memcpy(hex, b->p, HASH_HEX);
	hex[HASH_HEX] = '\0';
	if (!hash_parse(hex, &want) || !hash_eq(&sum, &want))
		return false;
	memcpy(hex, b->p + HASH_HEX + 1, HASH_HEX);
	if (!hash_parse(hex, &out->tree))
		return false;
	size_t at = 2 * (HASH_HEX + (size_t)1);
	out->label = b->len > at + 1 ? mem_strndup(b->p + at, b->len - at - 1) : NULL;
	return true;
}

int work_origin(struct store *s, const char *folder, struct work_origin *out, struct err *err)
{
	*out = (struct work_origin){ 0 };
	auto_free char *path = index_path(s, folder, "origin");
	auto_buf b = BUF_INIT;
	if (path && !fs_read(path, 65536, &b, NULL) && parse_origin(&b, out))
		return 0;
	err_set(err, ERR_NOT_FOUND, "'%s' was never pushed to this store or checked out from it", folder);
	return err_hint(err, "name a label or an id");
}
