/* OpenSSL has a type of the same name as one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/sha.h>
#undef ERR_STATE

#include "daemon/image/hash.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "shared/base/buf.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define FILE_MAX ((size_t)256 << 20)

static void write_hex(const unsigned char sum[SHA256_DIGEST_LENGTH], char out[HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[HASH_HEX - 1] = '\0';
}

void hash_bytes(const void *data, size_t n, char out[HASH_HEX])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256(data, n, sum);
	write_hex(sum, out);
}

int hash_file(const char *path, char out[HASH_HEX], struct err *err)
{
	auto_buf b = BUF_INIT;

	if (fs_read(path, FILE_MAX, &b, err))
		return -1;
	hash_bytes(b.p, b.len, out);
	return 0;
}

struct hash_run {
	EVP_MD_CTX *ctx;
	bool ok; /* an algorithm that is refused gives a hash that nothing has */
};

struct hash_run *hash_begin(void)
{
	struct hash_run *h = mem_zalloc(sizeof(*h));

	h->ctx = EVP_MD_CTX_new();
	h->ok = h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) == 1;
	return h;
}

void hash_add(struct hash_run *h, const void *data, size_t n)
{
	h->ok = h->ok && EVP_DigestUpdate(h->ctx, data, n) == 1;
}

void hash_end(struct hash_run *h, char out[HASH_HEX])
{
	unsigned char sum[EVP_MAX_MD_SIZE] = { 0 };

	if (!h)
		return;
	h->ok = h->ok && EVP_DigestFinal_ex(h->ctx, sum, NULL) == 1;
	if (out)
		write_hex(sum, out);
	if (out && !h->ok)
		out[0] = '\0';
	EVP_MD_CTX_free(h->ctx);
	free(h);
}
