/* What is written and read without asking anybody: names of images, and challenges. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "daemon/image/registry.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static int bad(struct err *err, const char *text, const char *why)
{
	err_set(err, ERR_INVALID, "'%.200s' is no image of a registry: %s", text, why);
	return err_hint(err, "write [HOST[:PORT]/]NAME[:TAG], such as debian:12 or 127.0.0.1:5000/app:1");
}

/* Is the first part of a name a host? As docker decides: it has a dot or a port, or is localhost. */
static bool is_host(const char *p, size_t n)
{
	return memchr(p, '.', n) || memchr(p, ':', n) || (n == 9 && !strncmp(p, "localhost", n));
}

static bool host_valid(const char *host)
{
	size_t n = strcspn(host, ":");
	if (host[0] == '[') {
		n = strspn(host + 1, "abcdefABCDEF" DIGITS ":.") + 1;
		if (n < 3 || host[n] != ']')
			return false;
		n++;
	} else if (n == 0 || n > 253 || strspn(host, LETTERS DIGITS ".-") != n) {
		return false;
	}
	const char *port = host + n;
	return !*port || (*port == ':' && parse_int(port + 1, "port", 1, 65535, &(int64_t){ 0 }, NULL) == 0);
}

/* Parts of small letters and digits, with . _ - between, and slashes between the parts. */
static bool repository_valid(const char *name)
{
	char before = '/';
	for (; *name; before = *name++) {
		bool word = strchr(LOWER DIGITS, *name) != NULL;
		if (!word && (!strchr("._-/", *name) || before == '/' || (*name == '/' && strchr("._-", before))))
			return false;
	}
	return strchr(LOWER DIGITS, before) != NULL;
}

static bool tag_valid(const char *tag)
{
	return *tag && strchr(LETTERS DIGITS "_", *tag) && strspn(tag, LETTERS DIGITS "_.-") == strlen(tag);
}

static int take(char *out, size_t size, const char *from, size_t n)
{
	if (n >= size)
		return -1;
	memcpy(out, from, n);
	out[n] = '\0';
	return 0;
}

static const char *skip_scheme(const char *p, struct registry_ref *out)
{
	static const char *const schemes[] = { "docker://", "https://", "http://" };
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (str_starts(p, schemes[i])) {
			out->https = i == 1;
			out->http = i == 2;
			return p + strlen(schemes[i]);
		}
	}
	return p;
}

/* Docker's own registry is known by another name than its host. */
static int fill_in(struct registry_ref *out)
{
	if (out->host[0] && strcmp(out->host, "docker.io") != 0 && strcmp(out->host, "index.docker.io") != 0)
		return 0;
	snprintf(out->host, sizeof(out->host), "registry-1.docker.io");
	if (strchr(out->repository, '/'))
		return 0;
	auto_free char *name = mem_strdup(out->repository);
	int n = snprintf(out->repository, sizeof(out->repository), "library/%s", name);
	return n < (int)sizeof(out->repository) ? 0 : -1;
}

int registry_parse(const char *text, struct registry_ref *out, struct err *err)
{
	*out = (struct registry_ref){ 0 };
	const char *p = skip_scheme(text, out), *slash = strchr(p, '/');

	if (slash && (out->https || out->http || is_host(p, (size_t)(slash - p)))) {
		if (take(out->host, sizeof(out->host), p, (size_t)(slash - p)) || !host_valid(out->host))
			return bad(err, text, "its host is none");
		p = slash + 1;
	} else if (out->https || out->http) {
		return bad(err, text, "it has a host and no name");
	}
	size_t n = strcspn(p, ":@");
	if (n == 0 || take(out->repository, sizeof(out->repository), p, n) || !repository_valid(out->repository))
		return bad(err, text, "a name has small letters, digits and . _ - / between them");
	p += n;
	const char *at = strchr(p, '@');
	if (*p == ':') {
		n = at ? (size_t)(at - p) - 1 : strlen(p + 1);
		if (take(out->tag, sizeof(out->tag), p + 1, n) || !tag_valid(out->tag))
			return bad(err, text, "its tag is none");
	}
	if (at) {
		out->tag[0] = '\0'; /* the digest says it better */
		if (oci_digest(at + 1, out->digest, NULL))
			return bad(err, text, "after the @ comes sha256: and 64 hex digits");
	} else if (!out->tag[0]) {
		snprintf(out->tag, sizeof(out->tag), "latest");
	}
	return fill_in(out) ? bad(err, text, "it is too long") : 0;
}

/* ---- challenges ---- */

static bool is_token(char c)
{
	return c && (strchr(LETTERS DIGITS, c) || strchr("!#$%&'*+-.^_`|~", c));
}

/* A token or a quoted string at *p, cut to what fits; false when there is neither. A cut value would be a wrong one: it is "". */
static bool read_value(const char **p, char *out, size_t size)
{
	size_t n = 0;
	bool fits = true, quoted = **p == '"';
	for (*p += quoted; **p && (quoted ? **p != '"' : is_token(**p)); ++*p) {
		if (quoted && **p == '\\' && (*p)[1])
			++*p;
		fits = fits && n + 1 < size && (unsigned char)**p >= 0x20;
		if (fits)
			out[n++] = **p;
	}
	out[fits ? n : 0] = '\0';
	if (quoted && **p != '"')
		return false;
	*p += quoted;
	return quoted || n > 0;
}

static void set_param(struct registry_challenge *c, const char *name, const char *value)
{
	const struct {
		const char *name;
		char *out;
		size_t size;
	} params[] = { { "realm", c->realm, sizeof(c->realm) }, { "service", c->service, sizeof(c->service) },
		{ "scope", c->scope, sizeof(c->scope) } };
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		if (!strcasecmp(name, params[i].name))
			snprintf(params[i].out, params[i].size, "%s", strlen(value) < params[i].size ? value : "");
}

/* One challenge at *p: a scheme, then parameters. False at the end, or where nothing makes sense. */
static bool read_challenge(const char **p, struct registry_challenge *out)
{
	char name[64], value[1024];

	*out = (struct registry_challenge){ .kind = CHALLENGE_NONE };
	*p += strspn(*p, ", \t");
	if (!read_value(p, name, sizeof(name)) || (**p && !strchr(" \t,", **p)))
		return false;
	if (!strcasecmp(name, "Bearer"))
		out->kind = CHALLENGE_BEARER;
	else if (!strcasecmp(name, "Basic"))
		out->kind = CHALLENGE_BASIC;
	for (;;) {
		const char *from = *p;
		*p += strspn(*p, ", \t");
		if (!read_value(p, name, sizeof(name)))
			return !**p;
		*p += strspn(*p, " \t");
		if (**p != '=') { /* a scheme: the next challenge */
			*p = from;
			return true;
		}
		++*p;
		*p += strspn(*p, " \t");
		if (!read_value(p, value, sizeof(value)))
			return false;
		set_param(out, name, value);
	}
}

void registry_challenge(const char *header, struct registry_challenge *out)
{
	struct registry_challenge c;
	const char *p = header;

	*out = (struct registry_challenge){ .kind = CHALLENGE_NONE };
	while (*p && read_challenge(&p, &c)) {
		bool bearer = c.kind == CHALLENGE_BEARER && c.realm[0] && out->kind != CHALLENGE_BEARER;
		if (bearer || (c.kind == CHALLENGE_BASIC && out->kind == CHALLENGE_NONE))
			*out = c;
	}
}
