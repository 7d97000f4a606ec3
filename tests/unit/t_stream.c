/* link: daemon/vm/stream.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/vm/stream.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { PAGES = 600 }; /* more than the reader takes in at a time */
#define MEMORY ((uint64_t)1 << 30)
static const char devices[] = "what the devices say";

/* A memory of which some pages are changed, some of them to zero. */
struct memory {
	uint64_t offset[PAGES];
	uint8_t page[PAGES][STREAM_PAGE];
	size_t seen;
	int stop_at; /* -1: never */
};

static struct memory *some_memory(void)
{
	struct memory *m = mem_zalloc(sizeof(*m));

	m->stop_at = -1;
	rand_bytes(m->page, sizeof(m->page));
	for (size_t i = 0; i < PAGES; i++) {
		m->offset[i] = (i * i * 7 % (MEMORY / STREAM_PAGE)) * STREAM_PAGE;
		if (i % 5 == 3)
			memset(m->page[i], 0, STREAM_PAGE);
		else
			m->page[i][i % STREAM_PAGE] |= 1; /* in no case all zero */
	}
	m->offset[PAGES - 1] = MEMORY - STREAM_PAGE;
	return m;
}

static void write_stream(struct buf *out, const struct memory *m, size_t n)
{
	stream_begin(out, MEMORY);
	for (size_t i = 0; i < n; i++)
		stream_page(out, m->offset[i], m->page[i], i == 0);
	stream_end(out);
	buf_str(out, devices);
}

static int file_of(const void *data, size_t n)
{
	int fd = memfd_create("t_stream", MFD_CLOEXEC);
	assert_true(fd >= 0 && write(fd, data, n) == (ssize_t)n);
	return fd;
}

static int see(void *arg, uint64_t offset, const void *page, struct err *err)
{
	static const uint8_t zero[STREAM_PAGE];
	struct memory *m = arg;

	if ((int)m->seen == m->stop_at)
		return err_set(err, ERR_CONFLICT, "enough");
	assert_true(m->seen < PAGES);
	assert_true(offset == m->offset[m->seen]);
	assert_memory_equal(page ? page : zero, m->page[m->seen], STREAM_PAGE);
	assert_int_equal(!page, m->seen % 5 == 3);
	m->seen++;
	return 0;
}

static void comes_back(void **state)
{
	(void)state;
	static const size_t counts[] = { 0, 1, 4, PAGES };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		auto_buf out = BUF_INIT;
		struct memory *m = some_memory();
		struct err err = ERR_INIT;
		uint64_t at = 0;
		char rest[sizeof(devices)] = "";

		write_stream(&out, m, counts[i]);
		auto_fd int fd = file_of(out.p, out.len);
		assert_int_equal(stream_pages(fd, MEMORY, see, m, &at, &err), 0);
		assert_int_equal(m->seen, counts[i]);
		assert_true(pread(fd, rest, sizeof(rest) - 1, (off_t)at) > 0);
		assert_string_equal(rest, devices);
		free(m);
	}
}

static void stops_when_told(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	struct memory *m = some_memory();
	struct err err = ERR_INIT;
	uint64_t at = 0;

	m->stop_at = 7;
	write_stream(&out, m, PAGES);
	auto_fd int fd = file_of(out.p, out.len);
	assert_int_equal(stream_pages(fd, MEMORY, see, m, &at, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(m->seen, 7);
	free(m);
}

/* ---- the bytes, written down here once more, from migration/savevm.c and migration/ram.c ---- */

static void be(struct buf *out, uint64_t v, int bytes)
{
	while (bytes-- > 0)
		buf_ch(out, (char)(v >> 8 * bytes));
}

static void as_qemu_has_it(void **state)
{
	(void)state;
	auto_buf want = BUF_INIT;
	auto_buf got = BUF_INIT;
	uint8_t page[STREAM_PAGE] = { 0 };

	be(&want, 0x5145564d, 4);	       /* QEMU_VM_FILE_MAGIC */
	be(&want, 3, 4);		       /* QEMU_VM_FILE_VERSION */
	be(&want, 1, 1);		       /* QEMU_VM_SECTION_START */
	be(&want, 0x7ffffff0, 4);	       /* section id */
	buf_str(&want, "\3ram");	       /* idstr */
	be(&want, 0, 4);		       /* instance */
	be(&want, 4, 4);		       /* version */
	be(&want, (uint64_t)128 << 20 | 4, 8); /* all memory | RAM_SAVE_FLAG_MEM_SIZE */
	buf_str(&want, "\3ram");	       /* the one block and its length */
	be(&want, (uint64_t)128 << 20, 8);
	be(&want, 0x10, 8); /* RAM_SAVE_FLAG_EOS */
	be(&want, 0x7e, 1); /* QEMU_VM_SECTION_FOOTER */
	be(&want, 0x7ffffff0, 4);
	be(&want, 3, 1); /* QEMU_VM_SECTION_END */
	be(&want, 0x7ffffff0, 4);
	be(&want, 0x5000 | 0x08, 8); /* RAM_SAVE_FLAG_PAGE, block by name */
	buf_str(&want, "\3ram");
	page[9] = 'x';
	buf_add(&want, page, sizeof(page));
	be(&want, 0x7000 | 0x02 | 0x20, 8); /* RAM_SAVE_FLAG_ZERO | RAM_SAVE_FLAG_CONTINUE */
	be(&want, 0, 1);
	be(&want, 0x10, 8);
	be(&want, 0x7e, 1);
	be(&want, 0x7ffffff0, 4);

	stream_begin(&got, (uint64_t)128 << 20);
	stream_page(&got, 0x5000, page, true);
	page[9] = 0;
	stream_page(&got, 0x7000, page, false);
	stream_end(&got);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.p, want.p, want.len);
}

/* ---- a file that somebody has changed ---- */

static int in_bounds(void *arg, uint64_t offset, const void *page, struct err *err)
{
	size_t *seen = arg;
	uint8_t sum = 0;

	(void)err;
	assert_true(offset < MEMORY && offset % STREAM_PAGE == 0);
	for (size_t i = 0; page && i < STREAM_PAGE; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)page)[i]); /* all of it can be read */
	*seen += 1 + (sum & 0);
	return 0;
}

