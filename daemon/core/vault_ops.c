#include <stdlib.h>
#include <string.h>

#include "daemon/core/vault_internal.h"
#include "shared/base/mem.h"
#include "shared/store/tree.h"

static void failed_if(struct vault_op *op, int rc)
{
	op->failed = rc != 0;
}

/* ---- labels ---- */

static void run_labels(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	struct vault_labels *q = (struct vault_labels *)op;
	failed_if(op, label_list(s, &q->out, &op->err));
}

void vault_labels(struct vault *v, struct vault_labels *q)
{
	vault_submit(v, &v->reader, &q->op, run_labels);
}

static void run_log(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	struct vault_log *q = (struct vault_log *)op;
	failed_if(op, label_log(s, q->name, q->limit, &q->out, &op->err));
}

void vault_log(struct vault *v, struct vault_log *q)
{
	vault_submit(v, &v->reader, &q->op, run_log);
}

/* When the label came to where it is. */
static int last_move(struct store *s, const char *name, struct hash *head, int64_t *at, struct err *err)
{
	struct label_log log = { 0 };
	if (label_log(s, name, 1, &log, err) != 0)
		return -1;
	if (log.n > 0) {
		*at = log.v[log.n - 1].at;
		if (head)
			*head = log.v[log.n - 1].to;
	}
	label_log_free(&log);
	return 0;
}

/* 1 there is such a label, 0, -1 */
static int find_head(struct store *s, const char *name, struct hash *head, struct err *err)
{
	if (label_head(s, name, head, err) == 0)
		return 1;
	if (err->code != ERR_NOT_FOUND)
		return -1;
	err_clear(err);
	return 0;
}

/* A tree is only good with all that it leads to. */
static int check_whole(struct vault *v, struct store *s, const struct hash *tree, struct err *err)
{
	bool whole = false;
	char hex[HASH_HEX + 1];
	if (vault_look(v, s, tree, 1, &whole, err) != 0)
		return -1;
	if (whole || hash_eq(tree, &object_empty))
		return 0;
	err_set(err, ERR_NOT_FOUND, "tree '%s' is not in the store with all that it leads to", hash_hex(tree, hex));
	return err_hint(err, "upload what is missing first");
}

static int move(struct vault *v, struct store *s, struct vault_move *q, struct err *err)
{
	struct label_move m = { .name = q->name,
		.to = q->to,
		.op = q->what,
		.expected = q->when == VAULT_EXPECTED ? &q->expected : NULL,
		.absent = q->when == VAULT_ABSENT,
		.any = q->when == VAULT_ANY,
		.other = q->has_other ? &q->other : NULL,
		.message = q->message,
		.missing_ok = true };
	q->exists = q->when == VAULT_EXPECTED;
	if (label_check(q->name, err) != 0)
		return -1;
	if (m.any || q->known) {
		struct hash head;
		int rc = find_head(s, q->name, &head, err);
		if (rc < 0)
			return -1;
		q->exists = rc > 0;
	}
	if (q->known) {
		int rc = q->exists ? label_knows(s, q->name, &q->to, err) : 0;
		if (rc <= 0) {
			q->how = VAULT_UNKNOWN;
			return rc;
		}
	}
	if (!q->missing_ok && check_whole(v, s, &q->to, err) != 0)
		return -1;
	if (q->create && !q->exists)
		m.op = LABEL_CREATE;
	bool exists = false;
	int rc = label_move(s, &m, &q->current, &exists, err);
	if (rc > 0) {
		q->how = VAULT_REJECTED;
		q->exists = exists;
	}
	return rc < 0 ? -1 : 0;
}

static void run_move(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_move *q = (struct vault_move *)op;
	q->how = VAULT_MOVED;
	failed_if(op, move(v, s, q, &op->err));
}

static void after_move(struct vault_op *op, struct store *s)
{
	struct vault_move *q = (struct vault_move *)op;
	if (q->how == VAULT_MOVED)
		failed_if(op, last_move(s, q->name, NULL, &q->at, &op->err));
}

void vault_move(struct vault *v, struct vault_move *q)
{
	q->op.grouped = true;
	q->op.hold = !q->missing_ok;
	q->op.after = q->want_at ? after_move : NULL;
	vault_submit(v, &v->writer, &q->op, run_move);
}

static int remove_label(struct store *s, struct vault_remove *q, struct err *err)
{
	if (label_head(s, q->name, &q->current, err) != 0)
		return -1;
	q->rejected = q->has_expected && !hash_eq(&q->expected, &q->current);
	return q->rejected ? 0 : label_remove(s, q->name, q->has_expected ? &q->expected : NULL, err);
}

