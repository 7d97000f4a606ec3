#include "daemon/core/secret.h"

#include <string.h>

#include "shared/base/b64.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/crypto.h"

static int make(struct secret *s, const char *path, struct err *err)
{
	rand_bytes(s->key, sizeof(s->key));
	return fs_write_atomic(path, s->key, sizeof(s->key), 0600, err);
}

int secret_open(struct secret *s, const char *home, struct err *err)
{
	auto_free char *path = fs_join(home, "secret.key");
	auto_buf bytes = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = fs_read(path, SECRET_SIZE, &bytes, &why);
	if (rc && why.code == ERR_NOT_FOUND)
		return make(s, path, err);
	if (rc && why.code != ERR_TOO_LARGE) {
		if (err)
			*err = why;
		return -1;
	}
	if (rc || bytes.len != SECRET_SIZE) {
		err_set(err, ERR_STATE, "'%s' is damaged: it must hold %d bytes", path, SECRET_SIZE);
		return err_hint(err, "restore it; or remove it, and all who are logged in have to do so again");
	}
	memcpy(s->key, bytes.p, SECRET_SIZE);
	return 0;
}

void secret_derive(const struct secret *s, const char *purpose, uint8_t out[SECRET_SIZE])
{
	crypto_hmac(s->key, SECRET_SIZE, purpose, strlen(purpose), out);
}

int secret_seal(const struct secret *s, const char *purpose, const void *data, size_t n, struct buf *out, struct err *err)
{
	uint8_t key[SECRET_SIZE];
	auto_buf bytes = BUF_INIT;
	secret_derive(s, purpose, key);
	if (crypto_seal(key, data, n, &bytes, err))
		return -1;
	b64_encode(out, bytes.p, bytes.len);
	return 0;
}

int secret_unseal(const struct secret *s, const char *purpose, const char *sealed, struct buf *out, struct err *err)
{
	uint8_t key[SECRET_SIZE];
	auto_buf bytes = BUF_INIT;
	if (b64_decode(&bytes, sealed, strlen(sealed)))
		return err_set(err, ERR_STATE, "what was sealed is damaged");
	secret_derive(s, purpose, key);
	if (crypto_open(key, bytes.p, bytes.len, out, err) == 0)
		return 0;
	return err_hint(err, "the file secret.key in the daemon's home is not the one it was sealed with");
}
