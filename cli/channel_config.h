/*
 * channel_config: the fields of a channel's configuration: from options, or from a file, where others cannot see them.
 */
#ifndef SBX_CLI_CHANNEL_CONFIG_H
#define SBX_CLI_CHANNEL_CONFIG_H

#include <stddef.h>

#include "cli/endpoint/client.h"
#include "cli/opt.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

struct channel_config {
	struct kv *v;
	size_t n;
	char *text; /* what they point into */
};

/* pairs are "K=V". Lines of the file likewise; blank ones and those that begin with # do not count. "-" is standard input, NULL
 * none. USAGE for a line that is no field, and when there is none at all. Free with channel_config_free in either case. */
int channel_config_read(const struct opt_list *pairs, const char *file, struct channel_config *out, struct err *err);
/* The same of the text of a file; what names it in messages. */
int channel_config_parse(
	const struct opt_list *pairs, const char *text, const char *what, struct channel_config *out, struct err *err);
void channel_config_free(struct channel_config *c);

#endif
