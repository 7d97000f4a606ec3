/*
 * host: machines that carry sandboxes for this control plane: their records, credentials and heartbeats.
 *
 * A host is announced (pending), registers once with the token that this gave (online), and then beats every 30 s; one that was not
 * heard of for HOST_LOST_MS is unreachable until its next beat. Refresh tokens are good once: one that comes back after it was used
 * ends all of its family, since one of the two who had it stole it. "regular" hosts are for all teams and the operator's to give;
 * "byoc" ones belong to the team that brings them. Source: reference/wrenn.md 2.7, 3.4, 4.4. Thread: the loop's.
 */
#ifndef SBX_CORE_HOST_H
#define SBX_CORE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "daemon/db/host.h"
#include "shared/base/err.h"

enum { HOST_TOKEN_LEN = 64, HOST_TOKEN_LIFE_MS = 3600 * 1000, HOST_BEAT_MS = 30000, HOST_LOST_MS = 90000 };

struct host_spec {
	const char *type;     /* "regular" or "byoc" */
	const char *team_uid; /* or NULL */
	const char *provider, *zone;
};
/* token: HOST_TOKEN_LEN hex digits, good for an hour and one use. INVALID, FORBIDDEN, NOT_FOUND. */
int host_create(struct core *core, const struct identity *who, const struct host_spec *spec, struct db_host *out,
	char token[HOST_TOKEN_LEN + 1], struct err *err);
/* Another token for one that is still pending, or unreachable (its credentials may be lost): STATE otherwise. */
int host_retoken(struct core *core, const struct identity *who, const char *uid, struct db_host *out,
	char token[HOST_TOKEN_LEN + 1], struct err *err);

struct host_machine {
	const char *address, *arch;
	int64_t cpu_cores, memory_mb, disk_gb;
};
/* UNAUTHORIZED: the token is not good. refresh: HOST_TOKEN_LEN hex digits. */
int host_register(struct core *core, const char *token, const struct host_machine *machine, struct db_host *out,
	char refresh[HOST_TOKEN_LEN + 1], struct err *err);
/* request: a name that the caller made up for this exchange, or NULL. An answer that was lost may be asked for again under the same
 * name, for as long as the token that it gave was not used. */
int host_refresh(struct core *core, const char *token, const char *request, struct db_host *out, char refresh[HOST_TOKEN_LEN + 1],
	struct err *err);
int host_beat(struct core *core, const struct identity *who, const char *uid, struct err *err);
/* Who shows a token of that host. */
int host_identify(struct core *core, const char *uid, struct identity *who, struct err *err);

/* Those that somebody may see: all of them, or his team's own. */
int host_list(struct core *core, const struct identity *who, struct db_host **out, size_t *n, struct err *err);
int host_get(struct core *core, const struct identity *who, const char *uid, struct db_host *out, struct err *err);
/* Whoever's it is. */
int host_find(struct core *core, const char *uid, struct db_host *out, struct err *err);
/* Ids of the sandboxes that would end with it (those that are paused are kept on it, but do not): allocated, NULL-terminated. */
char **host_carries(const struct core *core, const struct db_host *host);
/* He may manage it: FORBIDDEN else. */
int host_manage(const struct identity *who, const struct db_host *host, bool by_role, struct err *err);
/* What runs on it is ended, as far as it can be reached; what is paused stays where it is, and cannot be resumed any more. */
int host_delete(struct core *core, const struct identity *who, const char *uid, struct err *err);
int host_tags(struct core *core, const struct identity *who, const char *uid, struct db_host_tag **out, size_t *n, struct err *err);
int host_tag_add(struct core *core, const struct identity *who, const char *uid, const char *tag, struct err *err);
int host_tag_remove(struct core *core, const struct identity *who, const char *uid, const char *tag, struct err *err);

/* Can it be asked for anything? */
bool host_is_up(const struct db_host *host);
/* Three times in HOST_LOST_MS: who was not heard of for so long, while there was somebody to hear it, is unreachable, and what it
 * carries missing. */
void host_check(struct core *core);

#endif
