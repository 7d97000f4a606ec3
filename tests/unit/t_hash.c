/* link: shared/store/hash*.c | */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/store/hash_internal.h"

/* Made by an independent implementation (WebAssembly): npm install hash-wasm@4.13.0, then with node
 *   import { blake3 } from 'hash-wasm';
 *   for (const n of [0, 1, 1023, ...])
 *     console.log(`{ ${n}, "${await blake3(Uint8Array.from({length: n}, (_, i) => i % 251))}" },`);
 * The same table came from the llvm_blake3_* functions of Debian's libLLVM-15. */
static const struct vector {
	size_t n;
	const char *hex;
} vectors[] = {
	{ 0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262" },
	{ 1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213" },
	{ 1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11" },
	{ 1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7" },
	{ 1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444" },
	{ 2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a" },
	{ 2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030" },
	{ 3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2" },
	{ 3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3" },
	{ 4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969" },
	{ 4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995" },
	{ 5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833" },
	{ 5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff" },
	{ 6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205" },
	{ 7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a" },
	{ 8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63" },
	{ 8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b" },
	{ 16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4" },
	{ 31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47" },
	{ 102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085" },
};

static uint64_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 16;
}

static uint8_t *pattern(size_t n)
{
	uint8_t *p = mem_zalloc(n);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i % 251);
	return p;
}

static void check_hex(const struct hash *h, const char *hex)
{
	char text[HASH_HEX + 1];
	assert_string_equal(hash_hex(h, text), hex);
}

static void published_vectors(void **state)
{
	(void)state;
	const struct hash_impl *impls[HASH_IMPLS];
	hash_impls(impls);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		auto_free uint8_t *p = pattern(vectors[i].n);
		struct hash h;
		hash_of(p, vectors[i].n, &h);
		check_hex(&h, vectors[i].hex);
		for (unsigned j = 0; impls[j]; j++) {
			hash_of_by(impls[j], p, vectors[i].n, &h);
			check_hex(&h, vectors[i].hex);
		}
	}
}

/* Every length around the group sizes of the lanes, and random longer ones; unaligned. */
static void implementations_agree(void **state)
{
	(void)state;
	const struct hash_impl *impls[HASH_IMPLS];
	uint64_t seed = 4711;
	size_t max = 300000;
	auto_free uint8_t *p = mem_zalloc(max + 64);
	hash_impls(impls);
	for (size_t i = 0; i < max + 64; i++)
		p[i] = (uint8_t)next(&seed);
	for (unsigned round = 0; round < 700; round++) {
		size_t n = round < 450 ? (round / 3) * 512 + round % 3 : next(&seed) % max;
		const uint8_t *at = p + next(&seed) % 64;
		struct hash want, got;
		hash_of_by(&hash_portable, at, n, &want);
		for (unsigned j = 0; impls[j]; j++) {
			hash_of_by(impls[j], at, n, &got);
			assert_memory_equal(&got, &want, sizeof(got));
		}
	}
}

static void pieces_make_the_whole(void **state)
{
	(void)state;
	const struct hash_impl *impls[HASH_IMPLS];
	static const size_t sizes[] = { 1, 7, 64, 65, 1000, 1024, 1025, 5000, 70000, 200000 };
	uint64_t seed = 99;
	size_t max = 500000;
	auto_free uint8_t *p = pattern(max);
	hash_impls(impls);
	for (unsigned round = 0; round < 400; round++) {
		size_t n = next(&seed) % (round % 2 ? max : 20000);
		struct hash want, got;
		struct hasher h;
		hash_of(p, n, &want);
		hasher_init(&h);
		for (size_t at = 0; at < n;) {
			size_t take = next(&seed) % (sizes[next(&seed) % ARRAY_LEN(sizes)] + 1);
			if (take > n - at)
				take = n - at;
			/* A hasher may be looked at, and go from one implementation to the other, in the middle. */
			unsigned j = 0;
			while (impls[j + 1] && next(&seed) % 2)
				j++;
			hasher_add_by(impls[j], &h, p + at, take);
			at += take;
			if (next(&seed) % 16 == 0) {
				hasher_end(&h, &got);
				hash_of(p, at, &want);
				assert_memory_equal(&got, &want, sizeof(got));
			}
		}
		hasher_end(&h, &got);
		hash_of(p, n, &want);
		assert_memory_equal(&got, &want, sizeof(got));
	}
}

static void hex_both_ways(void **state)
{
	(void)state;
	struct hash h, back;
	char hex[HASH_HEX + 2];
	hash_of("sbx", 3, &h);
	hash_hex(&h, hex);
	assert_true(hash_parse(hex, &back));
	assert_true(hash_eq(&h, &back));
	for (char *c = hex; *c; c++)
		*c = (char)(*c >= 'a' ? *c - 32 : *c);
	assert_true(hash_parse(hex, &back));
	assert_int_equal(hash_cmp(&h, &back), 0);
	for (size_t cut = 0; cut < HASH_HEX; cut++) {
		char was = hex[cut];
		hex[cut] = '\0';
		assert_false(hash_parse(hex, &back));
		hex[cut] = 'g';
		assert_false(hash_parse(hex, &back));
		hex[cut] = was;
	}
	hex[HASH_HEX] = '0';
	hex[HASH_HEX + 1] = '\0';
	assert_false(hash_parse(hex, &back));
}

static void names_its_implementation(void **state)
{
	(void)state;
	const struct hash_impl *impls[HASH_IMPLS];
	hash_impls(impls);
	assert_string_equal(hash_implementation(), impls[0]->name);
	unsigned n = 0;
	while (impls[n])
		n++;
	assert_true(n >= 1 && n < HASH_IMPLS);
	assert_string_equal(impls[n - 1]->name, "portable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(implementations_agree),
		cmocka_unit_test(pieces_make_the_whole),
		cmocka_unit_test(hex_both_ways),
		cmocka_unit_test(names_its_implementation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
