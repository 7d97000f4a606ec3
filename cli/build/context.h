/*
 * context: the folder that COPY and ADD take from: which of its files a source means, a hash of them, and the tar that brings them
 * in.
 *
 * Sources are relative to the folder and never lead out of it, by ".." or by a link; '*', '?' and '[a-z]' match within a name.
 * .dockerignore says what is not there at all, by Docker's rules: patterns begin at the top, the last one that fits counts.
 */
#ifndef SBX_CLI_BUILD_CONTEXT_H
#define SBX_CLI_BUILD_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/err.h"
#include "shared/store/hash.h"

struct context;
/* dir: the folder; ignore_file: NULL, or what is read instead of DIR/.dockerignore if it is there. NULL with err. */
struct context *context_open(const char *dir, const char *ignore_file, struct err *err);
void context_close(struct context *c);

struct context_file {
	char *path;   /* to open it */
	char *name;   /* where it goes, below the target */
	char *target; /* of a symlink, or NULL */
	mode_t mode;
	int64_t size, mtime;
};

/* What sources mean, each file behind its folder. */
struct context_pick {
	struct context_file *v;
	size_t n;
	size_t tops; /* sources that were found */
	bool folder; /* among them */
};
/* NOT_FOUND when one of them means nothing. context_pick_free in any case. */
int context_pick(const struct context *c, char *const *sources, size_t count, struct context_pick *out, struct err *err);
void context_pick_free(struct context_pick *pick);
/* Names, kinds, modes, links and contents; neither times nor owners. */
int context_hash(const struct context_pick *pick, struct hasher *h, struct err *err);

struct context_owner {
	int64_t uid, gid;
	int mode; /* of all, or -1: their own */
};
typedef int context_write(void *arg, const void *data, size_t n, struct err *err);
struct context_goal {
	struct context_owner owner;
	const char *as; /* the name of a single file, or NULL */
	bool top;	/* there is an entry for the target itself */
};
/* As a tar stream. 0, what write returned, or -1. */
int context_pack(
	const struct context_pick *pick, const struct context_goal *goal, context_write *write, void *arg, struct err *err);
/* Is this file an archive that ADD unpacks (tar, plain or packed)? */
bool context_is_archive(const char *path);
/* It as a plain tar stream. */
int context_unpack(const char *path, context_write *write, void *arg, struct err *err);

#endif