static int read_all(const void *data, size_t n, uint64_t memory, struct err *err)
{
	auto_fd int fd = file_of(data, n);
	size_t seen = 0;
	uint64_t at = 0;
	int rc = stream_pages(fd, memory, in_bounds, &seen, &at, err);

	if (!rc)
		assert_true(at <= n);
	return rc;
}

static void cut_anywhere(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	struct memory *m = some_memory();

	write_stream(&out, m, 5);
	size_t whole = out.len - strlen(devices);
	for (size_t n = 0; n <= out.len; n += n < 200 || n + 200 > whole ? 1 : 97) {
		struct err err = ERR_INIT;
		int rc = read_all(out.p, n, MEMORY, &err);
		assert_int_equal(rc, n < whole ? -1 : 0);
		if (rc)
			assert_int_equal(err.code, ERR_INVALID);
	}
	free(m);
}

static void changed_anywhere(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	struct memory *m = some_memory();
	size_t refused = 0;

	write_stream(&out, m, 4);
	for (size_t at = 0; at < out.len - strlen(devices); at += at < 100 ? 1 : 31) {
		for (int bit = 0; bit < 8; bit++) {
			struct err err = ERR_INIT;
			out.p[at] = (char)(out.p[at] ^ 1 << bit);
			if (read_all(out.p, out.len, MEMORY, &err)) {
				assert_int_equal(err.code, ERR_INVALID);
				refused++;
			} else {
				assert_true(at >= 60); /* the head is what it is, to the bit */
			}
			out.p[at] = (char)(out.p[at] ^ 1 << bit);
		}
	}
	assert_true(refused > 60 * 8 - 1);
	free(m);
}

static void of_another_machine(void **state)
{
	(void)state;
	auto_buf out = BUF_INIT;
	struct memory *m = some_memory();
	struct err err = ERR_INIT;

	write_stream(&out, m, 3);
	assert_int_equal(read_all(out.p, out.len, MEMORY / 2, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	free(m);
	buf_clear(&out);
	err_clear(&err);
	uint8_t page[STREAM_PAGE] = { 1 };
	stream_begin(&out, MEMORY); /* a page that lies behind its end */
	stream_page(&out, MEMORY, page, true);
	stream_end(&out);
	assert_int_equal(read_all(out.p, out.len, MEMORY, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	buf_clear(&out);
	err_clear(&err);
	stream_begin(&out, MEMORY); /* a first one that says to belong to the block of the one before */
	stream_page(&out, 0, page, false);
	stream_end(&out);
	assert_int_equal(read_all(out.p, out.len, MEMORY, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

static void devices_alone(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char good[] = "QEVM\0\0\0\3\4and so on";

	assert_int_equal(stream_check_devices(good, sizeof(good), &err), 0);
	for (size_t n = 0; n <= STREAM_HEAD + 1; n++)
		assert_int_equal(stream_check_devices(good, n, &err), -1);
	for (size_t i = 0; i <= STREAM_HEAD; i++) {
		good[i] ^= 1;
		assert_int_equal(stream_check_devices(good, sizeof(good), &err), -1);
		good[i] ^= 1;
	}
	assert_int_equal(stream_check_devices(good, STREAM_DEVICES_MAX + 1, &err), -1); /* its size is looked at first */
	assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(comes_back), cmocka_unit_test(stops_when_told),
		cmocka_unit_test(as_qemu_has_it), cmocka_unit_test(cut_anywhere), cmocka_unit_test(changed_anywhere),
		cmocka_unit_test(of_another_machine), cmocka_unit_test(devices_alone) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
