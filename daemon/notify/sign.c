/* OpenSSL has a type of this name, which nothing here needs. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#undef ERR_STATE

#include "daemon/notify/sign.h"

#include <stdint.h>
#include <string.h>

static void write_hex(const unsigned char sum[SHA256_DIGEST_LENGTH], char out[SIGN_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[SIGN_HEX_LEN] = '\0';
}

int sign_hmac(const char *secret, const void *data, size_t n, char out[SIGN_HEX_LEN + 1], struct err *err)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	size_t key = strlen(secret);
	if (key > INT32_MAX || !HMAC(EVP_sha256(), secret, (int)key, data, n, sum, NULL))
		return err_set(err, ERR_INTERNAL, "cannot sign %zu bytes", n);
	write_hex(sum, out);
	return 0;
}

void sign_digest(const void *data, size_t n, char out[SIGN_HEX_LEN + 1])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256(data, n, sum);
	write_hex(sum, out);
}
