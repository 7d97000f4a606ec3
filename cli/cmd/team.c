/* team: the teams that one is in, and who else is. */
#include <string.h>

#include "cli/account.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static void age_cell(struct table *t, const js *time)
{
	auto_buf age = BUF_INIT;
	if (js_str(time, NULL))
		text_age(&age, js_str(time, ""), clock_wall_ms());
	table_cell(t, age.p);
}

/* A body of one text. */
static void body_of(struct buf *body, const char *key, const char *text)
{
	struct jw w;
	jw_init(&w, body);
	jw_obj(&w);
	jw_kstr(&w, key, text);
	jw_obj_end(&w);
}

/* ---- ls ---- */

/* Which of them is meant by the commands is what one asks for: the API tells it in another answer. */
static js *mark_current(const js *teams, const char *current, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_arr(&w);
	js_each (team, teams) {
		jw_obj(&w);
		js_each (member, team) {
			jw_key(&w, js_key(member));
			jw_js(&w, member);
		}
		jw_kbool(&w, "current", strcmp(js_str(js_get(team, "id"), ""), current) == 0);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	return js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
}

static void team_row(struct table *t, const js *team)
{
	table_cell(t, js_str(js_get(team, "name"), ""));
	table_cell(t, js_bool(js_get(team, "current"), false) ? "*" : "");
	table_cell(t, js_str(js_get(team, "role"), ""));
	table_cell(t, js_str(js_get(team, "id"), ""));
	table_cell(t, js_str(js_get(team, "slug"), ""));
	age_cell(t, js_get(team, "createdAt"));
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "CURRENT", "ROLE", "ID", "SLUG", "AGE" };
	static const struct listing teams = { "teams", headers, ARRAY_LEN(headers), team_row };
	const struct call list = { .op = SBX_OP_LIST_TEAMS };
	struct client c;
	(void)opts;
	(void)args;
	if (cli_client(cli, &c, err))
		return -1;
	auto_js *all = client_json(&c, &list, err);
	auto_free char *current = all ? account_team(&c, NULL, err) : NULL;
	client_close(&c);
	auto_js *marked = current ? mark_current(js_get(all, "teams"), current, err) : NULL;
	if (!marked)
		return -1;
	listing_print(cli, &teams, marked);
	return 0;
}

const struct command cmd_team_ls = {
	.group = "team",
	.name = "ls",
	.alias = "list",
	.summary = "List the teams that you are in",
	.usage = "",
	.example = "  sbx team ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

/* ---- create, rename ---- */

/* Print a team that was made or changed: its id. */
static int print_team(struct cli *cli, const struct call *call, struct err *err)
{
	auto_js *team = cli_ask(cli, call, err);
	if (!team)
		return -1;
	cli_document(cli, team);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(team, "id"), ""));
	return 0;
}

static int create(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	auto_buf body = BUF_INIT;
	const struct call call = { .op = SBX_OP_CREATE_TEAM, .json = &body };
	(void)opts;
	body_of(&body, "name", args->v[0]);
	return print_team(cli, &call, err);
}

const struct command cmd_team_create = {
	.group = "team",
	.name = "create",
	.summary = "Make a team that is yours, and print its id",
	.usage = "NAME",
	.about = "What you make goes on being made in the team that you work in, until 'sbx team use'.",
	.example = "  sbx team create Lab && sbx team use Lab",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.run = create,
};

static int rename_team(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	auto_buf body = BUF_INIT;
	const struct call call = { .op = SBX_OP_UPDATE_TEAM, .path = { args->v[0] }, .json = &body };
	(void)opts;
	body_of(&body, "name", args->v[1]);
	return print_team(cli, &call, err);
}

const struct command cmd_team_rename = {
	.group = "team",
	.name = "rename",
	.summary = "Give a team another name",
	.usage = "TEAM NAME",
	.example = "  sbx team rename Lab 'Night shift'",
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_TEAM,
	.run = rename_team,
};

/* ---- inspect ---- */

static void put_members(struct buf *out, const js *members)
{
	buf_str(out, "Members:\n");
	js_each (m, members) {
		buf_str(out, "  ");
		text_safe(out, js_str(js_get(m, "name"), ""));
		buf_str(out, js_str(js_get(m, "email"), NULL) ? " <" : "");
		text_safe(out, js_str(js_get(m, "email"), ""));
		buf_fmt(out, "%s, %s\n", js_str(js_get(m, "email"), NULL) ? ">" : "", js_str(js_get(m, "role"), ""));
	}
}

/* All but the members, which are lines of their own. */
static void put_team(struct buf *out, const js *team)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	js_each (member, team) {
		if (js_type(member) == JS_ARRAY)
			continue;
		jw_key(&w, js_key(member));
		jw_js(&w, member);
	}
	jw_obj_end(&w);
	auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
	render_block(out, v);
}

