/*
 * ignore: .sbxignore and --exclude, with the rules of gitignore(5): '*', '?', '[a-z]', '**', a slash anchors, a slash at the end
 * means folders only, '!' takes back, '#' comments, backslash quotes. Files in folders below add to those above them.
 */
#ifndef SBX_STORE_IGNORE_H
#define SBX_STORE_IGNORE_H

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct ignore;
struct ignore *ignore_new(void);
void ignore_free(struct ignore *g);
/* One pattern, relative to folder ("" = the top). Bad ones are INVALID. */
int ignore_add(struct ignore *g, const char *folder, const char *pattern, struct err *err);
/* The text of a .sbxignore in folder. Lines that are no patterns are skipped. */
void ignore_add_file(struct ignore *g, const char *folder, const char *text, size_t n);
/* Drop what was added for this folder and below. */
void ignore_pop(struct ignore *g, const char *folder);
bool ignore_match(const struct ignore *g, const char *path, bool is_dir);

#endif
