/*
 * work: folders on disk and trees in the store: push, checkout, status.
 *
 * Push walks with several threads, opens each file once, hashes and compresses on all cores, and keeps a stat index below the
 * store (`index/`, by folder; as git's: device, inode, size, mtime, ctime, mode; files as new as the moment they were read at
 * are read again the next time), so that an unchanged tree costs one lstat a file. It is believed only while the store has all
 * it names. Large files stream: memory does not depend on their size. Holes are found (SEEK_DATA) and cost nothing but their
 * zero chunks.
 *
 * What is kept of a file: object.h. Not kept: owner, times, xattrs, hard links (each name is a file of its own; the content is
 * stored once), the mode of the top folder. Unreadable files, files that change while they are read (CONFLICT) and, on checkout,
 * devices that may not be made are errors that name them, unless skip_unreadable. The store itself, below the folder, is left
 * out with a warning.
 *
 * Checkout writes only what differs, each file to a temporary name (`.sbx-tmp-...`) and renamed, never through a symlink;
 * refuses to overwrite local changes (what differs from the tree that was last pushed or checked out here) unless force. What
 * neither tree has is nobody's business: it stays, also with force. Zero runs are written as holes. Stopped in the middle, it
 * can be run again: what has its name is whole, and what was left under temporary names, which is no part of a folder, goes. A
 * name that is both file and folder cannot be on disk: STATE.
 */
#ifndef SBX_STORE_WORK_H
#define SBX_STORE_WORK_H

#include "shared/store/diff.h"
#include "shared/store/ignore.h"
#include "shared/store/tree.h"

struct work_progress {
	uint64_t files, bytes;	       /* seen */
	uint64_t new_files, new_bytes; /* of these read and hashed, or written */
};

struct work_options {
	const char *const *excludes; /* NULL-terminated, or NULL */
	bool no_ignore_files;	     /* do not read .sbxignore */
	bool skip_unreadable;	     /* warn and leave out */
	bool force;		     /* checkout: overwrite local changes */
	bool dry;		     /* checkout: change nothing; push: write nothing (the id is still right) */
	unsigned threads;	     /* 0 = one a core */
	void (*progress)(void *arg, const struct work_progress *p); /* now and then, from the calling thread; NULL */
	void (*warn)(void *arg, const char *text);		    /* NULL */
	void *arg;
	const volatile bool *cancel; /* set by a signal handler: stop with err->sys EINTR */
};

/* The tree of a folder. The caller began a write (unless dry) and holds gc off. */
int work_push(struct store *s, const char *folder, const struct work_options *o, struct hash *out, struct work_progress *done,
	struct err *err);
/* Make the folder (made when missing) be the tree. CONFLICT with the changed paths in the message and hint when local changes are
 * in the way. Files that ignore patterns cover are left alone. */
int work_checkout(struct store *s, const struct hash *tree, const char *folder, const struct work_options *o,
	struct work_progress *done, struct err *err);
/* What differs between a tree and a folder, as diff_trees tells it. */
int work_status(struct store *s, const struct hash *tree, const char *folder, const struct work_options *o, diff_fn *each,
	void *arg, struct err *err);
/* Which label and tree the folder was last pushed to or checked out from. NOT_FOUND. */
struct work_origin {
	char *label; /* NULL when it was an id */
	struct hash tree;
};
int work_origin(struct store *s, const char *folder, struct work_origin *out, struct err *err);
int work_set_origin(struct store *s, const char *folder, const char *label, const struct hash *tree, struct err *err);

#endif
