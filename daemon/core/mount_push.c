/*
 * mount_push: from a folder of a running guest to a label.
 *
 *   changes -> tree -> (head of the label -> move -> record) | merge -> record
 *
 * Nothing is moved before the whole tree is in the store. Whoever moves the label first wins: then we are rejected, or merge with
 * what is there, again and again while it goes on moving.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/execution.h"
#include "daemon/core/internal.h"
#include "daemon/core/mount.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#define MERGE_TRIES 16u

struct mount_push {
	struct core *core;
	mount_pushed_cb *cb; /* NULL: nobody waits */
	void *arg;
	char *id, *path, *label, *message, *pin;
	struct mount_spec spec;
	bool has_origin;
	struct hash origin; /* what the label may move on from, and what a merge is based on */
	struct execution *x;
	struct vault_upload *upload;
	struct buf rest; /* came from the guest and waits for room */
	bool all;	 /* has come */
	unsigned tries;
	struct vault_log log;
	struct vault_move move;
	struct vault_merge merge;
	struct vault_pin pinning;
	struct mount_pushed out;
};

const char *mount_outcome_name(enum mount_outcome o)
{
	static const char *const names[] = { "detached", "created", "pushed", "merged", "unchanged", "rejected", "conflicts" };
	return names[o];
}

/* ---- the end ---- */

static void push_free(struct mount_push *p)
{
	execution_close(p->x);
	vault_upload_close(p->upload);
	merge_result_free(&p->merge.result);
	buf_free(&p->rest);
	free(p->id);
	free(p->path);
	free(p->label);
	free(p->message);
	free(p->pin);
	free(p);
}

static void fail(struct mount_push *p, const struct err *err)
{
	if (p->cb)
		p->cb(p->arg, NULL, err);
	push_free(p);
}

static void tell(struct mount_push *p)
{
	if (p->cb)
		p->cb(p->arg, &p->out, NULL);
	push_free(p);
}

static void replace(char **at, const char *text)
{
	free(*at);
	*at = mem_strdup(text);
}

static void on_pinned(struct vault_op *op)
{
	struct mount_push *p = (struct mount_push *)((char *)op - offsetof(struct mount_push, pinning));
	struct err err = op->err;
	struct err gone = ERR_INIT;
	struct sandbox *sb = sandbox_find(p->core, TEAM_ANY, p->id, &gone);
	char hex[HASH_HEX + 1];
	if (op->failed) {
		fail(p, &err);
		return;
	}
	if (sb && sb->fs.path) {
		replace(&sb->fs.label, p->label);
		replace(&sb->fs.pushed, hash_hex(&p->out.tree, hex));
		/* the label has moved: what is lost is only that the next push need not be told where it is */
		if (db_fs_put(p->core->db, &sb->fs, &err))
			log_warn("core", "%s: %s", p->id, err.msg);
		eventlog_add(sb->log, "push", "%s", p->label);
	}
	tell(p);
}

/* The label is where it should be. From now on this is what the mount is compared with. */
static void landed(struct mount_push *p, enum mount_outcome outcome, const struct hash *head)
{
	p->out.outcome = outcome;
	p->out.head = *head;
	p->out.exists = true;
	if (!p->out.mounted) {
		tell(p);
		return;
	}
	p->pinning = (struct vault_pin){ .op.done = on_pinned, .name = p->pin, .tree = p->out.tree };
	vault_pin(p->core->vault, &p->pinning);
}

/* ---- the label is elsewhere ---- */

static void rejected(struct mount_push *p, bool exists, const struct hash *current);

static void on_merged(struct vault_op *op)
{
	struct mount_push *p = (struct mount_push *)((char *)op - offsetof(struct mount_push, merge));
	struct vault_merge *q = &p->merge;
	struct err err = op->err;
	if (op->failed) {
		fail(p, &err);
		return;
	}
	if (q->result.clean && q->how == VAULT_REJECTED) {
		rejected(p, q->exists, &q->current);
		return;
	}
	p->out.merge = &q->result;
	p->out.exists = p->out.had_before = true;
	p->out.before = p->out.head = q->m.ours;
	if (q->result.clean) {
		landed(p, MOUNT_MERGED, &q->result.tree);
		return;
	}
	p->out.outcome = MOUNT_CONFLICTS;
	tell(p);
}

