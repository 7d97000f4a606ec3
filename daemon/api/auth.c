#include "daemon/api/auth.h"

#include <string.h>

#include "daemon/core/host.h"
#include "daemon/core/key.h"
#include "daemon/core/secret.h"
#include "daemon/core/team.h"
#include "daemon/core/uid.h"
#include "shared/base/json.h"
#include "shared/base/util.h"
#include "shared/net/jwt.h"

enum { USER_LIFE_S = 6 * 3600, HOST_LIFE_S = 7 * 86400 };

static const char purpose[] = "jwt";
static const char log_in[] = "log in again with: sbx login";

static int not_valid(struct err *err)
{
	err_set(err, ERR_UNAUTHORIZED, "the token is not valid any more");
	return err_hint(err, log_in);
}

/* The user and the team are still there, and he is in it. */
static int check_user(struct core *core, const js *claims, struct identity *who, struct err *err)
{
	const char *user = uid_parse(UID_USER, js_str(js_get(claims, "sub"), ""), NULL);
	const char *team_uid = uid_parse(UID_TEAM, js_str(js_get(claims, "team_id"), ""), NULL);
	struct db_team team;
	struct db_member member;
	struct err why = ERR_INIT;
	if (!user || !team_uid || team_find(core, team_uid, &team, &why))
		return not_valid(err);
	int64_t id = team.id;
	db_team_release(&team);
	if (team_member_by_uid(core, id, user, &member, &why))
		return not_valid(err);
	*who = (struct identity){ .kind = IDENTITY_USER,
		.team = id,
		.user = member.user,
		.role = role_parse(member.role),
		.admin = member.user_admin != 0 };
	str_copy(who->id, sizeof(who->id), member.user_uid);
	str_copy(who->name, sizeof(who->name), member.user_name);
	db_member_release(&member);
	return 0;
}

static int check_token(struct core *core, const char *value, bool of_host, struct identity *who, struct err *err)
{
	uint8_t key[SECRET_SIZE];
	core_derive(core, purpose, key);
	auto_js *claims = jwt_verify(key, sizeof(key), value, clock_wall_ms() / 1000, err);
	if (!claims)
		return of_host ? -1 : err_hint(err, log_in);
	bool is_host = str_same(js_str(js_get(claims, "typ"), NULL), "host");
	if (is_host != of_host)
		return not_valid(err);
	if (!is_host)
		return check_user(core, claims, who, err);
	const char *uid = uid_parse(UID_HOST, js_str(js_get(claims, "host_id"), ""), NULL);
	return uid ? host_identify(core, uid, who, err) : not_valid(err);
}

int auth_check(struct core *core, const char *where, const char *value, struct identity *who, struct err *err)
{
	if (!value) {
		err_set(err, ERR_UNAUTHORIZED, "an API key or a token is required");
		return err_hint(err, "log in with: sbx login; or send a key (sbx key create) as X-API-Key or bearer token");
	}
	if (!strcmp(where, "X-Host-Token"))
		return check_token(core, value, true, who, err);
	const char *dot = strchr(value, '.');
	if (dot && strchr(dot + 1, '.') && strcmp(where, "X-API-Key") != 0)
		return check_token(core, value, false, who, err);
	return key_check(core, value, who, err);
}

int64_t auth_issue(struct core *core, const struct db_member *who, struct buf *out)
{
	char id[UID_TEXT];
	uint8_t key[SECRET_SIZE];
	int64_t now = clock_wall_ms() / 1000;
	auto_buf claims = BUF_INIT;
	struct jw w;
	jw_init(&w, &claims);
	jw_obj(&w);
	jw_kstr(&w, "team_id", uid_format(UID_TEAM, who->team_uid, id));
	jw_kstr(&w, "role", who->role);
	jw_kstr(&w, "email", who->user_email);
	jw_kstr(&w, "name", who->user_name);
	if (who->user_admin)
		jw_kbool(&w, "is_admin", true);
	jw_kstr(&w, "sub", uid_format(UID_USER, who->user_uid, id));
	jw_kint(&w, "iat", now);
	jw_kint(&w, "exp", now + USER_LIFE_S);
	jw_obj_end(&w);
	core_derive(core, purpose, key);
	jwt_sign(key, sizeof(key), claims.p, out);
	return (now + USER_LIFE_S) * 1000;
}

void auth_issue_host(struct core *core, const char *host_uid, struct buf *out)
{
	char id[UID_TEXT];
	uint8_t key[SECRET_SIZE];
	int64_t now = clock_wall_ms() / 1000;
	auto_buf claims = BUF_INIT;
	struct jw w;
	uid_format(UID_HOST, host_uid, id);
	jw_init(&w, &claims);
	jw_obj(&w);
	jw_kstr(&w, "typ", "host");
	jw_kstr(&w, "host_id", id);
	jw_kstr(&w, "sub", id);
	jw_kint(&w, "iat", now);
	jw_kint(&w, "exp", now + HOST_LIFE_S);
	jw_obj_end(&w);
	core_derive(core, purpose, key);
	jwt_sign(key, sizeof(key), claims.p, out);
}
