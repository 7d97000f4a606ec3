#include "daemon/core/remote_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/remote.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

/* Beside the operation. */
struct far_shot {
	struct db_host_snapshot row;
	bool there; /* row has what the host has told */
	bool replace;
	int64_t replaced; /* the host that has the one of this name which goes, or 0 */
	snapshots_cb *cb;
	void *arg;
};

static void far_shot_free(void *more)
{
	struct far_shot *t = more;
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

static void forget_there(struct core *core, int64_t host, int64_t team, const char *name)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = { .verb = CARRY_UNSNAPSHOT, .team = team, .name = name };
	if (remote_errand(core, host, &ask, NULL, NULL, &err))
		log_warn("core", "snapshot '%s' stays on its host: %s", name, err.msg);
}

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

static void taken(struct sandbox *sb, const struct carry_answer *answer)
{
	struct far_shot *t = sb->op->more;
	struct err err = ERR_INIT;
	if (answer->err)
		err = *answer->err;
	else
		take_shot(t, answer->shot);
	if (!answer->err && db_host_snapshot_put(sb->core->db, &t->row, &err))
		forget_there(sb->core, sb->row.host, t->row.team, t->row.name);
	t->there = err.code == ERR_OK;
	if (t->there && t->replaced && t->replaced != sb->row.host)
		forget_there(sb->core, t->replaced, t->row.team, t->row.name);
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

static int check_free(struct sandbox *sb, struct far_shot *t, struct err *err)
{
	if (is_coming(sb->core, &t->row)) {
		err_set(err, ERR_CONFLICT, "a snapshot '%s' is just being taken", t->row.name);
		return err_hint(err, "wait for that, or choose another name");
	}
	int there = remote_snapshot_host(sb->core, t->row.team, t->row.name, &t->replaced, err);
	if (there <= 0 || t->replace)
		return there < 0 ? -1 : 0;
	err_set(err, ERR_CONFLICT, "there is a snapshot '%s' already", t->row.name);
	err_word(err, "already_exists");
	return err_hint(err, "replace it with --replace, or remove it: sbx snapshot rm %s", t->row.name);
}

int remote_snapshot(struct sandbox *sb, const char *name, bool replace, snapshots_cb *cb, void *arg, struct err *err)
{
	struct carry_ask ask = { .verb = CARRY_SNAPSHOT, .name = name, .replace = replace };
	struct far_shot *t = mem_zalloc(sizeof(*t));
	*t = (struct far_shot){ .row = { .team = sb->row.account, .name = mem_strdup(name), .host = sb->row.host },
		.replace = replace,
		.cb = cb,
		.arg = arg };
	struct op *op = check_free(sb, t, err) ? NULL : op_begin(sb, OP_SNAPSHOT, on_over, t, err);
	if (!op) {
		far_shot_free(t);
		return -1;
	}
	op->more = t;
	op->more_free = far_shot_free;
	remote_ask(sb, &ask, taken);
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

int remote_snapshot_remove(struct core *core, int64_t team, const char *name, struct err *err)
{
	int64_t host;
	int found = remote_snapshot_host(core, team, name, &host, err);
	if (found != 1)
		return found;
	if (db_host_snapshot_delete(core->db, team, name, err))
		return -1;
	forget_there(core, host, team, name);
	return 1;
}
