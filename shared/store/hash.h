/*
 * hash: BLAKE3-256, the name of everything in the store. Portable code, SSE4.1, AVX2 and AVX-512, chosen by CPU.
 * Source: BLAKE3 specification (version of 2021), test vectors of the reference implementation (input byte i = i mod 251).
 * Any number of threads, each with its own hasher.
 */
#ifndef SBX_STORE_HASH_H
#define SBX_STORE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/base/buf.h"

#define HASH_LEN 32
#define HASH_HEX 64

struct hash {
	uint8_t b[HASH_LEN];
};

static inline bool hash_eq(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, HASH_LEN) == 0;
}
static inline int hash_cmp(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, HASH_LEN);
}

void hash_of(const void *data, size_t n, struct hash *out);

/* In pieces. Holds no memory of its own: 54 levels of the tree are enough for 2^64 bytes. */
struct hasher {
	uint32_t chunk_cv[8];
	uint8_t block[64];
	uint8_t block_len, blocks; /* of the chunk that is coming in */
	uint64_t chunk;		   /* its number */
	uint8_t depth;
	uint32_t stack[54][8]; /* chaining values of whole subtrees */
};
void hasher_init(struct hasher *h);
void hasher_add(struct hasher *h, const void *data, size_t n);
void hasher_end(const struct hasher *h, struct hash *out);

/* 64 lower-case hex digits and NUL. */
char *hash_hex(const struct hash *h, char out[HASH_HEX + 1]);
/* Exactly 64 hex digits of either case, then NUL. */
bool hash_parse(const char *hex, struct hash *out);

/* "avx512", "avx2", "sse4.1" or "portable": what is used on this CPU. */
const char *hash_implementation(void);

#endif
