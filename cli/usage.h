/*
 * usage: what sandboxes use, as tables: of now, a row a sandbox, and of the past, a row a figure.
 */
#ifndef SBX_CLI_USAGE_H
#define SBX_CLI_USAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/json.h"

/* What rows are sorted by: the largest first, names from a on. */
enum usage_order { USAGE_CPU, USAGE_MEMORY, USAGE_DISK, USAGE_NAME, USAGE_ORDERS };
extern const char *const usage_orders[USAGE_ORDERS + 1]; /* their words, ended by NULL */

/* The rows of a line of streamStats, in columns of which those on the right are left out where the width does not do. */
void usage_table(struct buf *out, const js *rows, enum usage_order order, size_t width);
/* True when the figures of every running sandbox are in. */
bool usage_complete(const js *rows);
/* The least, mean, most and last of every figure of the points of getSandboxMetrics, and their course. */
void usage_history(struct buf *out, const js *points, size_t width, bool utf8);

#endif
