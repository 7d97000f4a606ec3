/* The ELF of a bzImage. Source: Documentation/x86/boot.rst of Linux, "The Real-Mode Kernel Header" (offsets), and
 * lz4_Frame_format.md of LZ4, "Legacy frame". */
#include <lz4.h>
#include <string.h>

#include "daemon/image/kernel.h"

enum {
	SETUP_SECTS = 0x1f1,
	HEADER_MAGIC = 0x202,
	PAYLOAD_OFFSET = 0x248,
	PAYLOAD_LENGTH = 0x24c,
	HEADER_END = 0x250,
	SECTOR = 512,
	BLOCK_MAX = 8 << 20, /* of a legacy frame, unpacked */
};
#define ELF_MAX ((uint32_t)512 << 20)

static uint32_t u32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static const char *packing(const uint8_t *p)
{
	static const struct {
		const char *name;
		uint8_t magic[4], n;
	} known[] = { { "gzip", { 0x1f, 0x8b }, 2 }, { "xz", { 0xfd, '7', 'z', 'X' }, 4 },
		{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4 }, { "bzip2", { 'B', 'Z', 'h' }, 3 }, { "lzma", { 0x5d, 0, 0 }, 3 },
		{ "lzo", { 0x89, 'L', 'Z', 'O' }, 4 } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!memcmp(p, known[i].magic, known[i].n))
			return known[i].name;
	return "an unknown method";
}

/* The frame ends where `expected` bytes have come out: the kernel's build adds their number after the last block. */
static int unpack(const uint8_t *p, size_t n, uint32_t expected, struct buf *out, struct err *err)
{
	while (out->len < expected) {
		size_t room = expected - out->len < BLOCK_MAX ? expected - out->len : BLOCK_MAX;
		if (n < 4 || u32(p) > n - 4)
			return err_set(err, ERR_INVALID, "the packed kernel is cut off");
		char *to = buf_reserve(out, room);
		if (!to)
			return err_set(err, ERR_INTERNAL, "no memory for the kernel");
		int got = LZ4_decompress_safe((const char *)p + 4, to, (int)u32(p), (int)room);
		if (got <= 0)
			return err_set(err, ERR_INVALID, "the packed kernel is damaged");
		buf_commit(out, (size_t)got);
		n -= 4 + u32(p);
		p += 4 + u32(p);
	}
	return 0;
}

int kernel_elf(const void *image, size_t n, struct buf *out, struct err *err)
{
	static const uint8_t legacy[4] = { 0x02, 0x21, 0x4c, 0x18 };
	const uint8_t *p = image;

	if (n < HEADER_END || memcmp(p + HEADER_MAGIC, "HdrS", 4))
		return err_set(err, ERR_INVALID, "the kernel is not a bzImage");
	size_t at = ((p[SETUP_SECTS] ? p[SETUP_SECTS] : 4u) + 1u) * SECTOR + (size_t)u32(p + PAYLOAD_OFFSET);
	size_t length = u32(p + PAYLOAD_LENGTH);
	if (at > n || length > n - at || length < 8)
		return err_set(err, ERR_INVALID, "the kernel is cut off");
	p += at;
	if (memcmp(p, legacy, 4))
		return err_set(err, ERR_INVALID, "the kernel is packed with %s, only LZ4 is supported", packing(p));
	uint32_t expected = u32(p + length - 4);
	if (expected > ELF_MAX)
		return err_set(err, ERR_INVALID, "the packed kernel claims %u bytes", expected);
	if (unpack(p + 4, length - 8, expected, out, err))
		return -1;
	if (out->len < 4 ||
		memcmp(out->p,
			"\x7f"
			"ELF",
			4))
		return err_set(err, ERR_INVALID, "the unpacked kernel is not an ELF file");
	return 0;
}
