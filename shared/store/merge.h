/*
 * merge: three-way merges of texts and of trees. reference/mcp-v8.md 2.9 and 2.10.
 *
 * Two ways of each. MERGE_MCP gives mcp-v8's own answers, quirks included (prefer takes whole files; a marker is glued to a line
 * without a newline; edits of adjacent lines conflict; file and folder of one name live side by side). MERGE_NATIVE is what people
 * expect: `prefer` decides only what is left after the line merge, markers begin a line, adjacent edits are as git merge-file
 * --diff3 has them, a name that is a file on one side and a folder on the other is a conflict, modes are merged, a modify/delete of
 * a file that was moved follows it when renames are on.
 */
#ifndef SBX_STORE_MERGE_H
#define SBX_STORE_MERGE_H

#include "shared/store/diff.h"

enum merge_style { MERGE_MCP, MERGE_NATIVE };
enum merge_prefer { PREFER_NONE, PREFER_OURS, PREFER_THEIRS };

/* Merge texts. Markers: "<<<<<<< ours", "||||||| original" (native: "base"), "=======", ">>>>>>> theirs". *conflicts counts the
 * regions that are left. */
struct text_merge {
	struct text base, ours, theirs;
	enum merge_style style;
	enum merge_prefer prefer;			 /* native only: how regions are decided */
	const char *ours_name, *base_name, *theirs_name; /* NULL = the above */
};
int merge_text(const struct text_merge *m, struct buf *out, unsigned *conflicts, struct err *err);

enum conflict_kind { CONFLICT_TEXT, CONFLICT_BINARY, CONFLICT_SQLITE, CONFLICT_MODIFY_DELETE, CONFLICT_FILE_DIR, CONFLICT_MODE };
const char *conflict_kind_name(enum conflict_kind kind); /* "text", "binary", "sqlite", "modify/delete", "file/directory", "mode" */

struct conflict {
	char *path;
	enum conflict_kind kind;
	bool has_base, has_ours, has_theirs;
	struct hash base, ours, theirs;		 /* entry ids */
	char *markers, *diff_ours, *diff_theirs; /* CONFLICT_TEXT; NULL else */
	size_t markers_len, diff_ours_len, diff_theirs_len;
};
struct merge_result {
	bool clean;
	struct hash tree; /* clean, or native: the merged tree with conflict markers in text files and ours for the rest */
	struct conflict *conflicts;
	size_t count;
};
struct tree_merge {
	struct hash ours, theirs;
	const struct hash *base; /* NULL: two-way, as over an empty base */
	enum merge_style style;
	enum merge_prefer prefer;
	bool renames; /* native */
};
/* Writes the objects of the result into a write that the caller began. */
int merge_trees(struct store *s, const struct tree_merge *m, struct merge_result *out, struct err *err);
void merge_result_free(struct merge_result *r);

#endif
