#include "daemon/notify/url.h"

#include <string.h>
#include <strings.h>

#include "shared/base/util.h"

static struct url_part part(const char *from, const char *to)
{
	return (struct url_part){ from, (size_t)(to - from) };
}

static int check_text(const char *text, const char *what, struct err *err)
{
	if (strlen(text) > URL_TEXT_MAX)
		return err_set(err, ERR_INVALID, "'%s' is longer than %d characters", what, URL_TEXT_MAX);
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '\\')
			return err_set(err, ERR_INVALID, "'%s' has a character that must be percent-encoded in a URL", what);
	return 0;
}

/* [user@]host[:port] */
static int split_authority(const char *from, const char *to, const char *what, struct url *out, struct err *err)
{
	const char *at = memrchr(from, '@', (size_t)(to - from));
	out->user = part(from, at ? at : from);
	const char *host = at ? at + 1 : from, *end = host;
	if (host < to && *host == '[') {
		end += 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
		end = end < to && *end == ']' ? end + 1 : host;
	} else {
		end += strspn(host, URL_WORD "-._");
	}
	out->host = part(host, end);
	if (end == host || (end < to && *end != ':'))
		return err_set(err, ERR_INVALID, "'%s' has no host, or one that cannot be", what);
	char port[8] = "80";
	int64_t number;
	if (end < to && to - end - 1 >= (ptrdiff_t)sizeof(port))
		return err_set(err, ERR_INVALID, "the port in '%s' is no port", what);
	if (end < to) {
		memcpy(port, end + 1, (size_t)(to - end - 1));
		port[to - end - 1] = '\0';
	}
	return parse_int(port, "port", 1, 65535, &number, NULL) ? err_set(err, ERR_INVALID, "the port in '%s' is no port", what)
								: 0;
}

int url_split(const char *text, const char *what, struct url *out, struct err *err)
{
	*out = (struct url){ 0 };
	if (check_text(text, what, err))
		return -1;
	bool plain = !strncasecmp(text, "http://", 7);
	if (!plain && strncasecmp(text, "https://", 8) != 0)
		return err_set(err, ERR_INVALID, "'%s' must begin with https:// or http://", what);
	const char *authority = text + (plain ? 7 : 8), *path = authority + strcspn(authority, "/?#");
	const char *question = path + strcspn(path, "?#"), *query = question + (*question == '?');
	out->origin = part(text, path);
	out->path = part(path, question);
	out->query = part(query, query + (*question == '?' ? strcspn(query, "#") : 0));
	return split_authority(authority, path, what, out, err);
}

bool url_part_is(struct url_part given, const char *text)
{
	return given.n == strlen(text) && !memcmp(given.p, text, given.n);
}

bool url_host_is(const struct url *url, const char *host)
{
	return url->host.n == strlen(host) && !strncasecmp(url->host.p, host, url->host.n);
}

bool url_part_has_only(struct url_part given, const char *chars, size_t min)
{
	size_t n = 0;
	while (n < given.n && given.p[n] && strchr(chars, given.p[n]))
		n++;
	return n == given.n && n >= min;
}

size_t url_segments(struct url_part path, struct url_part *out, size_t max)
{
	size_t count = 0;
	const char *end = path.p + path.n;
	for (const char *from = path.p; from < end;) {
		from++; /* the slash */
		const char *slash = memchr(from, '/', (size_t)(end - from)), *to = slash ? slash : end;
		if (count < max)
			out[count] = part(from, to);
		count++;
		from = to;
	}
	return count;
}

bool url_query(struct url_part query, const char *name, struct url_part *out)
{
	size_t n = strlen(name);
	const char *end = query.p + query.n;
	for (const char *from = query.p; from < end;) {
		const char *and = memchr(from, '&', (size_t)(end - from)), *to = and? and : end;
		if ((size_t)(to - from) > n + 1 && from[n] == '=' && !strncmp(from, name, n)) {
			*out = part(from + n + 1, to);
			return true;
		}
		from = to + (to < end);
	}
	return false;
}
