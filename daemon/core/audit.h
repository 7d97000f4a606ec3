/*
 * audit: who did what in a team. Every note is a row of the audit log and, when it is of a kind that channels can ask for, news for
 * the team's channels. What cannot be written is logged and forgotten: it never fails what it tells of.
 * Source: reference/wrenn.md 7, 8.1.
 */
#ifndef SBX_CORE_AUDIT_H
#define SBX_CORE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "daemon/core/sandbox.h"
#include "daemon/db/audit.h"

/* What can be noted; the table in audit.c has the words, the scope and the status of each. */
enum audit_kind {
	AUDIT_SANDBOX_CREATE,
	AUDIT_SANDBOX_PAUSE,
	AUDIT_SANDBOX_RESUME,
	AUDIT_SANDBOX_DESTROY,
	AUDIT_SNAPSHOT_CREATE,
	AUDIT_SNAPSHOT_DELETE,
	AUDIT_TEAM_RENAME,
	AUDIT_CHANNEL_CREATE,
	AUDIT_CHANNEL_UPDATE,
	AUDIT_CHANNEL_ROTATE,
	AUDIT_CHANNEL_DELETE,
	AUDIT_KEY_CREATE,
	AUDIT_KEY_REVOKE,
	AUDIT_MEMBER_ADD,
	AUDIT_MEMBER_REMOVE,
	AUDIT_MEMBER_LEAVE,
	AUDIT_MEMBER_ROLE,
	AUDIT_HOST_CREATE,
	AUDIT_HOST_DELETE,
	AUDIT_HOST_DOWN,
	AUDIT_HOST_UP,
	AUDIT_KINDS
};

/* id: uid of the thing, or a snapshot's name. who NULL: the system itself. metadata: "K=V", NULL-terminated, or NULL. */
void audit_note(
	struct core *core, enum audit_kind kind, const struct identity *who, int64_t team, const char *id, char *const *metadata);
/* What began or ended a state of a sandbox, through whatever API. */
void audit_sandbox(enum audit_kind kind, const struct identity *who, const struct sandbox *sb);

/* Newest first. db_audits_release. */
int audit_list(struct core *core, const struct db_audit_query *q, struct db_audit **out, size_t *n, struct err *err);

#endif
