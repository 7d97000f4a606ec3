/*
 * The Wrenn API (shared/specs/wrenn.yaml; how it behaves: reference/wrenn.md): between HTTP and core, nothing else. One file a tag,
 * one handler an operation, named wrenn_<operationId>.
 *
 * Before a handler runs, admit() has seen to what its operation needs: a person where an API key is not enough, ids of the right
 * form, a capsule of the team in a state that fits. Here a capsule is a sandbox whose id is written as uid.h has it.
 */
#ifndef SBX_API_WRENN_WRENN_H
#define SBX_API_WRENN_WRENN_H

#include "daemon/api/api.h"
#include "daemon/api/dialects.h"
#include "daemon/core/account.h"
#include "daemon/core/audit.h"
#include "daemon/core/sandbox.h"
#include "daemon/core/team.h"
#include "daemon/core/uid.h"
#include "daemon/http/http.h"
#include "shared/base/json.h"

/* The template that every server has; here it is the image "base". */
#define WRENN_MINIMAL "minimal"
/* Is it a template for everybody: "minimal" or one of the daemon's images? */
bool wrenn_is_platform(struct core *core, const char *template);

bool wrenn_admit(struct http_req *r);

static inline struct core *wrenn_core(struct http_req *r)
{
	return api_of(r)->core;
}

/* Our id in a path parameter; admit has seen that it is one. */
const char *wrenn_uid(struct http_req *r, const char *prefix, const char *param);
/* The capsule of the path; NULL with NOT_FOUND answered (it may have gone since admit). */
struct sandbox *wrenn_capsule(struct http_req *r);
/* The same for what needs its guest: NULL when it has been answered, or the handler will be called again. */
struct sandbox *wrenn_guest(struct http_req *r);

/* "key": "prefix-..."; left out for NULL. */
void wrenn_kid(struct jw *w, const char *key, const char *prefix, const char *uid);
/* RFC 3339 in seconds, UTC; left out for 0. */
void wrenn_ktime(struct jw *w, const char *key, int64_t wall_ms);
/* The value alone, also for 0. */
void wrenn_time(struct jw *w, int64_t wall_ms);
/* Left out for NULL. */
void wrenn_kopt(struct jw *w, const char *key, const char *text);
/* 204, or the error. */
void wrenn_reply_done(struct http_req *r, int rc, const struct err *err);
/* 200 with n rows, of `size` bytes each, as an array. */
typedef void wrenn_write_row(struct jw *w, struct core *core, const void *row);
void wrenn_reply_list(struct http_req *r, wrenn_write_row *write, const void *rows, size_t n, size_t size);
/* What is told of an operation that a host could not carry out: its failure ("upstream"). A refusal stays as it is. */
struct err wrenn_failure(const struct err *err);
/* What the guest says to an operation in it: whatever its reason, an error of the agent's, unless there was no answer. */
void wrenn_reply_guest_err(struct http_req *r, const struct err *err);

/* capsule.c */
void wrenn_write_capsule(struct jw *w, const struct sandbox *sb);
const char *wrenn_status(const struct sandbox *sb);
/* auth.c */
void wrenn_reply_session(struct http_req *r, int status, const struct db_member *who);

#endif
