/*
 * listing: what the commands of things that have names (`ls`, `inspect`, `rm`) share: items as a document, or as a table, or a word
 * that there are none; all about one; and several removed.
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
/* Print all that an operation says of one item: a document, or a line for each member. */
int listing_show(struct cli *cli, enum sbx_op op, const char *id, struct err *err);
/* Make one call for each name. within: what comes before it in the path, or NULL. Each failure is told and the others are tried all
 * the same, unless no daemon is there any more. 0, 1 when one failed, -1 with err when it could not begin. */
int listing_remove(struct cli *cli, enum sbx_op op, const char *within, const struct args *names, struct err *err);

#endif
