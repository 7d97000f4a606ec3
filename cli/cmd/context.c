#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/render/table.h"
#include "cli/render/value.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define KEY_MAX ((size_t)16 << 10)

/* ---- context add ---- */

struct add_options {
	const char *api, *key_file, *key_ref;
	bool use;
};

static const struct opt add_options[] = {
	{ .kind = OPT_ENUM,
		.name = "api",
		.arg = "API",
		.help = "what it speaks: sbx (default), wrenn, voidrun, freestyle, mcp-v8 or molecule",
		.off = offsetof(struct add_options, api),
		.choices = config_apis },
	{ .kind = OPT_STR,
		.name = "api-key-file",
		.arg = "FILE",
		.help = "store the key that this file holds; - reads standard input",
		.off = offsetof(struct add_options, key_file) },
	{ .kind = OPT_STR,
		.name = "api-key-ref",
		.arg = "FILE",
		.help = "store only the file's path; the key is read from it whenever it is needed",
		.off = offsetof(struct add_options, key_ref) },
	{ .kind = OPT_BOOL, .name = "use", .help = "make it the current one", .off = offsetof(struct add_options, use) },
	{ .kind = OPT_END },
};

/* The path from anywhere: a configuration is not of one folder. */
static char *absolute(const char *path, struct err *err)
{
	if (*path == '/')
		return mem_strdup(path);
	auto_free char *here = getcwd(NULL, 0);
	if (here)
		return fs_join(here, path);
	err_set(err, ERR_USAGE, "'%s' must be an absolute path", path);
	return NULL;
}

/* As it is stored. */
static char *endpoint_text(const char *text, struct err *err)
{
	struct endpoint ep;
	int rc = endpoint_parse(text, &ep, err);
	char *out = NULL;
	if (rc == 0 && ep.kind == ENDPOINT_UNIX && !ep.managed) {
		auto_free char *path = absolute(ep.path, err);
		out = path ? mem_printf("unix:%s", path) : NULL;
	} else if (rc == 0) {
		out = mem_strdup(text);
	}
	endpoint_free(&ep);
	return out;
}

static int read_key(const char *file, struct buf *key, struct err *err)
{
	bool in = strcmp(file, "-") == 0;
	auto_free char *what = in ? mem_strdup("standard input") : mem_printf("'%s'", file);
	if (fs_read(in ? "/dev/stdin" : file, KEY_MAX, key, err))
		return -1;
	return config_trim_secret(key, what, err);
}

/* What hides the file's choice; said so that nobody wonders. */
static void warn_hidden(const struct cli *cli)
{
	static const char *const names[] = { "SBX_HOST", "SBX_CONTEXT" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (setting_env(names[i])) {
			cli_warn(cli, "as long as %s is set, it wins", names[i]);
			return;
		}
	}
}

static int store(const struct config_context *add, bool use, struct err *err)
{
	struct config *config = config_begin(err);
	if (!config)
		return -1;
	int rc = config_add_context(config, add, err);
	rc = rc || !use ? rc : config_use_context(config, add->name, err);
	rc = rc ? rc : config_commit(config, err);
	config_free(config);
	return rc;
}

static int add(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct add_options *o = opts;
	if (o->key_file && o->key_ref)
		return err_set(err, ERR_USAGE, "--api-key-file and --api-key-ref exclude each other");
	if (cli->globals.api_key) {
		err_set(err, ERR_USAGE, "a key on the command line could be seen by others");
		return err_hint(err, "give it by --api-key-file FILE, or - for standard input");
	}
	if (config_check_name(args->v[0], err))
		return -1;
	auto_free char *endpoint = endpoint_text(args->v[1], err);
	auto_free char *ref = endpoint && o->key_ref ? absolute(o->key_ref, err) : NULL;
	auto_buf key = BUF_INIT;
	if (!endpoint || (o->key_ref && !ref) || (o->key_file && read_key(o->key_file, &key, err)))
		return -1;
	struct config_context c = {
		.name = args->v[0], .endpoint = endpoint, .api = o->api, .key = { .text = o->key_file ? key.p : NULL, .file = ref }
	};
	if (store(&c, o->use, err))
		return -1;
	if (o->use)
		warn_hidden(cli);
	return 0;
}

