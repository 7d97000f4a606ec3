#include "daemon/vm/stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/mem.h"

/* ---- the format ---- */
#define MAGIC 0x5145564du /* "QEVM" */
#define VERSION 3
enum { SECTION_START = 1, SECTION_END = 3, SECTION_FULL = 4, SECTION_FOOTER = 0x7e };
#define RAM_SECTION 0x7ffffff0u /* a number that QEMU, which counts from 0, gives to no device */
#define RAM_VERSION 4
enum { PAGE_ZERO = 0x02, PAGE_SIZES = 0x04, PAGE_DATA = 0x08, PAGE_END = 0x10, PAGE_SAME_BLOCK = 0x20, PAGE_FLAGS = 0xfff };
static const char ram_name[] = "ram"; /* the section's, and the memory block's: -object ...,id=ram */
#define RAM_NAME_LEN (sizeof(ram_name) - 1)

enum { READ_SIZE = 1 << 20 };

static void put32(struct buf *out, uint32_t v)
{
	const uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
	buf_add(out, b, sizeof(b));
}

static void put64(struct buf *out, uint64_t v)
{
	put32(out, (uint32_t)(v >> 32));
	put32(out, (uint32_t)v);
}

static void put_name(struct buf *out)
{
	buf_ch(out, (char)RAM_NAME_LEN);
	buf_add(out, ram_name, RAM_NAME_LEN);
}

static void put_footer(struct buf *out)
{
	buf_ch(out, SECTION_FOOTER);
	put32(out, RAM_SECTION);
}

void stream_begin(struct buf *out, uint64_t memory)
{
	put32(out, MAGIC);
	put32(out, VERSION);
	buf_ch(out, SECTION_START);
	put32(out, RAM_SECTION);
	put_name(out);
	put32(out, 0); /* instance */
	put32(out, RAM_VERSION);
	put64(out, memory | PAGE_SIZES);
	put_name(out);
	put64(out, memory);
	put64(out, PAGE_END);
	put_footer(out);
	buf_ch(out, SECTION_END);
	put32(out, RAM_SECTION);
}

static bool is_zero(const void *page)
{
	const uint8_t *p = page;
	return p[0] == 0 && !memcmp(p, p + 1, STREAM_PAGE - 1);
}

void stream_page(struct buf *out, uint64_t offset, const void *page, bool first)
{
	bool zero = is_zero(page);

	put64(out, offset | (zero ? PAGE_ZERO : PAGE_DATA) | (first ? 0 : PAGE_SAME_BLOCK));
	if (first)
		put_name(out);
	if (zero)
		buf_ch(out, 0);
	else
		buf_add(out, page, STREAM_PAGE);
}

void stream_end(struct buf *out)
{
	put64(out, PAGE_END);
	put_footer(out);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int stream_check_devices(const void *data, size_t n, struct err *err)
{
	const uint8_t *p = data;

	/* the first section is a whole one; anything else is a migration of another kind */
	if (n > STREAM_HEAD + 1 && n <= STREAM_DEVICES_MAX && get32(p) == MAGIC && get32(p + 4) == VERSION &&
		p[STREAM_HEAD] == SECTION_FULL)
		return 0;
	return err_set(err, ERR_INVALID, "qemu wrote a state that is not one of devices alone");
}

/* ---- reading one ---- */

struct reader {
	int fd;
	uint8_t *p;
	size_t at, n;
	uint64_t passed;  /* bytes of the file before p */
	uint64_t page_at; /* offset of the bytes of the page that is being told */
	struct err *err;
};

static int bad(struct reader *r)
{
	return err_set(r->err, ERR_INVALID, "the memory of this machine is damaged");
}

/* The next n bytes, valid until the next call. */
static const uint8_t *take(struct reader *r, size_t n)
{
	if (r->n - r->at < n) {
		memmove(r->p, r->p + r->at, r->n - r->at);
		r->passed += r->at;
		r->n -= r->at;
		r->at = 0;
		while (r->n < n) {
			ssize_t got = pread(r->fd, r->p + r->n, READ_SIZE - r->n, (off_t)(r->passed + r->n));
			if (got < 0 && errno == EINTR)
				continue;
			if (got < 0) {
				err_sys(r->err, errno, "cannot read the memory of a machine");
				return NULL;
			}
			if (got == 0) {
				bad(r);
				return NULL;
			}
			r->n += (size_t)got;
		}
	}
	const uint8_t *p = r->p + r->at;
	r->at += n;
	return p;
}

static int expect(struct reader *r, const struct buf *bytes)
{
	const uint8_t *p = take(r, bytes->len);
	if (!p)
		return -1;
	return memcmp(p, bytes->p, bytes->len) != 0 ? bad(r) : 0;
}

static int read_pages(struct reader *r, uint64_t memory, stream_page_fn *each, void *arg)
{
	for (bool first = true;; first = false) {
		const uint8_t *p = take(r, 8);
		if (!p)
			return -1;
		uint64_t word = (uint64_t)get32(p) << 32 | get32(p + 4);
		uint64_t offset = word & ~(uint64_t)PAGE_FLAGS, flags = word & PAGE_FLAGS;
		if (word == PAGE_END)
			return 0;
		bool data = flags == (PAGE_DATA | (first ? 0u : PAGE_SAME_BLOCK));
		if ((!data && flags != (PAGE_ZERO | (first ? 0u : PAGE_SAME_BLOCK))) || offset >= memory)
			return bad(r);
		if (first) {
			p = take(r, 1 + RAM_NAME_LEN);
			if (!p)
				return -1;
			if (p[0] != RAM_NAME_LEN || memcmp(p + 1, ram_name, RAM_NAME_LEN) != 0)
				return bad(r);
		}
		p = take(r, data ? STREAM_PAGE : 1);
		if (!p)
			return -1;
		if (!data && *p)
			return bad(r);
		r->page_at = r->passed + r->at - STREAM_PAGE;
		int rc = each(arg, offset, data ? p : NULL, r->err);
		if (rc)
			return rc;
	}
}

static int read_stream(struct reader *r, uint64_t memory, stream_page_fn *each, void *arg, uint64_t *devices_at)
{
	auto_buf head = BUF_INIT;
	auto_buf foot = BUF_INIT;
	auto_free uint8_t *space = mem_array(READ_SIZE, 1);

	r->p = space;
	stream_begin(&head, memory);
	put_footer(&foot);
	int rc = expect(r, &head);
	if (!rc)
		rc = read_pages(r, memory, each, arg);
	if (!rc)
		rc = expect(r, &foot);
	*devices_at = r->passed + r->at;
	return rc;
}

int stream_pages(int fd, uint64_t memory, stream_page_fn *each, void *arg, uint64_t *devices_at, struct err *err)
{
	struct reader r = { .fd = fd, .err = err };
	return read_stream(&r, memory, each, arg, devices_at);
}

struct indexing {
	struct reader r;
	uint64_t *at;
};

static int note_page(void *arg, uint64_t offset, const void *page, struct err *err)
{
	struct indexing *ix = arg;
	(void)err;
	ix->at[offset / STREAM_PAGE] = page ? ix->r.page_at : STREAM_ZERO;
	return 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written to by note_page */
int stream_index(int fd, uint64_t memory, uint64_t *at, uint64_t *devices_at, struct err *err)
{
	struct indexing ix = { .r = { .fd = fd, .err = err }, .at = at };
	return read_stream(&ix.r, memory, note_page, &ix, devices_at);
}
