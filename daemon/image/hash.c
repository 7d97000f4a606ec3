#include "daemon/image/hash.h"

#include <openssl/sha.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/fs.h"

#define FILE_MAX ((size_t)256 << 20)

void hash_bytes(const void *data, size_t n, char out[HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256(data, n, sum);
	for (size_t i = 0; i < sizeof(sum); i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[HASH_HEX - 1] = '\0';
}

int hash_file(const char *path, char out[HASH_HEX], struct err *err)
{
	auto_buf b = BUF_INIT;

	if (fs_read(path, FILE_MAX, &b, err))
		return -1;
	hash_bytes(b.p, b.len, out);
	return 0;
}
