/* link: shared/net/jwt.c shared/net/crypto.c | -lcrypto */
/* Tokens: the vector of the standard, and everything that is no token of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/net/crypto.h"
#include "shared/net/jwt.h"

static const char key[] = "a key of 32 bytes, as ours is ..";
enum { KEY_N = sizeof(key) - 1, NOW = 1000 };

static bool good(const char *token)
{
	struct err err = ERR_INIT;
	auto_js *claims = jwt_verify(key, KEY_N, token, NOW, &err);
	if (!claims) {
		assert_int_equal(err.code, ERR_UNAUTHORIZED);
		assert_true(err.msg[0] && err.hint[0]);
	}
	return claims != NULL;
}

/* A token with this header and these claims, signed as it has to be. */
static char *signed_token(const char *header, const char *claims)
{
	auto_buf b = BUF_INIT;
	uint8_t mac[CRYPTO_MAC];
	b64url_encode(&b, header, strlen(header));
	buf_ch(&b, '.');
	b64url_encode(&b, claims, strlen(claims));
	crypto_hmac(key, KEY_N, b.p, b.len, mac);
	buf_ch(&b, '.');
	b64url_encode(&b, mac, sizeof(mac));
	return mem_strdup(b.p);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static bool claims_good(const char *header, const char *claims)
{
	auto_free char *token = signed_token(header, claims);
	return good(token);
}

/* RFC 7515, A.1 */
static void t_standard(void **state)
{
	static const char token[] =
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
	static const char k[] = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
	struct err err = ERR_INIT;
	auto_buf secret = BUF_INIT;
	(void)state;
	assert_int_equal(b64url_decode(&secret, k, sizeof(k) - 1), 0);
	assert_int_equal(secret.len, 64);
	auto_js *claims = jwt_verify(secret.p, secret.len, token, 1300819379, &err);
	assert_non_null(claims);
	assert_string_equal(js_str(js_get(claims, "iss"), ""), "joe");
	assert_true(js_bool(js_get(claims, "http://example.com/is_root"), false));
	assert_null(jwt_verify(secret.p, secret.len, token, 1300819380, &err)); /* it is over */
	assert_int_equal(err.code, ERR_UNAUTHORIZED);
	assert_null(jwt_verify(secret.p, secret.len, token, 1300819380, NULL));
}

static void t_round_trip(void **state)
{
	auto_buf token = BUF_INIT;
	(void)state;
	buf_str(&token, "kept ");
	jwt_sign(key, KEY_N, "{\"sub\":\"me\",\"exp\":1001}", &token);
	assert_memory_equal(token.p, "kept ", 5);
	auto_js *claims = jwt_verify(key, KEY_N, token.p + 5, NOW, NULL);
	assert_string_equal(js_str(js_get(claims, "sub"), ""), "me");
	assert_null(strpbrk(token.p, "+/="));
	auto_free char *same = signed_token(HEADER, "{\"sub\":\"me\",\"exp\":1001}");
	assert_string_equal(token.p + 5, same);
}

/* No byte of it can be another, missing or more. */
static void t_tampering(void **state)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
	auto_free char *token = signed_token(HEADER, "{\"sub\":\"me\",\"exp\":1001}");
	size_t n = strlen(token);
	(void)state;
	assert_true(good(token));
	for (size_t i = 0; i < n; i++) {
		auto_free char *bad = mem_strdup(token);
		for (const char *c = alphabet; *c; c++) {
			bad[i] = *c;
			assert_int_equal(good(bad), *c == token[i]);
		}
		memmove(bad + i, token + i + 1, n - i);
		assert_false(good(bad));
		auto_free char *cut = mem_strndup(token, i);
		assert_false(good(cut));
		auto_free char *more = mem_printf("%.*sA%s", (int)i, token, token + i);
		assert_false(good(more));
	}
	static const char *const ends[] = { "A", "=", ".", ".A", " ", "==" };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		auto_free char *more = mem_printf("%s%s", token, ends[i]);
		assert_false(good(more));
	}
}

static void t_wrong_key(void **state)
{
	auto_free char *token = signed_token(HEADER, "{\"exp\":1001}");
	char other[KEY_N];
	(void)state;
	for (size_t i = 0; i < KEY_N; i++) {
		memcpy(other, key, KEY_N);
		other[i] ^= 1;
		assert_null(jwt_verify(other, KEY_N, token, NOW, NULL));
	}
	assert_null(jwt_verify(key, KEY_N - 1, token, NOW, NULL));
	assert_null(jwt_verify("", 0, token, NOW, NULL));
}

