/* hash: SSE4.1, four inputs side by side, or one input with a row of its state in each vector. */
#include "shared/store/hash_internal.h"

#ifdef __x86_64__
#include <immintrin.h>

#define LANES 4
#define TARGET __attribute__((target("sse4.1")))
#define INLINE TARGET static inline __attribute__((always_inline))

typedef uint32_t vec __attribute__((vector_size(16)));

#define splat(word) ((vec)_mm_set1_epi32((int)(word)))
#define unpack_lo32(a, b) ((vec)_mm_unpacklo_epi32((__m128i)(a), (__m128i)(b)))
#define unpack_hi32(a, b) ((vec)_mm_unpackhi_epi32((__m128i)(a), (__m128i)(b)))
#define unpack_lo64(a, b) ((vec)_mm_unpacklo_epi64((__m128i)(a), (__m128i)(b)))
#define unpack_hi64(a, b) ((vec)_mm_unpackhi_epi64((__m128i)(a), (__m128i)(b)))

INLINE vec rot16(vec x)
{
	return (vec)_mm_shuffle_epi8((__m128i)x, _mm_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2));
}

INLINE vec rot8(vec x)
{
	return (vec)_mm_shuffle_epi8((__m128i)x, _mm_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1));
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
	return (vec)_mm_loadu_si128((const __m128i *)(const void *)p);
}

#include "shared/store/hash_lanes.h"

INLINE void load(const uint8_t *const in[LANES], size_t at, vec m[16])
{
	turn4(row(in[0] + at), row(in[1] + at), row(in[2] + at), row(in[3] + at), m);
	turn4(row(in[0] + at + 16), row(in[1] + at + 16), row(in[2] + at + 16), row(in[3] + at + 16), m + 4);
	turn4(row(in[0] + at + 32), row(in[1] + at + 32), row(in[2] + at + 32), row(in[3] + at + 32), m + 8);
	turn4(row(in[0] + at + 48), row(in[1] + at + 48), row(in[2] + at + 48), row(in[3] + at + 48), m + 12);
}

#define WORDS(a, b, c, d) ((vec){ m[a], m[b], m[c], m[d] })
#define TURN_ROW(x, n) ((vec)_mm_shuffle_epi32((__m128i)(x), _MM_SHUFFLE((3 + (n)) % 4, (2 + (n)) % 4, (1 + (n)) % 4, n)))
#define MIX_ROWS(x, y)                                                                                                             \
	a += b + (x);                                                                                                              \
	d = rot16(d ^ a);                                                                                                          \
	c += d;                                                                                                                    \
	b = rot12(b ^ c);                                                                                                          \
	a += b + (y);                                                                                                              \
	d = rot8(d ^ a);                                                                                                           \
	c += d;                                                                                                                    \
	b = rot7(b ^ c);
/* The columns, then the diagonals as columns of turned rows. The words are fetched while the chain of adds waits for itself. */
#define ROW_ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)                                            \
	MIX_ROWS(WORDS(m0, m2, m4, m6), WORDS(m1, m3, m5, m7))                                                                     \
	b = TURN_ROW(b, 1);                                                                                                        \
	c = TURN_ROW(c, 2);                                                                                                        \
	d = TURN_ROW(d, 3);                                                                                                        \
	MIX_ROWS(WORDS(m8, m10, m12, m14), WORDS(m9, m11, m13, m15))                                                               \
	b = TURN_ROW(b, 3);                                                                                                        \
	c = TURN_ROW(c, 2);                                                                                                        \
	d = TURN_ROW(d, 1);

TARGET static void sse41_block(uint32_t cv[8], const uint8_t block[HASH_BLOCK], uint32_t len, uint64_t counter, uint32_t flags)
{
	uint32_t m[16];
	memcpy(m, block, sizeof(m));
	vec h0, h1;
	memcpy(&h0, cv, sizeof(h0));
	memcpy(&h1, cv + 4, sizeof(h1));
	vec a = h0, b = h1, c = { iv[0], iv[1], iv[2], iv[3] };
	vec d = { (uint32_t)counter, (uint32_t)(counter >> 32), len, flags };
	HASH_ROUNDS(ROW_ROUND)
	a ^= c;
	b ^= d;
	memcpy(cv, &a, sizeof(a));
	memcpy(cv + 4, &b, sizeof(b));
}

static void sse41_many(const struct hash_job *job, size_t n, uint32_t (*out)[8])
{
	for (size_t from = 0; from < n; from += LANES)
		group(job, from, n - from < LANES ? n - from : LANES, out);
}

const struct hash_impl hash_sse41 = { "sse4.1", sse41_block, sse41_many };
#endif
