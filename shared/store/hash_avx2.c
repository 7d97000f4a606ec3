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
	const __m256i order = _mm256_set_epi8(
		13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
	return (vec)_mm256_shuffle_epi8((__m256i)x, order);
}

INLINE vec rot8(vec x)
{
	const __m256i order = _mm256_set_epi8(
		12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, 12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1);
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

#include "shared/store/hash_lanes.h"

#define PICK(a, b, which) ((vec)_mm256_permute2x128_si256((__m256i)(a), (__m256i)(b), which))

/* Half a block of each input: turned within 128 bits, then the 128 bits themselves are. */
INLINE void load_half(const uint8_t *const in[LANES], size_t at, vec m[8])
{
	vec a[4], b[4];
	turn4(row(in[0] + at), row(in[1] + at), row(in[2] + at), row(in[3] + at), a);
	turn4(row(in[4] + at), row(in[5] + at), row(in[6] + at), row(in[7] + at), b);
	m[0] = PICK(a[0], b[0], 0x20);
	m[1] = PICK(a[1], b[1], 0x20);
	m[2] = PICK(a[2], b[2], 0x20);
	m[3] = PICK(a[3], b[3], 0x20);
	m[4] = PICK(a[0], b[0], 0x31);
	m[5] = PICK(a[1], b[1], 0x31);
	m[6] = PICK(a[2], b[2], 0x31);
	m[7] = PICK(a[3], b[3], 0x31);
}

INLINE void load(const uint8_t *const in[LANES], size_t at, vec m[16])
{
	load_half(in, at, m);
	load_half(in, at + 32, m + 8);
}

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
