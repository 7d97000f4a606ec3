/*
 * ref: what a person writes for a tree: LABEL, LABEL@{2} (two moves ago), LABEL@{1h} (as it was an hour ago; s m h d w),
 * LABEL@{2026-11-30T08:00:00Z}, 64 hex digits, 8 or more hex digits that begin only one tree's id, any of them with :PATH for a
 * folder or file below.
 */
#ifndef SBX_STORE_REF_H
#define SBX_STORE_REF_H

#include "shared/store/label.h"
#include "shared/store/tree.h"

/* The text taken apart, nothing looked up yet. */
enum ref_when { REF_NOW, REF_MOVES /* ago */, REF_AT /* a time */ };
struct ref_spec {
	char *name; /* label, id or prefix */
	enum ref_when when;
	uint64_t moves;
	int64_t at; /* ms since 1970 */
	char *path;
};
/* now: ms since 1970. INVALID. Free with ref_spec_free. */
int ref_parse(const char *text, int64_t now, struct ref_spec *out, struct err *err);
void ref_spec_free(struct ref_spec *r);

struct ref {
	struct hash tree;
	char *label; /* the label that was named, NULL when it was an id */
	char *path;  /* after ':', "" */
};
/* NOT_FOUND with "did you mean", INVALID for a malformed one, CONFLICT for an ambiguous prefix (hint lists some). Free with
 * ref_free. */
int ref_resolve(struct store *s, const char *text, struct ref *out, struct err *err);
void ref_free(struct ref *r);

/* The best common base of two trees from the histories of the labels they were named by: the newest tree that both come from. A
 * tree comes from the ones before it in its label's history, back to where a reset or forced push left them, and from those merged
 * in; when that gives nothing, from all that the label has had. 1 found, 0 none, -1. */
int ref_base(struct store *s, const struct ref *ours, const struct ref *theirs, struct hash *out, struct err *err);

#endif
