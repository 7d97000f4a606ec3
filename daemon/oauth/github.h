/*
 * github: what GitHub's login wants to be sent, and what its answers say. Pure; answers are the words of another machine, and
 * nothing in them is believed before it was looked at. Source: reference/wrenn.md 3.5.
 */
#ifndef SBX_OAUTH_GITHUB_H
#define SBX_OAUTH_GITHUB_H

#include <stddef.h>

#include "daemon/oauth/config.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

enum { GITHUB_TOKEN_MAX = 2048 };

/* Somebody, as GitHub knows him. */
struct oauth_profile {
	char subject[24]; /* his number there, which never changes */
	char email[255];  /* "" when he hides it: ask for his addresses */
	char name[101];	  /* one line of UTF-8 */
};

/* Append the page where one says yes, and the body that turns the code of a yes into a token. */
void github_page(const struct oauth_config *c, const char *state, struct buf *out);
void github_token_form(const struct oauth_config *c, const char *code, struct buf *out);

/* PROTOCOL for all that makes no sense. The token is printable ASCII without blanks. */
int github_read_token(const char *json, size_t n, char out[GITHUB_TOKEN_MAX + 1], struct err *err);
int github_read_user(const char *json, size_t n, struct oauth_profile *out, struct err *err);
/* Fill in the address that is his primary one and verified. */
int github_read_emails(const char *json, size_t n, struct oauth_profile *out, struct err *err);

#endif
