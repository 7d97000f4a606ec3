/* link: cli/fs/archive_in.c cli/fs/archive_out.c shared/store/tree*.c shared/store/store*.c shared/store/label*.c shared/store/crc.c shared/store/object.c shared/store/chunk.c shared/store/hash*.c | -larchive -lzstd -lpthread */
/* Arbitrary bytes as an archive: what is accepted is a tree that can be walked, has no name that leads out or is a file and a
 * folder, is not larger than was allowed, and comes back the same when it is exported and imported again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/fs/archive_in.h"
#include "cli/fs/archive_out.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "tests/fuzz/store_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE_MAX_HERE ((uint64_t)4 << 20)
struct input {
	const char *p;
	size_t n, at, piece;
};

static ssize_t next_piece(void *arg, const void **data, struct err *err)
{
	struct input *in = arg;
	size_t n = in->n - in->at < in->piece ? in->n - in->at : in->piece;
	(void)err;
	*data = in->p + in->at;
	in->at += n;
	return (ssize_t)n;
}

static void on_skipped(void *arg, const char *path, const char *why)
{
	(void)arg;
	CHECK(path && why);
}

static int on_step(void *arg, const struct import_counts *c, struct err *err)
{
	(void)arg;
	(void)err;
	CHECK(c->bytes <= SIZE_MAX_HERE);
	return 0;
}

static int to_buf(void *arg, const void *data, size_t n, struct err *err)
{
	(void)err;
	buf_add(arg, data, n);
	return 0;
}

static int look(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	(void)err;
	CHECK(object_name_ok(c->name, c->name_len) && *path != '/');
	CHECK(!is_dir || !c->has_file || entry_is_dir_mode(&c->file));
	*(uint64_t *)arg += is_dir ? 0 : c->file.size;
	return 0;
}

static int import(struct store *s, struct input *in, struct hash *tree)
{
	struct err err = ERR_INIT;
	struct import_counts counts;
	struct import_source source = {
		.read = next_piece, .skipped = on_skipped, .step = on_step, .arg = in, .size_max = SIZE_MAX_HERE
	};
	int rc = archive_import(s, &source, tree, &counts, &err);
	CHECK(rc == 0 || (err.code != ERR_OK && err.msg[0]));
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct store *s = store_of_now("f_import");
	struct err err = ERR_INIT;
	struct hash tree, again;
	struct input in = { .p = (const char *)data + 1, .n = size - 1, .piece = 1 + (size_t)data[0] * 16 };
	CHECK(store_begin(s, true, &err) == 0);
	if (import(s, &in, &tree) == 0) {
		uint64_t bytes = 0;
		auto_buf out = BUF_INIT;
		struct export_sink sink = { .write = to_buf, .skipped = on_skipped, .arg = &out };
		CHECK(tree_walk(s, &tree, look, &bytes, &err) == 0);
		CHECK(archive_export(s, &tree, EXPORT_TAR, &sink, &err) == 0);
		struct input exported = { .p = out.p, .n = out.len, .piece = 4096 };
		/* hard links are copies by now: what was within the limit may be more than it */
		if (bytes < SIZE_MAX_HERE)
			CHECK(import(s, &exported, &again) == 0 && hash_eq(&tree, &again));
	}
	CHECK(store_end(s, &err) == 0);
	return 0;
}
