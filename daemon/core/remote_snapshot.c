#include "daemon/core/remote_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/remote.h"
#include "daemon/core/vault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

/* Beside the operation. */
struct far_shot {
	struct db_host_snapshot row;
	bool replace;
	int home;	  /* is there one of this name on this machine? */
	struct vault *vault;
	bool there;	  /* row has what the host has told */
	int64_t replaced; /* the host that has the one of this name which goes, or 0 */
	snapshots_cb *cb;
	void *arg;
};

static void far_shot_free(void *more)
{
	struct far_shot *t = more;
	vault_let_go(t->vault);
	db_host_snapshot_release(&t->row);
	free(t);
}

void remote_snapshot_show(const struct db_host_snapshot *row, struct snapshot *out)
{
	*out = (struct snapshot){ .name = row->name,
		.image = row->image,
		.parent = row->parent,
		.accel = row->accel,
		.vcpus = row->vcpus,
		.memory_mb = row->memory_mb,
		.created_ms = row->created_ms,
		.disk = (uint64_t)row->disk,
		.stored = row->stored };
	hash_parse(row->tree, &out->tree);
}

static void on_over(void *arg, struct sandbox *sb, const struct err *err)
{
	struct far_shot *t = arg;
	struct snapshot shot;
	(void)sb;
	if (t->there)
		remote_snapshot_show(&t->row, &shot);
	t->cb(t->arg, &shot, err || !t->there ? 0 : 1, err);
}

/* ---- what hosts have to forget ---- */

/* A name stands among the leftovers of a host from before the host is asked for it until it is ours, or surely not there: so
 * nothing stays there that nobody can remove, whatever answer is lost. */
static struct db_host_leftover leftover(int64_t host, int64_t team, const char *name)
{
	return (struct db_host_leftover){ .host = host, .team = team, .name = (char *)(uintptr_t)name };
}

static void not_left(struct core *core, const struct db_host_leftover *row)
{
	struct err err = ERR_INIT;
	if (db_host_leftover_delete(core->db, row, &err))
		log_warn("core", "%s", err.msg);
}

static void on_forgotten(void *arg, struct core *core, const struct errand *e, const struct carry_answer *answer)
{
	struct db_host_leftover *row = arg;
	(void)e;
	if (!answer->err || (answer->heard && answer->err->code == ERR_NOT_FOUND))
		not_left(core, row);
	else if (!core->closing)
		log_warn("core", "snapshot '%s' is still on its host: %s", row->name, answer->err->msg);
	free(row->name);
	free(row);
}

/* Ask for it; a leftover that it cannot be asked for now is for the next time that it is compared. */
static void forget_there(struct core *core, const struct db_host_leftover *row)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = { .verb = CARRY_UNSNAPSHOT, .team = row->team, .name = row->name };
	struct db_host_leftover *copy = mem_zalloc(sizeof(*copy));
	*copy = leftover(row->host, row->team, mem_strdup(row->name));
	if (remote_errand(core, row->host, &ask, on_forgotten, copy, &err) == 0)
		return;
	log_debug("core", "snapshot '%s' stays on its host for now: %s", row->name, err.msg);
	free(copy->name);
	free(copy);
}

/* ---- taking one ---- */

static void take_shot(struct far_shot *t, const struct snapshot *shot)
{
	char hex[HASH_HEX + 1];
	t->row.tree = mem_strdup(hash_hex(&shot->tree, hex));
	t->row.image = shot->image ? mem_strdup(shot->image) : NULL;
	t->row.parent = shot->parent ? mem_strdup(shot->parent) : NULL;
	t->row.accel = shot->accel ? mem_strdup(shot->accel) : NULL;
	t->row.vcpus = shot->vcpus;
	t->row.memory_mb = shot->memory_mb;
	t->row.created_ms = shot->created_ms;
	t->row.disk = (int64_t)shot->disk;
	t->row.stored = shot->stored;
}

/* It is ours; the one that it replaces, if that is elsewhere, has to be forgotten. */
static int record(struct core *core, const struct far_shot *t, struct err *err)
{
	const struct db_host_leftover own = leftover(t->row.host, t->row.team, t->row.name);
	const struct db_host_leftover old = leftover(t->replaced, t->row.team, t->row.name);
	if (db_begin(core->db, err))
		return -1;
	bool moved = t->replaced && t->replaced != t->row.host;
	if (db_host_snapshot_put(core->db, &t->row, err) || db_host_leftover_delete(core->db, &own, err) ||
		(moved && db_host_leftover_put(core->db, &old, err))) {
		db_rollback(core->db);
		return -1;
	}
	if (db_commit(core->db, err))
		return -1;
	if (moved)
		forget_there(core, &old);
	return 0;
}

static void drop_at_home(struct op *op)
{
	const struct far_shot *t = op->more;
	if (snapshot_drop_home(t->vault, t->row.team, t->row.name, &op->err))
		log_warn("core", "snapshot '%s' of this machine stays beside the new one: %s", t->row.name, op->err.msg);
}

static void dropped(struct sandbox *sb, struct op *op)
{
	(void)op;
	op_end(sb, NULL);
}

