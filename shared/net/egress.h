/*
 * egress: the destinations that a guest may reach, as a person writes them: "HOST[:PORT],...".
 *
 * HOST is a name (api.example.com), all names below one (*.example.com, not example.com itself), an IPv4 address or a network
 * (10.1.0.0/16). Without PORT: all ports. Names are matched as what the guest asks for, not as what an address is called.
 * Used by the daemon (to check) and by sbx-net (to enforce). Pure.
 */
#ifndef SBX_NET_EGRESS_H
#define SBX_NET_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

#define EGRESS_TEXT_MAX 2048
#define EGRESS_RULES_MAX 64
#define EGRESS_NAME_MAX 253

struct egress_rule {
	char *name;	    /* lower case; NULL: a network */
	bool below;	    /* names below it, not itself */
	uint32_t net, mask; /* host byte order */
	uint16_t port;	    /* 0: all */
};

struct egress {
	struct egress_rule rules[EGRESS_RULES_MAX];
	size_t count;
};

/* -1 with err INVALID, which names the part that is wrong. Release with egress_release; nothing to release after a failure. */
int egress_parse(const char *text, struct egress *out, struct err *err);
void egress_release(struct egress *e);
/* Does this rule speak of the name (lower case, no dot at its end)? */
bool egress_rule_has(const struct egress_rule *rule, const char *name);

#endif
