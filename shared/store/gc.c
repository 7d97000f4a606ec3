/* gc: marking by walking from labels, their histories and pins; the sweep is the store's. */
#include "shared/store/gc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/label_internal.h"
#include "shared/store/store_internal.h"
#include "shared/store/tree.h"

/* ---- all that is named ---- */

enum root_kind { ROOT_TO, ROOT_FROM, ROOT_OTHER, ROOT_PIN };
struct root {
	enum root_kind kind;
	const struct hash *id;
	const char *name; /* of the label or pin */
	size_t move;	  /* of the label, from 1 */
	bool absent;	  /* the caller of this move knew that the tree is not here */
};
struct roots {
	struct store *s;
	int (*each)(void *arg, const struct root *root, struct err *err);
	/* a label whose file is damaged: -1 ends it all */
	int (*damaged)(void *arg, const char *name, const char *file, uint64_t at, struct err *err);
	void *arg;
	struct err *err;
};

static int each_record(struct roots *r, const struct label_record *v, size_t move)
{
	auto_free char *name = mem_strndup(v->name, v->name_len);
	const struct hash *const ids[] = { v->to, v->from, v->other };
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct root root = { .kind = (enum root_kind)i,
			.id = ids[i],
			.name = name,
			.move = move,
			.absent = i == ROOT_TO && (v->flags & LABEL_ABSENT) };
		if (ids[i] && r->each(r->arg, &root, r->err))
			return -1;
	}
	return 0;
}

static int each_label_file(struct roots *r, const char *file)
{
	struct label_file f;
	int rc = label_file_read(r->s, file, &f, r->err);
	if (!rc && f.damaged) {
		auto_free char *name = f.n ? mem_strndup(f.v[f.n - 1].name, f.v[f.n - 1].name_len) : mem_strdup("?");
		rc = r->damaged(r->arg, name, file, f.damaged_at, r->err);
	}
	for (size_t i = 0; i < f.n && rc >= 0; i++)
		rc = each_record(r, &f.v[i], i + 1);
	label_file_free(&f);
	return rc < 0 ? -1 : 0;
}

static int each_pin(void *arg, const char *name, const struct hash *id)
{
	struct roots *r = arg;
	struct root root = { .kind = ROOT_PIN, .id = id, .name = name };
	return r->each(r->arg, &root, r->err);
}

static int each_root(struct roots *r)
{
	char **files;
	size_t n;
	if (label_files(r->s, &files, &n, r->err))
		return -1;
	int rc = 0;
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = each_label_file(r, files[i]);
		free(files[i]);
	}
	free(files);
	return rc ? -1 : store_each_pin(r->s, each_pin, r, r->err);
}

/* ---- marking ---- */

struct mark {
	struct store *s;
	struct hash_set *seen;
};

static int visit_nothing(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)arg;
	(void)kind;
	(void)id;
	(void)err;
	return 0;
}

static void miss_nothing(void *arg, const struct hash *id)
{
	(void)arg;
	(void)id;
}

/* Anything but a tree stands for itself alone. What it was first put as does not tell: a chunk may have the bytes of a node. */
static bool is_tree(struct store *s, const struct hash *id)
{
	struct store_info info;
	struct tree_node node;
	struct err why = ERR_INIT;
	if (store_stat(s, id, &info, NULL) || info.kind == OBJECT_TREE)
		return true;
	if (!tree_load(s, id, &node, &why)) {
		tree_unload(&node);
		return true;
	}
	return why.code != ERR_INVALID;
}

static int mark_root(void *arg, const struct root *root, struct err *err)
{
	struct mark *m = arg;
	if (!is_tree(m->s, root->id)) {
		hash_set_add(m->seen, root->id);
		return 0;
	}
	if (!tree_reach(m->s, root->id, m->seen, visit_nothing, NULL, miss_nothing, err))
		return 0;
	err_prefix(err, "nothing was collected: %s '%s'", root->kind == ROOT_PIN ? "pin" : "label", root->name);
	return err_hint(err, "'sbx fs fsck' lists all that is damaged");
}

