/* hash: AVX-512, sixteen inputs side by side, and with its word rotation; one to eight as AVX2 does. */
#include "shared/store/hash_internal.h"

#ifdef __x86_64__
#include <immintrin.h>

#define LANES 16
/* With detect_stack_use_after_return gcc 12 (bug 110027) puts these vectors where they are not aligned, and the CPU objects. */
#define TARGET __attribute__((target("avx512f"), no_sanitize_address))
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

#include "shared/store/hash_lanes.h"

#define PICK(a, b, which) ((vec)_mm512_shuffle_i32x4((__m512i)(a), (__m512i)(b), which))

/* 128 bits of each of four: words 0, 4, 8 and 12 of sixteen inputs (m[0] is word 0). */
INLINE void turn_quarters(vec a, vec b, vec c, vec d, vec *m)
{
	vec even0 = PICK(a, b, 0x88), odd0 = PICK(a, b, 0xdd), even1 = PICK(c, d, 0x88), odd1 = PICK(c, d, 0xdd);
	m[0] = PICK(even0, even1, 0x88);
	m[4] = PICK(odd0, odd1, 0x88);
	m[8] = PICK(even0, even1, 0xdd);
	m[12] = PICK(odd0, odd1, 0xdd);
}

INLINE void load(const uint8_t *const in[LANES], size_t at, vec m[16])
{
	vec a[4], b[4], c[4], d[4];
	turn4(row(in[0] + at), row(in[1] + at), row(in[2] + at), row(in[3] + at), a);
	turn4(row(in[4] + at), row(in[5] + at), row(in[6] + at), row(in[7] + at), b);
	turn4(row(in[8] + at), row(in[9] + at), row(in[10] + at), row(in[11] + at), c);
	turn4(row(in[12] + at), row(in[13] + at), row(in[14] + at), row(in[15] + at), d);
	turn_quarters(a[0], b[0], c[0], d[0], m);
	turn_quarters(a[1], b[1], c[1], d[1], m + 1);
	turn_quarters(a[2], b[2], c[2], d[2], m + 2);
	turn_quarters(a[3], b[3], c[3], d[3], m + 3);
}

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