const struct command cmd_context_add = {
	.group = "context",
	.name = "add",
	.summary = "Give an endpoint a name",
	.usage = "NAME ENDPOINT [--api API] [--api-key-file FILE|-] [--use]",
	.about = "ENDPOINT is unix:PATH, http://HOST:PORT, https://HOST[:PORT][/base/path] or ssh://[USER@]HOST[:PORT].\n"
		 "It is written to the configuration file ('sbx config path'), which only you can read. The file is written anew:\n"
		 "its settings are kept, its comments are not. A key is sent to an http:// endpoint in clear text.",
	.example = "  sbx context add lab ssh://me@box --use\n"
		   "  pass show sbx | sbx context add ci https://sbx.example.org --api-key-file -",
	.options = add_options,
	.options_size = sizeof(struct add_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.run = add,
};

/* ---- context use, rm ---- */

static int use(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	struct config *config = config_begin(err);
	if (!config)
		return -1;
	int rc = config_use_context(config, args->v[0], err);
	rc = rc ? rc : config_commit(config, err);
	config_free(config);
	if (rc == 0)
		warn_hidden(cli);
	return rc;
}

const struct command cmd_context_use = {
	.group = "context",
	.name = "use",
	.summary = "Make a context the current one",
	.usage = "NAME",
	.example = "  sbx context use lab\n  sbx context use default",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_CONTEXT,
	.run = use,
};

/* All or none: a name that is wrong stops before anything is written. */
static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	struct config *config = config_begin(err);
	if (!config)
		return -1;
	bool had = config_current(config) != NULL;
	int rc = 0;
	for (size_t i = 0; i < args->n && rc == 0; i++)
		rc = config_remove_context(config, args->v[i], err);
	rc = rc ? rc : config_commit(config, err);
	if (rc == 0 && had && !config_current(config))
		cli_warn(cli, "the current context is '%s' again", CONFIG_DEFAULT_CONTEXT);
	config_free(config);
	return rc;
}

const struct command cmd_context_rm = {
	.group = "context",
	.name = "rm",
	.alias = "delete",
	.summary = "Forget contexts, and the keys and logins stored with them",
	.usage = "NAME...",
	.example = "  sbx context rm lab",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_CONTEXT,
	.run = rm,
};

/* ---- context ls ---- */

static void item(struct jw *w, const char *name, const char *api, const char *endpoint, bool current)
{
	jw_obj(w);
	jw_kstr(w, "name", name);
	jw_kbool(w, "current", current);
	jw_kstr(w, "api", api);
	jw_kstr(w, "endpoint", endpoint);
	jw_obj_end(w);
}

/* Addresses that did not come from the configuration may hold anything, a password too: only what can be read as one is shown. */
static int named_host(const struct where *t, struct jw *w, struct err *err)
{
	struct endpoint ep;
	int rc = endpoint_parse(t->s.value, &ep, err);
	if (rc == 0)
		item(w, t->s.from == FROM_FLAG ? "--host" : "SBX_HOST", CONFIG_NATIVE_API, ep.shown, true);
	endpoint_free(&ep);
	return rc;
}

