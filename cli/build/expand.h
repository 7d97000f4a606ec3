/*
 * expand: words of a Dockerfile: where they end, and what they say once variables are put in and quotes are taken off.
 *
 * As in Docker: $x, ${x}, ${x:-word}, ${x:+word}, ${x:?word} (and without the colon, when unset counts but empty does not); nothing
 * is put in between single quotes; the escape character quotes the next one. A variable that is not set is empty.
 */
#ifndef SBX_CLI_BUILD_EXPAND_H
#define SBX_CLI_BUILD_EXPAND_H

#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct expand {
	char escape;
	/* The value of a variable (n bytes of name), or NULL. NULL function: there are none. */
	const char *(*value)(void *arg, const char *name, size_t n);
	void *arg;
};

/* One word; appended to out. INVALID with what is wrong. */
int expand_word(const struct expand *x, const char *word, struct buf *out, struct err *err);

/* The length of the word that text begins with: to the next blank outside of quotes. 0 at the end of the text. */
size_t expand_next(char escape, const char *text);
/* "K=V" at most: the length of the name, up to the first '=' outside of quotes, or n when there is none. */
size_t expand_name(char escape, const char *word, size_t n);

#endif
