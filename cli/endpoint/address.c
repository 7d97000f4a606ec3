/* The parsing part of endpoint.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/endpoint/endpoint.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define ADDRESS_MAX 1024

static int bad_address(const char *text, const char *why, struct err *err)
{
	err_set(err, ERR_USAGE, "'%.200s' is no endpoint%s%s", text, *why ? ": " : "", why);
	return err_hint(err, "write unix:PATH, http://HOST:PORT, https://HOST or ssh://USER@HOST");
}

/* Printable ASCII without what would need quoting somewhere on the way: in a header, an argument, a log. */
static bool plain(const char *s, const char *more)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(more, *s))
			return false;
	return true;
}

/* HOST, HOST:PORT, [V6] or [V6]:PORT, which is cut up. */
static int split_host(char *text, char **host, char **port)
{
	int64_t number;
	char *end = text;
	*host = text;
	*port = NULL;
	if (*text == '[') {
		*host = text + 1;
		end = strchr(text, ']');
		if (!end || !strchr(text, ':'))
			return -1;
		*end++ = '\0';
	} else {
		end += strcspn(text, ":");
	}
	if (*end == ':') {
		*end = '\0';
		*port = end + 1;
		if (parse_int(*port, "port", 1, 65535, &number, NULL) || strlen(*port) > 5)
			return -1;
	} else if (*end != '\0') {
		return -1;
	}
	/* ssh would take such a host for an option */
	return **host == '\0' || **host == '-' || !plain(*host, strchr(*host, ':') ? ".:%" : ".-_") ? -1 : 0;
}

static char *authority_of(const char *host, const char *port)
{
	bool v6 = strchr(host, ':');
	return mem_printf("%s%s%s%s%s", v6 ? "[" : "", host, v6 ? "]" : "", port ? ":" : "", port ? port : "");
}

/* What comes before the paths of the contract, without slashes at its end. */
static int set_base(const char *path, struct endpoint *out)
{
	size_t n = strlen(path);
	while (n && path[n - 1] == '/')
		n--;
	free(out->base_path);
	out->base_path = mem_strndup(path, n);
	return plain(out->base_path, "/-._~%!$&'()*+,;=:@") ? 0 : -1;
}

static int parse_url(const char *text, size_t scheme, struct endpoint *out, struct err *err)
{
	const char *rest = text + scheme;
	size_t len = strcspn(rest, "/?#");
	auto_free char *address = mem_strndup(rest, len);
	if (strchr(address, '@'))
		return bad_address("http(s)://...", "it must not hold a name or password before '@'", err);
	char *host, *port;
	if (split_host(address, &host, &port))
		return bad_address(text, "", err);
	if (set_base(rest + len, out))
		return bad_address(text, "its path may have no query and no blanks", err);
	out->host = mem_strdup(host);
	out->authority = authority_of(host, port);
	out->port = mem_strdup(port ? port : out->kind == ENDPOINT_HTTPS ? "443" : "80");
	return 0;
}

static int parse_ssh(const char *text, struct endpoint *out, struct err *err)
{
	const char *rest = text + strlen("ssh://");
	size_t len = strcspn(rest, "/?#");
	if (rest[len] != '\0' && strcmp(rest + len, "/") != 0)
		return bad_address(text, "an ssh:// endpoint has no path", err);
	auto_free char *address = mem_strndup(rest, len);
	char *name = address, *at = strrchr(address, '@'), *host, *port;
	if (at) {
		*at = '\0';
		name = at + 1;
		if (strchr(address, ':'))
			return bad_address("ssh://...", "it must not hold a password", err);
		if (*address == '\0' || *address == '-' || !plain(address, ".-_+"))
			return bad_address(text, "", err);
		out->user = mem_strdup(address);
	}
	if (split_host(name, &host, &port))
		return bad_address(text, "", err);
	out->host = mem_strdup(host);
	out->port = port ? mem_strdup(port) : NULL;
	out->authority = mem_strdup("sbx");
	return 0;
}

int endpoint_local(struct endpoint *out, struct err *err)
{
	*out = (struct endpoint){ .kind = ENDPOINT_UNIX, .base_path = mem_strdup("") };
	out->home = fs_sbx_home(err);
	if (!out->home)
		return -1;
	out->managed = true;
	out->authority = mem_strdup("sbx");
	out->path = fs_join(out->home, "sbxd.sock");
	out->shown = mem_printf("unix:%s", out->path);
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *out, struct err *err)
{
	static const struct {
		const char *prefix;
		enum endpoint_kind kind;
	} schemes[] = {
		{ "unix:", ENDPOINT_UNIX },
		{ "http://", ENDPOINT_HTTP },
		{ "https://", ENDPOINT_HTTPS },
		{ "ssh://", ENDPOINT_SSH },
	};
	if (strcmp(text, "unix:") == 0)
		return endpoint_local(out, err);
	*out = (struct endpoint){ .base_path = mem_strdup("") };
	size_t i = 0;
	while (i < ARRAY_LEN(schemes) && !str_starts(text, schemes[i].prefix))
		i++;
	if (i == ARRAY_LEN(schemes) || strlen(text) > ADDRESS_MAX)
		return bad_address(text, "", err);
	out->kind = schemes[i].kind;
	out->shown = mem_strdup(text);
	if (out->kind == ENDPOINT_SSH)
		return parse_ssh(text, out, err);
	if (out->kind != ENDPOINT_UNIX)
		return parse_url(text, strlen(schemes[i].prefix), out, err);
	out->path = mem_strdup(text + strlen("unix:"));
	out->authority = mem_strdup("sbx");
	return 0;
}

void endpoint_free(struct endpoint *ep)
{
	free(ep->home);
	free(ep->path);
	free(ep->user);
	free(ep->host);
	free(ep->port);
	free(ep->authority);
	free(ep->base_path);
	free(ep->shown);
	*ep = (struct endpoint){ 0 };
}

/* By name or number, without asking a resolver, which anybody may own. */
static bool is_loopback(const char *host)
{
	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
		return true;
	unsigned dots = 0;
	for (const char *s = host; *s; s++)
		dots += *s == '.';
	return str_starts(host, "127.") && dots == 3 && strspn(host, "0123456789.") == strlen(host);
}

bool endpoint_in_clear(const struct endpoint *ep)
{
	return ep->kind == ENDPOINT_HTTP && !is_loopback(ep->host);
}
