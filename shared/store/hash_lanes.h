/*
 * hash_lanes: BLAKE3 of LANES inputs side by side: word i of all of them is one vector. Included by the file of each CPU kind,
 * which has defined: LANES, TARGET (the attribute), INLINE, vec (LANES words), splat(word), rot16, rot12, rot8, rot7, unpack_lo32,
 * unpack_hi32, unpack_lo64 and unpack_hi64 (within 128 bits). It defines load after it. Empty when LANES is not defined.
 */
#ifndef SBX_STORE_HASH_LANES_H
#define SBX_STORE_HASH_LANES_H

#include "shared/store/hash_internal.h"

#ifdef LANES

static const uint32_t iv[8] = { HASH_IV };

/* The four mixes of a half round do not depend on each other: step by step side by side, as the CPU has units for it. */
#define ADD_WORDS(b0, b1, b2, b3, x0, x1, x2, x3)                                                                                  \
	v[0] += v[b0] + m[x0];                                                                                                     \
	v[1] += v[b1] + m[x1];                                                                                                     \
	v[2] += v[b2] + m[x2];                                                                                                     \
	v[3] += v[b3] + m[x3];
#define ADD4(a0, a1, a2, a3, b0, b1, b2, b3)                                                                                       \
	v[a0] += v[b0];                                                                                                            \
	v[a1] += v[b1];                                                                                                            \
	v[a2] += v[b2];                                                                                                            \
	v[a3] += v[b3];
#define XOR_ROT(rot, a0, a1, a2, a3, b0, b1, b2, b3)                                                                               \
	v[a0] = rot(v[a0] ^ v[b0]);                                                                                                \
	v[a1] = rot(v[a1] ^ v[b1]);                                                                                                \
	v[a2] = rot(v[a2] ^ v[b2]);                                                                                                \
	v[a3] = rot(v[a3] ^ v[b3]);
#define HALF_ROUND(b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, x0, y0, x1, y1, x2, y2, x3, y3)                                 \
	ADD_WORDS(b0, b1, b2, b3, x0, x1, x2, x3)                                                                                  \
	XOR_ROT(rot16, d0, d1, d2, d3, 0, 1, 2, 3)                                                                                 \
	ADD4(c0, c1, c2, c3, d0, d1, d2, d3)                                                                                       \
	XOR_ROT(rot12, b0, b1, b2, b3, c0, c1, c2, c3)                                                                             \
	ADD_WORDS(b0, b1, b2, b3, y0, y1, y2, y3)                                                                                  \
	XOR_ROT(rot8, d0, d1, d2, d3, 0, 1, 2, 3)                                                                                  \
	ADD4(c0, c1, c2, c3, d0, d1, d2, d3)                                                                                       \
	XOR_ROT(rot7, b0, b1, b2, b3, c0, c1, c2, c3)
#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)                                                \
	HALF_ROUND(4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, m0, m1, m2, m3, m4, m5, m6, m7)                                       \
	HALF_ROUND(5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14, m8, m9, m10, m11, m12, m13, m14, m15)

/* Four rows of four words in each 128 bits become four columns. */
INLINE void turn4(vec r0, vec r1, vec r2, vec r3, vec out[4])
{
	vec a = unpack_lo32(r0, r1), b = unpack_hi32(r0, r1);
	vec c = unpack_lo32(r2, r3), d = unpack_hi32(r2, r3);
	out[0] = unpack_lo64(a, c);
	out[1] = unpack_hi64(a, c);
	out[2] = unpack_lo64(b, d);
	out[3] = unpack_hi64(b, d);
}

/* The block at `at` of each input, as columns: written by the file of each CPU kind. */
INLINE void load(const uint8_t *const in[LANES], size_t at, vec m[16]);

/* The chaining values of n <= LANES inputs; lanes without an input repeat the last one. */
TARGET static void group(const struct hash_job *job, size_t from, size_t n, uint32_t (*out)[8])
{
	const uint8_t *in[LANES];
	uint32_t low[LANES], high[LANES];
	for (size_t i = 0; i < LANES; i++) {
		size_t k = from + (i < n ? i : n - 1);
		uint64_t counter = job->counter + k * job->step;
		in[i] = job->in + k * job->stride;
		low[i] = (uint32_t)counter;
		high[i] = (uint32_t)(counter >> 32);
	}
	vec h[8] = { splat(iv[0]), splat(iv[1]), splat(iv[2]), splat(iv[3]), splat(iv[4]), splat(iv[5]), splat(iv[6]),
		splat(iv[7]) };
	vec counter_low, counter_high;
	memcpy(&counter_low, low, sizeof(counter_low));
	memcpy(&counter_high, high, sizeof(counter_high));
	for (size_t b = 0; b < job->blocks; b++) {
		uint32_t flags = job->flags | (b == 0 ? job->first : 0) | (b + 1 == job->blocks ? job->last : 0);
		vec m[16];
		load(in, b * HASH_BLOCK, m);
		vec v[16] = { h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], splat(iv[0]), splat(iv[1]), splat(iv[2]),
			splat(iv[3]), counter_low, counter_high, splat(HASH_BLOCK), splat(flags) };
		HASH_ROUNDS(ROUND)
		h[0] = v[0] ^ v[8];
		h[1] = v[1] ^ v[9];
		h[2] = v[2] ^ v[10];
		h[3] = v[3] ^ v[11];
		h[4] = v[4] ^ v[12];
		h[5] = v[5] ^ v[13];
		h[6] = v[6] ^ v[14];
		h[7] = v[7] ^ v[15];
	}
	/* 128 bits number i of rows[half][k] are words of input 4 * i + k. */
	vec rows[2][4];
	turn4(h[0], h[1], h[2], h[3], rows[0]);
	turn4(h[4], h[5], h[6], h[7], rows[1]);
	for (size_t i = 0; i < n; i++) {
		memcpy(out[from + i], (const uint8_t *)&rows[0][i % 4] + i / 4 * 16, 16);
		memcpy(out[from + i] + 4, (const uint8_t *)&rows[1][i % 4] + i / 4 * 16, 16);
	}
}

#endif
#endif
