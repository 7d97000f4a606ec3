/* OpenSSL and we have a name in common. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/hmac.h>
#undef ERR_STATE

#include "shared/net/crypto.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/util.h"

enum { NONCE = 12, TAG = 16 };

void crypto_hmac(const void *key, size_t key_n, const void *data, size_t n, uint8_t out[CRYPTO_MAC])
{
	unsigned len = CRYPTO_MAC;
	if (!HMAC(EVP_sha256(), key, (int)key_n, data, n, out, &len))
		abort();
}

int crypto_seal(const uint8_t key[CRYPTO_KEY], const void *data, size_t n, struct buf *out, struct err *err)
{
	int len = 0, rest = 0;
	uint8_t *p = (uint8_t *)buf_reserve(out, NONCE + n + TAG);
	EVP_CIPHER_CTX *ctx = p ? EVP_CIPHER_CTX_new() : NULL;
	if (!ctx)
		return err_set(err, ERR_LIMIT, "no memory");
	rand_bytes(p, NONCE);
	bool good = EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, p) == 1 &&
		EVP_EncryptUpdate(ctx, p + NONCE, &len, data, (int)n) == 1 &&
		EVP_EncryptFinal_ex(ctx, p + NONCE + len, &rest) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, p + NONCE + n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!good)
		return err_set(err, ERR_INTERNAL, "this build of OpenSSL has no AES-256-GCM");
	buf_commit(out, NONCE + n + TAG);
	return 0;
}

int crypto_open(const uint8_t key[CRYPTO_KEY], const void *sealed, size_t n, struct buf *out, struct err *err)
{
	const uint8_t *p = sealed;
	int len = 0, rest = 0;
	if (n < NONCE + TAG)
		return err_set(err, ERR_STATE, "what was sealed is damaged");
	size_t plain_n = n - NONCE - TAG;
	uint8_t tag[TAG];
	for (size_t i = 0; i < TAG; i++)
		tag[i] = p[n - TAG + i];
	uint8_t *plain = (uint8_t *)buf_reserve(out, plain_n);
	EVP_CIPHER_CTX *ctx = plain ? EVP_CIPHER_CTX_new() : NULL;
	if (!ctx)
		return err_set(err, ERR_LIMIT, "no memory");
	bool good = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, p) == 1 &&
		EVP_DecryptUpdate(ctx, plain, &len, p + NONCE, (int)plain_n) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 && EVP_DecryptFinal_ex(ctx, plain + len, &rest) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!good) {
		/* nobody vouches for what was deciphered before the tag was looked at; and a buffer ends with NUL */
		explicit_bzero(plain, plain_n + 1);
		return err_set(err, ERR_STATE, "what was sealed cannot be opened");
	}
	buf_commit(out, plain_n);
	return 0;
}
