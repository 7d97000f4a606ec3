/*
 * entry: paths and files of a capsule, as Wrenn writes them. Pure.
 */
#ifndef SBX_API_WRENN_ENTRY_H
#define SBX_API_WRENN_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/base/json.h"

#define WRENN_PATH_MAX 4096

/* The path in the guest of n bytes that a client sent: from the root; what begins with "~" or is relative, from the home, with "."
 * and ".." taken out. Caller frees; NULL with INVALID when there is none, or it is too long, of another's home or holds a NUL. */
char *wrenn_path(const char *path, size_t n, struct err *err);

/* Go's os.FileMode as a string ("-rwxr-xr-x", "Lrwxrwxrwx", "dtrwxrwxrwx") of the agent's word for a type and its mode. */
#define WRENN_PERMISSIONS 16
void wrenn_permissions(const char *type, int64_t mode, char out[WRENN_PERMISSIONS]);

/* What the agent's FILE_STAT or FILE_LIST (with resolve) says of a file, JSON of n bytes, as a FileEntry. -1 with PROTOCOL when it
 * is not what an agent says; then w is to be thrown away. */
int wrenn_write_entry(struct jw *w, const char *text, size_t n, struct err *err);
/* All of a listing: a line each. */
int wrenn_write_entries(struct jw *w, const char *text, size_t n, struct err *err);

/* Of the same: is it a folder, or a link that leads to one? -1 with PROTOCOL. */
int wrenn_is_folder(const char *text, size_t n, struct err *err);

#endif