static void taken(struct sandbox *sb, const struct carry_answer *answer)
{
	struct far_shot *t = sb->op->more;
	struct err err = ERR_INIT;
	const struct db_host_leftover own = leftover(t->row.host, t->row.team, t->row.name);
	if (answer->err)
		err = *answer->err;
	else
		take_shot(t, answer->shot);
	t->there = !answer->err && record(sb->core, t, &err) == 0;
	if (t->there && t->home) {
		op_work(sb->op, drop_at_home, dropped);
		return;
	}
	/* a name that is taken there and not here is one whose answer was lost */
	bool stray = answer->err ? answer->err->code == ERR_CONFLICT && t->replaced != t->row.host : !t->there;
	if (stray)
		forget_there(sb->core, &own);
	else if (answer->err && answer->heard)
		not_left(sb->core, &own);
	bool lost = answer->err && !answer->heard;
	op_end(sb, t->there ? NULL : &err); /* which frees t */
	if (lost)
		remote_compare(sb->core, sb->row.host);
}

/* Is one of this name being taken, wherever? It is recorded when its host is done. */
static bool is_coming(const struct core *core, const struct db_host_snapshot *row)
{
	for (size_t i = 0; i < core->count; i++) {
		const struct sandbox *sb = core->boxes[i];
		const struct far_shot *t = is_remote(sb) && sb->op && sb->op->kind == OP_SNAPSHOT ? sb->op->more : NULL;
		if (t && t->row.team == row->team && !strcmp(t->row.name, row->name))
			return true;
	}
	return false;
}

int remote_snapshot_check(struct core *core, int64_t team, const char *name, bool replace, int64_t *host, struct err *err)
{
	const struct db_host_snapshot wanted = { .team = team, .name = (char *)(uintptr_t)name };
	if (is_coming(core, &wanted)) {
		err_set(err, ERR_CONFLICT, "a snapshot '%s' is just being taken", name);
		return err_hint(err, "wait for that, or choose another name");
	}
	int there = remote_snapshot_host(core, team, name, host, err);
	if (there <= 0 || replace)
		return there < 0 ? -1 : 0;
	return snapshot_taken(name, err);
}

static void look_at_home(struct op *op)
{
	struct far_shot *t = op->more;
	t->home = snapshot_is_home(t->vault, t->row.team, t->row.name, &op->err);
}

static void looked(struct sandbox *sb, struct op *op)
{
	const struct far_shot *t = op->more;
	struct carry_ask ask = { .verb = CARRY_SNAPSHOT, .name = t->row.name, .replace = t->replace };
	if (t->home >= 0 && (!t->home || t->replace)) {
		remote_ask(sb, &ask, taken);
		return;
	}
	struct err err = op->err;
	const struct db_host_leftover own = leftover(t->row.host, t->row.team, t->row.name);
	if (t->home > 0)
		snapshot_taken(t->row.name, &err);
	not_left(sb->core, &own); /* it was not asked for */
	op_end(sb, &err);
}

int remote_snapshot(struct sandbox *sb, const char *name, bool replace, snapshots_cb *cb, void *arg, struct err *err)
{
	const struct db_host_leftover own = leftover(sb->row.host, sb->row.account, name);
	struct far_shot *t = mem_zalloc(sizeof(*t));
	*t = (struct far_shot){
		.row = { .team = sb->row.account, .name = mem_strdup(name), .host = sb->row.host },
		.replace = replace,
		.vault = sb->core->vault,
		.cb = cb,
		.arg = arg
	};
	vault_keep(t->vault);
	int rc = remote_snapshot_check(sb->core, sb->row.account, name, replace, &t->replaced, err);
	if (rc || db_host_leftover_put(sb->core->db, &own, err)) {
		far_shot_free(t);
		return -1;
	}
	struct op *op = op_begin(sb, OP_SNAPSHOT, on_over, t, err);
	if (!op) {
		not_left(sb->core, &own);
		far_shot_free(t);
		return -1;
	}
	op->more = t;
	op->more_free = far_shot_free;
	op_work(op, look_at_home, looked);
	return 0;
}

int remote_snapshot_host(struct core *core, int64_t team, const char *name, int64_t *host, struct err *err)
{
	struct db_host_snapshot row;
	int found = db_host_snapshot_get(core->db, team, name, &row, err);
	*host = 0;
	if (found != 1)
		return found;
	*host = row.host;
	db_host_snapshot_release(&row);
	return 1;
}

/* It is not ours any more, and has to be forgotten. */
static int let_go(struct core *core, const struct db_host_leftover *row, struct err *err)
{
	if (db_begin(core->db, err))
		return -1;
	if (db_host_snapshot_delete(core->db, row->team, row->name, err) || db_host_leftover_put(core->db, row, err)) {
		db_rollback(core->db);
		return -1;
	}
	return db_commit(core->db, err);
}

int remote_snapshot_remove(struct core *core, int64_t team, const char *name, struct err *err)
{
	struct db_host_leftover row = leftover(0, team, name);
	int found = remote_snapshot_host(core, team, name, &row.host, err);
	if (found != 1)
		return found;
	if (let_go(core, &row, err))
		return -1;
	forget_there(core, &row);
	return 1;
}

static void sweep_one(struct core *core, const struct db_host_leftover *row)
{
	const struct db_host_snapshot coming = { .team = row->team, .name = row->name };
	int64_t host;
	if (is_coming(core, &coming))
		return;
	int ours = remote_snapshot_host(core, row->team, row->name, &host, NULL);
	if (ours == 1 && host == row->host) /* one was to take its place, and nobody knows whether it did */
		not_left(core, row);
	else if (ours >= 0)
		forget_there(core, row);
}

void remote_snapshot_sweep(struct core *core, int64_t host)
{
	struct db_host_leftover *rows;
	struct err err = ERR_INIT;
	size_t n;
	if (db_host_leftovers(core->db, host, &rows, &n, &err)) {
		log_warn("core", "%s", err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++)
		sweep_one(core, &rows[i]);
	db_host_leftovers_release(rows, n);
}
