#include "cli/where.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

void setting_source(const struct setting *s, struct buf *out)
{
	static const char *const words[] = { "default", "flag", "env ", "file " };
	buf_str(out, words[s->from]);
	if (s->from == FROM_ENV || s->from == FROM_FILE)
		buf_str(out, s->name);
}

const char *setting_env(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? v : NULL;
}

/* The first of the places that says something. */
static struct setting first(const char *flag, const char *variable, const char *filed, const struct config *config)
{
	const char *env = setting_env(variable);
	if (flag)
		return (struct setting){ flag, FROM_FLAG, NULL };
	if (env)
		return (struct setting){ env, FROM_ENV, variable };
	if (filed)
		return (struct setting){ filed, FROM_FILE, config_file(config) };
	return (struct setting){ NULL, FROM_DEFAULT, NULL };
}

struct setting setting_output(const struct choice *c, const struct config *config)
{
	struct setting s = first(c->output, "SBX_OUTPUT", config ? config_output(config) : NULL, config);
	if (!s.value)
		s.value = "table";
	return s;
}

struct setting setting_context(const struct choice *c, const struct config *config)
{
	struct setting s = first(c->context, "SBX_CONTEXT", config ? config_current(config) : NULL, config);
	if (!s.value)
		s.value = CONFIG_DEFAULT_CONTEXT;
	return s;
}

struct where where_pick(const struct choice *c, const struct config *config)
{
	const char *host = setting_env("SBX_HOST");
	if (c->host)
		return (struct where){ true, { c->host, FROM_FLAG, NULL } };
	if (!c->context && host)
		return (struct where){ true, { host, FROM_ENV, "SBX_HOST" } };
	return (struct where){ false, setting_context(c, config) };
}

int where_endpoint(const struct where *t, const struct config *config, const struct config_context **context, struct endpoint *out,
	struct err *err)
{
	*out = (struct endpoint){ 0 };
	*context = NULL;
	if (t->by_host)
		return endpoint_parse(t->s.value, out, err);
	if (strcmp(t->s.value, CONFIG_DEFAULT_CONTEXT) == 0)
		return endpoint_local(out, err);
	*context = config ? config_context(config, t->s.value) : NULL;
	if (*context)
		return endpoint_parse((*context)->endpoint, out, err);
	config_no_context(config, t->s.value, err);
	if (t->s.from == FROM_FLAG)
		return -1;
	auto_buf source = BUF_INIT;
	setting_source(&t->s, &source);
	return err_prefix(err, "%s", source.p);
}

int where_key(const struct choice *c, const struct config *config, const struct config_context *context, struct buf *secret,
	struct setting *key, struct err *err)
{
	bool built_in = config && !context && !where_pick(c, config).by_host;
	*key = first(c->api_key, "SBX_API_KEY", context ? context->token : built_in ? config_token(config) : NULL, config);
	if (!key->value && context) {
		if (config_secret(config, &context->key, secret, err))
			return err_prefix(err, "context '%s'", context->name);
		if (secret->len)
			*key = (struct setting){ secret->p, FROM_FILE,
				context->key.text ? config_file(config) : context->key.file };
	}
	if (key->value && key->value[strcspn(key->value, "\r\n")] != '\0')
		return err_set(err, ERR_USAGE, "the API key holds a line break");
	if (key->value && *key->value == '\0')
		key->value = NULL;
	return 0;
}

static int other_api(const struct config_context *context, struct err *err)
{
	err_set(err, ERR_USAGE, "context '%s' speaks %s", context->name, context->api);
	return err_hint(err, "use: sbx %s ..., or choose another context with --context", context->api);
}

int where_resolve(const struct choice *c, const struct config *config, struct buf *secret, struct endpoint *out, struct err *err)
{
	struct where t = where_pick(c, config);
	const struct config_context *context;
	struct setting key;
	if (where_endpoint(&t, config, &context, out, err))
		return -1;
	if (context && strcmp(context->api, CONFIG_NATIVE_API) != 0)
		return other_api(context, err);
	if (where_key(c, config, context, secret, &key, err))
		return -1;
	out->api_key = key.value;
	if (!key.value || !endpoint_in_clear(out) || t.s.from == FROM_FLAG || context)
		return 0;
	err_set(err, ERR_FORBIDDEN, "the API key would go to '%s' in clear text", out->shown);
	return err_hint(err, "use https:// or ssh://; if you accept it, name the address with --host or in a context");
}
