/* link: shared/store/[c-s]*.c shared/store/tree*.c | -lzstd -lpthread */
/* Merge two trees of 10,000 files with 100 changed files on each side (some of them on both, in different lines), ours beside
 * `git merge-tree --write-tree`, in folders of 100 files and all in folders of 10. Ours is all that a process does: open the store,
 * merge, make it durable, close. Rounds alternate and each begins with fresh copies, so that both really write. A line each: NAME
 * ms (median). */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/merge.h"

#define FILES 10000u
#define CHANGED 100u
#define ROUNDS 15u

extern char **environ;

struct shape {
	const char *name;
	unsigned per_folder, lines;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static _Noreturn void fail(const char *what)
{
	(void)fprintf(stderr, "micro_merge: %s\n", what);
	_exit(1);
}

static void run(const char *command)
{
	auto_free char *text = mem_strdup(command);
	char sh[] = "sh", c[] = "-c", *argv[] = { sh, c, text, NULL };
	pid_t pid;
	int status;

	if (posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0)
		fail(command);
}

/* Side 0 is the base; the others change 100 files each, 20 of these both, one at the beginning and one at the end. */
static void content(unsigned side, unsigned i, unsigned lines, struct buf *out)
{
	bool mine = side == 1 ? i % 100 == 0 : side == 2 && (i % 500 == 0 || i % 125 == 50);

	buf_clear(out);
	for (unsigned l = 0; l < lines; l++) {
		bool changed = mine && l == (side == 1 ? 1 : lines - 2);
		buf_fmt(out, "%s line %u of file %u: %08x\n", changed ? side == 1 ? "our" : "their" : "a", l, i,
			(l * 2654435761u) ^ (i * 40503u));
	}
}

static char *path_of(const struct shape *s, unsigned i)
{
	return mem_printf("d%03u/f%04u.txt", i / s->per_folder, i);
}

static void make_ours(const struct shape *shape, const char *dir, struct hash roots[3])
{
	struct err err = ERR_INIT;
	struct store *s = store_open(dir, true, &err);
	struct tree_edit *edits = mem_array(FILES, sizeof(*edits));
	struct entry *entries = mem_array(FILES, sizeof(*entries));
	struct buf *texts = mem_array(FILES, sizeof(*texts));
	char **paths = mem_array(FILES, sizeof(*paths));

	for (unsigned side = 0; s && side < 3; side++) {
		for (unsigned i = 0; i < FILES; i++) {
			if (!side) {
				buf_init(&texts[i]);
				edits[i].path = paths[i] = path_of(shape, i);
			}
			content(side, i, shape->lines, &texts[i]);
			entries[i] = (struct entry){
				.mode = OBJECT_FILE_MODE, .size = texts[i].len, .data = (const uint8_t *)texts[i].p
			};
			edits[i].file = &entries[i];
		}
		if (store_begin(s, true, &err) != 0 || tree_apply(s, &object_empty, edits, FILES, &roots[side], &err) != 0 ||
			store_end(s, &err) != 0)
			fail(err.msg);
	}
	for (unsigned i = 0; i < FILES; i++) {
		free(paths[i]);
		buf_free(&texts[i]);
	}
	free(paths);
	free(edits);
	free(entries);
	free(texts);
	store_close(s);
}

static void make_git(const struct shape *shape, const char *dir)
{
	static const char *const branch[] = { "base", "ours", "theirs" };
	auto_free char *script = mem_printf("%s.import", dir);
	auto_free char *command = mem_printf(
		"git init -q --bare %s && git -C %s fast-import --quiet <%s && git -C %s repack -qad", dir, dir, script, dir);
	auto_buf text = BUF_INIT, all = BUF_INIT;
	struct err err = ERR_INIT;

	for (unsigned side = 0; side < 3; side++) {
		buf_fmt(&all, "commit refs/heads/%s\nmark :%u\ncommitter a <a@b> 1 +0000\ndata 0\n%s", branch[side], side + 1,
			side ? "from :1\n" : "");
		for (unsigned i = 0; i < FILES; i++) {
			auto_free char *path = path_of(shape, i);
			content(side, i, shape->lines, &text);
			buf_fmt(&all, "M 100644 inline %s\ndata %zu\n", path, text.len);
			buf_add(&all, text.p, text.len);
		}
	}
	if (buf_failed(&all) || fs_write_atomic(script, all.p, all.len, 0600, &err) != 0)
		fail(err.msg);
	run(command);
}

static double ours(const char *dir, const struct hash roots[3])
{
	struct err err = ERR_INIT;
	struct tree_merge m = { .ours = roots[1], .theirs = roots[2], .base = &roots[0], .style = MERGE_NATIVE };
	struct merge_result r;
	double t = now();
	struct store *s = store_open(dir, false, &err);

	if (!s || store_begin(s, true, &err) != 0 || merge_trees(s, &m, &r, &err) != 0 || store_end(s, &err) != 0)
		fail(err.msg);
	store_close(s);
	t = now() - t;
	if (!r.clean)
		fail("there is a conflict");
	merge_result_free(&r);
	return t;
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const struct shape *shape, const char *tmp)
{
	auto_free char *store = mem_printf("%s/%s.store", tmp, shape->name), *repo = mem_printf("%s/%s.git", tmp, shape->name);
	auto_free char *copy = mem_printf("rm -rf %s/s %s/g; cp -a %s %s/s; cp -a %s %s/g", tmp, tmp, store, tmp, repo, tmp);
	auto_free char *merge = mem_printf("exec git -C %s/g merge-tree --write-tree ours theirs >/dev/null", tmp);
	auto_free char *copied = mem_printf("%s/s", tmp);
	double a[ROUNDS], b[ROUNDS];
	struct hash roots[3];

	make_ours(shape, store, roots);
	make_git(shape, repo);
	for (unsigned i = 0; i < ROUNDS; i++) {
		run(copy);
		a[i] = ours(copied, roots);
		double t = now();
		run(merge);
		b[i] = now() - t;
	}
	qsort(a, ROUNDS, sizeof(*a), by_time);
	qsort(b, ROUNDS, sizeof(*b), by_time);
	printf("merge-%s-ours %.2f\nmerge-%s-git %.2f\n", shape->name, a[ROUNDS / 2], shape->name, b[ROUNDS / 2]);
}

int main(void)
{
	static const struct shape shapes[] = { { "100-a-folder", 100, 25 }, { "10-a-folder", 10, 25 },
		{ "100-a-folder-large-files", 100, 250 } };
	const char *base = getenv("TMPDIR");
	auto_free char *tmp = mem_printf("%s/micro_merge.XXXXXX", base ? base : "/tmp");
	struct err err = ERR_INIT;

	if (!mkdtemp(tmp))
		fail("no folder for temporary files");
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		measure(&shapes[i], tmp);
	return fs_remove_tree(tmp, &err) == 0 ? 0 : 1;
}
