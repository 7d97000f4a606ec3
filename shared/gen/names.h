/*
 * names: one name in the spellings of C, of the shell and of English. All append to out.
 */
#ifndef SBX_GEN_NAMES_H
#define SBX_GEN_NAMES_H

#include "shared/base/buf.h"

/* "listVMs", "File System", "api-keys" -> words with sep between: "list-vms", "file-system", "api-keys". */
void name_words(const char *s, char sep, struct buf *out);
/* ... as kebab-case. */
void name_kebab(const char *s, struct buf *out);
/* ... as SNAKE_UPPER, never beginning with a digit. */
void name_snake_upper(const char *s, struct buf *out);
/* s with every character that C does not take replaced by '_': "mcp-v8" -> "mcp_v8". */
void name_c(const char *s, struct buf *out);
/* Cut the plural off the word in b: "sandboxes" -> "sandbox", "api-keys" -> "api-key", "status" stays. */
void name_singular(struct buf *b);

#endif