static int inspect(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct client c;
	(void)opts;
	if (cli_client(cli, &c, err))
		return -1;
	auto_free char *id = account_team(&c, args->n ? args->v[0] : NULL, err);
	const struct call call = { .op = SBX_OP_GET_TEAM, .path = { id } };
	auto_js *team = id ? client_json(&c, &call, err) : NULL;
	client_close(&c);
	if (!team)
		return -1;
	cli_document(cli, team);
	if (cli->format == FORMAT_TABLE) {
		put_team(&cli->out, team);
		put_members(&cli->out, js_get(team, "members"));
	}
	return 0;
}

const struct command cmd_team_inspect = {
	.group = "team",
	.name = "inspect",
	.summary = "Show a team and who is in it; by default the one you work in",
	.usage = "[TEAM]",
	.example = "  sbx team inspect\n  sbx team inspect Lab -o json | jq -r '.members[].email'",
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_TEAM,
	.run = inspect,
};

/* ---- rm ---- */

struct yes_options {
	bool yes;
};

static const struct opt yes_options[] = {
	{ .kind = OPT_BOOL, .letter = 'y', .name = "yes", .help = "do not ask", .off = offsetof(struct yes_options, yes) },
	{ .kind = OPT_END },
};

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct yes_options *o = opts;
	auto_free char *question = mem_printf("delete the team '%s' with all of its sandboxes and keys", args->v[0]);
	int yes = o->yes ? 1 : cli_confirm(question, "try: sbx team rm --yes TEAM", err);
	return yes < 0 ? -1 : yes ? listing_remove(cli, SBX_OP_DELETE_TEAM, NULL, args, err) : 1;
}

const struct command cmd_team_rm = {
	.group = "team",
	.name = "rm",
	.alias = "delete",
	.summary = "Delete a team with its sandboxes and keys",
	.usage = "[--yes] TEAM",
	.about = "Only its owner may. Tokens and keys of the team are worth nothing from then on; who works in it logs in again.",
	.example = "  sbx team rm Lab --yes",
	.options = yes_options,
	.options_size = sizeof(struct yes_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_TEAM,
	.run = rm,
};

/* ---- use ---- */

static int use(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	auto_buf body = BUF_INIT;
	const struct call call = { .op = SBX_OP_SWITCH_TEAM, .json = &body };
	struct client c;
	(void)opts;
	const char *context = account_context(cli, err);
	if (!context || cli_client(cli, &c, err))
		return -1;
	body_of(&body, "team", args->v[0]);
	auto_js *login = client_json(&c, &call, err);
	client_close(&c);
	return login ? account_keep(cli, context, login, err) : -1;
}

const struct command cmd_team_use = {
	.group = "team",
	.name = "use",
	.summary = "Work in another team from now on",
	.usage = "TEAM",
	.about = "The token in the current context becomes one for that team.",
	.example = "  sbx team use Lab",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_TEAM,
	.run = use,
};

/* ---- member ---- */

struct member_options {
	const char *team, *role;
	bool yes;
};

static const char *const roles[] = { "admin", "member", NULL };

static const struct opt member_options[] = {
	{ .kind = OPT_STR,
		.name = "team",
		.arg = "TEAM",
		.help = "which team, by id, slug or name (default the one you work in)",
		.off = offsetof(struct member_options, team) },
	{ .kind = OPT_ENUM,
		.name = "role",
		.arg = "ROLE",
		.help = "add: admin or member (default member)",
		.off = offsetof(struct member_options, role),
		.choices = roles },
	{ .kind = OPT_BOOL,
		.letter = 'y',
		.name = "yes",
		.help = "rm, leave: do not ask",
		.off = offsetof(struct member_options, yes) },
	{ .kind = OPT_END },
};

static void member_row(struct table *t, const js *m)
{
	table_cell(t, js_str(js_get(m, "name"), ""));
	table_cell(t, js_str(js_get(m, "email"), ""));
	table_cell(t, js_str(js_get(m, "role"), ""));
	table_cell(t, js_str(js_get(m, "id"), ""));
	age_cell(t, js_get(m, "joinedAt"));
}

/* A client, and the team that is meant (to be freed); NULL with err, and nothing is open. */
static char *open_team(struct cli *cli, const char *name, struct client *c, struct err *err)
{
	if (cli_client(cli, c, err))
		return NULL;
	char *team = account_team(c, name, err);
	if (!team)
		client_close(c);
	return team;
}

static int member_ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "E-MAIL", "ROLE", "ID", "AGE" };
	static const struct listing members = { "members", headers, ARRAY_LEN(headers), member_row };
	const struct member_options *o = opts;
	struct client c;
	(void)args;
	auto_free char *team = open_team(cli, o->team, &c, err);
	if (!team)
		return -1;
	const struct call call = { .op = SBX_OP_LIST_MEMBERS, .path = { team } };
	auto_js *v = client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	listing_print(cli, &members, js_get(v, "members"));
	return 0;
}

