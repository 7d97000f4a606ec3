/* store_kit: a store in a folder of its own, and objects made by rule. */
#ifndef SBX_TESTS_STORE_KIT_H
#define SBX_TESTS_STORE_KIT_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/store_internal.h"
#include "tests/unit/store_data.h"

enum { KIT_MAX = 4096 };
struct kit {
	char dir[32];
	struct store *s;
	struct hash ids[KIT_MAX];
	struct buf faults; /* of the last check, a line each */
};

static inline int kit_setup(void **state)
{
	struct err err = ERR_INIT;
	struct kit *k = mem_zalloc(sizeof(*k));
	strcpy(k->dir, "/tmp/sbx-store-XXXXXX");
	if (!mkdtemp(k->dir))
		return -1;
	auto_free char *path = fs_join(k->dir, "store");
	k->s = store_open(path, true, &err);
	buf_init(&k->faults);
	*state = k;
	return k->s ? 0 : -1;
}

static inline int kit_teardown(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	store_close(k->s);
	int rc = fs_remove_tree(k->dir, &err);
	buf_free(&k->faults);
	free(k);
	return rc;
}

static inline void kit_reopen(struct kit *k)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(k->dir, "store");
	store_close(k->s);
	k->s = store_open(path, false, &err);
	assert_non_null(k->s);
}

/* Object i: text, noise or a little of both, up to some KiB. */
static inline void kit_body(int i, struct buf *out)
{
	uint8_t noise[2048];
	uint64_t seed = (uint64_t)i * 2654435761u + 1;
	size_t n = xorshift(&seed) % sizeof(noise);
	fill_xorshift(noise, n, seed);
	buf_fmt(out, "object %d ", i);
	if (i % 3)
		buf_add(out, noise, n);
	for (size_t j = 0; i % 2 && j < n; j++)
		buf_fmt(out, "line %zu\n", j % 50);
}

static inline void kit_id(struct kit *k, int i)
{
	auto_buf body = BUF_INIT;
	kit_body(i, &body);
	hash_of(body.p, body.len, &k->ids[i]);
}

static inline void kit_put(struct kit *k, int from, int to)
{
	struct err err = ERR_INIT;
	for (int i = from; i < to; i++) {
		auto_buf body = BUF_INIT;
		kit_body(i, &body);
		assert_int_equal(store_put(k->s, OBJECT_CHUNK, body.p, body.len, NULL, &k->ids[i], &err), 0);
	}
}

/* A write of objects [from, to). */
static inline void kit_fill(struct kit *k, int from, int to)
{
	struct err err = ERR_INIT;
	assert_int_equal(store_begin(k->s, true, &err), 0);
	kit_put(k, from, to);
	assert_int_equal(store_end(k->s, &err), 0);
}

static inline bool kit_there(struct kit *k, int i)
{
	struct err err = ERR_INIT;
	auto_buf body = BUF_INIT;
	auto_buf out = BUF_INIT;
	kit_body(i, &body);
	kit_id(k, i);
	return !store_get(k->s, &k->ids[i], &out, &err) && out.len == body.len && !memcmp(out.p, body.p, body.len);
}

static inline void kit_all_there(struct kit *k, int from, int to)
{
	for (int i = from; i < to; i++)
		assert_true(kit_there(k, i));
}

static inline void kit_fault(void *arg, const char *text)
{
	struct kit *k = arg;
	buf_fmt(&k->faults, "%s\n", text);
}

/* How many faults; their texts in k->faults. */
static inline int kit_check(struct kit *k)
{
	struct err err = ERR_INIT;
	uint64_t faults = 0;
	buf_clear(&k->faults);
	if (store_check(k->s, kit_fault, k, &faults, &err))
		fail_msg("check: %s", err.msg);
	return (int)faults;
}

/* Turn a bit of a file over. */
static inline void kit_flip(const char *path, off_t at)
{
	uint8_t b;
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && pread(fd, &b, 1, at) == 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, at), 1);
}

static inline char *kit_file(const struct kit *k, const char *name)
{
	return mem_printf("%s/store/%s", k->dir, name);
}

static inline off_t kit_size(const char *path)
{
	struct stat st;
	return stat(path, &st) ? -1 : st.st_size;
}

#endif
