/*
 * listing: what the `ls` commands share: items as a document, or as a table, or a word that there are none.
 */
#ifndef SBX_CLI_LISTING_H
#define SBX_CLI_LISTING_H

#include "cli/cli.h"
#include "cli/endpoint/client.h"
#include "cli/render/table.h"

struct listing {
	const char *what; /* "keys", in the word that there are none */
	const char *const *headers;
	size_t columns;
	void (*row)(struct table *t, const js *item); /* as many table_cell as there are columns */
};

/* The items of an array, in the format that was asked for. */
void listing_print(struct cli *cli, const struct listing *l, const js *items);
/* Make a call and print the array that its answer has as `member`. */
int listing_call(struct cli *cli, const struct listing *l, const struct call *call, const char *member, struct err *err);

#endif