static void run_remove(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	failed_if(op, remove_label(s, (struct vault_remove *)op, &op->err));
}

void vault_remove(struct vault *v, struct vault_remove *q)
{
	q->op.grouped = true;
	vault_submit(v, &v->writer, &q->op, run_remove);
}

static void run_rename(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	struct vault_rename *q = (struct vault_rename *)op;
	/* that there is none comes before what is wrong with its new name */
	failed_if(op, label_head(s, q->from, &q->head, &op->err) || label_rename(s, q->from, q->to, &op->err));
}

static void after_rename(struct vault_op *op, struct store *s)
{
	struct vault_rename *q = (struct vault_rename *)op;
	failed_if(op, last_move(s, q->to, &q->head, &q->at, &op->err));
}

void vault_rename(struct vault *v, struct vault_rename *q)
{
	q->op.grouped = true;
	q->op.after = after_rename;
	vault_submit(v, &v->writer, &q->op, run_rename);
}

/* ---- merge ---- */

int vault_tree_of(struct store *s, const char *text, struct ref *ref, struct hash *out, struct err *err)
{
	if (ref_resolve(s, text, ref, err) != 0)
		return -1;
	*out = ref->tree;
	if (!ref->path || !*ref->path)
		return 0;
	struct tree_at at = { 0 };
	if (tree_find(s, &ref->tree, ref->path, &at, err) != 0)
		return -1;
	bool folder = at.has_dir;
	*out = at.dir;
	tree_at_free(&at);
	return folder ? 0 : err_set(err, ERR_INVALID, "'%s' is no folder", text);
}

static int resolve_base(struct store *s, struct vault_merge *q, const struct ref *ours, const struct ref *theirs, struct err *err)
{
	if (q->base) {
		struct ref ref = { 0 };
		int rc = vault_tree_of(s, q->base, &ref, &q->base_id, err);
		ref_free(&ref);
		if (rc != 0)
			return -1;
		q->m.base = &q->base_id;
		return 0;
	}
	int found = ref_base(s, ours, theirs, &q->base_id, err);
	if (found > 0)
		q->m.base = &q->base_id;
	return found < 0 ? -1 : 0;
}

static int resolve_sides(struct store *s, struct vault_merge *q, struct err *err)
{
	if (!q->ours)
		return 0;
	struct ref ours = { 0 }, theirs = { 0 };
	int rc = vault_tree_of(s, q->ours, &ours, &q->m.ours, err);
	if (rc == 0)
		rc = vault_tree_of(s, q->theirs, &theirs, &q->m.theirs, err);
	if (rc == 0)
		rc = resolve_base(s, q, &ours, &theirs, err);
	ref_free(&ours);
	ref_free(&theirs);
	return rc;
}

static int move_to_result(struct vault *v, struct store *s, struct vault_merge *q, struct err *err)
{
	struct vault_move m = { .name = q->into,
		.message = q->message,
		.to = q->result.tree,
		.expected = q->expected,
		.other = q->m.theirs,
		.has_other = true,
		.when = q->when,
		.what = LABEL_MERGE,
		.create = false,
		.missing_ok = true };
	if (q->when == VAULT_OURS) {
		struct hash head;
		int rc = find_head(s, q->into, &head, err);
		if (rc < 0)
			return -1;
		m.when = rc ? VAULT_EXPECTED : VAULT_ABSENT;
		m.expected = q->m.ours;
	}
	int rc = move(v, s, &m, err);
	q->how = m.how;
	q->exists = m.exists;
	q->current = m.current;
	return rc;
}

static int merge(struct vault *v, struct store *s, struct vault_merge *q, struct err *err)
{
	if (q->into && label_check(q->into, err) != 0)
		return -1;
	if (resolve_sides(s, q, err) != 0 || merge_trees(s, &q->m, &q->result, err) != 0)
		return -1;
	vault_forget(v);
	return q->into && q->result.clean ? move_to_result(v, s, q, err) : 0;
}

static void run_merge(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_merge *q = (struct vault_merge *)op;
	q->how = VAULT_MOVED;
	failed_if(op, merge(v, s, q, &op->err));
}

void vault_merge(struct vault *v, struct vault_merge *q)
{
	q->op.grouped = q->op.hold = true;
	vault_submit(v, &v->writer, &q->op, run_merge);
}

/* ---- trees ---- */

static const char *type_of(const struct entry *e)
{
	if (entry_is_link(e))
		return "symlink";
	if (S_ISFIFO(e->mode))
		return "fifo";
	if (S_ISSOCK(e->mode))
		return "socket";
	if (S_ISBLK(e->mode))
		return "block";
	return S_ISCHR(e->mode) ? "char" : "file";
}

