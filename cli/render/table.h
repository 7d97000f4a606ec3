/*
 * table: rows of text in columns: upper-case headers, every column as wide as its widest cell and two spaces, the last one
 * not padded, nothing cut. Cells are made safe for a terminal.
 */
#ifndef SBX_CLI_TABLE_H
#define SBX_CLI_TABLE_H

#include <stddef.h>

#include "shared/base/buf.h"

struct table {
	size_t columns;
	char **cells; /* rows one after another; owned */
	size_t count;
};

/* Begin with the headers. Free with table_free. */
void table_init(struct table *t, const char *const *headers, size_t columns);
/* The next cell, row by row; NULL is "". Copied. */
void table_cell(struct table *t, const char *text);
void table_print(const struct table *t, struct buf *out);
void table_free(struct table *t);

#endif