static int collect(struct cli *cli, struct buf *out, struct err *err)
{
	const struct config *config = cli_config(cli, err);
	struct choice choice = cli_choice(cli);
	struct endpoint local;
	if (!config)
		return -1;
	int rc = endpoint_local(&local, err);
	struct where t = where_pick(&choice, config);
	const char *current = t.by_host ? "" : t.s.value;
	if (rc == 0 && !t.by_host && strcmp(current, CONFIG_DEFAULT_CONTEXT) != 0 && !config_context(config, current)) {
		auto_buf source = BUF_INIT;
		setting_source(&t.s, &source);
		cli_warn(cli, "no context '%s', which is chosen by %s", current, source.p);
	}
	struct jw w;
	jw_init(&w, out);
	jw_arr(&w);
	if (rc == 0)
		item(&w, CONFIG_DEFAULT_CONTEXT, CONFIG_NATIVE_API, local.shown, strcmp(current, CONFIG_DEFAULT_CONTEXT) == 0);
	const struct config_context *c;
	for (size_t i = 0; rc == 0 && (c = config_context_at(config, i)); i++)
		item(&w, c->name, c->api, c->endpoint, strcmp(current, c->name) == 0);
	if (rc == 0 && t.by_host)
		rc = named_host(&t, &w, err);
	jw_arr_end(&w);
	endpoint_free(&local);
	return rc;
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "NAME", "CURRENT", "API", "ENDPOINT" };
	(void)opts;
	(void)args;
	auto_buf text = BUF_INIT;
	if (collect(cli, &text, err))
		return -1;
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	cli_document(cli, doc);
	if (cli->format != FORMAT_TABLE)
		return 0;
	struct table t;
	table_init(&t, headers, ARRAY_LEN(headers));
	js_each (c, doc) {
		table_cell(&t, js_str(js_get(c, "name"), ""));
		table_cell(&t, js_bool(js_get(c, "current"), false) ? "*" : "");
		table_cell(&t, js_str(js_get(c, "api"), ""));
		table_cell(&t, js_str(js_get(c, "endpoint"), ""));
	}
	table_print(&t, &cli->out);
	table_free(&t);
	return 0;
}

const struct command cmd_context_ls = {
	.group = "context",
	.name = "ls",
	.alias = "list",
	.summary = "List the endpoints that commands can go to",
	.usage = "",
	.example = "  sbx context ls\n  SBX_HOST=http://127.0.0.1:8080 sbx context ls",
	.command_after = NO_COMMAND,
	.run = ls,
};

/* ---- context inspect ---- */

static int describe(struct cli *cli, const char *name, struct buf *out, struct err *err)
{
	const struct config *config = cli_config(cli, err);
	struct choice choice = cli_choice(cli);
	if (!config)
		return -1;
	struct setting current = setting_context(&choice, config);
	struct where t = { false, { name ? name : current.value, FROM_FLAG, NULL } };
	const struct config_context *c;
	struct endpoint ep;
	int rc = where_endpoint(&t, config, &c, &ep, err);
	if (rc == 0) {
		struct jw w;
		jw_init(&w, out);
		jw_obj(&w);
		jw_kstr(&w, "name", t.s.value);
		jw_kbool(&w, "current", strcmp(t.s.value, current.value) == 0);
		jw_kstr(&w, "api", c ? c->api : CONFIG_NATIVE_API);
		jw_kstr(&w, "endpoint", c ? c->endpoint : ep.shown);
		bool set = c && (c->key.text || c->key.file);
		auto_free char *source = set ? mem_printf("file %s", c->key.text ? config_file(config) : c->key.file) : NULL;
		jw_kstr(&w, "apiKey", set ? "(set)" : NULL);
		jw_kstr(&w, "apiKeySource", source);
		jw_kstr(&w, "login", (c ? c->token : t.by_host ? NULL : config_token(config)) ? "(set)" : NULL);
		jw_obj_end(&w);
	}
	endpoint_free(&ep);
	return rc;
}

static int inspect(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	auto_buf text = BUF_INIT;
	if (describe(cli, args->n ? args->v[0] : NULL, &text, err))
		return -1;
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	cli_document(cli, doc);
	if (cli->format == FORMAT_TABLE)
		render_block(&cli->out, doc);
	return 0;
}

const struct command cmd_context_inspect = {
	.group = "context",
	.name = "inspect",
	.summary = "Show a context, the current one by default, without its key and login",
	.usage = "[NAME]",
	.example = "  sbx context inspect\n  sbx context inspect lab -o json",
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_CONTEXT,
	.run = inspect,
};
