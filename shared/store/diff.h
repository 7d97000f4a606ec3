/*
 * diff: what differs between two trees, and between two texts.
 */
#ifndef SBX_STORE_DIFF_H
#define SBX_STORE_DIFF_H

#include "shared/store/tree.h"

enum diff_kind { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED, DIFF_MODE /* only the mode */, DIFF_RENAMED };
struct diff_item {
	enum diff_kind kind;
	const char *path;
	const char *old_path;	       /* DIFF_RENAMED */
	const struct entry *old, *new; /* file parts; NULL where there is none (a folder that came or went empty: both NULL) */
};
typedef int diff_fn(void *arg, const struct diff_item *item, struct err *err);
/* Work is proportional to what differs. Paths in byte order. renames: pairs a removed and an added file of equal content. */
int diff_trees(
	struct store *s, const struct hash *a, const struct hash *b, bool renames, diff_fn *each, void *arg, struct err *err);

/* Empty, or no NUL byte and valid UTF-8. */
bool text_is(const void *data, size_t n);

/* A unified diff, appended; nothing when they are equal. As mcp-v8's (2.10): "--- original", "+++ modified", 3 lines of context;
 * names and context can be set. Lines keep their line ends; "\ No newline at end of file" where needed. */
struct text {
	const char *p;
	size_t n;
};
/* Which of the edit scripts that are equally short, and how near changes must be to share a hunk. DIFF_NATIVE: as git chooses; a
 * name with control characters, quotes or backslashes is quoted as git quotes it. DIFF_MCP: as mcp-v8 chooses. */
enum diff_style { DIFF_NATIVE, DIFF_MCP };
struct diff_options {
	const char *old_name, *new_name; /* NULL: "original", "modified" */
	unsigned context;		 /* 3 */
	bool blank_context_bare;	 /* mcp-v8: an empty context line has no leading space */
	enum diff_style style;
};
/* o == NULL: mcp-v8's own. */
int diff_text(struct text old, struct text new, const struct diff_options *o, struct buf *out, struct err *err);
/* Lines that came and went (DIFF_NATIVE). */
int diff_count(struct text old, struct text new, uint64_t *added, uint64_t *removed, struct err *err);

/* The shortest edit script as runs of equal and changed lines: used by merge.h. Myers' O(ND), with a bound on the work after which
 * a longer script is taken (heuristics of GNU diff). Lines are compared by hash first. TOO_LARGE beyond DIFF_LINES_MAX lines. */
#define DIFF_LINES_MAX ((size_t)1 << 24)
struct diff_run {
	size_t a, a_n, b, b_n; /* a changed region: lines [a, a + a_n) of old became [b, b + b_n) of new */
};
struct diff_runs {
	struct diff_run *v;
	size_t n;
};
struct lines {
	struct text *v; /* each with its line end */
	size_t n;
};
int lines_split(struct text t, struct lines *out, struct err *err);
void lines_free(struct lines *l);
int diff_lines(const struct lines *a, const struct lines *b, enum diff_style style, struct diff_runs *out, struct err *err);
void diff_runs_free(struct diff_runs *r);

#endif
