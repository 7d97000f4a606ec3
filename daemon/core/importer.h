/*
 * importer: makes images of the user's library in a child process (`sbxd --import`, `sbxd --pull`), from a stream that a client
 * sends or from a registry. What a child leaves when it fails or is given up, is removed when it has ended.
 */
#ifndef SBX_CORE_IMPORTER_H
#define SBX_CORE_IMPORTER_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core/core.h"
#include "shared/base/err.h"

#define IMPORTS_MAX 4u

struct import;

struct import_ops {
	void (*on_room)(void *arg); /* more can be written */
	void (*on_progress)(void *arg, const char *phase, const char *text);
	/* The digest of the image, which has no tag yet, or NULL with err. The last callback. */
	void (*on_done)(void *arg, const char *digest, const struct err *err);
};

/* A stream follows by import_write. NULL with err: LIMIT when as many are under way. */
struct import *import_begin(struct core *core, const struct import_ops *ops, void *arg, struct err *err);

struct import_pull {
	const char *reference, *user, *password; /* user and password NULL: nobody in particular */
	bool plain_http;
};
struct import *import_from_registry(
	struct core *core, const struct import_pull *pull, const struct import_ops *ops, void *arg, struct err *err);

/* How many bytes were taken; after fewer than n, on_room tells when to go on. */
size_t import_write(struct import *im, const void *data, size_t n);
/* All has been written. */
void import_end(struct import *im);
/* Done with it, or given up; no callback follows. NULL is fine. */
void import_close(struct import *im);

/* Remove what an earlier daemon has left, while nothing is under way. */
void importer_sweep(struct core *core);
/* For core's own end: give up all. */
void importer_release(struct core *core);

#endif
