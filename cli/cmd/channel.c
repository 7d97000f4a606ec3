/* channel: where a team wants to hear its news. */
#include <string.h>

#include "cli/channel_config.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static const char *const all_events[] = { "capsule.created", "capsule.running", "capsule.paused", "capsule.destroyed",
	"template.snapshot.created", "template.snapshot.deleted", "host.up", "host.down" };

/* ---- bodies ---- */

static void put_events(struct jw *w, const struct opt_list *events)
{
	jw_key(w, "events");
	jw_arr(w);
	for (size_t i = 0; i < events->n; i++)
		jw_str(w, events->v[i]);
	for (size_t i = 0; i < ARRAY_LEN(all_events) && events->n == 0; i++)
		jw_str(w, all_events[i]);
	jw_arr_end(w);
}

static void put_config(struct jw *w, const struct channel_config *config)
{
	jw_key(w, "config");
	jw_obj(w);
	for (size_t i = 0; i < config->n; i++)
		jw_kstr(w, config->v[i].key, config->v[i].value);
	jw_obj_end(w);
}

/* The secret is shown this once, so it is what is printed where there is one. */
static void print_secret(struct cli *cli, const js *channel, const char *otherwise)
{
	const char *secret = js_str(js_get(channel, "secret"), NULL);
	cli_document(cli, channel);
	if (cli->format != FORMAT_TABLE)
		return;
	if (secret)
		cli_warn(cli, "what is printed signs the messages of '%s', and is shown only now",
			js_str(js_get(channel, "name"), ""));
	if (secret || otherwise)
		buf_fmt(&cli->out, "%s\n", secret ? secret : otherwise);
}

/* ---- ls, inspect, rm ---- */

static void row(struct table *t, const js *channel)
{
	auto_buf age = BUF_INIT, events = BUF_INIT;
	text_age(&age, js_str(js_get(channel, "createdAt"), ""), clock_wall_ms());
	bool all = js_count(js_get(channel, "events")) == ARRAY_LEN(all_events);
	js_each (event, all ? NULL : js_get(channel, "events"))
		buf_fmt(&events, "%s%s", events.len ? "," : "", js_str(event, ""));
	const char *const cells[] = { js_str(js_get(channel, "name"), ""), js_str(js_get(channel, "provider"), ""),
		js_str(js_get(channel, "id"), ""), age.p, all ? "all" : events.p };
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		table_cell(t, cells[i]);
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "PROVIDER", "ID", "AGE", "EVENTS" };
	static const struct listing channels = { "channels", headers, ARRAY_LEN(headers), row };
	const struct call call = { .op = SBX_OP_LIST_CHANNELS };
	(void)opts;
	(void)args;
	return listing_call(cli, &channels, &call, "channels", err);
}

const struct command cmd_channel_ls = {
	.group = "channel",
	.name = "ls",
	.alias = "list",
	.summary = "List the channels of your team",
	.usage = "",
	.example = "  sbx channel ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

static int inspect(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_show(cli, SBX_OP_GET_CHANNEL, args->v[0], err);
}

const struct command cmd_channel_inspect = {
	.group = "channel",
	.name = "inspect",
	.summary = "Show a channel, without its configuration",
	.usage = "CHANNEL",
	.example = "  sbx channel inspect ops",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_CHANNEL,
	.run = inspect,
};

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return listing_remove(cli, SBX_OP_DELETE_CHANNEL, NULL, args, err);
}

const struct command cmd_channel_rm = {
	.group = "channel",
	.name = "rm",
	.alias = "delete",
	.summary = "Remove channels",
	.usage = "CHANNEL...",
	.example = "  sbx channel rm ops",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_CHANNEL,
	.run = rm,
};

/* ---- add ---- */

#define CONFIG_OPTIONS(type)                                                                                                       \
	{ .kind = OPT_PAIRS,                                                                                                       \
		.name = "config",                                                                                                  \
		.arg = "K=V",                                                                                                      \
		.help = "a field of the configuration, repeatable; others may see it in the list of processes",                    \
		.off = offsetof(type, config) },                                                                                   \
	{                                                                                                                          \
		.kind = OPT_STR, .name = "config-file", .arg = "FILE",                                                             \
		.help = "the fields, a line each as K=V; - reads standard input", .off = offsetof(type, file)                      \
	}

#define CONFIG_ABOUT                                                                                                               \
	"The configuration says where and how to deliver: webhook_url for discord, slack, teams and googlechat; bot_token and "    \
	"chat_id\n"                                                                                                                \
	"for telegram; homeserver_url, access_token and room_id for matrix; url and, if you like, secret for webhook."

struct add_options {
	struct opt_list config, events;
	const char *file;
};

static const struct opt add_options[] = {
	CONFIG_OPTIONS(struct add_options),
	{ .kind = OPT_LIST,
		.letter = 'e',
		.name = "event",
		.arg = "EVENT",
		.help = "what to tell about, repeatable (default all), such as capsule.created or host.down",
		.off = offsetof(struct add_options, events) },
	{ .kind = OPT_END },
};

static int add(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct add_options *o = opts;
	struct channel_config config;
	auto_buf body = BUF_INIT;
	struct jw w;
	if (channel_config_read(&o->config, o->file, &config, err)) {
		channel_config_free(&config);
		return -1;
	}
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", args->v[0]);
	jw_kstr(&w, "provider", args->v[1]);
	put_config(&w, &config);
	put_events(&w, &o->events);
	jw_obj_end(&w);
	channel_config_free(&config);
	const struct call call = { .op = SBX_OP_CREATE_CHANNEL, .json = &body };
	auto_js *v = cli_ask(cli, &call, err);
	if (!v)
		return -1;
	print_secret(cli, v, js_str(js_get(v, "id"), ""));
	return 0;
}

