/*
 * fs: files on the host. All descriptors are close-on-exec. Paths are trusted (ours), never a client's.
 * Errors: err_sys with the path in the message.
 */
#ifndef SBX_BASE_FS_H
#define SBX_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

/* Whole file appended to out; TOO_LARGE beyond max bytes. */
int fs_read(const char *path, size_t max, struct buf *out, struct err *err);
/* Durable replace: temporary in the same folder, write, fsync, rename, fsync of the folder. */
int fs_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *err);
/* Remove what a fs_write_atomic that was killed left in dir: temporaries older than a minute, since another may be at work. */
void fs_sweep_temporaries(const char *dir);
/* All n bytes to fd, through short writes and EINTR. */
int fs_write_all(int fd, const void *data, size_t n, struct err *err);
/* mkdir -p; the last folder gets mode (parents 0755, or mode when it is stricter). Existing folders are fine. */
int fs_mkdirs(const char *path, mode_t mode, struct err *err);
/* rm -rf that never follows a symlink; a missing path is fine. */
int fs_remove_tree(const char *path, struct err *err);
/* Copy contents, sparse where the source is, into a new file (O_EXCL). */
int fs_copy_sparse(const char *from, const char *to, mode_t mode, struct err *err);
/* The same file under another name or, on another file system or one without links, a copy of mode 0600. */
int fs_link_or_copy(const char *from, const char *to, struct err *err);
bool fs_exists(const char *path);
/* Bytes allocated on disk (st_blocks) of a file, 0 when missing. */
off_t fs_allocated(const char *path);
/* Exclusive flock on path (created 0600). Returns the descriptor, -1 with err (CONFLICT when !wait and held). */
int fs_lock(const char *path, bool wait, struct err *err);
/* dir + "/" + name, allocated with mem_printf. */
char *fs_join(const char *dir, const char *name) __attribute__((malloc, returns_nonnull));
/* $SBX_HOME or its default (root: /var/lib/sbx, else ~/.local/share/sbx); $SBX_CACHE or ~/.cache/sbx. Absolute,
 * allocated; NULL with err when neither the variable nor $HOME is set. Source: DESIGN.md, State on disk. */
char *fs_sbx_home(struct err *err);
char *fs_sbx_cache(struct err *err);
/* Folder of the running executable (/proc/self/exe), allocated. */
char *fs_exe_dir(struct err *err);

#endif
