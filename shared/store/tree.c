/* tree: finding, walking, reading, and what a tree leads to. Changing is in tree_apply.c, new content in tree_file.c. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/tree_internal.h"

int tree_part(const char **path, struct part *out, struct err *err)
{
	const char *p = *path;
	size_t n;
	do {
		while (*p == '/')
			p++;
		n = strcspn(p, "/");
		out->p = p;
		out->n = n;
		p += n;
		*path = p;
	} while (n == 1 && out->p[0] == '.');
	if (n == 0)
		return 0;
	if (n == 2 && out->p[0] == '.' && out->p[1] == '.')
		return err_set(err, ERR_INVALID, "a path in a tree cannot have '..' in it");
	if (n > OBJECT_NAME_MAX)
		return err_set(err, ERR_INVALID, "a name in a path is %zu bytes long, more than %u", n, OBJECT_NAME_MAX);
	return 1;
}

int tree_load(struct store *s, const struct hash *id, struct tree_node *out, struct err *err)
{
	char hex[HASH_HEX + 1];
	buf_init(&out->bytes);
	out->node = (struct node){ 0 };
	/* Everybody has the empty folder. */
	if (hash_eq(id, &object_empty))
		return 0;
	if (store_get(s, id, &out->bytes, err) != 0) {
		buf_free(&out->bytes);
		return -1;
	}
	if (node_decode(out->bytes.p, out->bytes.len, &out->node, err) != 0) {
		buf_free(&out->bytes);
		return err_prefix(err, "object %s", hash_hex(id, hex));
	}
	return 0;
}

void tree_unload(struct tree_node *t)
{
	node_free(&t->node);
	buf_free(&t->bytes);
}

int tree_find(struct store *s, const struct hash *root, const char *path, struct tree_at *out, struct err *err)
{
	const char *left = path;
	struct part part;
	int r;
	*out = (struct tree_at){ .has_dir = true, .dir = *root, .holder.bytes = BUF_INIT };
	while ((r = tree_part(&left, &part, err)) > 0) {
		const struct child *c = NULL;
		if (out->has_dir) {
			tree_unload(&out->holder);
			if (tree_load(s, &out->dir, &out->holder, err) != 0)
				return -1;
			c = node_find(&out->holder.node, part.p, part.n);
		}
		if (!c) {
			tree_at_free(out);
			return err_set(err, ERR_NOT_FOUND, "there is no '%.*s' in the tree", (int)(part.p + part.n - path), path);
		}
		out->has_file = c->has_file;
		out->file = c->file;
		out->has_dir = c->has_dir;
		out->dir = c->dir;
	}
	if (r < 0)
		tree_at_free(out);
	return r;
}

void tree_at_free(struct tree_at *at)
{
	tree_unload(&at->holder);
	*at = (struct tree_at){ .holder.bytes = BUF_INIT };
}

/* ---- walking: a stack of folders, since trees may be deeper than a thread's stack ---- */

struct level {
	struct tree_node t;
	uint32_t next;	 /* child */
	size_t path_len; /* of the folder, with its slash */
};

struct walk {
	struct store *s;
	struct level *levels;
	size_t count, room;
	struct buf path;
	tree_each_fn *each;
	void *arg;
};

static int enter(struct walk *w, const struct hash *dir, struct err *err)
{
	if (w->count == w->room) {
		w->room = w->room ? 2 * w->room : 16;
		w->levels = mem_grow(w->levels, w->room, sizeof(*w->levels));
	}
	struct level *l = &w->levels[w->count];
	if (tree_load(w->s, dir, &l->t, err) != 0)
		return w->path.len ? err_prefix(err, "folder '%.200s'", w->path.p) : -1;
	if (w->count)
		buf_ch(&w->path, '/');
	l->next = 0;
	l->path_len = w->path.len;
	w->count++;
	return 0;
}

/* One child: its file part, then its folder, which becomes the top level. */
static int walk_child(struct walk *w, const struct child *c, struct err *err)
{
	buf_add(&w->path, c->name, c->name_len);
	if (buf_failed(&w->path))
		return err_set(err, ERR_TOO_LARGE, "a path in the tree is too long");
	if (c->has_file && !entry_is_dir_mode(&c->file)) {
		int r = w->each(w->arg, w->path.p, c, false, err);
		if (r)
			return r;
	}
	if (!c->has_dir)
		return 0;
	int r = w->each(w->arg, w->path.p, c, true, err);
	return r == TREE_SKIP ? 0 : r ? r : enter(w, &c->dir, err);
}

int tree_walk(struct store *s, const struct hash *root, tree_each_fn *each, void *arg, struct err *err)
{
	struct walk w = { .s = s, .path = BUF_INIT, .each = each, .arg = arg };
	int r = enter(&w, root, err);
	while (r == 0 && w.count) {
		struct level *l = &w.levels[w.count - 1];
		w.path.len = l->path_len;
		if (l->next < l->t.node.count) {
			r = walk_child(&w, &l->t.node.children[l->next++], err);
		} else {
			tree_unload(&l->t);
			w.count--;
		}
	}
	while (w.count)
		tree_unload(&w.levels[--w.count].t);
	free(w.levels);
	buf_free(&w.path);
	return r;
}

/* ---- content ---- */

static void chunk_id(const struct entry *file, uint32_t i, struct hash *out)
{
	memcpy(out->b, file->data + (size_t)i * HASH_LEN, HASH_LEN);
}

static int wrong_size(const struct entry *file, struct err *err)
{
	return err_set(err, ERR_IO, "the chunks of a file are not the %llu bytes that its entry says",
		(unsigned long long)file->size);
}

