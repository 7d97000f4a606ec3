/*
 * where: which of the places where a setting may stand wins: a flag, a variable, the configuration, the default.
 *
 * Where a hand-written command goes: --host, --context, SBX_HOST, SBX_CONTEXT, `context:` of the file, the local daemon.
 * Its key: --api-key, SBX_API_KEY, the context's: the token of a login, else its key. The format: -o, SBX_OUTPUT, `output:` of the
 * file, table.
 *
 * A key goes in clear text (http:// to another machine) only where the person named the address: with --host or in a context,
 * never to one that came by SBX_HOST, which scripts and tools set.
 */
#ifndef SBX_CLI_WHERE_H
#define SBX_CLI_WHERE_H

#include "cli/config.h"
#include "cli/endpoint/endpoint.h"

enum from { FROM_DEFAULT, FROM_FLAG, FROM_ENV, FROM_FILE };

/* Borrowed texts: valid as long as argv, the environment and the configuration. */
struct setting {
	const char *value; /* NULL = not set anywhere */
	enum from from;
	const char *name; /* of the variable or file */
};

/* "flag", "env SBX_HOST", "file PATH", "default" */
void setting_source(const struct setting *s, struct buf *out);
/* Value of a variable, NULL when it is not set or empty. */
const char *setting_env(const char *name);

/* The flags that choose; NULL = not given. */
struct choice {
	const char *host, *context, *api_key, *output;
};

/* config may be NULL: then the file says nothing. */
struct setting setting_output(const struct choice *c, const struct config *config);
struct setting setting_context(const struct choice *c, const struct config *config);

struct where {
	bool by_host;	  /* an address, else the name of a context */
	struct setting s; /* the address or name */
};
struct where where_pick(const struct choice *c, const struct config *config);

/* The endpoint of the target, whatever its API is; *context is its entry, or NULL. NOT_FOUND for an unknown context. Free with
 * endpoint_free, also after a failure. */
int where_endpoint(const struct where *t, const struct config *config, const struct config_context **context, struct endpoint *out,
	struct err *err);
/* The key for it; key->value is NULL when there is none. secret holds it when it was read from a file. */
int where_key(const struct choice *c, const struct config *config, const struct config_context *context, struct buf *secret,
	struct setting *key, struct err *err);
/* The endpoint with its key, of a target that speaks our native API. USAGE when it speaks another, FORBIDDEN for a key in clear. */
int where_resolve(const struct choice *c, const struct config *config, struct buf *secret, struct endpoint *out, struct err *err);

#endif
