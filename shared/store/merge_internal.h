/*
 * merge_internal: what the parts of a merge of trees share: the walk (merge_tree.c), one name's file (merge_entry.c), files that
 * were moved (merge_moves.c).
 */
#ifndef SBX_STORE_MERGE_INTERNAL_H
#define SBX_STORE_MERGE_INTERNAL_H

#include "shared/store/merge.h"

/* Larger files are never merged by lines: they count as binary. */
#define MERGE_TEXT_MAX ((size_t)64 << 20)

/* A file part that the merge made: its bytes live until the node that holds it is written. */
struct made {
	struct buf bytes;
	struct tree_file *file; /* too large for the node */
	struct made *next;
};

struct merging {
	struct store *s;
	const struct tree_merge *m;
	struct merge_result *out;
	size_t room; /* of out->conflicts */
	struct buf path;
	unsigned depth;
	struct made *made;
	bool alone;		 /* this is a job: begin no further threads */
	struct merge_jobs *jobs; /* of the node at hand; NULL: none */
};

/* Folders; NULL: not there. */
struct three_dirs {
	const struct hash *base, *ours, *theirs;
};

/* Merge a folder that g->path says. */
int merge_dirs(struct merging *g, const struct three_dirs *d, struct hash *out, bool *has, struct err *err);
/* Can it be told without reading? Then *take is what it is. */
bool merge_dirs_decided(const struct three_dirs *d, const struct hash **take);

/* Folders of one node, merged by several threads (merge_jobs.c). */
struct merge_jobs;
struct merge_jobs *merge_jobs_new(void);
void merge_jobs_add(struct merge_jobs *j, const struct merging *g, const char *name, size_t len, const struct three_dirs *d);
/* Do them all, when there are enough of them to be worth it. */
void merge_jobs_run(struct merge_jobs *j);
/* The result of the next one, in the order they were added; conflicts are added to those of g. */
int merge_jobs_take(
	struct merge_jobs *j, struct merging *g, const struct three_dirs *d, struct hash *out, bool *has, struct err *err);
void merge_jobs_free(struct merge_jobs *j);

/* One thing in the three trees; NULL: not there. */
struct three_entries {
	const struct entry *base, *ours, *theirs;
};

/* The file part of the name that g->path says. *has: there is one; it points into the arguments or g->made. */
int merge_entry(struct merging *g, const struct three_entries *e, struct entry *out, bool *has, struct err *err);
/* Permission bits, three ways: execute bits one by one, the rest as one. base < 0: none. *clash when both sides differ (ours then).
 */
uint32_t merge_mode(int64_t base, uint32_t ours, uint32_t theirs, bool *clash);
/* A new conflict at g->path, before conflict `at` of the result (count = last). Valid until the next one. */
struct conflict *merge_conflict(struct merging *g, size_t at, enum conflict_kind kind);
void merge_conflict_ids(struct conflict *c, const struct three_entries *e);
void made_free(struct made *list);

/* Where one side moved a file that the other changed: base and the other side with that file moved too. The trees of the merge are
 * replaced in *m (base in *base). */
int merge_follow_moves(struct store *s, struct tree_merge *m, struct hash *base, struct err *err);

#endif
