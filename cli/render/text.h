/*
 * text: values as a person reads them, and text from outside made harmless for a terminal.
 */
#ifndef SBX_CLI_TEXT_H
#define SBX_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"

/* s with control characters, invalid UTF-8 and bidirectional overrides as \xNN or \u{N}. */
void text_safe(struct buf *out, const char *s);
/* Columns that valid UTF-8 text takes on a terminal. */
size_t text_width(const char *s);

/* "12s", "5m", "3h", "2d" since an RFC 3339 time; the time itself when it cannot be read. */
void text_age(struct buf *out, const char *rfc3339, int64_t now_wall_ms);
/* "256 MiB", "1.5 GiB" */
void text_size(struct buf *out, int64_t bytes);

#endif
