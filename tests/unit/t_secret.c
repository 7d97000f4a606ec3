/* link: daemon/core/secret.c shared/net/crypto.c | -lcrypto */
/* The daemon's own key: made once, never replaced, and what is sealed by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/core/secret.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

struct home {
	char dir[64];
	char *path;
};

static int setup(void **state)
{
	static const char name[] = "/tmp/sbx-t-secret-XXXXXX";
	struct home *h = mem_zalloc(sizeof(*h));
	memcpy(h->dir, name, sizeof(name));
	assert_non_null(mkdtemp(h->dir));
	h->path = fs_join(h->dir, "secret.key");
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct home *h = *state;
	assert_int_equal(fs_remove_tree(h->dir, NULL), 0);
	free(h->path);
	free(h);
	return 0;
}

static void t_made_once(void **state)
{
	const struct home *h = *state;
	struct secret first, again, other;
	struct err err = ERR_INIT;
	struct stat st;
	auto_buf bytes = BUF_INIT;
	umask(0);
	assert_int_equal(secret_open(&first, h->dir, &err), 0);
	assert_int_equal(stat(h->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fs_read(h->path, 100, &bytes, &err), 0);
	assert_int_equal(bytes.len, SECRET_SIZE);
	assert_memory_equal(bytes.p, first.key, SECRET_SIZE);
	assert_int_equal(secret_open(&again, h->dir, &err), 0);
	assert_memory_equal(first.key, again.key, SECRET_SIZE);
	assert_int_equal(unlink(h->path), 0);
	assert_int_equal(secret_open(&other, h->dir, &err), 0);
	assert_memory_not_equal(first.key, other.key, SECRET_SIZE);
}

/* A file that is not as it has to be is refused, and stays for whoever looks into it. */
static void t_damaged(void **state)
{
	static const size_t sizes[] = { 0, 1, SECRET_SIZE - 1, SECRET_SIZE + 1, SECRET_SIZE + 2, 100000 };
	const struct home *h = *state;
	auto_free char *junk = mem_zalloc(100000);
	memset(junk, 'j', 100000);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct secret s;
		struct err err = ERR_INIT;
		struct stat st;
		assert_int_equal(fs_write_atomic(h->path, junk, sizes[i], 0600, &err), 0);
		assert_int_equal(secret_open(&s, h->dir, &err), -1);
		assert_int_equal(err.code, ERR_STATE);
		assert_non_null(strstr(err.msg, h->path));
		assert_true(err.hint[0] != '\0');
		assert_int_equal(stat(h->path, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
	}
}

/* No home, or no file in its place: told as it is. */
static void t_unreadable(void **state)
{
	const struct home *h = *state;
	struct secret s;
	struct err err = ERR_INIT;
	auto_free char *nowhere = fs_join(h->dir, "none");
	assert_int_equal(secret_open(&s, nowhere, &err), -1);
	assert_int_equal(mkdir(h->path, 0700), 0);
	assert_int_equal(secret_open(&s, h->dir, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_int_equal(secret_open(&s, h->dir, NULL), -1);
}

static void t_purposes(void **state)
{
	const struct home *h = *state;
	struct secret s;
	struct err err = ERR_INIT;
	uint8_t a[SECRET_SIZE], b[SECRET_SIZE], again[SECRET_SIZE];
	assert_int_equal(secret_open(&s, h->dir, &err), 0);
	secret_derive(&s, "jwt", a);
	secret_derive(&s, "channel", b);
	secret_derive(&s, "jwt", again);
	assert_memory_equal(a, again, SECRET_SIZE);
	assert_memory_not_equal(a, b, SECRET_SIZE);
	assert_memory_not_equal(a, s.key, SECRET_SIZE);
	s.key[0] ^= 1;
	secret_derive(&s, "jwt", again);
	assert_memory_not_equal(a, again, SECRET_SIZE);
}

static void t_seal(void **state)
{
	const struct home *h = *state;
	struct secret s;
	struct err err = ERR_INIT;
	auto_buf sealed = BUF_INIT, plain = BUF_INIT;
	assert_int_equal(secret_open(&s, h->dir, &err), 0);
	assert_int_equal(secret_seal(&s, "channel", "a\0b", 3, &sealed, &err), 0);
	assert_int_equal(strlen(sealed.p), sealed.len); /* text */
	assert_int_equal(secret_unseal(&s, "channel", sealed.p, &plain, &err), 0);
	assert_int_equal(plain.len, 3);
	assert_memory_equal(plain.p, "a\0b", 3);
	buf_clear(&plain);
	assert_int_equal(secret_unseal(&s, "jwt", sealed.p, &plain, &err), -1); /* for another purpose */
	assert_int_equal(err.code, ERR_STATE);
	for (size_t i = 0; i < sealed.len; i++) {
		auto_free char *bad = mem_strdup(sealed.p);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(secret_unseal(&s, "channel", bad, &plain, &err), -1);
		assert_int_equal(err.code, ERR_STATE);
		bad[i] = '\0';
		assert_int_equal(secret_unseal(&s, "channel", bad, &plain, &err), -1);
	}
	assert_int_equal(secret_unseal(&s, "channel", "no base 64", &plain, &err), -1);
	s.key[31] ^= 0x80;
	assert_int_equal(secret_unseal(&s, "channel", sealed.p, &plain, &err), -1);
	assert_non_null(strstr(err.hint, "secret.key"));
	assert_int_equal(plain.len, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(t_made_once),
		TEST(t_damaged),
		TEST(t_unreadable),
		TEST(t_purposes),
		TEST(t_seal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
