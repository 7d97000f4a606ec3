#include "daemon/oauth/config.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/notify/url.h"
#include "shared/base/mem.h"

/* NULL when it is not set, or to nothing. */
static const char *value_of(char *(*get)(const char *), const char *name)
{
	const char *value = get(name);
	return value && *value ? value : NULL;
}

/* What paths can be appended to: no query, no fragment, nobody's name; *out is NULL after a failure. */
static int read_url(char **out, const char *name, const char *value, struct err *err)
{
	struct url url;
	struct err why = ERR_INIT;
	*out = NULL;
	if (url_split(value, name, &url, &why))
		return err_set(err, ERR_USAGE, "%s", why.msg);
	if (url.user.n > 0 || strpbrk(value, "?#"))
		return err_set(err, ERR_USAGE, "'%s' must have no user, query or fragment", name);
	size_t n = strlen(value);
	while (value[n - 1] == '/')
		n--;
	*out = mem_strndup(value, n);
	return 0;
}

static int read_urls(char *(*get)(const char *), struct oauth_config *out, struct err *err)
{
	const char *here = value_of(get, "SBX_PUBLIC_URL");
	if (!here) {
		err_set(err, ERR_USAGE, "SBX_GITHUB_CLIENT_ID is set, but not SBX_PUBLIC_URL");
		return err_hint(err, "set it to where browsers reach this daemon, such as https://sbx.example.com");
	}
	const struct {
		char **out;
		const char *name, *def;
	} rows[] = {
		{ &out->here, "SBX_PUBLIC_URL", here },
		{ &out->front, "SBX_OAUTH_REDIRECT_URL", here },
		{ &out->site, "SBX_GITHUB_URL", "https://github.com" },
		{ &out->api, "SBX_GITHUB_API_URL", "https://api.github.com" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *value = value_of(get, rows[i].name);
		if (read_url(rows[i].out, rows[i].name, value ? value : rows[i].def, err))
			return -1;
	}
	return 0;
}

int oauth_config_read(char *(*get)(const char *name), struct oauth_config *out, struct err *err)
{
	const char *id = value_of(get, "SBX_GITHUB_CLIENT_ID"), *secret = value_of(get, OAUTH_SECRET_VARIABLE);
	*out = (struct oauth_config){ 0 };
	if (!id && !secret)
		return 0;
	if (!id || !secret)
		return err_set(err, ERR_USAGE, "%s is set, but not %s", id ? "SBX_GITHUB_CLIENT_ID" : OAUTH_SECRET_VARIABLE,
			id ? OAUTH_SECRET_VARIABLE : "SBX_GITHUB_CLIENT_ID");
	if (read_urls(get, out, err)) {
		oauth_config_release(out);
		return -1;
	}
	out->client_id = mem_strdup(id);
	out->client_secret = mem_strdup(secret);
	return 0;
}

void oauth_config_release(struct oauth_config *c)
{
	free(c->client_id);
	free(c->client_secret);
	free(c->site);
	free(c->api);
	free(c->here);
	free(c->front);
	*c = (struct oauth_config){ 0 };
}
