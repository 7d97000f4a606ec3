#include "daemon/api/sbx/people.h"

#include <string.h>

#include "daemon/api/sbx/sbx.h"

bool people_only(struct http_req *r)
{
	struct err err = ERR_INIT;
	if (http_identity(r)->kind != IDENTITY_KEY)
		return true;
	err_set(&err, ERR_FORBIDDEN, "an API key is not enough for this: it acts for its team, and is nobody");
	err_hint(&err, "log in with: sbx login; then leave out SBX_API_KEY and --api-key");
	http_reply_err(r, &err);
	return false;
}

/* How well a team answers to a word: by an id, which is one team's alone, before the slug, and that before the name. */
static int rank(const struct db_member *team, const char *word)
{
	return !strcmp(team->team_uid, word) ? 3 : !strcmp(team->team_slug, word) ? 2 : !strcmp(team->team_name, word);
}

int people_team(struct core *core, int64_t user, const char *name, struct db_member *out, struct err *err)
{
	struct db_member *all;
	size_t n, pick = 0, as_good = 0;
	int best = 0;
	if (team_of_user(core, user, &all, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		int good = rank(&all[i], name);
		as_good = good > best ? 1 : as_good + (good == best && good > 0);
		if (good > best) {
			best = good;
			pick = i;
		}
	}
	if (as_good == 1) {
		*out = all[pick];
		all[pick] = (struct db_member){ 0 };
	}
	db_members_release(all, n);
	if (as_good == 1)
		return 0;
	if (as_good > 1)
		err_set(err, ERR_CONFLICT, "%zu of your teams are named '%s'", as_good, name);
	else
		err_set(err, ERR_NOT_FOUND, "you are in no team '%s'", name);
	return err_hint(err, as_good ? "name it by its id: sbx team ls" : "list your teams with: sbx team ls");
}

bool people_enter(struct http_req *r, struct db_member *team, struct identity *acting)
{
	struct err err = ERR_INIT;
	if (!people_only(r))
		return false;
	*acting = *http_identity(r);
	if (people_team(people_core(r), acting->user, http_param(r, "team"), team, &err)) {
		http_reply_err(r, &err);
		return false;
	}
	acting->team = team->team;
	acting->role = role_parse(team->role);
	return true;
}

bool people_act(struct http_req *r, struct identity *acting)
{
	struct db_member team = { 0 };
	if (!people_enter(r, &team, acting))
		return false;
	db_member_release(&team);
	return true;
}

void people_write_team_members(struct jw *w, const struct db_member *team)
{
	jw_kstr(w, "id", team->team_uid);
	jw_kstr(w, "name", team->team_name);
	jw_kstr(w, "slug", team->team_slug);
	jw_kstr(w, "role", team->role);
	jw_kbool(w, "ownHosts", team->team_byoc != 0);
	api_write_time(w, "createdAt", team->team_created_ms);
}

void people_write_team(struct jw *w, const struct db_member *team)
{
	jw_obj(w);
	people_write_team_members(w, team);
	jw_obj_end(w);
}

void people_write_email(struct jw *w, const char *email)
{
	jw_kstr(w, "email", strchr(email, '@') ? email : NULL);
}

void people_reply(struct http_req *r, int rc, int status, struct buf *body, const struct err *err)
{
	if (rc)
		http_reply_err(r, err);
	else
		http_reply_json(r, status, body);
}

void people_reply_done(struct http_req *r, int rc, const struct err *err)
{
	if (rc)
		http_reply_err(r, err);
	else
		http_reply_empty(r, 204);
}