/* Only one way of signing is known, whatever the token says. */
static void t_algorithms(void **state)
{
	static const char *const bad[] = { "{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"hs256\"}", "{\"alg\":\"HS384\"}",
		"{\"alg\":\"RS256\"}", "{\"alg\":\"\"}", "{\"alg\":null}", "{\"alg\":1}", "{\"alg\":[\"HS256\"]}", "{}",
		"{\"typ\":\"JWT\"}", "[]", "\"HS256\"", "null", "", "{", "{\"alg\":\"HS256\"}x",
		"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"crit\":[\"x\"],\"x\":1}" };
	(void)state;
	assert_true(claims_good("{\"alg\":\"HS256\"}", "{\"exp\":1001}"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (claims_good(bad[i], "{\"exp\":1001}"))
			fail_msg("%s", bad[i]);
	/* unsigned, as `none` would have it */
	auto_buf b = BUF_INIT;
	b64url_encode(&b, "{\"alg\":\"none\"}", 14);
	buf_ch(&b, '.');
	b64url_encode(&b, "{\"exp\":1001}", 12);
	assert_false(good(b.p));
	buf_ch(&b, '.');
	assert_false(good(b.p));
}

static void t_time(void **state)
{
	static const char *const bad[] = { "{\"exp\":1000}", "{\"exp\":999}", "{\"exp\":0}", "{\"exp\":-1}", "{\"exp\":\"1001\"}",
		"{\"exp\":null}", "{\"exp\":true}", "{\"exp\":1e300}", "{\"exp\":[1001]}", "{}", "[1001]", "1001", "null", "",
		"{\"exp\":1001", "{\"exp\":1001,}", "{\"exp\":1001,\"exp\":1001}", "{\"a\":{\"exp\":1001}}" };
	(void)state;
	assert_true(claims_good(HEADER, "{\"exp\":1001}"));
	assert_true(claims_good(HEADER, "{\"exp\":9007199254740991}"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (claims_good(HEADER, bad[i]))
			fail_msg("%s", bad[i]);
}

static char *long_token(size_t pad)
{
	auto_buf claims = BUF_INIT;
	buf_str(&claims, "{\"exp\":1001,\"x\":\"");
	for (size_t i = 0; i < pad; i++)
		buf_ch(&claims, 'x');
	buf_str(&claims, "\"}");
	return signed_token(HEADER, claims.p);
}

static void t_size(void **state)
{
	size_t pad = 5000;
	(void)state;
	for (;; pad++) {
		auto_free char *token = long_token(pad);
		if (strlen(token) > JWT_MAX) {
			assert_false(good(token));
			break;
		}
		assert_true(good(token));
		pad += strlen(token) < JWT_MAX - 100 ? 64 : 0;
	}
	auto_free char *huge = long_token(3000000);
	assert_false(good(huge));
	/* deep or wide claims are no claims */
	assert_false(claims_good(HEADER, "{\"exp\":1001,\"x\":[[[[[[1]]]]]]}"));
	auto_buf wide = BUF_INIT;
	buf_str(&wide, "{\"exp\":1001");
	for (int i = 0; i < 100; i++)
		buf_fmt(&wide, ",\"k%d\":1", i);
	buf_ch(&wide, '}');
	assert_false(claims_good(HEADER, wide.p));
}

static void t_junk(void **state)
{
	static const char *const junk[] = { "", ".", "..", "...", "....", "a", "a.b", "a.b.c", " ", "\xff.\xff.\xff", "eyJ9..",
		"..eyJ9", "wrn_0123456789abcdef0123456789abcdef", "%s%s%n.%n.%n" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(junk); i++)
		assert_false(good(junk[i]));
}

static void t_b64url(void **state)
{
	static const struct {
		const char *plain, *text;
	} rows[] = { { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy" }, { "\xfb\xff\xfe", "-__-" } };
	static const char *const bad[] = { "Z", "Zg=", "Zg==", "Zh", "Zm9", "Zm9vY", "Zm 9v", "+//+", "Zm9v\n", "\xc3\xa9zz", "A" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf out = BUF_INIT, back = BUF_INIT;
		buf_str(&out, "+/=");
		b64url_encode(&out, rows[i].plain, strlen(rows[i].plain));
		assert_memory_equal(out.p, "+/=", 3); /* what was there stays */
		assert_string_equal(out.p + 3, rows[i].text);
		assert_int_equal(b64url_decode(&back, out.p + 3, out.len - 3), 0);
		assert_string_equal(back.p, rows[i].plain);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_buf out = BUF_INIT;
		if (!b64url_decode(&out, bad[i], strlen(bad[i])))
			fail_msg("%s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_standard),
		cmocka_unit_test(t_round_trip),
		cmocka_unit_test(t_tampering),
		cmocka_unit_test(t_wrong_key),
		cmocka_unit_test(t_algorithms),
		cmocka_unit_test(t_time),
		cmocka_unit_test(t_size),
		cmocka_unit_test(t_junk),
		cmocka_unit_test(t_b64url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
