/*
 * place: where labels and trees are: the store of this home, another store on this machine, or a daemon's. One set of calls for
 * all.
 *
 * A place is named by a path (of a store, or of a home that has one), an endpoint (cli/endpoint/endpoint.h) or a context.
 * Errors are those of label.h and ref.h, whoever says them.
 */
#ifndef SBX_CLI_FS_PLACE_H
#define SBX_CLI_FS_PLACE_H

#include "cli/cli.h"
#include "cli/fs/cancel.h"
#include "cli/fs/progress.h"
#include "shared/store/gc.h"
#include "shared/store/merge.h"
#include "shared/store/ref.h"
#include "shared/store/remote.h"

struct place;

/* The store of this home, which stays the caller's. */
struct place *place_of_store(struct store *s);
/* What `text` names. write: a store there is made when there is none yet, and gc is held off until place_close. */
struct place *place_open(struct cli *cli, const char *text, bool write, struct err *err);
/* The endpoint that flags, environment and configuration choose, when it is not the local daemon. 1 and *out, 0 it is local, -1. */
int place_chosen(struct cli *cli, struct place **out, struct err *err);
void place_close(struct place *p);

const char *place_name(const struct place *p); /* "lab", "/srv/store": for messages */
/* A good beginning for names of labels that follow this place's: the context's name, or "origin". */
const char *place_prefix(const struct place *p);

/* The daemon's, for calls that are about more than its store; NULL for a store on this machine. It stays the place's. */
struct client *place_client(struct place *p);

/* ---- labels ---- */
int place_list(struct place *p, struct label_list *out, struct err *err);
int place_head(struct place *p, const char *name, struct hash *out, bool *exists, struct err *err);
int place_log(struct place *p, const char *name, size_t limit, struct label_log *out, struct err *err);
/* As label_move: 0, 1 rejected, -1. The tree must be there (place_give). */
int place_move(struct place *p, const struct label_move *m, struct hash *current, bool *exists, struct err *err);
int place_remove(struct place *p, const char *name, const struct hash *expected, struct err *err);
int place_rename(struct place *p, const char *from, const char *to, struct err *err);
int place_resolve(struct place *p, const char *text, struct ref *out, struct err *err);

/* ---- objects ---- */
struct moving {
	struct progress *progress; /* or NULL */
	const struct cancel *cancel;
	struct remote_counts counts; /* of what went */
};
/* Bring the trees from the store to the place, or from there. Goes on where it was cut before. The caller has no write open, and
 * holds gc off in its own store. */
int place_give(struct place *p, struct store *from, const struct hash *trees, size_t n, struct moving *m, struct err *err);
int place_take(struct place *p, struct store *to, const struct hash *trees, size_t n, struct moving *m, struct err *err);

/* ---- care ---- */
struct place_totals {
	char *path;
	bool read_only;
	uint64_t labels;
	struct store_totals t;
};
int place_stats(struct place *p, struct place_totals *out, struct err *err); /* free path */
int place_gc(struct place *p, bool dry, struct store_swept *out, struct err *err);

#endif
