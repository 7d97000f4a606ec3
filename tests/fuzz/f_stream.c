/* link: daemon/vm/stream.c */
/*
 * The state of a machine from a file that was tampered with. Byte 0 chooses whether the head is ours (its bytes are fixed, and
 * would keep the fuzzer out). Whatever follows: no crash, every page lies in the memory, and what is written from those pages reads
 * the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/vm/stream.h"
#include "shared/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

#define MEMORY ((uint64_t)64 * STREAM_PAGE)

struct seen {
	struct buf out; /* the pages, written again */
	size_t pages;
};

static int each(void *arg, uint64_t offset, const void *page, struct err *err)
{
	static const uint8_t zero[STREAM_PAGE];
	struct seen *s = arg;

	(void)err;
	CHECK(offset < MEMORY && offset % STREAM_PAGE == 0);
	stream_page(&s->out, offset, page ? page : zero, s->pages++ == 0);
	return 0;
}

static int read_stream(const void *p, size_t n, struct seen *s, uint64_t *at)
{
	struct err err = ERR_INIT;
	auto_fd int fd = memfd_create("f_stream", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	buf_init(&s->out);
	s->pages = 0;
	stream_begin(&s->out, MEMORY);
	int rc = stream_pages(fd, MEMORY, each, s, at, &err);
	stream_end(&s->out);
	CHECK(rc == 0 || err.code == ERR_INVALID);
	CHECK(rc != 0 || *at <= n);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf in = BUF_INIT;
	struct err err = ERR_INIT;
	struct seen first, second;
	uint64_t at = 0, end = 0;

	if (size < 1)
		return 0;
	(void)stream_check_devices(data + 1, size - 1, &err);
	if (data[0] & 1)
		stream_begin(&in, MEMORY);
	buf_add(&in, data + 1, size - 1);
	if (!read_stream(in.p, in.len, &first, &at)) {
		CHECK(!read_stream(first.out.p, first.out.len, &second, &end));
		CHECK(first.pages == second.pages && end == first.out.len);
		CHECK(second.out.len == first.out.len && memcmp(first.out.p, second.out.p, first.out.len) == 0);
		buf_free(&second.out);
	}
	buf_free(&first.out);
	return 0;
}
