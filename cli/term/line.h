/*
 * line: a line as it is typed on a raw terminal. Pure: bytes in, the line and what became of it out.
 */
#ifndef SBX_CLI_LINE_H
#define SBX_CLI_LINE_H

#include <stddef.h>

#include "shared/base/buf.h"

enum line_state {
	LINE_MORE,
	LINE_DONE,
	LINE_END,     /* Ctrl-D where nothing was typed */
	LINE_GIVEN_UP /* Ctrl-C */
};

/* Backspace takes back a character, Ctrl-U all; other control characters do not count. What follows the end is dropped. */
enum line_state line_feed(struct buf *line, const char *bytes, size_t n);

#endif
