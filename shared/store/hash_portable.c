/* hash: the compression function in plain C. */
#include "shared/store/hash_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read from memory as they are");

static inline uint32_t rot(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

#define MIX(a, b, c, d, x, y)                                                                                                      \
	do {                                                                                                                       \
		a += b + m[x];                                                                                                     \
		d = rot(d ^ a, 16);                                                                                                \
		c += d;                                                                                                            \
		b = rot(b ^ c, 12);                                                                                                \
		a += b + m[y];                                                                                                     \
		d = rot(d ^ a, 8);                                                                                                 \
		c += d;                                                                                                            \
		b = rot(b ^ c, 7);                                                                                                 \
	} while (0);

#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)                                                \
	MIX(v[0], v[4], v[8], v[12], m0, m1)                                                                                       \
	MIX(v[1], v[5], v[9], v[13], m2, m3)                                                                                       \
	MIX(v[2], v[6], v[10], v[14], m4, m5)                                                                                      \
	MIX(v[3], v[7], v[11], v[15], m6, m7)                                                                                      \
	MIX(v[0], v[5], v[10], v[15], m8, m9)                                                                                      \
	MIX(v[1], v[6], v[11], v[12], m10, m11)                                                                                    \
	MIX(v[2], v[7], v[8], v[13], m12, m13)                                                                                     \
	MIX(v[3], v[4], v[9], v[14], m14, m15)

static void portable_block(uint32_t cv[8], const uint8_t block[HASH_BLOCK], uint32_t len, uint64_t counter, uint32_t flags)
{
	uint32_t m[16];
	uint32_t v[16] = { cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7], HASH_IV };
	memcpy(m, block, sizeof(m));
	v[12] = (uint32_t)counter;
	v[13] = (uint32_t)(counter >> 32);
	v[14] = len;
	v[15] = flags;
	HASH_ROUNDS(ROUND)
	for (unsigned i = 0; i < 8; i++)
		cv[i] = v[i] ^ v[i + 8];
}

static void portable_many(const struct hash_job *job, size_t n, uint32_t (*out)[8])
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *in = job->in + i * job->stride;
		uint32_t cv[8] = { HASH_IV };
		for (size_t b = 0; b < job->blocks; b++) {
			uint32_t flags = job->flags | (b == 0 ? job->first : 0) | (b + 1 == job->blocks ? job->last : 0);
			portable_block(cv, in + b * HASH_BLOCK, HASH_BLOCK, job->counter + i * job->step, flags);
		}
		memcpy(out[i], cv, sizeof(cv));
	}
}

const struct hash_impl hash_portable = { "portable", portable_block, portable_many };
