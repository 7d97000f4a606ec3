/* link: shared/net/jwt.c shared/net/crypto.c | -lcrypto */
/*
 * Tokens: any text is none, unless it was signed with the key; what was signed is taken just when its claims are good, and not with
 * a byte of it changed. Base64 without padding has one text for each value.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/net/crypto.h"
#include "shared/net/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

static const char key[] = "key";
enum { NOW = 1000 };

static void any_text(const char *text)
{
	struct err err = ERR_INIT;
	auto_js *claims = jwt_verify(key, 3, text, NOW, &err);
	CHECK(!claims && err.code == ERR_UNAUTHORIZED);
	auto_buf bytes = BUF_INIT, again = BUF_INIT;
	if (b64url_decode(&bytes, text, strlen(text)))
		return;
	b64url_encode(&again, bytes.p, bytes.len);
	CHECK(again.len == strlen(text) && !memcmp(again.p, text, again.len));
}

/* The text as header and claims, divided at the first line break, with a true signature. */
static void as_signed(const char *text)
{
	const char *nl = strchr(text, '\n');
	size_t n = nl ? (size_t)(nl - text) : 0;
	uint8_t mac[CRYPTO_MAC];
	int64_t until = 0;
	auto_buf token = BUF_INIT;
	if (!nl)
		return;
	b64url_encode(&token, text, n);
	buf_ch(&token, '.');
	b64url_encode(&token, nl + 1, strlen(nl + 1));
	crypto_hmac(key, 3, token.p, token.len, mac);
	buf_ch(&token, '.');
	size_t body = token.len;
	b64url_encode(&token, mac, sizeof(mac));
	auto_js *claims = jwt_verify(key, 3, token.p, NOW, NULL);
	if (!claims)
		return;
	auto_js *header = js_parse(text, n, JS_LIMITS_DEFAULT, NULL);
	CHECK(header && !strcmp(js_str(js_get(header, "alg"), ""), "HS256"));
	CHECK(!js_int(js_get(claims, "exp"), &until) && until > NOW);
	token.p[(size_t)text[0] % body] ^= 1;
	auto_js *none = jwt_verify(key, 3, token.p, NOW, NULL);
	CHECK(!none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = mem_strndup((const char *)data, size);
	any_text(text);
	as_signed(text);
	return 0;
}
