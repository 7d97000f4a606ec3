/* hash: the tree of BLAKE3 above the compression function.
 *
 * Input is taken in subtrees of a power of two chunks that begin where such a subtree may, so that the chunks of one, and then its
 * parents level by level, are worked on side by side. The stack holds the values of whole subtrees, largest first. As nobody knows
 * whether more will come, two subtrees of one size are joined only when the next one is pushed: the last join may be the root. */
#include "shared/store/hash_internal.h"

#define BATCH 64u /* chunks of a subtree at most */

static const uint32_t hash_iv[8] = { HASH_IV };

void hash_impls(const struct hash_impl *out[HASH_IMPLS])
{
	unsigned n = 0;
#ifdef __x86_64__
	bool sse41 = __builtin_cpu_supports("sse4.1"), avx2 = sse41 && __builtin_cpu_supports("avx2");
	if (avx2 && __builtin_cpu_supports("avx512f"))
		out[n++] = &hash_avx512;
	if (avx2)
		out[n++] = &hash_avx2;
	if (sse41)
		out[n++] = &hash_sse41;
#endif
	out[n++] = &hash_portable;
	out[n] = NULL;
}

/* Cheap enough to ask each time: the compiler's runtime looked at the CPU before main. */
static const struct hash_impl *best(void)
{
	const struct hash_impl *all[HASH_IMPLS];
	hash_impls(all);
	return all[0];
}

const char *hash_implementation(void)
{
	return best()->name;
}

void hasher_init(struct hasher *h)
{
	memcpy(h->chunk_cv, hash_iv, sizeof(hash_iv));
	memset(h->block, 0, sizeof(h->block));
	h->block_len = h->blocks = h->depth = 0;
	h->chunk = 0;
}

static void parent(const struct hash_impl *impl, const uint32_t pair[2][8], uint32_t flags, uint32_t out[8])
{
	uint8_t block[HASH_BLOCK];
	memcpy(block, pair, sizeof(block));
	memcpy(out, hash_iv, sizeof(hash_iv));
	impl->block(out, block, HASH_BLOCK, 0, HASH_PARENT | flags);
}

/* Join what is joined for sure now that more than `chunks` chunks are there: each bit of the number is a subtree. */
static void join(const struct hash_impl *impl, struct hasher *h, uint64_t chunks)
{
	for (unsigned want = (unsigned)__builtin_popcountll(chunks); h->depth > want; h->depth--)
		parent(impl, (const uint32_t(*)[8]) & h->stack[h->depth - 2], 0, h->stack[h->depth - 2]);
}

static void push(const struct hash_impl *impl, struct hasher *h, const uint32_t cv[8], uint64_t chunks_before)
{
	join(impl, h, chunks_before);
	memcpy(h->stack[h->depth++], cv, sizeof(h->stack[0]));
}

/* The two halves of a subtree of n chunks (a power of two), or the one value when n == 1. */
static void subtree(const struct hash_impl *impl, const uint8_t *in, size_t n, uint64_t first, uint32_t (*out)[8])
{
	struct hash_job chunks = { in, HASH_CHUNK, HASH_CHUNK / HASH_BLOCK, first, 1, 0, HASH_CHUNK_START, HASH_CHUNK_END };
	impl->many(&chunks, n, out);
	for (; n > 2; n /= 2) {
		struct hash_job parents = { (const uint8_t *)out, HASH_BLOCK, 1, 0, 0, HASH_PARENT, 0, 0 };
		impl->many(&parents, n / 2, out);
	}
}

/* Bytes of the chunk that is coming in. A full block waits until more comes: it may be the last one. */
static void chunk_add(const struct hash_impl *impl, struct hasher *h, const uint8_t *p, size_t n)
{
	while (n) {
		if (h->block_len == HASH_BLOCK) {
			impl->block(h->chunk_cv, h->block, HASH_BLOCK, h->chunk, h->blocks == 0 ? HASH_CHUNK_START : 0);
			h->blocks++;
			h->block_len = 0;
		}
		size_t take = HASH_BLOCK - h->block_len < n ? HASH_BLOCK - h->block_len : n;
		memcpy(h->block + h->block_len, p, take);
		h->block_len += (uint8_t)take;
		p += take;
		n -= take;
	}
}

static void chunk_end(const struct hash_impl *impl, const struct hasher *h, uint32_t flags, uint32_t out[8])
{
	uint8_t block[HASH_BLOCK] = { 0 };
	memcpy(block, h->block, h->block_len);
	memcpy(out, h->chunk_cv, sizeof(h->chunk_cv));
	impl->block(out, block, h->block_len, h->chunk, flags | HASH_CHUNK_END | (h->blocks == 0 ? HASH_CHUNK_START : 0));
}

