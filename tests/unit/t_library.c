/* link: daemon/image/library.c daemon/image/oci.c daemon/image/hash.c | -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/image/library.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

static int setup(void **state)
{
	char *dir = mem_strdup("/tmp/sbx-library.XXXXXX");
	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	fs_remove_tree(*state, NULL);
	free(*state);
	return 0;
}

/* An image whose user is n; its digest. */
static void add(const char *home, int n, char digest[HASH_HEX])
{
	struct err err = ERR_INIT;
	auto_buf config = BUF_INIT;
	struct library_facts facts = { "test", true, false };
	auto_free char *dir = library_scratch(home, &err);
	assert_non_null(dir);
	auto_free char *disk = fs_join(dir, "rootfs.ext4");
	assert_int_equal(fs_write_atomic(disk, "disk", 4, 0600, &err), 0);
	buf_fmt(&config, "{\"config\":{\"User\":\"%d\"},\"rootfs\":{\"diff_ids\":[]}}", n);
	if (library_add(home, dir, &config, &facts, digest, &err))
		fail_msg("%s", err.msg);
	fs_remove_tree(dir, NULL);
}

static void full(const char *tag, const char *want)
{
	char out[LIBRARY_TAG_MAX + 1];
	struct err err = ERR_INIT;
	int rc = library_tag_full(tag, out, &err);
	if (rc != (want ? 0 : -1))
		fail_msg("%s: %d", tag, rc);
	if (want)
		assert_string_equal(out, want);
}

static void names(void **state)
{
	(void)state;
	char out[LIBRARY_TAG_MAX + 1];
	char longer[130] = "";
	full("app", "app:latest");
	full("app:1", "app:1");
	full("a.b_c-d:V1.2_x-y", "a.b_c-d:V1.2_x-y");
	static const char *const bad[] = { "", ":", ":1", "app:", "App", "-a", ".a", "a/b", "a b", "a:b:c", "a:-1", "a:.1", "../a",
		"a\n", "ä" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		full(bad[i], NULL);
	memset(longer, 'a', 64);
	full(longer, NULL);
	library_tag_from("docker://127.0.0.1:5000/team/app:1", out);
	assert_string_equal(out, "app:1");
	library_tag_from("app@sha256:aa", out);
	assert_string_equal(out, "app:latest");
	library_tag_from("", out);
	assert_string_equal(out, "image:latest");
}

static void found_by(const char *home, const char *ref, const char *digest)
{
	struct library_image image;
	struct err err = ERR_INIT;
	int rc = library_find(home, ref, &image, &err);
	if (rc != (digest ? 1 : 0))
		fail_msg("%s: %d %s", ref, rc, err.msg);
	if (digest)
		assert_string_equal(image.digest, digest);
	library_release(&image);
}

static void finds(void **state)
{
	const char *home = *state;
	char one[HASH_HEX], two[HASH_HEX], again[HASH_HEX];
	struct err err = ERR_INIT;
	found_by(home, "app", NULL); /* nothing there at all */
	add(home, 1, one);
	add(home, 2, two);
	add(home, 1, again); /* what is there stays */
	assert_string_equal(one, again);
	assert_int_equal(library_tag(home, "app:latest", one, &err), 0);
	assert_int_equal(library_tag(home, "app:2", two, &err), 0);
	found_by(home, "app", one);
	found_by(home, "app:latest", one);
	found_by(home, "app:2", two);
	found_by(home, "app:3", NULL);
	found_by(home, two, two);
	auto_free char *scheme = mem_printf("sha256:%s", two);
	found_by(home, scheme, two);
	auto_free char *prefix = mem_strndup(two, 8);
	found_by(home, prefix, two);
	auto_free char *too_short = mem_strndup(two, 7);
	found_by(home, too_short, NULL);
	found_by(home, "../../etc", NULL);
	assert_int_equal(library_tag(home, "app:latest", two, &err), 0); /* moves */
	found_by(home, "app", two);
	struct library_image *list;
	size_t n;
	assert_int_equal(library_list(home, &list, &n, &err), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		bool is_two = !strcmp(list[i].digest, two);
		assert_string_equal(list[i].config.user, is_two ? "2" : "1");
		assert_string_equal(list[i].source, "test");
		if (is_two) {
			assert_string_equal(list[i].tags[0], "app:2");
			assert_string_equal(list[i].tags[1], "app:latest");
		}
		assert_null(list[i].tags[is_two ? 2 : 0]);
	}
	library_list_free(list, n);
}

static void removes(void **state)
{
	const char *home = *state;
	char one[HASH_HEX], two[HASH_HEX];
	struct err err = ERR_INIT;
	add(home, 1, one);
	add(home, 2, two);
	library_tag(home, "a:1", one, &err);
	library_tag(home, "b:1", one, &err);
	library_tag(home, "c:1", two, &err);
	assert_int_equal(library_untag(home, "a:1", &err), 0);
	assert_int_equal(library_untag(home, "a:1", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(library_remove(home, one, &err), 0);
	found_by(home, "b:1", NULL);
	found_by(home, one, NULL);
	found_by(home, "c:1", two);
	auto_free char *left = library_scratch(home, &err);
	assert_true(fs_exists(left));
	library_sweep(home);
	assert_false(fs_exists(left));
	found_by(home, "c:1", two);
}

/* The configuration is what the digest says: it can be checked by anybody. */
static void digest_of_config(void **state)
{
	const char *home = *state;
	char one[HASH_HEX], sha[HASH_HEX];
	add(home, 1, one);
	auto_free char *path = mem_printf("%s/images/%s/config.json", home, one);
	assert_int_equal(hash_file(path, sha, NULL), 0);
	assert_string_equal(sha, one);
	/* a damaged one is no image, and says so */
	assert_int_equal(fs_write_atomic(path, "x", 1, 0600, NULL), 0);
	struct library_image image;
	struct err err = ERR_INIT;
	assert_int_equal(library_find(home, one, &image, &err), -1);
	struct library_image *list;
	size_t n;
	assert_int_equal(library_list(home, &list, &n, &err), 0);
	assert_int_equal(n, 0);
	library_list_free(list, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test_setup_teardown(finds, setup, teardown),
		cmocka_unit_test_setup_teardown(removes, setup, teardown),
		cmocka_unit_test_setup_teardown(digest_of_config, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
