/* link: shared/store/diff.c shared/store/diff_git.c shared/store/diff_mcp.c shared/store/merge.c | */
/* Three texts, both ways of merging and of comparing: what must hold of any. */
#include <stdlib.h>
#include <string.h>

#include "shared/store/merge.h"

static void must(bool ok)
{
	if (!ok)
		__builtin_trap();
}

static bool same(struct text a, const struct buf *b)
{
	return a.n == b->len && memcmp(a.p, b->p, a.n) == 0;
}

static unsigned merge(
	struct text base, struct text ours, struct text theirs, enum merge_style style, enum merge_prefer prefer, struct buf *out)
{
	struct text_merge m = { .base = base, .ours = ours, .theirs = theirs, .style = style, .prefer = prefer };
	unsigned conflicts = 0;

	buf_clear(out);
	must(merge_text(&m, out, &conflicts, NULL) == 0);
	return conflicts;
}

/* The runs lead from a to b, are in order, and do not touch. */
static void check_runs(struct text a, struct text b, enum diff_style style)
{
	struct lines la, lb;
	struct diff_runs r;
	size_t i = 0, j = 0;

	must(lines_split(a, &la, NULL) == 0 && lines_split(b, &lb, NULL) == 0 && diff_lines(&la, &lb, style, &r, NULL) == 0);
	for (size_t k = 0; k <= r.n; k++) {
		struct diff_run end = { la.n, 0, lb.n, 0 }, run = k < r.n ? r.v[k] : end;
		must(run.a - i == run.b - j && (k == 0 || k == r.n || run.a > i) && (k == r.n || run.a_n || run.b_n));
		for (; i < run.a; i++, j++)
			must(la.v[i].n == lb.v[j].n && memcmp(la.v[i].p, lb.v[j].p, la.v[i].n) == 0);
		i += run.a_n;
		j += run.b_n;
	}
	must(i == la.n && j == lb.n);
	diff_runs_free(&r);
	lines_free(&la);
	lines_free(&lb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct text t[3] = { { "", 0 }, { "", 0 }, { "", 0 } };
	const char *p = (const char *)data;
	auto_buf out = BUF_INIT;

	/* Texts with 0xff between them. */
	for (size_t i = 0; i < 3; i++) {
		const char *end = n ? memchr(p, 0xff, n) : NULL;
		t[i] = (struct text){ p, end ? (size_t)(end - p) : n };
		n -= t[i].n + (end != NULL);
		p += t[i].n + (end != NULL);
	}
	for (int style = MERGE_MCP; style <= MERGE_NATIVE; style++) {
		enum merge_style s = (enum merge_style)style;
		(void)merge(t[0], t[1], t[2], s, PREFER_NONE, &out);
		must(merge(t[0], t[1], t[1], s, PREFER_NONE, &out) == 0 && same(t[1], &out));
		must(merge(t[0], t[0], t[2], s, PREFER_NONE, &out) == 0 && same(t[2], &out));
		must(merge(t[0], t[1], t[0], s, PREFER_NONE, &out) == 0 && same(t[1], &out));
	}
	must(merge(t[0], t[1], t[2], MERGE_NATIVE, PREFER_OURS, &out) == 0);
	must(merge(t[0], t[1], t[2], MERGE_NATIVE, PREFER_THEIRS, &out) == 0);
	check_runs(t[0], t[1], DIFF_NATIVE);
	check_runs(t[0], t[1], DIFF_MCP);
	(void)text_is(t[2].p, t[2].n);
	buf_clear(&out);
	must(diff_text(t[0], t[1], NULL, &out, NULL) == 0);
	return 0;
}