static void chunk_next(struct hasher *h, uint64_t chunks)
{
	h->chunk += chunks;
	memcpy(h->chunk_cv, hash_iv, sizeof(hash_iv));
	h->block_len = h->blocks = 0;
}

static size_t chunk_len(const struct hasher *h)
{
	return (size_t)h->blocks * HASH_BLOCK + h->block_len;
}

void hasher_add_by(const struct hash_impl *impl, struct hasher *h, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t have = chunk_len(h);
	if (n == 0)
		return;
	if (have) {
		size_t take = HASH_CHUNK - have < n ? HASH_CHUNK - have : n;
		chunk_add(impl, h, p, take);
		p += take;
		n -= take;
		if (n == 0)
			return;
		uint32_t cv[8];
		chunk_end(impl, h, 0, cv);
		push(impl, h, cv, h->chunk);
		chunk_next(h, 1);
	}
	while (n > HASH_CHUNK) {
		uint32_t cvs[BATCH][8];
		size_t chunks = BATCH;
		while (chunks * HASH_CHUNK > n || (h->chunk & (chunks - 1)))
			chunks /= 2;
		subtree(impl, p, chunks, h->chunk, cvs);
		push(impl, h, cvs[0], h->chunk);
		if (chunks > 1)
			push(impl, h, cvs[1], h->chunk + chunks / 2);
		chunk_next(h, chunks);
		p += chunks * HASH_CHUNK;
		n -= chunks * HASH_CHUNK;
	}
	if (n) {
		chunk_add(impl, h, p, n);
		/* The chunk has a byte, so all before it is followed by something. */
		join(impl, h, h->chunk);
	}
}

static void end_by(const struct hash_impl *impl, const struct hasher *h, struct hash *out)
{
	uint32_t cv[8];
	unsigned left = h->depth;
	if (left == 0) {
		chunk_end(impl, h, HASH_ROOT, cv);
	} else if (chunk_len(h)) {
		chunk_end(impl, h, 0, cv);
	} else {
		left -= 2;
		parent(impl, &h->stack[left], left ? 0 : HASH_ROOT, cv);
	}
	while (left) {
		uint32_t pair[2][8];
		left--;
		memcpy(pair[0], h->stack[left], sizeof(pair[0]));
		memcpy(pair[1], cv, sizeof(pair[1]));
		parent(impl, pair, left ? 0 : HASH_ROOT, cv);
	}
	memcpy(out->b, cv, sizeof(out->b));
}

void hasher_add(struct hasher *h, const void *data, size_t n)
{
	hasher_add_by(best(), h, data, n);
}

void hasher_end(const struct hasher *h, struct hash *out)
{
	end_by(best(), h, out);
}

/* One chunk is one chain of blocks: most objects are that short. */
static void short_by(const struct hash_impl *impl, const uint8_t *p, size_t n, struct hash *out)
{
	uint32_t cv[8] = { HASH_IV }, flags = HASH_CHUNK_START;
	for (; n > HASH_BLOCK; p += HASH_BLOCK, n -= HASH_BLOCK) {
		impl->block(cv, p, HASH_BLOCK, 0, flags);
		flags = 0;
	}
	uint8_t last[HASH_BLOCK] = { 0 };
	if (n)
		memcpy(last, p, n);
	impl->block(cv, last, (uint32_t)n, 0, flags | HASH_CHUNK_END | HASH_ROOT);
	memcpy(out->b, cv, sizeof(out->b));
}

void hash_of_by(const struct hash_impl *impl, const void *data, size_t n, struct hash *out)
{
	if (n <= HASH_CHUNK) {
		short_by(impl, data, n, out);
		return;
	}
	struct hasher h;
	hasher_init(&h);
	hasher_add_by(impl, &h, data, n);
	end_by(impl, &h, out);
}

void hash_of(const void *data, size_t n, struct hash *out)
{
	hash_of_by(best(), data, n, out);
}

char *hash_hex(const struct hash *h, char out[HASH_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (unsigned i = 0; i < HASH_LEN; i++) {
		out[2 * i] = digits[h->b[i] >> 4];
		out[2 * i + 1] = digits[h->b[i] & 15];
	}
	out[HASH_HEX] = '\0';
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hash_parse(const char *hex, struct hash *out)
{
	struct hash h;
	for (unsigned i = 0; i < HASH_LEN; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);
		if (low < 0)
			return false;
		h.b[i] = (uint8_t)(high << 4 | low);
	}
	if (hex[HASH_HEX])
		return false;
	*out = h;
	return true;
}
