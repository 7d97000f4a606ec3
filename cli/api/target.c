#include "cli/api/target.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

static const char *env_of(const struct contract *c, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const char *value = getenv(ct_s(c, c->enum_pool[first + i]));
		if (value && *value)
			return value;
	}
	return NULL;
}

static char *keep(struct target *t, char *text)
{
	t->owned[t->owned_count++] = text;
	return text;
}

static void add_header(struct target *t, const char *name, const char *value)
{
	if (t->header_count < TARGET_HEADERS)
		t->headers[t->header_count++] = (struct kv){ name, value };
}

/* Show a credential as its scheme wants it. */
static void show(struct target *t, const struct contract *c, const struct ct_scheme *s, const char *value)
{
	if (t->owned_count == ARRAY_LEN(t->owned))
		return;
	if (s->kind == CT_SCHEME_BEARER || s->kind == CT_SCHEME_OTHER)
		add_header(t, "Authorization", keep(t, mem_printf("Bearer %s", value)));
	else if (s->kind == CT_SCHEME_BASIC)
		add_header(t, "Authorization", keep(t, mem_printf("Basic %s", value)));
	else if (s->in == CT_IN_COOKIE)
		add_header(t, "Cookie", keep(t, mem_printf("%s=%s", ct_s(c, s->name), value)));
	else if (s->in == CT_IN_HEADER)
		add_header(t, ct_s(c, s->name), keep(t, mem_strdup(value)));
	else if (t->query_count < ARRAY_LEN(t->query))
		t->query[t->query_count++] = (struct kv){ ct_s(c, s->name), keep(t, mem_strdup(value)) };
}

/* The alternatives of the operation's security are runs of schemes; the last of a run has no CT_SCHEME_AND. */
struct run {
	const uint32_t *v;
	uint32_t n;
};

static struct run next_run(const struct contract *c, const struct ct_op *op, uint32_t *at)
{
	struct run r = { c->index_pool + op->security + *at, 0 };
	while (*at < op->security_count) {
		r.n++;
		if (!(c->index_pool[op->security + (*at)++] & CT_SCHEME_AND))
			break;
	}
	return r;
}

static const struct ct_scheme *scheme(const struct contract *c, uint32_t index)
{
	return &c->schemes[index & ~CT_SCHEME_AND];
}

/* Two dots and a JSON object's beginning in base64: a token of a person, not a key of a program. */
static bool is_jwt(const char *key)
{
	return str_starts(key, "eyJ") && strchr(key, '.') != strrchr(key, '.');
}

/* How well one credential given by hand fits an alternative. */
static int rate_given(const struct contract *c, struct run r, const char *key)
{
	int rate = 1;
	for (uint32_t i = 0; i < r.n; i++) {
		const struct ct_scheme *s = scheme(c, r.v[i]);
		if (!s->routing)
			rate += (s->kind == CT_SCHEME_BEARER) == is_jwt(key) ? 2 : 0;
		if (s->in == CT_IN_COOKIE && s->kind == CT_SCHEME_KEY)
			rate = 0;
	}
	return rate;
}

/* How many credentials of an alternative the environment has; 0 unless all but the routing ones. */
static int rate_env(const struct contract *c, struct run r)
{
	int rate = 0;
	for (uint32_t i = 0; i < r.n; i++) {
		const struct ct_scheme *s = scheme(c, r.v[i]);
		bool has = env_of(c, s->env, s->env_count) != NULL;
		if (!has && !s->routing)
			return 0;
		rate += has && !s->routing ? 2 : has;
	}
	return rate;
}

static struct run best_run(const struct contract *c, const struct ct_op *op, const char *given)
{
	struct run best = { 0 };
	int best_rate = 0;
	for (uint32_t at = 0; at < op->security_count;) {
		struct run r = next_run(c, op, &at);
		int rate = given ? rate_given(c, r, given) : rate_env(c, r);
		if (rate > best_rate) {
			best_rate = rate;
			best = r;
		}
	}
	return best;
}

/* given takes the place of the first credential; the rest and the routing come from the environment. */
static void add_credentials(struct target *t, const struct contract *c, const struct ct_op *op, const char *given)
{
	struct run r = best_run(c, op, given);
	for (uint32_t i = 0; i < r.n; i++) {
		const struct ct_scheme *s = scheme(c, r.v[i]);
		const char *value = given && !s->routing ? given : env_of(c, s->env, s->env_count);
		if (given && !s->routing)
			given = NULL;
		if (value)
			show(t, c, s, value);
	}
}

/* Where the request goes may be said in more ways than the alternative names: whatever the environment has of them. */
static void add_routing(struct target *t, const struct contract *c, const struct ct_op *op)
{
	for (uint32_t i = 0; i < op->security_count; i++) {
		const struct ct_scheme *s = scheme(c, c->index_pool[op->security + i]);
		const char *value = s->routing ? env_of(c, s->env, s->env_count) : NULL;
		bool shown = false;
		for (size_t k = 0; k < t->header_count; k++)
			shown = shown || strcmp(t->headers[k].key, ct_s(c, s->name)) == 0;
		if (value && !shown)
			show(t, c, s, value);
	}
}

