/*
 * ignore_internal: one pattern with wildcards, as git's wildmatch has them (ignore_glob.c). Matching takes at most length of
 * pattern times length of text steps, whatever the pattern.
 */
#ifndef SBX_STORE_IGNORE_INTERNAL_H
#define SBX_STORE_IGNORE_INTERNAL_H

#include "shared/store/ignore.h"

#define GLOB_MAX 1024u /* bytes of a pattern */

struct glob;
/* NULL for a pattern that can match nothing (an open bracket, an unknown class, a backslash at the end) or is too long. paths: '*'
 * and '?' stay between slashes. literal: so many bytes at the beginning have no wildcard; a "**" right after them counts as one at
 * the beginning (git's own peculiarity). */
struct glob *glob_new(const char *pattern, size_t n, bool paths, size_t literal);
void glob_free(struct glob *g);
bool glob_match(const struct glob *g, const char *text, size_t n);

#endif
