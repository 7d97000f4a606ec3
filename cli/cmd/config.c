#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/render/table.h"
#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"

static const struct contract *const providers[] = {
	&contract_wrenn,
	&contract_voidrun,
	&contract_freestyle,
	&contract_mcp_v8,
	&contract_molecule,
};

/* ---- config view ---- */

static void row(struct jw *w, const char *key, const char *value, const struct setting *from)
{
	auto_buf source = BUF_INIT;
	setting_source(from, &source);
	jw_obj(w);
	jw_kstr(w, "key", key);
	jw_kstr(w, "value", value);
	jw_kstr(w, "source", source.p);
	jw_obj_end(w);
}

static void secret_row(struct jw *w, const char *key, const struct setting *s)
{
	row(w, key, s->value ? "(set)" : NULL, s);
}

/* A URL may hold a name and a password: never shown. */
static void url_row(struct jw *w, const char *key, const struct setting *s)
{
	const char *rest = s->value ? strstr(s->value, "://") : NULL;
	size_t len = rest ? strcspn(rest + 3, "/?#") : 0;
	const char *at = rest ? memrchr(rest + 3, '@', len) : NULL;
	auto_free char *safe = at ? mem_printf("%.*s(set)%s", (int)(rest + 3 - s->value), s->value, at) : NULL;
	row(w, key, safe ? safe : s->value, s);
}

/* The first variable of a list in a contract that is set. */
static bool from_env(const struct contract *c, uint32_t first, uint32_t count, struct setting *out)
{
	for (uint32_t i = 0; i < count; i++) {
		const char *name = ct_s(c, c->enum_pool[first + i]);
		const char *value = setting_env(name);
		if (value) {
			*out = (struct setting){ value, FROM_ENV, name };
			return true;
		}
	}
	return false;
}

static void provider_rows(struct jw *w, const struct contract *c, const struct config *config)
{
	struct setting url = { *c->server ? c->server : NULL, FROM_DEFAULT, NULL }, key = { NULL, FROM_DEFAULT, NULL };
	const char *filed = config_provider(config, c->name, "base-url");
	if (filed)
		url = (struct setting){ filed, FROM_FILE, config_file(config) };
	(void)from_env(c, c->env_url, c->env_url_count, &url);

	const char *text = config_provider(config, c->name, "api-key"), *file = config_provider(config, c->name, "api-key-file");
	if (text || file)
		key = (struct setting){ text ? text : file, FROM_FILE, text ? config_file(config) : file };
	for (uint32_t i = 0; i < c->scheme_count; i++)
		if (!c->schemes[i].routing && from_env(c, c->schemes[i].env, c->schemes[i].env_count, &key))
			break;

	auto_free char *url_name = mem_printf("%s.base-url", c->name), *key_name = mem_printf("%s.api-key", c->name);
	url_row(w, url_name, &url);
	secret_row(w, key_name, &key);
}

/* Where commands go, and with which key. What is wrong with it is said beside the view, which shall help to find it. */
static void target_rows(struct cli *cli, struct jw *w, const struct config *config)
{
	struct choice choice = cli_choice(cli);
	struct where t = where_pick(&choice, config);
	const struct config_context *context = NULL;
	struct endpoint ep;
	struct err why = ERR_INIT;
	auto_buf secret = BUF_INIT;
	struct setting key = { NULL, FROM_DEFAULT, NULL }, host = t.s;
	int rc = where_endpoint(&t, config, &context, &ep, &why);
	if (!t.by_host)
		host = context ? (struct setting){ NULL, FROM_FILE, config_file(config) }
			       : (struct setting){ NULL, FROM_DEFAULT, NULL };
	host.value = rc ? NULL : ep.shown;
	url_row(w, "host", &host);
	if (rc || where_key(&choice, config, context, &secret, &key, &why))
		cli_error(cli, &why);
	secret_row(w, "api-key", &key);
	endpoint_free(&ep);
}

static void folder_row(struct jw *w, const char *key, const char *variable, char *path)
{
	struct setting s = { path, setting_env(variable) ? FROM_ENV : FROM_DEFAULT, variable };
	row(w, key, path, &s);
	free(path);
}

static void pool_row(struct jw *w, const struct config *config)
{
	const char *env = setting_env("SBX_POOL"), *file = config_pool_size(config);
	struct setting s = { "2", FROM_DEFAULT, NULL };
	if (env)
		s = (struct setting){ env, FROM_ENV, "SBX_POOL" };
	else if (file)
		s = (struct setting){ file, FROM_FILE, config_file(config) };
	row(w, "pool.size", s.value, &s);
}

static int collect(struct cli *cli, struct buf *out, struct err *err)
{
	const struct config *config = cli_config(cli, err);
	if (!config)
		return -1;
	struct choice choice = cli_choice(cli);
	struct setting output = setting_output(&choice, config), context = setting_context(&choice, config);
	struct jw w;
	jw_init(&w, out);
	jw_arr(&w);
	row(&w, "output", output.value, &output);
	row(&w, "context", context.value, &context);
	target_rows(cli, &w, config);
	pool_row(&w, config);
	folder_row(&w, "home", "SBX_HOME", fs_sbx_home(NULL));
	folder_row(&w, "cache", "SBX_CACHE", fs_sbx_cache(NULL));
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		provider_rows(&w, providers[i], config);
	jw_arr_end(&w);
	return 0;
}

static int view(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "KEY", "VALUE", "SOURCE" };
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
	js_each (r, doc)
		for (const js *cell = js_first(r); cell; cell = js_next(cell))
			table_cell(&t, js_str(cell, "-"));
	table_print(&t, &cli->out);
	table_free(&t);
	return 0;
}

const struct command cmd_config_view = {
	.group = "config",
	.name = "view",
	.summary = "Show the settings that are in force, and where each comes from",
	.usage = "",
	.about = "A flag wins over a variable, a variable over the file, the file over the default. Keys are never shown.",
	.example = "  sbx config view\n  sbx config view -o json | jq '.[] | select(.source != \"default\")'",
	.command_after = NO_COMMAND,
	.run = view,
};

/* ---- config path ---- */

static int path(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	(void)args;
	auto_free char *file = config_path(err);
	if (!file)
		return -1;
	if (cli->format == FORMAT_TABLE) {
		buf_fmt(&cli->out, "%s\n", file);
		return 0;
	}
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "path", file);
	jw_kbool(&w, "exists", fs_exists(file));
	jw_obj_end(&w);
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	cli_document(cli, doc);
	return 0;
}

const struct command cmd_config_path = {
	.group = "config",
	.name = "path",
	.summary = "Print where the configuration file is, or would be",
	.usage = "",
	.example = "  sbx config path\n  $EDITOR \"$(sbx config path)\"",
	.command_after = NO_COMMAND,
	.config_optional = true,
	.run = path,
};
