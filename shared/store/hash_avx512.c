/* hash: AVX-512, sixteen inputs side by side, and with its word rotation; one to eight as AVX2 does. */
#include "shared/store/hash_internal.h"

#ifdef __x86_64__
#include <immintrin.h>

#define LANES 16
#define TARGET __attribute__((target("avx512f")))
#define INLINE TARGET static inline __attribute__((always_inline))

typedef uint32_t vec __attribute__((vector_size(64)));

#define splat(word) ((vec)_mm512_set1_epi32((int)(word)))
#define unpack_lo32(a, b) ((vec)_mm512_unpacklo_epi32((__m512i)(a), (__m512i)(b)))
#define unpack_hi32(a, b) ((vec)_mm512_unpackhi_epi32((__m512i)(a), (__m512i)(b)))
#define unpack_lo64(a, b) ((vec)_mm512_unpacklo_epi64((__m512i)(a), (__m512i)(b)))
#define unpack_hi64(a, b) ((vec)_mm512_unpackhi_epi64((__m512i)(a), (__m512i)(b)))
#define rot16(x) ((vec)_mm512_ror_epi32((__m512i)(x), 16))
#define rot12(x) ((vec)_mm512_ror_epi32((__m512i)(x), 12))
#define rot8(x) ((vec)_mm512_ror_epi32((__m512i)(x), 8))
#define rot7(x) ((vec)_mm512_ror_epi32((__m512i)(x), 7))

INLINE vec row(const uint8_t *p)
{
	return (vec)_mm512_loadu_si512(p);
}

/* Four inputs turned within 128 bits; then the 128 bits themselves, word by word of the four. */
#define TURN_ROWS(i)                                                                                                               \
	TURN4(row(in[4 * (i)] + at), row(in[4 * (i) + 1] + at), row(in[4 * (i) + 2] + at), row(in[4 * (i) + 3] + at), q_[i])
#define PICK(a, b, which) ((vec)_mm512_shuffle_i32x4((__m512i)(a), (__m512i)(b), which))
#define TURN_QUARTERS(k)                                                                                                           \
	do {                                                                                                                       \
		vec even0_ = PICK(q_[0][k], q_[1][k], 0x88), odd0_ = PICK(q_[0][k], q_[1][k], 0xdd);                               \
		vec even1_ = PICK(q_[2][k], q_[3][k], 0x88), odd1_ = PICK(q_[2][k], q_[3][k], 0xdd);                               \
		m[k] = PICK(even0_, even1_, 0x88);                                                                                 \
		m[4 + (k)] = PICK(odd0_, odd1_, 0x88);                                                                             \
		m[8 + (k)] = PICK(even0_, even1_, 0xdd);                                                                           \
		m[12 + (k)] = PICK(odd0_, odd1_, 0xdd);                                                                            \
	} while (0)
#define load(in, offset, m)                                                                                                        \
	do {                                                                                                                       \
		size_t at = (offset);                                                                                              \
		vec q_[4][4];                                                                                                      \
		TURN_ROWS(0);                                                                                                      \
		TURN_ROWS(1);                                                                                                      \
		TURN_ROWS(2);                                                                                                      \
		TURN_ROWS(3);                                                                                                      \
		TURN_QUARTERS(0);                                                                                                  \
		TURN_QUARTERS(1);                                                                                                  \
		TURN_QUARTERS(2);                                                                                                  \
		TURN_QUARTERS(3);                                                                                                  \
	} while (0)

#include "shared/store/hash_lanes.h"

static void avx512_many(const struct hash_job *job, size_t n, uint32_t (*out)[8])
{
	size_t from = 0;
	for (; n - from > LANES / 2; from += n - from < LANES ? n - from : LANES)
		group(job, from, n - from < LANES ? n - from : LANES, out);
	if (from < n) {
		struct hash_job rest = *job;
		rest.in += from * job->stride;
		rest.counter += from * job->step;
		hash_avx2.many(&rest, n - from, out + from);
	}
}

static void avx512_block(uint32_t cv[8], const uint8_t block[HASH_BLOCK], uint32_t len, uint64_t counter, uint32_t flags)
{
	hash_sse41.block(cv, block, len, counter, flags);
}

const struct hash_impl hash_avx512 = { "avx512", avx512_block, avx512_many };
#endif
