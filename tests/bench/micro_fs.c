/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/*
 * Time push, checkout and status of a folder on a store without the CLI:
 *
 *   micro_fs push STORE DIR            prints the id
 *   micro_fs status STORE DIR ID       prints what differs
 *   micro_fs checkout STORE DIR ID [force]
 *
 * and on stderr: milliseconds, files, files read or written, bytes of these, peak memory in MiB.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "shared/base/util.h"
#include "shared/store/work.h"

static int print(void *arg, const struct diff_item *item, struct err *err)
{
	(void)arg;
	(void)err;
	printf("%c %s\n", "ARCMR"[item->kind], item -> path);
	return 0;
}

static int push(struct store *s, const char *folder, struct work_progress *done, struct err *err)
{
	struct hash id;
	char hex[HASH_HEX + 1];
	const struct work_options o = { 0 };
	if (store_begin(s, true, err))
		return -1;
	if (work_push(s, folder, &o, &id, done, err)) {
		store_abort(s);
		return -1;
	}
	printf("%s\n", hash_hex(&id, hex));
	return store_end(s, err);
}

static int run(struct store *s, int argc, char **argv, struct work_progress *done, struct err *err)
{
	struct hash id;
	const struct work_options o = { .force = argc > 5 };
	if (!strcmp(argv[1], "push"))
		return push(s, argv[3], done, err);
	if (argc < 5 || !hash_parse(argv[4], &id))
		return err_set(err, ERR_USAGE, "an id is missing");
	if (!strcmp(argv[1], "status"))
		return work_status(s, &id, argv[3], &o, print, NULL, err);
	return work_checkout(s, &id, argv[3], &o, done, err);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct work_progress done = { 0 };
	struct rusage use;
	if (argc < 4)
		return 2;
	int64_t start = clock_mono_us();
	struct store *s = store_open(argv[2], true, &err);
	int rc = s ? run(s, argc, argv, &done, &err) : -1;
	if (s)
		store_close(s);
	int64_t end = clock_mono_us();
	if (rc)
		(void)fprintf(stderr, "%s\n%s\n", err.msg, err.hint);
	getrusage(RUSAGE_SELF, &use);
	(void)fprintf(stderr, "%.1f %llu %llu %llu %ld\n", (double)(end - start) / 1e3, (unsigned long long)done.files,
		(unsigned long long)done.new_files, (unsigned long long)done.new_bytes, use.ru_maxrss / 1024);
	return rc ? 1 : 0;
}
