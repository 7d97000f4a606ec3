/*
 * url: an http or https address that somebody configured, in its parts. Strict: printable ASCII, a plain host, no escapes in it, so
 * that libcurl reads the same host out of it as we do.
 */
#ifndef SBX_NOTIFY_URL_H
#define SBX_NOTIFY_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

#define URL_TEXT_MAX 4096

struct url_part {
	const char *p; /* into the text */
	size_t n;
};
#define URL_FMT(part) (int)(part).n, (part).p /* for "%.*s" */

struct url {
	struct url_part origin; /* all before the path */
	struct url_part user;	/* "name:password", or nothing */
	struct url_part host;	/* IPv6 in its brackets */
	struct url_part path;	/* "" or "/..." */
	struct url_part query;	/* behind '?', without the fragment */
};

/* The parts live as long as the text. -1 with INVALID; `what` is the field's name. */
int url_split(const char *text, const char *what, struct url *out, struct err *err);
bool url_part_is(struct url_part part, const char *text);
bool url_host_is(const struct url *url, const char *host); /* in any case */
/* At least min characters, all of them among chars. */
bool url_part_has_only(struct url_part part, const char *chars, size_t min);
#define URL_DIGITS "0123456789"
#define URL_UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define URL_WORD URL_UPPER "abcdefghijklmnopqrstuvwxyz" URL_DIGITS
/* The path's segments between its slashes; as many of them as there are, at most max are filled in. */
size_t url_segments(struct url_part path, struct url_part *out, size_t max);
/* The value of a member of the query, as it stands there; false when it is absent or empty. */
bool url_query(struct url_part query, const char *name, struct url_part *out);

#endif
