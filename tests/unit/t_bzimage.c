/* link: daemon/image/bzimage.c daemon/image/kernel.c daemon/image/cpio.c daemon/image/run.c | -llz4 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <lz4.h>
#include <cmocka.h>

#include "daemon/image/kernel.h"
#include "shared/base/mem.h"

enum { ELF_SIZE = (8 << 20) + 12345 }; /* two blocks of LZ4's legacy frame */

static void put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(v >> (8 * i));
}

static void add32(struct buf *b, uint32_t v)
{
	char p[4];
	put32(p, v);
	buf_add(b, p, 4);
}

static char *make_elf(void)
{
	char *elf = mem_zalloc(ELF_SIZE);
	memcpy(elf,
		"\x7f"
		"ELF",
		4);
	for (size_t i = 4; i < ELF_SIZE; i++)
		elf[i] = (char)((i * 2654435761u) >> 27);
	return elf;
}

static void pack(struct buf *out, const char *data, size_t n)
{
	buf_add(out, "\x02\x21\x4c\x18", 4);
	for (size_t at = 0; at < n;) {
		int part = n - at < (8 << 20) ? (int)(n - at) : 8 << 20;
		auto_free char *packed = mem_zalloc((size_t)LZ4_compressBound(part));
		int m = LZ4_compress_default(data + at, packed, part, LZ4_compressBound(part));
		assert_true(m > 0);
		add32(out, (uint32_t)m);
		buf_add(out, packed, (size_t)m);
		at += (size_t)part;
	}
	add32(out, (uint32_t)n); /* the kernel's build appends the size */
}

/* A bzImage with two setup sectors, the payload 100 bytes into the kernel proper, and something after it. */
static void wrap(struct buf *image, const struct buf *payload)
{
	char head[1536 + 100] = { 0 };
	head[0x1f1] = 2;
	memcpy(head + 0x202, "HdrS", 4);
	put32(head + 0x248, 100);
	put32(head + 0x24c, (uint32_t)payload->len);
	buf_add(image, head, sizeof(head));
	buf_add(image, payload->p, payload->len);
	buf_str(image, "after");
}

static void unpacks(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_free char *elf = make_elf();
	auto_buf payload = BUF_INIT;
	auto_buf image = BUF_INIT;
	auto_buf out = BUF_INIT;

	pack(&payload, elf, ELF_SIZE);
	wrap(&image, &payload);
	assert_int_equal(kernel_elf(image.p, image.len, &out, &err), 0);
	assert_int_equal(out.len, ELF_SIZE);
	assert_memory_equal(out.p, elf, ELF_SIZE);
}

static void expect_refusal(struct buf *payload, const char *words)
{
	struct err err = ERR_INIT;
	auto_buf image = BUF_INIT;
	auto_buf out = BUF_INIT;

	wrap(&image, payload);
	assert_int_equal(kernel_elf(image.p, image.len, &out, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.msg, words));
}

static void refuses(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	auto_buf out = BUF_INIT;

	assert_int_equal(kernel_elf("short", 5, &out, &err), -1);
	buf_add(&b, "\x28\xb5\x2f\xfd 0123456789", 15);
	expect_refusal(&b, "zstd");
	buf_clear(&b);
	buf_add(&b, "\x1f\x8b\x08 0123456789", 14);
	expect_refusal(&b, "gzip");
	buf_clear(&b);
	pack(&b, "no kernel at all", 16);
	expect_refusal(&b, "not an ELF");
	put32(b.p + b.len - 4, 17); /* one byte more than comes out */
	expect_refusal(&b, "cut off");
	put32(b.p + b.len - 4, 0x7fffffff);
	expect_refusal(&b, "claims");
	put32(b.p + b.len - 4, 8); /* less room than comes out */
	expect_refusal(&b, "damaged");
	put32(b.p + b.len - 4, 16);
	put32(b.p + 4, 0xffffffff); /* a block longer than the file */
	expect_refusal(&b, "cut off");
}

static void depends(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;

	buf_add(&b, "x\0license=GPL\0depends=virtio,virtio_ring\0y", 42);
	assert_int_equal(kernel_check_depends("m", &b, ",virtio_ring,virtio,", &err), 0);
	assert_int_equal(kernel_check_depends("m", &b, ",virtio_ring,", &err), -1);
	assert_non_null(strstr(err.msg, "'virtio'"));
	buf_clear(&b);
	buf_add(&b, "x\0depends=\0y", 12);
	assert_int_equal(kernel_check_depends("m", &b, ",", &err), 0);
	buf_clear(&b);
	assert_int_equal(kernel_check_depends("m", &b, ",", &err), 0);
}

static void row_is(const char *info, size_t n, const char *want)
{
	auto_buf text = BUF_INIT;
	auto_buf row = BUF_INIT;

	buf_add(&text, info, n);
	kernel_module_row("m", &text, &row);
	assert_string_equal(row.p, want);
}

#define ROW_IS(info, want) row_is(info, sizeof(info) - 1, want)

/* The order and the wildcards are those of loop.ko and fuse.ko of Debian 12. */
static void module_rows(void **state)
{
	(void)state;
	ROW_IS("x\0alias=devname:loop-control\0alias=char-major-10-237\0alias=block-major-7-*\0depends=\0y",
		"m devname:loop-control,char-major-10-237 -\n");
	ROW_IS("x\0license=GPL\0depends=libcrc32c,lz4\0alias=fs-erofs\0y", "m fs-erofs libcrc32c,lz4\n");
	ROW_IS("x\0license=GPL\0y", "m - -\n");
	ROW_IS("x\0alias=", "m  -\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(unpacks), cmocka_unit_test(refuses), cmocka_unit_test(depends),
		cmocka_unit_test(module_rows) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
