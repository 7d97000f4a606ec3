/*
 * mdoc: text as mdoc(7) wants it, so that roff takes none of it for its own and mandoc's lint has nothing to say.
 */
#ifndef SBX_CLI_MAN_MDOC_H
#define SBX_CLI_MAN_MDOC_H

#include "cli/opt.h"
#include "shared/base/buf.h"

/* Running text: one sentence a line, lines of less than 80 columns, `code` in bold; an empty line begins a paragraph. */
void mdoc_text(struct buf *out, const char *text);
/* One more argument of the macro on this line: a space and the text, never taken for a macro's name. */
void mdoc_arg(struct buf *out, const char *text);
/* Lines as they are, in a display of their own. */
void mdoc_literal(struct buf *out, const char *lines);
/* What follows a command's name, "[options] SANDBOX [--] COMMAND [ARG...]", as a line of macros; nothing when it is empty. */
void mdoc_usage(struct buf *out, const char *usage);
/* The rows of a table of options as a list; nothing when it has none. */
void mdoc_options(struct buf *out, const struct opt *table);
/* ".It Fl o , Fl -output Ar FORMAT"; letter 0 and value "" are left out. */
void mdoc_option(struct buf *out, char letter, const char *name, const char *value);
/* ".Dd" to ".Nd": the head of a page. A summary is begun in lower case. */
void mdoc_head(struct buf *out, const char *date, const char *name, const char *section, const char *summary);

/* The finished page: each line ".Xr NAME SECTION" becomes plain text that looks the same. mandoc's lint knows the installed pages
 * of the system only, whatever MANPATH says, and would complain about every reference between pages that lie elsewhere. */
void mdoc_finish(struct buf *out, const char *page);

/* A list of ".Xr" in the order that SEE ALSO wants. names are "sbx.yaml(5)"; self is left out. Sorts names. */
void mdoc_see(struct buf *out, const char **names, size_t n, const char *self);

#endif