static void merge_with(struct mount_push *p, const struct hash *head)
{
	struct vault_merge *q = &p->merge;
	merge_result_free(&q->result);
	*q = (struct vault_merge){ .op.done = on_merged,
		.m = { .ours = *head, .theirs = p->out.tree, .style = MERGE_NATIVE, .renames = true },
		.base_id = p->origin,
		.into = p->label,
		.message = p->message,
		.when = VAULT_EXPECTED,
		.expected = *head };
	q->m.base = &q->base_id;
	vault_merge(p->core->vault, q);
}

static void rejected(struct mount_push *p, bool exists, const struct hash *current)
{
	if (p->spec.merge && exists && p->has_origin && p->tries++ < MERGE_TRIES) {
		merge_with(p, current);
		return;
	}
	p->out.outcome = MOUNT_REJECTED;
	p->out.exists = exists;
	p->out.head = *current;
	tell(p);
}

/* ---- moving it ---- */

static void on_moved(struct vault_op *op)
{
	struct mount_push *p = (struct mount_push *)((char *)op - offsetof(struct mount_push, move));
	const struct vault_move *q = &p->move;
	struct err err = op->err;
	if (op->failed)
		fail(p, &err);
	else if (q->how == VAULT_REJECTED)
		rejected(p, q->exists, &q->current);
	else
		landed(p, p->out.had_before ? MOUNT_PUSHED : MOUNT_CREATED, &q->to);
}

/* A new label is made by anyone, unless it was said where it must be. */
static bool may_move(const struct mount_push *p, bool exists, const struct hash *head)
{
	const struct mount_spec *s = &p->spec;
	if (s->force)
		return true;
	if (s->has_expected)
		return exists && hash_eq(head, &s->expected);
	return !exists || (p->has_origin && hash_eq(head, &p->origin));
}

static void move_from(struct mount_push *p, bool exists, const struct hash *head)
{
	bool may = may_move(p, exists, head);
	p->out.had_before = exists;
	p->out.before = *head;
	if (exists && hash_eq(head, &p->out.tree) && !p->message && (may || !p->spec.has_expected)) {
		landed(p, MOUNT_UNCHANGED, head);
		return;
	}
	/* who has changed nothing has nothing to lose, wherever the label went */
	if (!may && exists && !p->message && !p->spec.has_expected && p->has_origin && hash_eq(&p->out.tree, &p->origin)) {
		landed(p, MOUNT_UNCHANGED, head);
		return;
	}
	if (!may) {
		rejected(p, exists, head);
		return;
	}
	p->move = (struct vault_move){ .op.done = on_moved,
		.name = p->label,
		.message = p->message,
		.to = p->out.tree,
		.expected = *head,
		.when = p->spec.force ? VAULT_ANY
			: exists      ? VAULT_EXPECTED
				      : VAULT_ABSENT,
		.what = p->spec.force && exists ? LABEL_FORCE : LABEL_PUSH,
		.create = true };
	vault_move(p->core->vault, &p->move);
}

static void on_head(struct vault_op *op)
{
	struct mount_push *p = (struct mount_push *)((char *)op - offsetof(struct mount_push, log));
	struct label_log *log = &p->log.out;
	struct err err = op->err;
	struct hash head = object_empty;
	bool exists = !op->failed && log->n > 0;
	if (exists)
		head = log->v[log->n - 1].to;
	label_log_free(log);
	if (op->failed && err.code != ERR_NOT_FOUND)
		fail(p, &err);
	else
		move_from(p, exists, &head);
}

/* ---- what comes from the guest ---- */

static void on_stored(void *arg, const struct remote_counts *counts, const struct err *err)
{
	struct mount_push *p = arg;
	(void)counts;
	if (err) {
		struct err why = *err;
		fail(p, &why);
		return;
	}
	p->out.counts = *vault_changes_result(p->upload);
	p->out.tree = p->out.counts.tree;
	vault_upload_close(p->upload);
	p->upload = NULL;
	if (!p->label) {
		p->out.outcome = MOUNT_DETACHED;
		tell(p);
		return;
	}
	p->log = (struct vault_log){ .op.done = on_head, .name = p->label, .limit = 1 };
	vault_log(p->core->vault, &p->log);
}

