/* oracle: another program's answer to compare with; and texts by rule, so that a test and whoever made its constants see the same.
 */
#ifndef SBX_TESTS_ORACLE_H
#define SBX_TESTS_ORACLE_H

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

extern char **environ;

/* A temporary folder as cmocka's state. */
static inline int oracle_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char *path = mem_printf("%s/sbx-o.XXXXXX", tmp ? tmp : "/tmp");
	*state = mkdtemp(path);
	return *state ? 0 : -1;
}

static inline int oracle_dir_end(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = *state;
	return fs_remove_tree(path, &err);
}

/* Run words (separated by single blanks) in dir; standard input and output are files in it, NULL: none. Returns the exit code. */
static inline int oracle_run(const char *dir, const char *words, const char *in, const char *out)
{
	auto_free char *text = mem_strdup(words);
	char *argv[32], *next = text, *save;
	size_t n = 0;
	for (; n + 1 < ARRAY_LEN(argv) && (argv[n] = strtok_r(next, " ", &save)); n++)
		next = NULL;
	argv[n] = NULL;
	posix_spawn_file_actions_t fa;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addchdir_np(&fa, dir);
	posix_spawn_file_actions_addopen(&fa, 0, in ? in : "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, out ? out : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	pid_t pid;
	int status = -1;
	if (posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid)
		status = -1;
	posix_spawn_file_actions_destroy(&fa);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void oracle_write(const char *dir, const char *name, const void *data, size_t n)
{
	auto_free char *path = fs_join(dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fs_write_all(fd, data, n, NULL) != 0)
		(void)fprintf(stderr, "cannot write %s\n", path);
	if (fd >= 0)
		close(fd);
}

static inline void oracle_read(const char *dir, const char *name, struct buf *out)
{
	auto_free char *path = fs_join(dir, name);
	buf_clear(out);
	if (fs_read(path, 1 << 26, out, NULL) != 0)
		(void)fprintf(stderr, "cannot read %s\n", path);
}

/* ---- texts by rule (tests/unit/text_model.py has the same) ---- */

static inline uint64_t rule_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

static inline unsigned rule_below(uint64_t *x, unsigned n)
{
	return (unsigned)(rule_next(x) % n);
}

#define RULE_LINES 400
struct rule_text {
	unsigned line[RULE_LINES], n;
};

static inline void rule_splice(struct rule_text *t, unsigned at, unsigned drop, unsigned add, unsigned alphabet, uint64_t *x)
{
	if (drop > t->n - at)
		drop = t->n - at;
	if (t->n + add > RULE_LINES)
		add = 0;
	memmove(t->line + at + add, t->line + at + drop, (t->n - at - drop) * sizeof(*t->line));
	for (unsigned i = 0; i < add; i++)
		t->line[at + i] = rule_below(x, alphabet);
	t->n = t->n - drop + add;
}

/* Up to `edits` insertions, deletions and replacements of up to 4 lines. */
static inline void rule_edit(struct rule_text *t, unsigned edits, unsigned alphabet, uint64_t *x)
{
	for (unsigned k = rule_below(x, edits + 1); k > 0; k--) {
		unsigned what = rule_below(x, 3), at = rule_below(x, t->n + 1);
		unsigned drop = what == 0 ? 0 : 1 + rule_below(x, 4), add = what == 1 ? 0 : 1 + rule_below(x, 4);
		rule_splice(t, at, drop, add, alphabet, x);
	}
}

/* One in eight has no newline at its end. */
static inline void rule_render(const struct rule_text *t, uint64_t *x, const char *eol, struct buf *out)
{
	buf_clear(out);
	for (unsigned i = 0; i < t->n; i++)
		buf_fmt(out, "%u%s", t->line[i], eol);
	if (out->len && rule_below(x, 8) == 0)
		out->p[--out->len] = '\0';
}

struct rule_triple {
	struct buf base, ours, theirs;
};

static inline void rule_triple(uint64_t seed, const char *eol, struct rule_triple *out)
{
	static const unsigned alphabets[] = { 2, 3, 5, 30 };
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
	struct rule_text base = { .n = 0 }, ours, theirs;
	for (int i = 0; i < 4; i++)
		(void)rule_next(&x);
	unsigned alphabet = alphabets[rule_below(&x, 4)], edits = 1 + rule_below(&x, 8);
	rule_splice(&base, 0, 0, rule_below(&x, 60), alphabet, &x);
	ours = theirs = base;
	rule_edit(&ours, edits, alphabet, &x);
	rule_edit(&theirs, edits, alphabet, &x);
	rule_render(&base, &x, eol, &out->base);
	rule_render(&ours, &x, eol, &out->ours);
	rule_render(&theirs, &x, eol, &out->theirs);
}

static inline void rule_triple_free(struct rule_triple *t)
{
	buf_free(&t->base);
	buf_free(&t->ours);
	buf_free(&t->theirs);
}

#endif
