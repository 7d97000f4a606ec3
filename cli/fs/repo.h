/*
 * repo: what a fs command works on: the store of this home, and the place where its labels are.
 *
 * As a rule both are one: $SBX_HOME/store, and no daemon runs. When a context or host is chosen, labels are that daemon's, and what
 * of its trees is needed is fetched into the local store first.
 */
#ifndef SBX_CLI_FS_REPO_H
#define SBX_CLI_FS_REPO_H

#include "cli/fs/place.h"
#include "cli/fs/print.h"

enum repo_mode {
	REPO_READ,   /* NOT_FOUND when there is no store yet */
	REPO_WRITE,  /* likewise; and gc is held off */
	REPO_CREATE, /* it is made */
	REPO_CARE,   /* for gc and fsck: as it is, nothing held */
};

struct repo {
	struct cli *cli;
	struct store *s;
	struct place *place;
	bool held, remote;
};

/* Close with repo_close, also after a failure. */
int repo_open(struct cli *cli, enum repo_mode mode, struct repo *out, struct err *err);
void repo_close(struct repo *r);

/* What a ref means, with all of its tree in the local store. Free with ref_free. "@{1}" alone is one of `label` (or NULL). */
int repo_ref(struct repo *r, const char *text, const char *label, struct ref *out, struct err *err);
/* The folder that a ref means: the tree, or the one at its path. INVALID when it is a file. */
int repo_folder(struct repo *r, const struct ref *ref, struct hash *out, struct err *err);
/* Both in one. *label (allocated) is the label when the whole of its tree is meant, else NULL; label may be NULL. */
int repo_tree(struct repo *r, const char *text, struct hash *out, char **label, struct err *err);

/* Take the writer lock; a word on the terminal while somebody else has it. */
int repo_begin(struct repo *r, struct err *err);

/* Why a move was not made, and what to do about it. Returns -1 with CONFLICT. */
int repo_rejected(const char *label, bool exists, const struct hash *current, struct err *err);

/* The options of work.h that all commands share. arg of progress and warn is the struct repo_work. */
struct repo_work {
	struct cli *cli;
	struct progress progress;
	struct work_options o;
};
void repo_work_init(struct repo_work *w, struct repo *r, const char *what, const struct cancel *cancel);

#endif
