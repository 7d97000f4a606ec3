#include "daemon/core/audit.h"

#include "daemon/core/channel.h"
#include "daemon/core/internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static const struct {
	const char *type, *action, *status, *event;
	bool admin; /* only admins read it */
} kinds[AUDIT_KINDS] = {
	[AUDIT_SANDBOX_CREATE] = { "sandbox", "create", "success", "capsule.created", false },
	[AUDIT_SANDBOX_PAUSE] = { "sandbox", "pause", "success", "capsule.paused", false },
	[AUDIT_SANDBOX_RESUME] = { "sandbox", "resume", "success", "capsule.running", false },
	[AUDIT_SANDBOX_DESTROY] = { "sandbox", "destroy", "warning", "capsule.destroyed", false },
	[AUDIT_SNAPSHOT_CREATE] = { "snapshot", "create", "success", "template.snapshot.created", false },
	[AUDIT_SNAPSHOT_DELETE] = { "snapshot", "delete", "warning", "template.snapshot.deleted", false },
	[AUDIT_TEAM_RENAME] = { "team", "rename", "info", NULL, false },
	[AUDIT_CHANNEL_CREATE] = { "channel", "create", "success", NULL, false },
	[AUDIT_CHANNEL_UPDATE] = { "channel", "update", "info", NULL, false },
	[AUDIT_CHANNEL_ROTATE] = { "channel", "rotate_config", "info", NULL, false },
	[AUDIT_CHANNEL_DELETE] = { "channel", "delete", "warning", NULL, false },
	[AUDIT_KEY_CREATE] = { "api_key", "create", "success", NULL, false },
	[AUDIT_KEY_REVOKE] = { "api_key", "revoke", "warning", NULL, false },
	[AUDIT_MEMBER_ADD] = { "member", "add", "success", NULL, true },
	[AUDIT_MEMBER_REMOVE] = { "member", "remove", "warning", NULL, true },
	[AUDIT_MEMBER_LEAVE] = { "member", "leave", "info", NULL, true },
	[AUDIT_MEMBER_ROLE] = { "member", "role_update", "info", NULL, true },
	[AUDIT_HOST_CREATE] = { "host", "create", "success", NULL, true },
	[AUDIT_HOST_DELETE] = { "host", "delete", "warning", NULL, true },
	[AUDIT_HOST_DOWN] = { "host", "marked_down", "error", "host.down", false },
	[AUDIT_HOST_UP] = { "host", "marked_up", "success", "host.up", false },
};

static char *given(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

void audit_note(
	struct core *core, enum audit_kind kind, const struct identity *who, int64_t team, const char *id, char *const *metadata)
{
	struct err err = ERR_INIT;
	/* by itself the system only ever tells */
	const char *status = !who && kind == AUDIT_SANDBOX_PAUSE ? "info" : kinds[kind].status;
	struct db_audit row = { .team = team,
		.actor_type = mem_strdup(!who		    ? "system"
				: who->kind == IDENTITY_KEY ? "api_key"
							    : "user"),
		.actor_id = given(who ? who->id : NULL),
		.actor_name = given(who ? who->name : NULL),
		.resource_type = mem_strdup(kinds[kind].type),
		.resource_id = given(id),
		.action = mem_strdup(kinds[kind].action),
		.scope = mem_strdup(kinds[kind].admin ? "admin" : "team"),
		.status = mem_strdup(status),
		.metadata = copy_list(metadata),
		.created_ms = clock_wall_ms() };
	if (db_audit_insert(core->db, &row, &err))
		log_warn("audit", "%s", err.msg);
	if (kinds[kind].event)
		channel_announce(core, kinds[kind].event, &row);
	db_audit_release(&row);
}

void audit_sandbox(enum audit_kind kind, const struct identity *who, const struct sandbox *sb)
{
	const struct db_sandbox *row = &sb->row;
	auto_free char *template = mem_printf("template=%s", row->template ? row->template : row->image);
	char *const metadata[] = { template, NULL };
	audit_note(sb->core, kind, who, row->account, row->id, kind == AUDIT_SANDBOX_CREATE ? metadata : NULL);
}

int audit_list(struct core *core, const struct db_audit_query *q, struct db_audit **out, size_t *n, struct err *err)
{
	return db_audit_list(core->db, q, out, n, err);
}
