/*
 * crc: CRC-32C (Castagnoli), which tells a torn or flipped record from a whole one. Not for identity: that is hash.h. Pure.
 * Source: RFC 3720 appendix B.4; the processor's own instruction where there is one.
 */
#ifndef SBX_STORE_CRC_H
#define SBX_STORE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Of n bytes, going on from crc (0 at first). */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
/* The same without special instructions: what other processors use, and what the tests compare with. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n);

#endif