/* What a damaged history led to is not known, so nothing may go. */
static int refuse_damaged(void *arg, const char *name, const char *file, uint64_t at, struct err *err)
{
	struct mark *m = arg;
	label_damaged(m->s, name, file, at, err);
	return err_prefix(err, "nothing was collected");
}

static bool keep_marked(void *arg, const struct hash *id)
{
	const struct mark *m = arg;
	return hash_set_has(m->seen, id);
}

/* Locked: no label moves, and nobody holds gc off. */
static int mark_and_sweep(struct store *s, bool dry, bool wait, struct store_swept *out, struct err *err)
{
	struct mark m = { .s = s, .seen = hash_set_new() };
	struct roots r = { .s = s, .each = mark_root, .damaged = refuse_damaged, .arg = &m, .err = err };
	int rc = each_root(&r);
	if (!rc)
		rc = store_sweep(s, keep_marked, &m, dry, wait, out, err);
	hash_set_free(m.seen);
	return rc;
}

int gc_run(struct store *s, bool dry, bool wait, struct store_swept *out, struct err *err)
{
	*out = (struct store_swept){ 0 };
	if (dry) {
		if (store_hold(s, err))
			return -1;
		int rc = mark_and_sweep(s, dry, wait, out, err);
		store_release(s);
		return rc;
	}
	if (store_gc_lock(s, wait, err))
		return -1;
	int rc = store_begin(s, wait, err);
	if (!rc) {
		rc = mark_and_sweep(s, dry, wait, out, err);
		rc = store_leave(s, true, rc, err);
	}
	store_gc_unlock(s);
	return rc;
}

/* ---- fsck ---- */

struct fsck {
	struct store *s;
	struct hash_set *seen, *absent;
	void (*fault)(void *arg, const char *text);
	void *arg;
	uint64_t faults;
	const struct root *root;
};

static void say(struct fsck *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct fsck *f, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->faults++;
	if (f->fault)
		f->fault(f->arg, text);
}

static void root_text(const struct root *root, char *out, size_t n)
{
	if (root->kind == ROOT_PIN)
		snprintf(out, n, "pin '%s'", root->name);
	else
		snprintf(out, n, "label '%s', move %zu", root->name, root->move);
}

static void say_missing(void *arg, const struct hash *id)
{
	struct fsck *f = arg;
	char hex[HASH_HEX + 1], who[LABEL_MAX + 64];
	if (hash_set_has(f->absent, id))
		return;
	root_text(f->root, who, sizeof(who));
	say(f, "%s: object %s is missing", who, hash_hex(id, hex));
}

static int fsck_root(void *arg, const struct root *root, struct err *err)
{
	struct fsck *f = arg;
	struct err why = ERR_INIT;
	char who[LABEL_MAX + 64];
	(void)err;
	if (root->absent && !store_has(f->s, root->id))
		hash_set_add(f->absent, root->id);
	if (!is_tree(f->s, root->id))
		return 0;
	root_text(root, who, sizeof(who));
	f->root = root;
	if (tree_reach(f->s, root->id, f->seen, visit_nothing, f, say_missing, &why))
		say(f, "%s: %s", who, why.msg);
	f->root = NULL;
	return 0;
}

static int fsck_damaged(void *arg, const char *name, const char *file, uint64_t at, struct err *err)
{
	struct fsck *f = arg;
	struct err why = ERR_INIT;
	(void)err;
	label_damaged(f->s, name, file, at, &why);
	say(f, "%s", why.msg);
	return 0;
}

int gc_fsck(struct store *s, void (*fault)(void *arg, const char *text), void *arg, uint64_t *faults, struct err *err)
{
	struct fsck f = { .s = s, .fault = fault, .arg = arg };
	struct roots r = { .s = s, .each = fsck_root, .damaged = fsck_damaged, .arg = &f, .err = err };
	*faults = 0;
	if (store_hold(s, err))
		return -1;
	int rc = store_check(s, fault, arg, faults, err);
	f.seen = hash_set_new();
	f.absent = hash_set_new();
	/* damaged pins were told by store_check */
	if (!rc && each_root(&r) && !(err && err->code == ERR_IO))
		rc = -1;
	hash_set_free(f.seen);
	hash_set_free(f.absent);
	store_release(s);
	*faults += f.faults;
	return rc;
}