static bool has_credential(const struct contract *c)
{
	for (uint32_t i = 0; i < c->scheme_count; i++) {
		const struct ct_scheme *s = &c->schemes[i];
		if (!s->routing && env_of(c, s->env, s->env_count))
			return true;
	}
	return false;
}

static char *hint(const struct contract *c, const struct ct_op *op)
{
	auto_buf names = BUF_INIT;
	for (uint32_t at = 0; at < op->security_count; at++) {
		const struct ct_scheme *s = scheme(c, c->index_pool[op->security + at]);
		const char *name = s->env_count > 0 ? ct_s(c, c->enum_pool[s->env]) : NULL;
		if (name && !s->routing && !strstr(names.p, name))
			buf_fmt(&names, "%s or ", name);
	}
	return mem_printf("set %s--api-key", names.p);
}

/* The paths of the contract have its base in them, and so may the address: once is enough. */
static void strip_base(const struct contract *c, struct endpoint *ep)
{
	size_t n = strlen(ep->base_path), base = strlen(c->base_path);
	if (base > 0 && n >= base && strcmp(ep->base_path + n - base, c->base_path) == 0)
		ep->base_path[n - base] = '\0';
}

/* What the configuration says about this contract. */
struct filed {
	const char *url; /* as the place below says, NULL = nothing does */
	bool from_env;
	const struct config_context *context; /* whose address it is */
	struct config_key key;		      /* of the context or the provider */
};

/* The context that is chosen, when it speaks this dialect. USAGE when a flag chose one that speaks another system's. */
static int find_context(struct cli *cli, const struct contract *c, const struct config *config, struct filed *out, struct err *err)
{
	struct choice choice = cli_choice(cli);
	struct where w = where_pick(&choice, config);
	const struct config_context *context = w.by_host ? NULL : config_context(config, w.s.value);
	if (!context)
		return 0;
	if (strcmp(context->api, c->name) == 0) {
		out->context = context;
	} else if (w.s.from == FROM_FLAG && strcmp(context->api, CONFIG_NATIVE_API) != 0) {
		err_set(err, ERR_USAGE, "context '%s' speaks %s", context->name, context->api);
		return err_hint(err, "use: sbx %s ...", context->api);
	}
	return 0;
}

/* --base-url, --host and --context, the environment, the file's provider, the file's context. */
static int find_url(struct cli *cli, const struct contract *c, const char *base_url, struct filed *out, struct err *err)
{
	const struct config *config = cli_config(cli, err);
	const struct globals *g = &cli->globals;
	*out = (struct filed){ 0 };
	if (!config || find_context(cli, c, config, out, err))
		return -1;
	const char *env = env_of(c, c->env_url, c->env_url_count), *provider = config_provider(config, c->name, "base-url");
	bool by_flag = base_url || g->host || g->context;
	out->from_env = !by_flag && env;
	out->url = base_url ? base_url : by_flag ? NULL : env ? env : provider;
	if (out->url || g->host)
		out->context = NULL;
	if (out->context) {
		out->url = out->context->endpoint;
		out->key = out->context->key;
	} else {
		out->key = (struct config_key){ .text = config_provider(config, c->name, "api-key"),
			.file = config_provider(config, c->name, "api-key-file") };
	}
	return 0;
}

static int own_daemon(struct cli *cli, struct target *t, struct err *err)
{
	if (cli_endpoint(cli, err))
		return -1;
	t->ep = cli->endpoint;
	t->own = true;
	return 0;
}

/* See cli/where.h: a variable may not send a key over the network in clear. */
static int check_clear(const struct target *t, bool from_env, struct err *err)
{
	if (!from_env || !endpoint_in_clear(&t->ep) || t->header_count + t->query_count == 0)
		return 0;
	err_set(err, ERR_FORBIDDEN, "the credential would go to '%s' in clear text", t->ep.shown);
	return err_hint(err, "use https://; if you accept it, name the address with --base-url or in a context");
}

int target_find(
	struct cli *cli, const struct contract *c, const struct ct_op *op, const char *base_url, struct target *t, struct err *err)
{
	const char *given = cli->globals.api_key;
	struct filed f;
	auto_buf secret = BUF_INIT;
	*t = (struct target){ 0 };
	t->key_hint = hint(c, op);
	if (find_url(cli, c, base_url, &f, err))
		return -1;
	bool has_key = given || has_credential(c) || f.key.text || f.key.file;
	if (!f.url && has_key && str_starts(c->server, "https://") && !cli->globals.host && !cli->globals.context)
		f.url = c->server;
	if (!f.url)
		return own_daemon(cli, t, err);
	if (endpoint_parse(f.url, &t->ep, err))
		return -1;
	if (!given && !has_credential(c) && config_secret(cli->config, &f.key, &secret, err))
		return err_prefix(err, f.context ? "context '%s'" : "provider '%s'", f.context ? f.context->name : c->name);
	strip_base(c, &t->ep);
	add_credentials(t, c, op, given ? given : secret.len ? secret.p : NULL);
	add_routing(t, c, op);
	return check_clear(t, f.from_env, err);
}

void target_free(struct target *t)
{
	for (size_t i = 0; i < t->owned_count; i++)
		free(t->owned[i]);
	free(t->key_hint);
	if (!t->own)
		endpoint_free(&t->ep);
	*t = (struct target){ 0 };
}
