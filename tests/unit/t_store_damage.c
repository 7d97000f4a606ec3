/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/* What a crash, a bad disk or a person did to the files: found, named, and the rest readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/unit/store_kit.h"

static void copy_file(const char *from, const char *to)
{
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	assert_int_equal(fs_read(from, 1 << 29, &b, &err), 0);
	auto_fd int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0 && !fs_write_all(fd, b.p, b.len, &err));
}

static void cut(const char *path, off_t size)
{
	assert_int_equal(truncate(path, size), 0);
}

/* The pack was cut within its last record, at each byte; the index is behind, as a kill leaves it. */
static void torn_tails(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_free char *pack = kit_file(k, "packs/1.pack"), *idx = kit_file(k, "packs/1.idx"), *saved = fs_join(k->dir, "pack"),
		       *saved_idx = fs_join(k->dir, "idx");
	kit_fill(k, 0, 5);
	copy_file(idx, saved_idx);
	off_t before = kit_size(pack);
	kit_fill(k, 6, 7);
	off_t after = kit_size(pack);
	assert_true(after > before + RECORD_HEADER);
	copy_file(pack, saved);
	for (off_t size = before; size <= after; size++) {
		bool no_index = size % 3 == 0;
		store_close(k->s);
		copy_file(saved, pack);
		cut(pack, size);
		if (no_index)
			unlink(idx);
		else
			copy_file(saved_idx, idx);
		k->s = store_open("/nonexistent", false, NULL);
		assert_null(k->s);
		auto_free char *path = fs_join(k->dir, "store");
		k->s = store_open(path, false, &err);
		assert_non_null(k->s);
		/* for a reader: all but what is torn */
		assert_int_equal(kit_check(k), 0);
		kit_all_there(k, 0, 5);
		assert_int_equal(store_has(k->s, &k->ids[6]), size == after);
		/* for a writer, who cuts it */
		kit_fill(k, 8, 9);
		kit_all_there(k, 8, 9);
		kit_all_there(k, 0, 5);
		assert_int_equal(kit_check(k), 0);
		kit_reopen(k);
		kit_all_there(k, 8, 9);
		assert_int_equal(store_has(k->s, &k->ids[6]), size == after);
	}
}

/* The index was cut at each byte. */
static void torn_index(void **state)
{
	struct kit *k = *state;
	auto_free char *idx = kit_file(k, "packs/1.idx"), *saved = fs_join(k->dir, "idx");
	kit_fill(k, 0, 3);
	copy_file(idx, saved);
	for (off_t size = 0; size < kit_size(saved); size++) {
		copy_file(saved, idx);
		cut(idx, size);
		kit_reopen(k);
		kit_all_there(k, 0, 3);
		assert_int_equal(kit_check(k), 0);
		if (size % 10)
			continue;
		/* a write brings it in order; also one without news */
		kit_fill(k, 0, 3 + (size % 20 == 0));
		kit_all_there(k, 0, 3);
		assert_true(kit_size(idx) >= kit_size(saved));
		assert_int_equal(kit_check(k), 0);
		if (size % 20 == 0)
			copy_file(idx, saved);
	}
}

static void zero_tail(void **state)
{
	struct kit *k = *state;
	auto_free char *pack = kit_file(k, "packs/1.pack");
	kit_fill(k, 0, 3);
	off_t size = kit_size(pack);
	cut(pack, size + 10000);
	kit_reopen(k);
	assert_int_equal(kit_check(k), 0);
	kit_fill(k, 3, 4);
	assert_true(kit_size(pack) < size + 9000);
	kit_all_there(k, 0, 4);
	assert_int_equal(kit_check(k), 0);
}

/* Make a sealed pack of what there is: as full ones are. */
static void seal(struct kit *k)
{
	struct err err = ERR_INIT;
	assert_int_equal(store_begin(k->s, true, &err), 0);
	struct pack *p = k->s->w.pack;
	assert_int_equal(store_seal(k->s, p, &err), 0);
	close(k->s->w.fd);
	k->s->w.fd = -1;
	k->s->w.pack = NULL;
	assert_int_equal(store_end(k->s, &err), 0);
}

