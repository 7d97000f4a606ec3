/*
 * hash_internal: what hash.c and the code for each kind of CPU share. Only for hash*.c, their tests and their bench.
 * Chaining values are kept as words in memory; two of them side by side are the block of their parent (little-endian CPUs only).
 */
#ifndef SBX_STORE_HASH_INTERNAL_H
#define SBX_STORE_HASH_INTERNAL_H

#include "shared/store/hash.h"

#define HASH_BLOCK 64u
#define HASH_CHUNK 1024u

#define HASH_IV 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19

enum hash_flag { HASH_CHUNK_START = 1, HASH_CHUNK_END = 2, HASH_PARENT = 4, HASH_ROOT = 8 };

/* The seven rounds: which words of the message the eight mixes of each take, two each, the columns first. */
#define HASH_ROUNDS(R)                                                                                                             \
	R(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)                                                                    \
	R(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)                                                                    \
	R(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1)                                                                    \
	R(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6)                                                                    \
	R(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4)                                                                    \
	R(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7)                                                                    \
	R(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

/* Equal work on inputs that lie one behind the other: whole chunks, or parents of two chaining values each. */
struct hash_job {
	const uint8_t *in;
	size_t stride, blocks;	     /* bytes from one input to the next; of each input */
	uint64_t counter;	     /* of the first input */
	uint32_t step;		     /* 1: the counter goes up with the inputs */
	uint32_t flags, first, last; /* of every block, and more for the first and the last one of an input */
};

struct hash_impl {
	const char *name;
	/* One block into a chaining value. */
	void (*block)(uint32_t cv[8], const uint8_t block[HASH_BLOCK], uint32_t len, uint64_t counter, uint32_t flags);
	/* The chaining values of n inputs. out may be where the input of parents is. */
	void (*many)(const struct hash_job *job, size_t n, uint32_t (*out)[8]);
};

/* The implementations that this CPU can run, best first, NULL at the end. */
#define HASH_IMPLS 5
void hash_impls(const struct hash_impl *out[HASH_IMPLS]);
void hash_of_by(const struct hash_impl *impl, const void *data, size_t n, struct hash *out);
void hasher_add_by(const struct hash_impl *impl, struct hasher *h, const void *data, size_t n);

extern const struct hash_impl hash_portable;
#ifdef __x86_64__
extern const struct hash_impl hash_sse41, hash_avx2, hash_avx512;
#endif

#endif
