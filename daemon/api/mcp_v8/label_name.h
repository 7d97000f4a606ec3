/*
 * label_name: mcp-v8's labels may be named almost anything, ours may not (label_check). What is not allowed in ours is escaped as
 * %XX, so that each name of theirs has one of ours, and is shown as theirs again. Names without such characters are the same in
 * both. Pure.
 */
#ifndef SBX_API_MCP_V8_LABEL_NAME_H
#define SBX_API_MCP_V8_LABEL_NAME_H

#include "shared/base/err.h"

#define MCP_LABEL_MAX 255

/* Ours, allocated. NULL with INVALID for names that are refused: empty, over 255 bytes, 64 hex digits, with control characters or a
 * part "..". */
char *mcp_label_to_ours(const char *theirs, struct err *err);
/* Theirs, allocated. */
char *mcp_label_to_theirs(const char *ours);

#endif