/* Every bit flip in a file of a small store (each byte, one bit): nothing wrong is ever read, at most one object is lost (all only
 * for the head of the pack without an index), and the check says so. */
static void flip_all(struct kit *k, const char *name, int objects, bool is_pack)
{
	auto_free char *path = kit_file(k, name), *saved = fs_join(k->dir, "saved");
	copy_file(path, saved);
	off_t size = kit_size(path);
	for (off_t at = 0; at < size; at += is_pack && at > 200 ? 7 : 1) {
		store_close(k->s);
		k->s = NULL;
		copy_file(saved, path);
		kit_flip(path, at);
		struct err err = ERR_INIT;
		auto_free char *dir = fs_join(k->dir, "store");
		k->s = store_open(dir, false, &err);
		assert_non_null(k->s);
		int lost = 0;
		for (int i = 0; i < objects; i++)
			lost += !kit_there(k, i);
		if (lost > is_pack)
			fail_msg("%s byte %ld: %d lost", name, (long)at, lost);
		int faults = kit_check(k);
		if (!faults)
			fail_msg("%s byte %ld: not found by the check", name, (long)at);
		if (is_pack && lost) {
			char hex[HASH_HEX + 1];
			int i = 0;
			while (kit_there(k, i))
				i++;
			/* the object is named */
			assert_non_null(strstr(k->faults.p, hash_hex(&k->ids[i], hex)));
			assert_non_null(strstr(k->faults.p, "pack 1, offset "));
		}
		/* writing goes on, and an index is mended */
		if (at % 13)
			continue;
		kit_fill(k, objects, objects + 2);
		kit_all_there(k, objects, objects + 2);
		if (!is_pack && !k->s->packs[0]->sealed)
			assert_int_equal(kit_check(k), 0);
		/* back to what it was */
		store_close(k->s);
		k->s = NULL;
		auto_free char *pack = kit_file(k, "packs/1.pack"), *idx = kit_file(k, "packs/1.idx"),
			       *pack2 = kit_file(k, "packs/2.pack"), *idx2 = kit_file(k, "packs/2.idx"), *p = fs_join(k->dir, "p"),
			       *x = fs_join(k->dir, "x");
		copy_file(p, pack);
		copy_file(x, idx);
		unlink(pack2);
		unlink(idx2);
		k->s = store_open(dir, false, &err);
	}
	store_close(k->s);
	copy_file(saved, path);
	auto_free char *dir = fs_join(k->dir, "store");
	struct err err = ERR_INIT;
	k->s = store_open(dir, false, &err);
	assert_int_equal(kit_check(k), 0);
}

static void keep_originals(struct kit *k)
{
	auto_free char *pack = kit_file(k, "packs/1.pack"), *idx = kit_file(k, "packs/1.idx"), *p = fs_join(k->dir, "p"),
		       *x = fs_join(k->dir, "x");
	copy_file(pack, p);
	copy_file(idx, x);
}

static void flips_growing(void **state)
{
	struct kit *k = *state;
	kit_fill(k, 0, 6);
	keep_originals(k);
	flip_all(k, "packs/1.pack", 6, true);
	flip_all(k, "packs/1.idx", 6, false);
}

static void flips_sealed(void **state)
{
	struct kit *k = *state;
	kit_fill(k, 0, 6);
	seal(k);
	kit_reopen(k);
	assert_true(k->s->packs[0]->sealed);
	keep_originals(k);
	flip_all(k, "packs/1.pack", 6, true);
	flip_all(k, "packs/1.idx", 6, false);
}

