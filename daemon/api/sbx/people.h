/*
 * people: what the handlers about accounts, teams and what belongs to teams share: who may ask, and in which team he acts.
 *
 * A token is for one team, but a person need not get another one to see to another team of his: he names it in the path.
 */
#ifndef SBX_API_SBX_PEOPLE_H
#define SBX_API_SBX_PEOPLE_H

#include "daemon/api/api.h"
#include "daemon/core/account.h"
#include "daemon/core/audit.h"
#include "daemon/core/team.h"

static inline struct core *people_core(struct http_req *r)
{
	return api_of(r)->core;
}

/* False, and answered: an API key is a program's, and the operation is for a person. */
bool people_only(struct http_req *r);
/* A team that the user is in, by id, slug or name; NOT_FOUND, CONFLICT when several have the name. db_member_release. */
int people_team(struct core *core, int64_t user, const char *name, struct db_member *out, struct err *err);
/* Who makes the request, in the team of the path. False when the error has been answered. db_member_release. */
bool people_enter(struct http_req *r, struct db_member *team, struct identity *acting);
/* The same where nothing of the team is needed but who acts in it. */
bool people_act(struct http_req *r, struct identity *acting);

/* The team, with what the member is in it: an object, and what is in that. */
void people_write_team(struct jw *w, const struct db_member *team);
void people_write_team_members(struct jw *w, const struct db_member *team);
/* "email": null for the operator, who has none. */
void people_write_email(struct jw *w, const char *email);
/* The body with this status, or (rc other than 0) the error; what was written of the body is dropped then. */
void people_reply(struct http_req *r, int rc, int status, struct buf *body, const struct err *err);
/* 204, or the error. */
void people_reply_done(struct http_req *r, int rc, const struct err *err);

#endif