/* The content of a name, not just the permission bits of the folder of that name. */
static bool is_content(const struct tree_at *at)
{
	return at->has_file && !entry_is_dir_mode(&at->file);
}

static int look_up(struct store *s, struct vault_resolve *q, struct err *err)
{
	if (ref_resolve(s, q->text, &q->ref, err) != 0)
		return -1;
	q->type = "folder";
	q->id = q->ref.tree;
	if (!q->ref.path || !*q->ref.path)
		return 0;
	struct tree_at at = { 0 };
	if (tree_find(s, &q->ref.tree, q->ref.path, &at, err) != 0)
		return -1;
	if (is_content(&at)) {
		q->type = type_of(&at.file);
		entry_id(&at.file, &q->id);
	} else {
		q->id = at.dir;
	}
	tree_at_free(&at);
	return 0;
}

static void run_resolve(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	failed_if(op, look_up(s, (struct vault_resolve *)op, &op->err));
}

void vault_resolve(struct vault *v, struct vault_resolve *q)
{
	vault_submit(v, &v->reader, &q->op, run_resolve);
}

static int tell_file(struct vault_list *q, const char *path, const struct entry *e, struct err *err)
{
	struct vault_entry out = { .path = path, .type = type_of(e), .mode = e->mode & 07777, .size = e->size };
	entry_id(e, &out.id);
	if (entry_is_link(e)) {
		out.target = e->link;
		out.target_len = e->link_len;
	}
	return q->each(q->arg, &out, err);
}

static int tell(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	struct vault_list *q = arg;
	bool dir_mode = c->has_file && entry_is_dir_mode(&c->file);
	if (is_dir) {
		struct vault_entry out = {
			.path = path, .type = "folder", .mode = dir_mode ? c->file.mode & 07777 : OBJECT_DIR_MODE, .id = c->dir
		};
		int rc = q->each(q->arg, &out, err);
		return rc != 0 ? rc : q->recursive ? 0 : TREE_SKIP;
	}
	return dir_mode ? 0 : tell_file(q, path, &c->file, err);
}

static int list(struct store *s, struct vault_list *q, struct err *err)
{
	struct tree_at at = { 0 };
	if (tree_find(s, &q->tree, q->path, &at, err) != 0)
		return -1;
	bool folder = at.has_dir;
	q->folder = at.dir;
	tree_at_free(&at);
	if (!folder) {
		err_set(err, ERR_INVALID, "'%s' is no folder", q->path);
		return err_hint(err, "read it with /file");
	}
	return tree_walk(s, &q->folder, tell, q, err) != 0 ? -1 : 0;
}

static void run_list(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	failed_if(op, list(s, (struct vault_list *)op, &op->err));
}

void vault_list(struct vault *v, struct vault_list *q)
{
	vault_submit(v, &v->reader, &q->op, run_list);
}

static int look_at_file(struct store *s, struct vault_file *q, struct err *err)
{
	struct tree_at at = { 0 };
	if (tree_find(s, &q->tree, q->path, &at, err) != 0)
		return -1;
	int rc = 0;
	if (!is_content(&at)) {
		err_set(err, ERR_INVALID, "'%s' is a folder", q->path);
		rc = err_hint(err, "list it instead");
	} else {
		entry_id(&at.file, &q->id);
		q->size = at.file.size;
		if (q->size <= VAULT_INLINE)
			rc = tree_read_all(s, &at.file, VAULT_INLINE, &q->data, err);
	}
	tree_at_free(&at);
	return rc;
}

static void run_file(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	failed_if(op, look_at_file(s, (struct vault_file *)op, &op->err));
}

void vault_file(struct vault *v, struct vault_file *q)
{
	buf_init(&q->data);
	vault_submit(v, &v->reader, &q->op, run_file);
}

/* ---- objects and care ---- */

static void run_have(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_have *q = (struct vault_have *)op;
	failed_if(op, vault_look(v, s, q->ids, q->n, q->have, &op->err));
}

void vault_have(struct vault *v, struct vault_have *q)
{
	q->op.hold = true;
	vault_submit(v, &v->writer, &q->op, run_have);
}

static void run_stats(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_stats *q = (struct vault_stats *)op;
	struct label_list labels = { 0 };
	q->path = v->path;
	q->read_only = store_read_only(s);
	failed_if(op, label_list(s, &labels, &op->err) || store_totals(s, &q->out, &op->err));
	q->labels = labels.n;
	label_list_free(&labels);
}

void vault_stats(struct vault *v, struct vault_stats *q)
{
	vault_submit(v, &v->reader, &q->op, run_stats);
}
