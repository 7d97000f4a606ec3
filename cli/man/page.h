/*
 * page: the pages of the manual that come from tables, and the lists in those that are written by hand.
 */
#ifndef SBX_CLI_MAN_PAGE_H
#define SBX_CLI_MAN_PAGE_H

#include "shared/base/buf.h"
#include "shared/contract/contract.h"

struct man {
	const char *date;   /* "November 30, 2026" */
	const char *folder; /* of the parts that are written by hand */
};

/* Of commands[i], or of its whole group. The name is "sbx-create", "sbx-image"; free it. */
char *page_command_name(size_t i);
void page_command(struct buf *out, const struct man *m, size_t i);

/* "sbx-wrenn" and, for the operations of the noun that begins with this one, "sbx-wrenn-capsule". */
void page_contract(struct buf *out, const struct man *m, const struct contract *c);
char *page_noun_name(const struct contract *c, uint32_t op);
void page_noun(struct buf *out, const struct man *m, const struct contract *c, uint32_t op);

/* A part that is written by hand, with lists in place of its lines "@date", "@commands", "@contracts", "@options" and "@see".
 * Nothing when there is no such file and it may be missing. 0, or -1 with err. */
int page_part(struct buf *out, const struct man *m, const char *file, bool optional, struct err *err);

#endif
