#include "shared/net/jwt.h"

#include <string.h>

#include "shared/base/b64.h"
#include "shared/base/util.h"
#include "shared/net/crypto.h"

void b64url_encode(struct buf *out, const void *data, size_t n)
{
	size_t from = out->len;
	b64_encode(out, data, n);
	while (out->len > from && out->p[out->len - 1] == '=')
		out->p[--out->len] = '\0';
	for (size_t i = from; i < out->len; i++)
		out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
}

int b64url_decode(struct buf *out, const char *text, size_t n)
{
	auto_buf plain = BUF_INIT;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return -1;
		buf_ch(&plain, text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	}
	while (plain.len % 4)
		buf_ch(&plain, '=');
	return buf_failed(&plain) ? -1 : b64_decode(out, plain.p, plain.len);
}

void jwt_sign(const void *key, size_t key_n, const char *claims, struct buf *out)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	uint8_t mac[CRYPTO_MAC];
	size_t from = out->len;
	b64url_encode(out, header, sizeof(header) - 1);
	buf_ch(out, '.');
	b64url_encode(out, claims, strlen(claims));
	crypto_hmac(key, key_n, out->p + from, out->len - from, mac);
	buf_ch(out, '.');
	b64url_encode(out, mac, CRYPTO_MAC);
}

static js *part(const char *text, size_t n)
{
	static const struct js_limits limits = { .bytes = JWT_MAX, .depth = 4, .members = 64 };
	auto_buf bytes = BUF_INIT;
	return b64url_decode(&bytes, text, n) ? NULL : js_parse(bytes.p, bytes.len, limits, NULL);
}

/* Compared as text: of the bits that the last letter has too many, another letter would tell nothing. */
static bool signed_by(const void *key, size_t key_n, const char *token, const char *dot)
{
	uint8_t mac[CRYPTO_MAC];
	auto_buf want = BUF_INIT;
	crypto_hmac(key, key_n, token, (size_t)(dot - token), mac);
	b64url_encode(&want, mac, CRYPTO_MAC);
	return strlen(dot + 1) == want.len && mem_equal_ct(dot + 1, want.p, want.len);
}

js *jwt_verify(const void *key, size_t key_n, const char *token, int64_t now_s, struct err *err)
{
	const char *first = strchr(token, '.'), *second = first ? strchr(first + 1, '.') : NULL;
	int64_t until = 0;
	if (second && strlen(token) <= JWT_MAX && signed_by(key, key_n, token, second)) {
		auto_js *header = part(token, (size_t)(first - token));
		js *claims = part(first + 1, (size_t)(second - first - 1));
		/* `crit` names what whoever verifies it has to know, and we know of nothing (RFC 7515, 4.1.11) */
		bool known = str_same(js_str(js_get(header, "alg"), NULL), "HS256") && !js_get(header, "crit");
		if (claims && known && js_int(js_get(claims, "exp"), &until) == 0 && until > now_s)
			return claims;
		js_free(claims);
	}
	err_set(err, ERR_UNAUTHORIZED, "the token is invalid or has expired");
	err_hint(err, "log in again");
	return NULL;
}
