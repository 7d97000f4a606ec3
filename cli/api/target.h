/*
 * target: where a generated command goes, and the credentials that it shows there.
 *
 * The address: --base-url, --host, --context, the provider's environment variable, its entry in the config file, the current
 * context when it speaks that dialect, the provider's hosted server when a credential of theirs is given, else the endpoint of the
 * native commands (our own daemon). A variable's address gets no credential in clear text (cli/where.h). The credentials are those
 * that the operation's security asks for: --api-key, the environment variables of each scheme, the config file, the context. Our
 * own daemon takes its own key for any of them, and none on its Unix socket.
 */
#ifndef SBX_CLI_API_TARGET_H
#define SBX_CLI_API_TARGET_H

#include "cli/cli.h"
#include "shared/contract/contract.h"

#define TARGET_HEADERS 12

struct target {
	struct endpoint ep;
	bool own;    /* the endpoint of the native commands: ep is borrowed from cli */
	bool native; /* it shows the key of the native API */
	struct kv headers[TARGET_HEADERS];
	size_t header_count;
	struct kv query[4]; /* credentials that go into the address */
	size_t query_count;
	char *owned[TARGET_HEADERS + 4];
	size_t owned_count;
	char *key_hint; /* "set WRENN_API_KEY or --api-key" */
};

/* Fill t. Free with target_free, also after a failure. */
int target_find(
	struct cli *cli, const struct contract *c, const struct ct_op *op, const char *base_url, struct target *t, struct err *err);
void target_free(struct target *t);

#endif
