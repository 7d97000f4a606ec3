/*
 * Logins through another service, for browsers: off to its login page, and back with a code. Whatever comes of it, the browser is
 * led on to the web front end. The outcome is there twice, since front ends differ in where they look: in the query, and in cookies
 * of this host for their scripts to read.
 */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/api/auth.h"
#include "daemon/api/call.h"
#include "daemon/core/secret.h"
#include "daemon/oauth/oauth.h"
#include "daemon/oauth/state.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { STATE_LIFE_S = 600, OUTCOME_LIFE_S = 60 };

static const char purpose[] = "oauth-state", state_cookie[] = "oauth_state";

/* False when it has been answered. */
static bool check_provider(struct http_req *r)
{
	struct err err = ERR_INIT;
	const char *provider = http_param(r, "provider");
	if (oauth_serves(api_of(r)->oauth, provider))
		return true;
	err_set(&err, ERR_NOT_FOUND, "this server knows no login through '%s'", provider);
	err_word(&err, "provider_not_found");
	http_reply_err(r, &err);
	return false;
}

/* ---- cookies ---- */

/* Does the browser speak TLS to us, or to what stands in front of us? */
static bool is_secure(struct http_req *r)
{
	const char *proto = http_header(r, "X-Forwarded-Proto");
	return (proto && !strcasecmp(proto, "https")) || str_starts(oauth_config(api_of(r)->oauth)->here, "https://");
}

static void set_cookie(struct http_req *r, const char *name, const char *value, const char *rest, int life_s)
{
	auto_free char *text =
		mem_printf("%s=%s; %s; Max-Age=%d; SameSite=Lax%s", name, value, rest, life_s, is_secure(r) ? "; Secure" : "");
	http_add_header(r, "Set-Cookie", text);
}

static void set_state(struct http_req *r, const char *value, int life_s)
{
	set_cookie(r, state_cookie, value, "Path=/; HttpOnly", life_s);
}

static void lead_on(struct http_req *r, const struct buf *address)
{
	http_add_header(r, "Location", address->p);
	http_add_header(r, "Cache-Control", "no-store");
	http_reply_empty(r, 302);
}

/* ---- off to the service ---- */

void wrenn_oauthRedirect(struct http_req *r)
{
	uint8_t key[SECRET_SIZE];
	struct oauth_state state;
	auto_buf page = BUF_INIT;
	if (!check_provider(r))
		return;
	core_derive(wrenn_core(r), purpose, key);
	oauth_state_make(key, &state);
	set_state(r, state.cookie, STATE_LIFE_S);
	github_page(oauth_config(api_of(r)->oauth), state.state, &page);
	lead_on(r, &page);
}

/* ---- and back ---- */

static void front_page(struct http_req *r, struct buf *out)
{
	buf_fmt(out, "%s/auth/github/callback", oauth_config(api_of(r)->oauth)->front);
}

static void fail(struct http_req *r, const char *code)
{
	auto_buf page = BUF_INIT;
	front_page(r, &page);
	buf_fmt(&page, "?error=%s", code);
	lead_on(r, &page);
}

static void succeed(struct http_req *r, const struct db_member *who)
{
	char user[UID_TEXT], team[UID_TEXT];
	auto_buf token = BUF_INIT, page = BUF_INIT;
	auth_issue(wrenn_core(r), who, &token);
	if (buf_failed(&token)) {
		fail(r, "internal_error");
		return;
	}
	const struct {
		const char *name, *value;
		bool in_query;
	} rows[] = {
		{ "token", token.p, true },
		{ "user_id", uid_format(UID_USER, who->user_uid, user), true },
		{ "team_id", uid_format(UID_TEAM, who->team_uid, team), true },
		{ "email", who->user_email, true },
		{ "name", who->user_name, false },
	};
	front_page(r, &page);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *name = mem_printf("wrenn_oauth_%s", rows[i].name);
		auto_buf value = BUF_INIT;
		buf_url(&value, rows[i].value);
		set_cookie(r, name, value.p, "Path=/auth/", OUTCOME_LIFE_S);
		if (rows[i].in_query)
			buf_fmt(&page, "%c%s=%s", i ? '&' : '?', rows[i].name, value.p);
	}
	lead_on(r, &page);
}

/* The service vouches for somebody. */
static void enter(struct http_req *r, const struct oauth_profile *profile)
{
	struct account_profile login = { "github", profile->subject, profile->email, profile->name };
	struct db_member who;
	struct err err = ERR_INIT;
	if (account_by_login(wrenn_core(r), &login, &who, &err)) {
		log_warn("oauth", "no login for user %s of github: %s", profile->subject, err.msg);
		fail(r, str_same(err.word, "email_taken") ? "email_taken" : "db_error");
		return;
	}
	succeed(r, &who);
	db_member_release(&who);
}

/* It does not; r may be NULL. */
static void turn_away(struct http_req *r, const struct err *err)
{
	log_warn("oauth", "a login through github failed: %s", err->msg);
	if (r)
		fail(r, "exchange_failed");
}

static void on_profile(void *arg, const struct oauth_profile *profile, const struct err *err)
{
	struct call *c = arg;
	struct http_req *r = call_end(c);
	free(c);
	if (!profile)
		turn_away(r, err);
	else if (r)
		enter(r, profile);
}

/* Is this the browser that the state was given to? */
static bool check_state(struct http_req *r)
{
	uint8_t key[SECRET_SIZE];
	char cookie[OAUTH_COOKIE_LEN + 1];
	const char *state = http_query(r, "state");
	core_derive(wrenn_core(r), purpose, key);
	return state && oauth_cookie(http_header(r, "Cookie"), state_cookie, cookie, sizeof(cookie)) &&
		oauth_state_check(key, cookie, state);
}

void wrenn_oauthCallback(struct http_req *r)
{
	struct err err = ERR_INIT;
	if (!check_provider(r))
		return;
	const char *said = http_query(r, "error"), *code = http_query(r, "code");
	set_state(r, "", 0); /* whatever comes now, this attempt is over */
	if (said && *said) {
		fail(r, "access_denied");
		return;
	}
	if (!check_state(r)) {
		fail(r, "invalid_state");
		return;
	}
	if (!code || !*code) {
		fail(r, "missing_code");
		return;
	}
	struct call *c = call_new(r);
	if (oauth_login(api_of(r)->oauth, code, on_profile, c, &err)) {
		turn_away(call_end(c), &err);
		free(c);
	}
}
