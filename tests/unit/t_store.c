/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/util.h"
#include "shared/store/crc.h"
#include "tests/unit/store_kit.h"

static void crc_vectors(void **state)
{
	(void)state;
	uint8_t b[64];
	/* RFC 3720 B.4 */
	memset(b, 0, 32);
	assert_int_equal(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, 32);
	assert_int_equal(crc32c(0, b, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, b, 32), 0x46dd794e);
	uint64_t seed = 7;
	fill_xorshift(b, sizeof(b), seed);
	for (size_t n = 0; n <= sizeof(b); n++) {
		assert_int_equal(crc32c(0, b, n), crc32c_portable(0, b, n));
		assert_int_equal(crc32c(crc32c(0, b, n), b + n, sizeof(b) - n), crc32c(0, b, sizeof(b)));
	}
}

static void open_and_create(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_free char *none = fs_join(k->dir, "none"), *empty = fs_join(k->dir, "empty"), *full = fs_join(k->dir, "full");
	auto_free char *file = fs_join(full, "x"), *format = NULL;
	assert_false(store_exists(none));
	assert_null(store_open(none, false, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(fs_mkdirs(empty, 0755, &err), 0);
	assert_false(store_exists(empty));
	assert_null(store_open(empty, false, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	struct store *s = store_open(empty, true, &err);
	assert_non_null(s);
	assert_string_equal(store_path(s), empty);
	assert_true(store_exists(empty));
	assert_false(store_read_only(s));
	store_close(s);
	s = store_open(empty, true, &err);
	assert_non_null(s);
	store_close(s);
	assert_int_equal(fs_mkdirs(full, 0755, &err), 0);
	assert_int_equal(fs_write_atomic(file, "x", 1, 0644, &err), 0);
	assert_true(store_exists(full));
	assert_null(store_open(full, true, &err));
	assert_int_equal(err.code, ERR_INVALID);
	/* a path through a file */
	auto_free char *below = fs_join(file, "y");
	assert_null(store_open(below, true, &err));
	/* the future */
	format = fs_join(empty, "format");
	assert_int_equal(fs_write_atomic(format, "sbx store 2\n", 12, 0644, &err), 0);
	assert_null(store_open(empty, false, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_true(store_exists(empty));
	assert_int_equal(fs_write_atomic(format, "hello world\n", 12, 0644, &err), 0);
	assert_null(store_open(empty, false, &err));
	assert_int_equal(err.code, ERR_INVALID);
	/* a store that was not finished is finished */
	assert_int_equal(unlink(format), 0);
	assert_false(store_exists(empty));
	s = store_open(empty, true, &err);
	assert_non_null(s);
	store_close(s);
	store_close(NULL);
}

static void put_and_get(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct hash id[8], none = { { 1, 2, 3 } };
	static const size_t sizes[8] = { 0, 1, 15, 500, 70000, 131072, 1500000, 5000000 };
	auto_buf out = BUF_INIT;
	auto_free uint8_t *noise = malloc(5000000);
	fill_xorshift(noise, 5000000, 99);
	memset(noise, 'a', 80000); /* what shrinks and what does not */
	assert_int_equal(store_put(k->s, OBJECT_CHUNK, "x", 1, NULL, NULL, &err), -1);
	assert_int_equal(err.code, ERR_STATE);
	assert_int_equal(store_end(k->s, &err), -1);
	assert_int_equal(store_checkpoint(k->s, &err), -1);
	store_abort(k->s);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	assert_int_equal(store_begin(k->s, true, &err), -1);
	assert_int_equal(err.code, ERR_STATE);
	for (int pass = 0; pass < 3; pass++) {
		for (int i = 0; i < 8; i++) {
			if (pass == 0)
				assert_int_equal(store_put(k->s, OBJECT_CHUNK, noise, sizes[i], NULL, &id[i], &err), 0);
			buf_clear(&out);
			assert_int_equal(store_get(k->s, &id[i], &out, &err), 0);
			assert_int_equal(out.len, sizes[i]);
			assert_memory_equal(out.p, noise, sizes[i]);
			struct store_info info;
			assert_int_equal(store_stat(k->s, &id[i], &info, &err), 0);
			assert_int_equal(info.size, sizes[i]);
			assert_int_equal(info.kind, OBJECT_CHUNK);
			assert_true(i != 4 || info.stored < 1000);
		}
		if (pass == 0)
			assert_int_equal(store_end(k->s, &err), 0);
		else
			kit_reopen(k);
	}
	assert_int_equal(store_get(k->s, &none, &out, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(store_stat(k->s, &none, NULL, &err), -1);
	assert_false(store_has(k->s, &none));
	struct store_totals t;
	assert_int_equal(store_totals(k->s, &t, &err), 0);
	assert_int_equal(t.objects, 8);
	assert_int_equal(t.packs, 1);
	assert_true(t.disk > 5000000 && t.bytes == 0 + 1 + 15 + 500 + 70000 + 131072 + 1500000 + 5000000);
	/* the same again costs nothing */
	assert_int_equal(store_begin(k->s, true, &err), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(store_put(k->s, OBJECT_CHUNK, noise, sizes[i], &id[i], NULL, &err), 0);
	assert_int_equal(store_end(k->s, &err), 0);
	struct store_totals again;
	assert_int_equal(store_totals(k->s, &again, &err), 0);
	assert_int_equal(again.stored, t.stored);
	assert_int_equal(kit_check(k), 0);
}

struct wanted {
	int n, stop;
};
static int count_id(void *arg, const struct hash *id)
{
	struct wanted *w = arg;
	(void)id;
	w->n++;
	return w->stop;
}
static int count_object(void *arg, const struct hash *id, const struct store_info *info)
{
	struct wanted *w = arg;
	(void)id;
	assert_int_equal(info->kind, OBJECT_CHUNK);
	w->n++;
	return w->stop;
}

static void prefixes(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct wanted w = { 0 };
	kit_fill(k, 0, 300);
	char hex[HASH_HEX + 1];
	for (int i = 0; i < 300; i += 37) {
		hash_hex(&k->ids[i], hex);
		for (int n = HASH_HEX; n >= 9; n -= 11) {
			w = (struct wanted){ 0 };
			hex[n] = '\0';
			assert_int_equal(store_prefix(k->s, hex, count_id, &w), 0);
			assert_int_equal(w.n, 1);
		}
		w = (struct wanted){ 0 };
		hex[3] = '\0';
		store_prefix(k->s, hex, count_id, &w);
		assert_int_equal(w.n, 0);
	}
	store_prefix(k->s, "abcx", count_id, &w);
	assert_int_equal(w.n, 0);
	w = (struct wanted){ 0 };
	assert_int_equal(store_each(k->s, count_object, &w, &err), 0);
	assert_int_equal(w.n, 300);
	w = (struct wanted){ .stop = 5 };
	assert_int_equal(store_each(k->s, count_object, &w, &err), 5);
	assert_int_equal(w.n, 1);
}

static void abort_takes_back(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	kit_fill(k, 0, 10);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	kit_put(k, 10, 2000);
	assert_true(store_has(k->s, &k->ids[50]));
	store_abort(k->s);
	assert_false(store_has(k->s, &k->ids[50]));
	assert_true(store_has(k->s, &k->ids[5]));
	assert_int_equal(kit_check(k), 0);
	kit_fill(k, 20, 30);
	kit_all_there(k, 20, 30);
	/* closing gives up, too */
	assert_int_equal(store_begin(k->s, true, &err), 0);
	kit_put(k, 40, 50);
	kit_reopen(k);
	assert_false(store_has(k->s, &k->ids[45]));
	kit_all_there(k, 0, 10);
	kit_all_there(k, 20, 30);
	assert_int_equal(kit_check(k), 0);
}

static void *put_some(void *arg)
{
	struct kit *k = arg;
	struct err err = ERR_INIT;
	for (int i = 0; i < 2000; i++) {
		auto_buf body = BUF_INIT;
		kit_body(i, &body);
		assert_int_equal(store_put(k->s, OBJECT_CHUNK, body.p, body.len, NULL, NULL, &err), 0);
		body.len = 0;
		if (i % 7 == 0)
			assert_int_equal(store_get(k->s, &k->ids[i], &body, &err), 0);
	}
	return NULL;
}

static void threads(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	pthread_t t[4];
	for (int i = 0; i < 2000; i++)
		kit_id(k, i);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, put_some, k), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(store_end(k->s, &err), 0);
	kit_all_there(k, 0, 2000);
	struct store_totals totals;
	assert_int_equal(store_totals(k->s, &totals, &err), 0);
	assert_int_equal(totals.objects, 2000);
	assert_int_equal(kit_check(k), 0);
}

/* Two open stores are as two processes to each other: locks belong to open files. */
static void two_at_once(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;
	struct store *other = store_open(store_path(k->s), false, &err);
	assert_non_null(other);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	assert_int_equal(store_begin(other, false, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	auto_free char *pid = mem_printf("process %d ", (int)getpid());
	assert_non_null(strstr(err.msg, pid));
	kit_put(k, 0, 100);
	assert_false(store_has(other, &k->ids[3]));
	assert_int_equal(store_end(k->s, &err), 0);
	assert_true(store_has(other, &k->ids[3]));
	for (int round = 1; round < 20; round++) {
		struct store *w = round % 2 ? other : k->s, *r = round % 2 ? k->s : other;
		assert_int_equal(store_begin(w, false, &err), 0);
		auto_buf body = BUF_INIT;
		kit_body(100 + round, &body);
		kit_id(k, 100 + round);
		assert_int_equal(store_put(w, OBJECT_CHUNK, body.p, body.len, NULL, NULL, &err), 0);
		if (round % 5 == 4)
			store_abort(w);
		else
			assert_int_equal(store_end(w, &err), 0);
		assert_int_equal(store_has(r, &k->ids[100 + round]), round % 5 != 4);
		buf_clear(&out);
		assert_int_equal(store_get(r, &k->ids[round], &out, &err), 0);
	}
	store_close(other);
	assert_int_equal(kit_check(k), 0);
}

static void two_processes(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	enum { PROCESSES = 3, WRITES = 40, EACH = 5 };
	for (int i = 0; i < PROCESSES * WRITES * EACH; i++)
		kit_id(k, i);
	for (int p = 0; p < PROCESSES; p++) {
		if (fork())
			continue;
		struct store *s = store_open(store_path(k->s), false, &err);
		int bad = !s;
		for (int w = 0; w < WRITES && !bad; w++) {
			bad |= store_begin(s, true, &err);
			for (int i = 0; i < EACH && !bad; i++) {
				auto_buf body = BUF_INIT;
				kit_body((p * WRITES + w) * EACH + i, &body);
				bad |= store_put(s, OBJECT_CHUNK, body.p, body.len, NULL, NULL, &err);
			}
			bad = bad || store_end(s, &err);
		}
		store_close(s);
		_exit(bad);
	}
	int status, bad = 0;
	while (wait(&status) > 0)
		bad |= status;
	assert_int_equal(bad, 0);
	kit_all_there(k, 0, PROCESSES * WRITES * EACH);
	assert_int_equal(kit_check(k), 0);
}

static void sealing(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	enum { MANY = PACK_OBJECTS * 2 + 500 };
	struct hash id;
	assert_int_equal(store_begin(k->s, true, &err), 0);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(store_put(k->s, OBJECT_CHUNK, &i, sizeof(i), NULL, &id, &err), 0);
		assert_true(i % 9999 != 0 || store_has(k->s, &id));
	}
	assert_int_equal(store_end(k->s, &err), 0);
	kit_reopen(k);
	struct store_totals t;
	assert_int_equal(store_totals(k->s, &t, &err), 0);
	assert_int_equal(t.packs, 3);
	assert_int_equal(t.objects, MANY);
	for (int i = 0; i < MANY; i += 97) {
		auto_buf out = BUF_INIT;
		hash_of(&i, sizeof(i), &id);
		assert_int_equal(store_get(k->s, &id, &out, &err), 0);
		assert_memory_equal(out.p, &i, sizeof(i));
	}
	assert_int_equal(kit_check(k), 0);
	int64_t start = clock_mono_us();
	for (int i = 0; i < 100; i++)
		store_close(store_open(store_path(k->s), false, &err));
	/* about 0.05 ms; generous for busy machines and sanitizers */
	assert_true(clock_mono_us() - start < 100 * 5000);
}

static bool keep_even(void *arg, const struct hash *id)
{
	const struct kit *k = arg;
	for (int i = 0; i < KIT_MAX; i++)
		if (hash_eq(&k->ids[i], id))
			return i % 2 == 0;
	return false;
}
static bool keep_all(void *arg, const struct hash *id)
{
	(void)arg;
	(void)id;
	return true;
}
static bool keep_none(void *arg, const struct hash *id)
{
	(void)arg;
	(void)id;
	return false;
}

static void sweeping(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	struct store_swept swept;
	kit_fill(k, 0, 400);
	struct store *reader = store_open(store_path(k->s), false, &err);
	assert_true(store_has(reader, &k->ids[7]));
	assert_int_equal(store_sweep(k->s, keep_even, k, true, true, &swept, &err), 0);
	assert_int_equal(swept.removed, 200);
	assert_true(swept.freed > 0);
	kit_all_there(k, 0, 400);
	/* somebody holds it off */
	assert_int_equal(store_hold(reader, &err), 0);
	assert_int_equal(store_hold(reader, &err), 0);
	store_release(reader);
	assert_int_equal(store_sweep(k->s, keep_even, k, false, false, &swept, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	store_release(reader);
	assert_int_equal(store_hold(k->s, &err), 0);
	assert_int_equal(store_sweep(k->s, keep_even, k, false, false, &swept, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	store_release(k->s);
	assert_int_equal(store_sweep(k->s, keep_even, k, false, false, &swept, &err), 0);
	assert_int_equal(swept.kept, 200);
	assert_int_equal(swept.removed, 200);
	for (int i = 0; i < 400; i++) {
		auto_buf out = BUF_INIT;
		assert_int_equal(store_has(k->s, &k->ids[i]), i % 2 == 0);
		/* a reader that had them open goes on reading all */
		assert_int_equal(store_get(reader, &k->ids[i], &out, &err), 0);
	}
	/* until it writes or holds */
	assert_int_equal(store_begin(reader, true, &err), 0);
	assert_false(store_has(reader, &k->ids[7]));
	store_abort(reader);
	store_close(reader);
	assert_int_equal(kit_check(k), 0);
	assert_int_equal(store_sweep(k->s, keep_all, k, false, true, &swept, &err), 0);
	assert_int_equal(swept.removed, 0);
	kit_fill(k, 400, 500);
	assert_int_equal(store_sweep(k->s, keep_none, k, false, true, &swept, &err), 0);
	assert_int_equal(swept.removed, 300);
	kit_fill(k, 0, 20);
	kit_all_there(k, 0, 20);
	assert_int_equal(kit_check(k), 0);
}

static int match_pin(void *arg, const char *name, const struct hash *id)
{
	struct buf *b = arg;
	char hex[HASH_HEX + 1];
	buf_fmt(b, "%s=%.4s ", name, hash_hex(id, hex));
	return 0;
}

static void pins(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(store_path(k->s), "pins");
	kit_fill(k, 0, 3);
	assert_int_equal(store_each_pin(k->s, match_pin, &text, &err), 0);
	assert_int_equal(text.len, 0);
	assert_int_equal(store_pin(k->s, "vm one", &k->ids[0], &err), 0);
	assert_int_equal(store_pin(k->s, "b", &k->ids[1], &err), 0);
	assert_int_equal(store_pin(k->s, "vm one", &k->ids[2], &err), 0);
	kit_reopen(k);
	assert_int_equal(store_each_pin(k->s, match_pin, &text, &err), 0);
	char h1[HASH_HEX + 1], h2[HASH_HEX + 1];
	auto_free char *want = mem_printf("b=%.4s vm one=%.4s ", hash_hex(&k->ids[1], h1), hash_hex(&k->ids[2], h2));
	assert_string_equal(text.p, want);
	assert_int_equal(store_pin(k->s, "", &k->ids[0], &err), -1);
	assert_int_equal(store_pin(k->s, "a\nb", &k->ids[0], &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(store_pin(k->s, "c", &k->ids[9], &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(store_unpin(k->s, "c", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(store_begin(k->s, true, &err), 0);
	kit_put(k, 9, 10);
	assert_int_equal(store_pin(k->s, "c", &k->ids[9], &err), 0);
	store_abort(k->s);
	kit_all_there(k, 9, 10);
	assert_int_equal(store_unpin(k->s, "b", &err), 0);
	assert_int_equal(kit_check(k), 0);
	kit_flip(path, 40);
	assert_int_equal(store_each_pin(k->s, match_pin, &text, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_int_equal(kit_check(k), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	const struct CMUnitTest tests[] = { T(crc_vectors), T(open_and_create), T(put_and_get), T(prefixes), T(abort_takes_back),
		T(threads), T(two_at_once), T(two_processes), T(sealing), T(sweeping), T(pins) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
