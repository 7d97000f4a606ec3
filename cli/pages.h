/*
 * pages: all sandboxes that a filter finds, over all pages of the list.
 */
#ifndef SBX_CLI_PAGES_H
#define SBX_CLI_PAGES_H

#include "cli/endpoint/client.h"

struct list_filter {
	const char *state, *name, *label, *image; /* NULL = any */
	bool pool;				  /* those that wait for a create, too */
};

/* Call each for every sandbox, newest first, until it returns non-zero (which is returned). -1 with err when a page fails. */
int pages_each(
	struct client *c, const struct list_filter *filter, int (*each)(void *arg, const js *sandbox), void *arg, struct err *err);

#endif
