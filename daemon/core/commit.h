/*
 * commit: an image of the user's library made of the disk of a stopped sandbox.
 *
 * The image's disk is the sandbox's base with all that was written over it, as one file; what the image wants of its sandboxes is
 * said by the caller. The sandbox stays as it is. Thread: the loop's; the callback comes from the loop.
 */
#ifndef SBX_CORE_COMMIT_H
#define SBX_CORE_COMMIT_H

#include "daemon/core/catalog.h"
#include "daemon/core/sandbox.h"

struct commit_spec {
	const char *name;   /* NAME or NAME:VERSION, moved if it is another image's */
	const char *source; /* where it comes from, in words */
	/* "K=V" env and labels, NULL-terminated, or NULL */
	char *const *env, *const *entrypoint, *const *cmd, *const *ports, *const *labels;
	const char *user, *workdir; /* or NULL */
	bool shell, systemd;	    /* it has /bin/sh; systemd is its init: a template takes more memory and waits for it */
};

/* tag: the full name of the image, valid in the call; NULL with err. */
typedef void commit_cb(void *arg, const char *tag, const struct err *err);
/* STATE unless it is stopped. INVALID for a name or a wish that an image cannot have. -1: cb is not called. */
int sandbox_commit(struct sandbox *sb, const struct commit_spec *spec, commit_cb *cb, void *arg, struct err *err);

#endif