static int member_add(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct member_options *o = opts;
	struct client c;
	auto_buf body = BUF_INIT;
	struct jw w;
	auto_free char *team = open_team(cli, o->team, &c, err);
	if (!team)
		return -1;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "email", args->v[0]);
	jw_kstr(&w, "role", o->role ? o->role : "member");
	jw_obj_end(&w);
	const struct call call = { .op = SBX_OP_ADD_MEMBER, .path = { team }, .json = &body };
	auto_js *v = client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "id"), ""));
	return 0;
}

static int member_role(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct member_options *o = opts;
	struct client c;
	auto_buf body = BUF_INIT;
	if (strcmp(args->v[1], roles[0]) != 0 && strcmp(args->v[1], roles[1]) != 0)
		return err_set(err, ERR_USAGE, "a role is admin or member, not '%s'", args->v[1]);
	auto_free char *team = open_team(cli, o->team, &c, err);
	if (!team)
		return -1;
	body_of(&body, "role", args->v[1]);
	const struct call call = { .op = SBX_OP_UPDATE_MEMBER, .path = { team, args->v[0] }, .json = &body };
	auto_js *v = client_json(&c, &call, err);
	client_close(&c);
	if (!v)
		return -1;
	cli_document(cli, v);
	return 0;
}

static int member_rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct member_options *o = opts;
	struct client c;
	auto_free char *question = args->n > 1 ? mem_printf("take %zu people out of the team", args->n)
					       : mem_printf("take '%s' out of the team", args->v[0]);
	int yes = o->yes ? 1 : cli_confirm(question, "try: sbx team member rm --yes MEMBER", err);
	if (yes <= 0)
		return yes < 0 ? -1 : 1;
	auto_free char *team = open_team(cli, o->team, &c, err);
	if (!team)
		return -1;
	client_close(&c);
	return listing_remove(cli, SBX_OP_REMOVE_MEMBER, team, args, err);
}

static int member_leave(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct member_options *o = opts;
	struct client c;
	(void)args;
	auto_free char *question =
		o->team ? mem_printf("leave the team '%s'", o->team) : mem_strdup("leave the team that you work in");
	int yes = o->yes ? 1 : cli_confirm(question, "try: sbx team member leave --yes", err);
	if (yes <= 0)
		return yes < 0 ? -1 : 1;
	auto_free char *team = open_team(cli, o->team, &c, err);
	if (!team)
		return -1;
	const struct call call = { .op = SBX_OP_LEAVE_TEAM, .path = { team } };
	int rc = client_call(&c, &call, NULL, err);
	client_close(&c);
	return rc;
}

static const struct verb member_verbs[] = {
	{ .name = "ls", .alias = "list", .usage = "[--team TEAM]", .takes = "team", .run = member_ls },
	{ .name = "add",
		.usage = "EMAIL [--role ROLE] [--team TEAM]",
		.min = 1,
		.max = 1,
		.takes = "team role",
		.run = member_add },
	{ .name = "role",
		.usage = "MEMBER ROLE [--team TEAM]",
		.min = 2,
		.max = 2,
		.takes = "team",
		.args = ARG_MEMBER,
		.run = member_role },
	{ .name = "rm",
		.alias = "delete",
		.usage = "[--yes] MEMBER... [--team TEAM]",
		.min = 1,
		.max = NO_LIMIT,
		.takes = "team yes",
		.args = ARG_MEMBER,
		.run = member_rm },
	{ .name = "leave", .usage = "[--yes] [--team TEAM]", .takes = "team yes", .run = member_leave },
	{ .name = NULL },
};

const struct command cmd_team_member = {
	.group = "team",
	.name = "member",
	.summary = "List, add and remove members, and change their roles",
	.usage = "ls | add EMAIL [--role ROLE] | role MEMBER ROLE | rm MEMBER... | leave",
	.about = "MEMBER is an e-mail address or an id. Whom you add must have an account. Members use the team, admins see to it "
		 "too, and\n"
		 "its one owner may delete it. Who is taken out has lost the team at once, whatever tokens he holds.",
	.example = "  sbx team member add bob@example.org --role admin\n"
		   "  sbx team member role bob@example.org member\n"
		   "  sbx team member rm bob@example.org --yes",
	.options = member_options,
	.options_size = sizeof(struct member_options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.verbs = member_verbs,
};
