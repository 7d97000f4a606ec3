#include "cli/secret.h"

#include <string.h>

#include "shared/base/fs.h"

#define SECRET_MAX ((size_t)8 << 10)

int secret_read(const char *file, struct buf *out, struct err *err)
{
	bool in = strcmp(file, "-") == 0;
	if (fs_read(in ? "/dev/stdin" : file, SECRET_MAX, out, err))
		return -1;
	size_t n = strcspn(out->p, "\r\n");
	if (n == 0 || strlen(out->p) != out->len)
		return err_set(err, ERR_USAGE, in ? "standard input holds no password" : "'%s' holds no password", file);
	out->p[n] = '\0';
	out->len = n;
	return 0;
}
