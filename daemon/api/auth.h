/*
 * auth: credentials that requests show, and tokens that are handed out.
 *
 * A token of a person (JWT, HS256, six hours) names him and one team; whether he still belongs to it is looked up with every
 * request. A host's (seven days, `typ` "host") is good in X-Host-Token alone. Source: reference/wrenn.md 1.1, 3.3, 3.4.
 */
#ifndef SBX_API_AUTH_H
#define SBX_API_AUTH_H

#include "daemon/core/account.h"
#include "daemon/core/core.h"
#include "daemon/core/identity.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

/* As http_config's authenticate. */
int auth_check(struct core *core, const char *where, const char *value, struct identity *who, struct err *err);
/* A token for somebody in a team, appended to out; returns until when it is good, in milliseconds since 1970. */
int64_t auth_issue(struct core *core, const struct db_member *who, struct buf *out);
void auth_issue_host(struct core *core, const char *host_uid, struct buf *out);

#endif
