/* Status: scan without writing, then tell what differs. */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

struct telling {
	diff_fn *each;
	void *arg;
};

static bool same_content(const struct entry *a, const struct entry *b)
{
	struct entry x = *a;
	x.mode = b->mode;
	return (a->mode & S_IFMT) == (b->mode & S_IFMT) && entry_eq(&x, b);
}

static int tell_file(struct telling *t, const char *path, const struct entry *old, const struct entry *new, struct err *err)
{
	struct diff_item item = { .path = path, .old = old, .new = new };
	if (!old && !new)
		return 0;
	if (!old || !new)
		item.kind = old ? DIFF_REMOVED : DIFF_ADDED;
	else if (entry_eq(old, new))
		return 0;
	else
		item.kind = same_content(old, new) ? DIFF_MODE : DIFF_CHANGED;
	return t->each(t->arg, &item, err);
}

/* What a folder is beyond what is in it: that it is there though empty, and its mode. */
static int tell_folder(struct telling *t, const char *path, const struct child *old, const struct child *new, struct err *err)
{
	bool was = old && old->has_dir, is = new &&new->has_dir;
	const struct child *one = was ? old : new;
	if (was && is) {
		uint32_t from = work_dir_mode(old), to = work_dir_mode(new);
		struct entry a = { .mode = S_IFDIR | from }, b = { .mode = S_IFDIR | to };
		struct diff_item item = { .kind = DIFF_MODE, .path = path, .old = &a, .new = &b };
		return from != to ? t->each(t->arg, &item, err) : 0;
	}
	if (was == is || !hash_eq(&one->dir, &object_empty))
		return 0;
	struct diff_item item = { .kind = was ? DIFF_REMOVED : DIFF_ADDED, .path = path };
	return t->each(t->arg, &item, err);
}

static int tell(void *arg, const char *path, const struct child *const child[SIDES], struct err *err)
{
	const struct child *old = child[SIDE_TREE], *new = child[SIDE_DISK];
	int rc = tell_file(arg, path, work_file(old), work_file(new), err);
	return rc ? rc : tell_folder(arg, path, old, new, err);
}

/* NOLINTNEXTLINE(readability-function-size): as the header has it */
int work_status(struct store *s, const struct hash *tree, const char *folder, const struct work_options *o, diff_fn *each,
	void *arg, struct err *err)
{
	struct work w;
	struct telling t = { .each = each, .arg = arg };
	int rc = work_scan_apart(&w, s, folder, o, false, err);
	if (!rc && !hash_eq(&w.top->id, tree)) {
		struct compare c = { .work = &w, .each = tell, .arg = &t };
		c.has[SIDE_TREE] = c.has[SIDE_DISK] = true;
		c.id[SIDE_TREE] = *tree;
		c.id[SIDE_DISK] = w.top->id;
		rc = work_compare(&c, err);
	}
	work_free(&w);
	return rc;
}
