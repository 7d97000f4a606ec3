/* link: shared/net/crypto.c | -lcrypto */
/* HMAC-SHA256 by the vectors of RFC 4231; sealed things by AES-256-GCM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/net/crypto.h"

enum { OVERHEAD = 12 + 16 };

static const uint8_t key[CRYPTO_KEY] = "0123456789abcdef0123456789abcde";

static void repeat(struct buf *out, char c, size_t n)
{
	while (n--)
		buf_ch(out, c);
}

/* RFC 4231, 4.2 to 4.8 but for the one that is cut */
static void t_hmac(void **state)
{
	struct buf k[6], d[6];
	static const char *const want[6] = { "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
		"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" };
	(void)state;
	for (size_t i = 0; i < 6; i++) {
		buf_init(&k[i]);
		buf_init(&d[i]);
	}
	repeat(&k[0], '\x0b', 20);
	buf_str(&d[0], "Hi There");
	buf_str(&k[1], "Jefe");
	buf_str(&d[1], "what do ya want for nothing?");
	repeat(&k[2], '\xaa', 20);
	repeat(&d[2], '\xdd', 50);
	for (char c = 1; c <= 25; c++)
		buf_ch(&k[3], c);
	repeat(&d[3], '\xcd', 50);
	repeat(&k[4], '\xaa', 131);
	buf_str(&d[4], "Test Using Larger Than Block-Size Key - Hash Key First");
	repeat(&k[5], '\xaa', 131);
	buf_str(&d[5],
		"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
		"hashed before being used by the HMAC algorithm.");
	for (size_t i = 0; i < 6; i++) {
		uint8_t mac[CRYPTO_MAC];
		auto_buf hex = BUF_INIT;
		crypto_hmac(k[i].p, k[i].len, d[i].p, d[i].len, mac);
		buf_hex(&hex, mac, sizeof(mac));
		assert_string_equal(hex.p, want[i]);
		buf_free(&k[i]);
		buf_free(&d[i]);
	}
}

static void t_empty_hmac(void **state)
{
	uint8_t mac[CRYPTO_MAC];
	auto_buf hex = BUF_INIT;
	(void)state;
	crypto_hmac("", 0, "", 0, mac);
	buf_hex(&hex, mac, sizeof(mac));
	assert_string_equal(hex.p, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void t_seal(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 31, 1000, 100000 };
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_buf plain = BUF_INIT, sealed = BUF_INIT, back = BUF_INIT;
		repeat(&plain, 'x', sizes[i]);
		buf_str(&sealed, "abc");
		assert_int_equal(crypto_seal(key, plain.p, plain.len, &sealed, &err), 0);
		assert_int_equal(sealed.len, 3 + OVERHEAD + sizes[i]);
		assert_memory_equal(sealed.p, "abc", 3);
		buf_str(&back, "abc");
		assert_int_equal(crypto_open(key, sealed.p + 3, sealed.len - 3, &back, &err), 0);
		assert_int_equal(back.len, 3 + sizes[i]);
		assert_memory_equal(back.p, "abc", 3);
		assert_memory_equal(back.p + 3, plain.p, plain.len);
		assert_int_equal(back.p[back.len], '\0');
		auto_buf none = BUF_INIT;
		assert_int_equal(crypto_open(key, sealed.p + 3, sealed.len - 3, &none, &err), 0); /* into one without memory */
		assert_int_equal(none.len, sizes[i]);
	}
}

/* The same thing never looks the same. */
static void t_nonces(void **state)
{
	enum { N = 200 };
	char seen[N][12];
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < N; i++) {
		auto_buf b = BUF_INIT;
		assert_int_equal(crypto_seal(key, "secret", 6, &b, &err), 0);
		memcpy(seen[i], b.p, 12);
		assert_null(memmem(b.p, b.len, "secret", 6));
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(seen[j], seen[i], 12);
	}
}

/* Refused, and what was there is as it was, to the NUL after it. */
static void refused(const uint8_t *k, const void *sealed, size_t n)
{
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;
	buf_str(&out, "abc");
	assert_int_equal(crypto_open(k, sealed, n, &out, &err), -1);
	assert_int_equal(err.code, ERR_STATE);
	assert_int_equal(out.len, 3);
	assert_string_equal(out.p, "abc");
}

static void t_tampering(void **state)
{
	static const char plain[] = "a secret that is longer than a block";
	uint8_t other[CRYPTO_KEY];
	auto_buf sealed = BUF_INIT;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(crypto_seal(key, plain, sizeof(plain), &sealed, &err), 0);
	for (size_t i = 0; i < sealed.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			sealed.p[i] = (char)(sealed.p[i] ^ 1 << bit);
			refused(key, sealed.p, sealed.len);
			sealed.p[i] = (char)(sealed.p[i] ^ 1 << bit);
		}
		refused(key, sealed.p, i);
		refused(key, sealed.p + i + 1, sealed.len - i - 1);
	}
	buf_ch(&sealed, 'x');
	refused(key, sealed.p, sealed.len);
	for (size_t i = 0; i < CRYPTO_KEY; i++) {
		memcpy(other, key, CRYPTO_KEY);
		other[i] ^= 1;
		refused(other, sealed.p, sealed.len - 1);
	}
}

/* NIST's GCM test case 14 and 15 (AES-256): one that others sealed. */
static void t_standard(void **state)
{
	static const uint8_t zeros[CRYPTO_KEY] = { 0 };
	uint8_t sealed[12 + 16 + 16] = { 0 };
	static const uint8_t rest[] = { 0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d,
		0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19 };
	auto_buf out = BUF_INIT;
	struct err err = ERR_INIT;
	(void)state;
	memcpy(sealed + 12, rest, sizeof(rest));
	assert_int_equal(crypto_open(zeros, sealed, sizeof(sealed), &out, &err), 0);
	assert_int_equal(out.len, 16);
	assert_memory_equal(out.p, zeros, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_hmac),
		cmocka_unit_test(t_empty_hmac),
		cmocka_unit_test(t_seal),
		cmocka_unit_test(t_nonces),
		cmocka_unit_test(t_tampering),
		cmocka_unit_test(t_standard),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
