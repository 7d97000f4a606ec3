/*
 * config: what logins through GitHub need to know, from the environment: never from arguments, which every process can read.
 *
 *   SBX_GITHUB_CLIENT_ID, SBX_GITHUB_CLIENT_SECRET   this daemon, as GitHub knows it; without both nobody logs in that way
 *   SBX_PUBLIC_URL                                   this daemon, as browsers reach it; needed with the two
 *   SBX_OAUTH_REDIRECT_URL                           the web front end that a login ends at; SBX_PUBLIC_URL
 *   SBX_GITHUB_URL, SBX_GITHUB_API_URL               an own GitHub; https://github.com and https://api.github.com
 */
#ifndef SBX_OAUTH_CONFIG_H
#define SBX_OAUTH_CONFIG_H

#include "shared/base/err.h"

#define OAUTH_SECRET_VARIABLE "SBX_GITHUB_CLIENT_SECRET"

/* URLs have no slash at their end. */
struct oauth_config {
	char *client_id; /* NULL: nobody logs in that way, and the rest is NULL too */
	char *client_secret;
	char *site, *api;
	char *here, *front;
};

/* get is getenv, or stands in for it. Release out with oauth_config_release; after a failure there is nothing to release. -1 with
 * USAGE, which names the variable. */
int oauth_config_read(char *(*get)(const char *name), struct oauth_config *out, struct err *err);
void oauth_config_release(struct oauth_config *c);

#endif
