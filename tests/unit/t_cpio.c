/* link: daemon/image/cpio.c | -larchive */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "daemon/image/cpio.h"

/* Somebody else's reader sees what went in. */
static void read_back(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	struct cpio c;
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	char data[8] = { 0 };

	cpio_init(&c, &b);
	cpio_dir(&c, "lib", 0755);
	cpio_file(&c, "lib/x", 0640, "12345", 5);
	cpio_file(&c, "empty", 0600, "", 0);
	cpio_end(&c);
	assert_int_equal(b.len % 4, 0);
	archive_read_support_format_cpio(a);
	assert_int_equal(archive_read_open_memory(a, b.p, b.len), ARCHIVE_OK);
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
	assert_string_equal(archive_entry_pathname(e), "lib");
	assert_int_equal(archive_entry_mode(e), S_IFDIR | 0755);
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
	assert_string_equal(archive_entry_pathname(e), "lib/x");
	assert_int_equal(archive_entry_mode(e), S_IFREG | 0640);
	assert_int_equal(archive_entry_uid(e), 0);
	assert_int_equal(archive_read_data(a, data, sizeof(data)), 5);
	assert_string_equal(data, "12345");
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
	assert_int_equal(archive_entry_size(e), 0);
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_EOF);
	archive_read_free(a);
}

/* The vector of the format's description: a header is 110 bytes of hexadecimal digits. */
static void header(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	struct cpio c;

	cpio_init(&c, &b);
	cpio_file(&c, "init", 0755, "ab", 2);
	assert_memory_equal(b.p,
		"070701"
		"00000001"
		"000081ed"
		"00000000"
		"00000000"
		"00000001"
		"00000000"
		"00000002"
		"00000000"
		"00000000"
		"00000000"
		"00000000"
		"00000005"
		"00000000",
		110);
	assert_memory_equal(b.p + 110, "init\0\0ab\0\0", 10); /* name to 116, data to 120 */
	assert_int_equal(b.len, 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(read_back), cmocka_unit_test(header) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