const struct command cmd_channel_add = {
	.group = "channel",
	.name = "add",
	.summary = "Have news of your team sent somewhere",
	.usage = "NAME PROVIDER [--config K=V | --config-file FILE] [--event EVENT]",
	.about = CONFIG_ABOUT
	"\n\nIts id is printed; of a webhook instead the secret that signs its messages, which is shown only now.",
	.example = "  echo \"webhook_url=$SLACK_URL\" | sbx channel add ops slack --config-file -\n"
		   "  secret=$(sbx channel add hook webhook --config url=https://example.org/hook --event capsule.destroyed)",
	.options = add_options,
	.options_size = sizeof(struct add_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.run = add,
};

/* ---- update ---- */

struct update_options {
	const char *name;
	struct opt_list events;
};

static const struct opt update_options[] = {
	{ .kind = OPT_STR, .name = "name", .arg = "NAME", .help = "its new name", .off = offsetof(struct update_options, name) },
	{ .kind = OPT_LIST,
		.letter = 'e',
		.name = "event",
		.arg = "EVENT",
		.help = "what to tell about from now on, repeatable",
		.off = offsetof(struct update_options, events) },
	{ .kind = OPT_END },
};

static int update(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct update_options *o = opts;
	auto_buf body = BUF_INIT;
	struct jw w;
	if (!o->name && o->events.n == 0)
		return err_set(err, ERR_USAGE, "nothing is to be changed: give --name, --event or both");
	jw_init(&w, &body);
	jw_obj(&w);
	if (o->name)
		jw_kstr(&w, "name", o->name);
	if (o->events.n)
		put_events(&w, &o->events);
	jw_obj_end(&w);
	const struct call call = { .op = SBX_OP_UPDATE_CHANNEL, .path = { args->v[0] }, .json = &body };
	auto_js *v = cli_ask(cli, &call, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	return 0;
}

const struct command cmd_channel_update = {
	.group = "channel",
	.name = "update",
	.summary = "Change the name or the events of a channel",
	.usage = "CHANNEL [--name NAME] [--event EVENT]",
	.example = "  sbx channel update ops --name night --event host.down",
	.options = update_options,
	.options_size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_CHANNEL,
	.run = update,
};

/* ---- config, test ---- */

struct config_options {
	struct opt_list config;
	const char *file;
};

static const struct opt config_options[] = { CONFIG_OPTIONS(struct config_options), { .kind = OPT_END } };

/* {"provider": ..., "config": {...}}, without the first for NULL. */
static int write_config(const struct config_options *o, const char *provider, struct buf *body, struct err *err)
{
	struct channel_config config;
	struct jw w;
	int rc = channel_config_read(&o->config, o->file, &config, err);
	jw_init(&w, body);
	jw_obj(&w);
	if (provider)
		jw_kstr(&w, "provider", provider);
	put_config(&w, &config);
	jw_obj_end(&w);
	channel_config_free(&config);
	return rc;
}

static int configure(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	auto_buf body = BUF_INIT;
	const struct call call = { .op = SBX_OP_CONFIGURE_CHANNEL, .path = { args->v[0] }, .json = &body };
	auto_js *v = write_config(opts, NULL, &body, err) ? NULL : cli_ask(cli, &call, err);
	if (!v)
		return -1;
	print_secret(cli, v, NULL);
	return 0;
}

const struct command cmd_channel_config = {
	.group = "channel",
	.name = "config",
	.summary = "Replace the configuration of a channel",
	.usage = "CHANNEL [--config K=V | --config-file FILE]",
	.about = CONFIG_ABOUT "\n\nNothing of the former one is kept. A webhook without a secret gets a new one, which is printed.",
	.example = "  sbx channel config ops --config-file ops.conf",
	.options = config_options,
	.options_size = sizeof(struct config_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_CHANNEL,
	.run = configure,
};

/* Through the channel of that name or, with a configuration, to that provider. */
static js *send_test(struct cli *cli, const struct config_options *o, const char *word, struct err *err)
{
	auto_buf body = BUF_INIT;
	const struct call saved = { .op = SBX_OP_TEST_SAVED_CHANNEL, .path = { word } };
	const struct call given = { .op = SBX_OP_TEST_CHANNEL, .json = &body };
	if (o->config.n || o->file)
		return write_config(o, word, &body, err) ? NULL : cli_ask(cli, &given, err);
	js *v = cli_ask(cli, &saved, err);
	if (!v && err->code == ERR_NOT_FOUND)
		err_hint(err, "list those of your team with: sbx channel ls; to try one out before it is made, give --config K=V");
	return v;
}

static int test(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	auto_js *v = send_test(cli, opts, args->v[0], err);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format == FORMAT_TABLE)
		cli_warn(cli, "the test message has arrived");
	return 0;
}

const struct command cmd_channel_test = {
	.group = "channel",
	.name = "test",
	.summary = "Send a test message through a channel, or as one would that is not made yet",
	.usage = "CHANNEL | PROVIDER --config K=V | PROVIDER --config-file FILE",
	.about = "With a configuration nothing is kept.\n\n" CONFIG_ABOUT,
	.example = "  sbx channel test ops\n"
		   "  echo \"webhook_url=$SLACK_URL\" | sbx channel test slack --config-file -",
	.options = config_options,
	.options_size = sizeof(struct config_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_CHANNEL_OR_PROVIDER,
	.run = test,
};