static void lost_index(void **state)
{
	struct kit *k = *state;
	auto_free char *idx = kit_file(k, "packs/1.idx");
	kit_fill(k, 0, 50);
	for (int sealed = 0; sealed < 2; sealed++) {
		if (sealed)
			seal(k);
		assert_int_equal(unlink(idx), 0);
		kit_reopen(k);
		kit_all_there(k, 0, 50);
		assert_int_equal(kit_check(k), 0);
		kit_fill(k, 0, 51);
		assert_true(kit_size(idx) > 0);
		kit_reopen(k);
		kit_all_there(k, 0, 51);
	}
	/* an index of another pack is none */
	auto_free char *other = kit_file(k, "packs/2.idx");
	kit_fill(k, 60, 70);
	seal(k);
	kit_fill(k, 70, 80);
	if (kit_size(other) > 0)
		copy_file(idx, other);
	kit_reopen(k);
	kit_all_there(k, 0, 51);
	kit_all_there(k, 60, 80);
}

/* Damage without an index: what is before and after is found all the same. */
static void flip_without_index(void **state)
{
	struct kit *k = *state;
	auto_free char *idx = kit_file(k, "packs/1.idx"), *pack = kit_file(k, "packs/1.pack");
	kit_fill(k, 0, 30);
	off_t at = k->s->packs[0]->v[10].offset;
	for (int in_body = 0; in_body < 2; in_body++) {
		kit_flip(pack, at + (in_body ? RECORD_HEADER + 5 : 20));
		unlink(idx);
		kit_reopen(k);
		for (int i = 0; i < 30; i++)
			assert_int_equal(kit_there(k, i), i != 10);
		assert_int_equal(kit_check(k), 1);
		/* put again, it is whole again, from another place */
		kit_fill(k, 10, 11);
		kit_all_there(k, 0, 30);
		kit_reopen(k);
		kit_all_there(k, 0, 30);
		kit_flip(pack, at + (in_body ? RECORD_HEADER + 5 : 20));
	}
}

static void truncated_pack(void **state)
{
	struct kit *k = *state;
	auto_free char *pack = kit_file(k, "packs/1.pack");
	kit_fill(k, 0, 30);
	cut(pack, k->s->packs[0]->v[20].offset + 70);
	kit_reopen(k);
	kit_all_there(k, 0, 20);
	assert_false(kit_there(k, 20));
	assert_int_equal(kit_check(k), 10);
	char hex[HASH_HEX + 1];
	assert_non_null(strstr(k->faults.p, hash_hex(&k->ids[29], hex)));
	/* what is put again is there again */
	kit_fill(k, 15, 30);
	kit_all_there(k, 0, 30);
	assert_int_equal(kit_check(k), 0);
	/* the same of a full one */
	seal(k);
	cut(pack, k->s->packs[0]->head->h.end - 1);
	kit_reopen(k);
	assert_int_equal(kit_check(k), 1);
}

