/* hash: AVX2, eight inputs side by side; one to four, and one alone, as SSE4.1 does. */
#include "shared/store/hash_internal.h"

#ifdef __x86_64__
#include <immintrin.h>

#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define INLINE TARGET static inline __attribute__((always_inline))

typedef uint32_t vec __attribute__((vector_size(32)));

#define splat(word) ((vec)_mm256_set1_epi32((int)(word)))
#define unpack_lo32(a, b) ((vec)_mm256_unpacklo_epi32((__m256i)(a), (__m256i)(b)))
#define unpack_hi32(a, b) ((vec)_mm256_unpackhi_epi32((__m256i)(a), (__m256i)(b)))
#define unpack_lo64(a, b) ((vec)_mm256_unpacklo_epi64((__m256i)(a), (__m256i)(b)))
#define unpack_hi64(a, b) ((vec)_mm256_unpackhi_epi64((__m256i)(a), (__m256i)(b)))

INLINE vec rot16(vec x)
{
	const __m256i order = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7,
		6, 1, 0, 3, 2);
	return (vec)_mm256_shuffle_epi8((__m256i)x, order);
}

INLINE vec rot8(vec x)
{
	const __m256i order = _mm256_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, 12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6,
		5, 0, 3, 2, 1);
	return (vec)_mm256_shuffle_epi8((__m256i)x, order);
}

INLINE vec rot12(vec x)
{
	return x >> 12 | x << 20;
}

INLINE vec rot7(vec x)
{
	return x >> 7 | x << 25;
}

INLINE vec row(const uint8_t *p)
{
	return (vec)_mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Half a block of each input: turned within 128 bits, then the 128 bits themselves are. */
#define TURN_ROWS(half)                                                                                                            \
	do {                                                                                                                       \
		vec q_[2][4];                                                                                                      \
		TURN4(row(in[0] + at + (half)*32), row(in[1] + at + (half)*32), row(in[2] + at + (half)*32),                       \
			row(in[3] + at + (half)*32), q_[0]);                                                                       \
		TURN4(row(in[4] + at + (half)*32), row(in[5] + at + (half)*32), row(in[6] + at + (half)*32),                       \
			row(in[7] + at + (half)*32), q_[1]);                                                                       \
		TURN_QUARTERS(0, half);                                                                                            \
		TURN_QUARTERS(1, half);                                                                                            \
		TURN_QUARTERS(2, half);                                                                                            \
		TURN_QUARTERS(3, half);                                                                                            \
	} while (0)
#define TURN_QUARTERS(k, half)                                                                                                     \
	m[(half)*8 + (k)] = (vec)_mm256_permute2x128_si256((__m256i)q_[0][k], (__m256i)q_[1][k], 0x20);                            \
	m[(half)*8 + 4 + (k)] = (vec)_mm256_permute2x128_si256((__m256i)q_[0][k], (__m256i)q_[1][k], 0x31)
#define load(in, offset, m)                                                                                                        \
	do {                                                                                                                       \
		size_t at = (offset);                                                                                              \
		TURN_ROWS(0);                                                                                                      \
		TURN_ROWS(1);                                                                                                      \
	} while (0)

#include "shared/store/hash_lanes.h"

static void avx2_many(const struct hash_job *job, size_t n, uint32_t (*out)[8])
{
	size_t from = 0;
	for (; n - from > LANES / 2; from += n - from < LANES ? n - from : LANES)
		group(job, from, n - from < LANES ? n - from : LANES, out);
	if (from < n) {
		struct hash_job rest = *job;
		rest.in += from * job->stride;
		rest.counter += from * job->step;
		hash_sse41.many(&rest, n - from, out + from);
	}
}

static void avx2_block(uint32_t cv[8], const uint8_t block[HASH_BLOCK], uint32_t len, uint64_t counter, uint32_t flags)
{
	hash_sse41.block(cv, block, len, counter, flags);
}

const struct hash_impl hash_avx2 = { "avx2", avx2_block, avx2_many };
#endif
