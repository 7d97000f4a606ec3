#include "cli/account.h"

#include <string.h>

#include "shared/base/mem.h"

#define LOCAL "local"

const char *account_context(struct cli *cli, struct err *err)
{
	struct choice choice = cli_choice(cli);
	const struct config *config = cli_config(cli, err);
	if (!config)
		return NULL;
	struct where w = where_pick(&choice, config);
	if (!w.by_host)
		return w.s.value;
	err_set(err, ERR_USAGE, "a login is kept in a context, and %s names none", w.s.from == FROM_FLAG ? "--host" : w.s.name);
	err_hint(err, "make one with: sbx context add NAME ENDPOINT --use; or see the token with --print-token");
	return NULL;
}

static bool is_local(const js *v)
{
	return strcmp(js_str(js_get(v, "id"), ""), LOCAL) == 0;
}

static int store(const char *context, const char *token, struct err *err)
{
	struct config *config = config_begin(err);
	if (!config)
		return -1;
	int rc = config_set_token(config, context, token, err);
	rc = rc ? rc : config_commit(config, err);
	config_free(config);
	return rc;
}

/* So that nobody wonders. */
static void warn_hidden(const struct cli *cli)
{
	if (cli->globals.api_key)
		cli_warn(cli, "--api-key was for this command alone");
	else if (setting_env("SBX_API_KEY"))
		cli_warn(cli, "as long as SBX_API_KEY is set, it wins");
}

int account_forget(const char *context, struct err *err)
{
	struct config *config = config_begin(err);
	if (!config)
		return -1;
	const struct config_context *c = config_context(config, context);
	bool had = c ? c->token != NULL : strcmp(context, CONFIG_DEFAULT_CONTEXT) == 0 && config_token(config);
	int rc = had ? config_set_token(config, context, NULL, err) : 0;
	if (rc == 0 && had)
		rc = config_commit(config, err);
	config_free(config);
	return rc ? -1 : had;
}

static void welcome(const struct cli *cli, const js *login)
{
	const js *user = js_get(login, "user"), *team = js_get(login, "team");
	const char *email = js_str(js_get(user, "email"), NULL);
	cli_warn(cli, "you are %s%s%s%s, %s of team '%s', until %s", js_str(js_get(user, "name"), ""), email ? " <" : "",
		email ? email : "", email ? ">" : "", js_str(js_get(team, "role"), ""), js_str(js_get(team, "name"), ""),
		js_str(js_get(login, "expiresAt"), ""));
}

int account_keep(const struct cli *cli, const char *context, const js *login, struct err *err)
{
	bool operator= is_local(js_get(login, "user")) && is_local(js_get(login, "team"));
	bool needed = !operator|| strcmp(context, CONFIG_DEFAULT_CONTEXT) != 0;
	int rc = needed ? store(context, js_str(js_get(login, "token"), ""), err) : account_forget(context, err);
	if (rc < 0)
		return -1;
	if (needed)
		welcome(cli, login);
	else
		cli_warn(cli, "you are the operator of the local daemon; its socket needs no login");
	warn_hidden(cli);
	return 0;
}

char *account_team(struct client *c, const char *name, struct err *err)
{
	const struct call call = { .op = SBX_OP_GET_ACCOUNT };
	if (name)
		return mem_strdup(name);
	auto_js *account = client_json(c, &call, err);
	return account ? mem_strdup(js_str(js_get(js_get(account, "team"), "id"), "")) : NULL;
}