static void end_if_all(struct mount_push *p)
{
	if (p->all && p->rest.len == 0)
		vault_upload_end(p->upload);
}

static void on_room(void *arg)
{
	struct mount_push *p = arg;
	size_t n = vault_upload_write(p->upload, p->rest.p, p->rest.len);
	buf_drop(&p->rest, n);
	execution_consumed(p->x, EXEC_STDOUT, n);
	end_if_all(p);
}

static const struct vault_upload_ops upload_ops = { .on_room = on_room, .on_end = on_stored };

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct mount_push *p = arg;
	/* what waits is bounded by the guest's credit, which is not given back before it has gone on */
	size_t taken = ch != EXEC_STDOUT ? n : p->rest.len > 0 ? 0 : vault_upload_write(p->upload, data, n);
	buf_add(&p->rest, data + taken, n - taken);
	execution_consumed(p->x, ch, taken);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct mount_push *p = arg;
	if (end->failed || buf_failed(&p->rest)) {
		struct err err = end->err;
		if (!end->failed)
			err_set(&err, ERR_UNAVAILABLE, "no memory for what the sandbox sends");
		fail(p, &err);
		return;
	}
	p->all = true;
	end_if_all(p);
}

static const struct exec_ops exec_ops = { .on_data = on_data, .on_end = on_end };

/* ---- beginning ---- */

static char *copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

/* The label that is meant, and from where it may move on. */
static int find_origin(struct mount_push *p, const struct sandbox *sb, struct hash *base, struct err *err)
{
	const struct db_fs *fs = &sb->fs;
	*base = object_empty;
	p->out.mounted = fs->path && strcmp(fs->path, p->path) == 0;
	if (p->out.mounted && !hash_parse(fs->tree, base))
		return err_set(err, ERR_INTERNAL, "the record of sandbox '%s' names no tree", sb->row.id);
	if (!p->spec.detach)
		p->label = copy(p->spec.label ? p->spec.label : p->out.mounted ? fs->label : NULL);
	if (!p->label && !p->spec.detach) {
		err_set(err, ERR_INVALID, "no label is given, and '%s' comes from none", p->path);
		return err_hint(err, "name the label that shall be moved");
	}
	if (p->label && label_check(p->label, err))
		return -1;
	p->has_origin = p->out.mounted;
	p->origin = *base;
	if (p->out.mounted && p->label && fs->pushed && fs->label && strcmp(fs->label, p->label) == 0)
		p->has_origin = hash_parse(fs->pushed, &p->origin);
	p->out.label = p->label;
	return 0;
}

static int begin(struct mount_push *p, struct sandbox *sb, struct err *err)
{
	struct hash base;
	struct file_spec file = { .op = FILE_CHANGES, .path = p->path, .length = -1, .mode = -1 };
	if (find_origin(p, sb, &base, err))
		return -1;
	file.name = p->out.mounted ? "mount" : NULL;
	p->upload = vault_changes_new(p->core->vault, &base, &upload_ops, p, err);
	if (!p->upload)
		return -1;
	p->x = execution_file(sb, &file, &exec_ops, p, err);
	if (!p->x)
		return -1;
	execution_eof(p->x);
	return 0;
}

struct mount_push *mount_push(struct sandbox *sb, const struct mount_spec *spec, mount_pushed_cb *cb, void *arg, struct err *err)
{
	struct mount_push *p = mem_zalloc(sizeof(*p));
	p->core = sb->core;
	p->cb = cb;
	p->arg = arg;
	p->id = mem_strdup(sb->row.id);
	p->path = mem_strdup(spec->path);
	for (size_t n = strlen(p->path); n > 1 && p->path[n - 1] == '/'; n--)
		p->path[n - 1] = '\0';
	p->message = copy(spec->message);
	p->pin = mount_pin(sb, ".pushed");
	p->spec = *spec;
	buf_init(&p->rest);
	if (begin(p, sb, err) == 0)
		return p;
	push_free(p);
	return NULL;
}

void mount_push_forget(struct mount_push *p)
{
	p->cb = NULL;
	/* once the guest has sent all, what was begun is brought to its end */
	if (p->upload)
		push_free(p);
}