/* NOLINTNEXTLINE(readability-function-size): what to read, where from and whom to tell are no more than they are */
int tree_read(struct store *s, const struct entry *file, uint64_t offset, uint64_t length, tree_data_fn *each, void *arg,
	struct err *err)
{
	if (offset >= file->size || length == 0)
		return 0;
	uint64_t end = length < file->size - offset ? offset + length : file->size, at = 0;
	if (!file->chunked)
		return each(arg, file->data + offset, (size_t)(end - offset), err);
	auto_buf b = BUF_INIT;
	uint32_t i = 0;
	struct hash id;
	/* Whole chunks in front are not read, only asked for their size. */
	for (; offset && i < file->chunks; i++) {
		struct store_info info;
		chunk_id(file, i, &id);
		if (store_stat(s, &id, &info, err) != 0)
			return -1;
		if (info.size > offset - at)
			break;
		at += info.size;
	}
	for (; at < end && i < file->chunks; i++) {
		chunk_id(file, i, &id);
		buf_clear(&b);
		if (store_get(s, &id, &b, err) != 0)
			return -1;
		if (b.len > file->size - at)
			return wrong_size(file, err);
		size_t from = offset > at ? (size_t)(offset - at) : 0, to = end - at < b.len ? (size_t)(end - at) : b.len;
		int r = from < to ? each(arg, b.p + from, to - from, err) : 0;
		if (r)
			return r;
		at += b.len;
	}
	return at < end || (at == file->size && i < file->chunks) ? wrong_size(file, err) : 0;
}

int tree_read_all(struct store *s, const struct entry *file, size_t max, struct buf *out, struct err *err)
{
	size_t before = out->len;
	if (file->size > max)
		return err_set(err, ERR_TOO_LARGE, "the file has %llu bytes, more than %zu", (unsigned long long)file->size, max);
	if (!file->chunked)
		buf_add(out, file->data, (size_t)file->size);
	for (uint32_t i = 0; file->chunked && i < file->chunks; i++) {
		struct hash id;
		chunk_id(file, i, &id);
		if (store_get(s, &id, out, err) != 0)
			return -1;
		if (out->len - before > file->size)
			return wrong_size(file, err);
	}
	if (buf_failed(out))
		return err_set(err, ERR_TOO_LARGE, "no memory for a file of %llu bytes", (unsigned long long)file->size);
	return out->len - before == file->size ? 0 : wrong_size(file, err);
}

/* ---- what a tree leads to ---- */

struct reach {
	struct store *s;
	struct hash_set *seen;
	struct hash *nodes; /* still to be read */
	size_t count, room;
	tree_object_fn *each;
	void *arg;
	void (*missing)(void *arg, const struct hash *id);
};

static void later(struct reach *r, const struct hash *id)
{
	if (!hash_set_mark(r->seen, id, MARK_TREE))
		return;
	if (r->count == r->room) {
		r->room = r->room ? 2 * r->room : 64;
		r->nodes = mem_grow(r->nodes, r->room, sizeof(*r->nodes));
	}
	r->nodes[r->count++] = *id;
}

static int is_missing(struct reach *r, const struct hash *id, struct err *err)
{
	char hex[HASH_HEX + 1];
	if (!r->missing)
		return err_set(err, ERR_NOT_FOUND, "object %s is missing", hash_hex(id, hex));
	r->missing(r->arg, id);
	return 0;
}

static int reach_chunks(struct reach *r, const struct entry *file, struct err *err)
{
	for (uint32_t i = 0; i < file->chunks; i++) {
		struct hash id;
		chunk_id(file, i, &id);
		if (!hash_set_mark(r->seen, &id, MARK_CHUNK))
			continue;
		int status = store_has(r->s, &id) ? r->each(r->arg, OBJECT_CHUNK, &id, err) : is_missing(r, &id, err);
		if (status)
			return status;
	}
	return 0;
}

static int reach_node(struct reach *r, const struct hash *id, struct err *err)
{
	struct tree_node t;
	struct err why = ERR_INIT;
	/* The empty folder need not be in the store. */
	if (hash_eq(id, &object_empty) && !store_has(r->s, id))
		return 0;
	if (tree_load(r->s, id, &t, &why) != 0) {
		if (why.code == ERR_NOT_FOUND)
			return is_missing(r, id, err);
		if (err)
			*err = why;
		return -1;
	}
	int status = r->each(r->arg, OBJECT_TREE, id, err);
	for (uint32_t i = 0; status == 0 && i < t.node.count; i++) {
		const struct child *c = &t.node.children[i];
		if (c->has_dir)
			later(r, &c->dir);
		if (c->has_file && c->file.chunked)
			status = reach_chunks(r, &c->file, err);
	}
	tree_unload(&t);
	return status;
}

/* NOLINTNEXTLINE(readability-function-size): as above */
int tree_reach(struct store *s, const struct hash *root, struct hash_set *seen, tree_object_fn *each, void *arg,
	void (*missing)(void *arg, const struct hash *id), struct err *err)
{
	struct hash_set *own = seen ? NULL : hash_set_new();
	struct reach r = { .s = s, .seen = seen ? seen : own, .each = each, .arg = arg, .missing = missing };
	int status = 0;
	later(&r, root);
	while (status == 0 && r.count) {
		struct hash id = r.nodes[--r.count];
		status = reach_node(&r, &id, err);
	}
	free(r.nodes);
	hash_set_free(own);
	return status;
}