static void empty_pack(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_free char *pack = kit_file(k, "packs/1.pack");
	assert_int_equal(fs_write_atomic(pack, "sbx", 3, 0644, &err), 0);
	kit_reopen(k);
	assert_int_equal(kit_check(k), 0);
	struct store *reader = store_open(store_path(k->s), false, &err);
	assert_false(store_has(reader, &k->ids[0]));
	kit_fill(k, 0, 3);
	assert_int_equal(kit_size(pack) > 100, 1);
	assert_true(store_has(reader, &k->ids[0]));
	store_close(reader);
	kit_all_there(k, 0, 3);
	assert_int_equal(kit_check(k), 0);
	/* a format of the future is refused, not mended */
	struct file_header h;
	file_header_fill(&h, "sbxpack2", 2, 5);
	auto_free char *next = kit_file(k, "packs/2.pack");
	assert_int_equal(fs_write_atomic(next, &h, sizeof(h), 0644, &err), 0);
	assert_null(store_open(store_path(k->s), false, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static bool keep_all(void *arg, const struct hash *id)
{
	(void)arg;
	(void)id;
	return true;
}
static bool keep_first(void *arg, const struct hash *id)
{
	return !hash_eq(id, arg);
}

/* A sweep neither loses the damaged that lives, nor trusts a damaged copy. */
static void sweep_damaged(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct store_swept swept;
	auto_free char *pack = kit_file(k, "packs/1.pack");
	kit_fill(k, 0, 20);
	kit_flip(pack, k->s->packs[0]->v[10].offset + 100);
	assert_int_equal(store_sweep(k->s, keep_first, &k->ids[0], false, true, &swept, &err), 0);
	assert_int_equal(swept.removed, 0);
	kit_reopen(k);
	for (int i = 0; i < 20; i++)
		assert_int_equal(kit_there(k, i), i != 10);
	assert_true(kit_check(k) >= 1);
	kit_flip(pack, k->s->packs[0]->v[10].offset + 100);
	assert_int_equal(store_sweep(k->s, keep_all, NULL, false, true, &swept, &err), 0);
	kit_all_there(k, 0, 20);
	assert_int_equal(kit_check(k), 0);
}

/* In a process of its own without rights: for root every folder is writable. */
static void read_only(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	kit_fill(k, 0, 10);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(k->dir, 0755), 0);
	pid_t child = fork();
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(99);
		struct store *s = store_open(store_path(k->s), false, &err);
		if (!s || !store_read_only(s))
			_exit(1);
		auto_buf out = BUF_INIT;
		if (store_get(s, &k->ids[3], &out, &err))
			_exit(2);
		if (!store_begin(s, true, &err) || err.code != ERR_FORBIDDEN)
			_exit(3);
		struct store_swept swept;
		if (!store_sweep(s, keep_all, NULL, false, true, &swept, &err) || err.code != ERR_FORBIDDEN)
			_exit(4);
		if (!store_pin(s, "x", &k->ids[0], &err) || err.code != ERR_FORBIDDEN)
			_exit(5);
		if (store_hold(s, &err))
			_exit(6);
		store_release(s);
		uint64_t faults = 1;
		if (store_check(s, NULL, NULL, &faults, &err) || faults)
			_exit(7);
		store_close(s);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void full_disk(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_free char *disk = fs_join(k->dir, "disk"), *path = fs_join(disk, "store");
	assert_int_equal(fs_mkdirs(disk, 0755, &err), 0);
	if (mount("tmpfs", disk, "tmpfs", 0, "size=1m")) {
		print_message("no mount here: %s\n", strerror(errno));
		skip();
	}
	store_close(k->s);
	k->s = store_open(path, true, &err);
	assert_non_null(k->s);
	kit_fill(k, 0, 20);
	/* within a write, and at its end */
	for (int big = 0; big < 2; big++) {
		auto_free uint8_t *noise = malloc(900 << 10);
		assert_int_equal(store_begin(k->s, true, &err), 0);
		int rc = 0;
		for (int i = 0; i < 30 && !rc; i++) {
			fill_xorshift(noise, 900 << 10, 1000 + i);
			rc = store_put(k->s, OBJECT_CHUNK, noise, big ? 900 << 10 : 60 << 10, NULL, NULL, &err);
		}
		rc = rc ? rc : store_end(k->s, &err);
		assert_int_equal(rc, -1);
		assert_int_equal(err.code, ERR_NO_SPACE);
		store_abort(k->s);
		kit_all_there(k, 0, 20);
		assert_int_equal(kit_check(k), 0);
	}
	kit_fill(k, 20, 30);
	store_close(k->s);
	k->s = store_open(path, false, &err);
	kit_all_there(k, 0, 30);
	assert_int_equal(kit_check(k), 0);
	store_close(k->s);
	k->s = NULL;
	assert_int_equal(umount2(disk, MNT_DETACH), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	const struct CMUnitTest tests[] = { T(torn_tails), T(torn_index), T(zero_tail), T(flips_growing), T(flips_sealed),
		T(lost_index), T(flip_without_index), T(truncated_pack), T(empty_pack), T(sweep_damaged), T(read_only),
		T(full_disk) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
