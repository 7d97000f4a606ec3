#include "shared/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int status;
} codes[ERR_CODE_COUNT] = {
#define X(id, name, status) [ERR_##id] = { name, status },
	ERR_CODES(X)
#undef X
};

int err_vset(struct err *err, enum err_code code, const char *fmt, va_list ap)
{
	if (err) {
		err->code = code;
		err->sys = 0;
		err->word = NULL;
		err->hint[0] = '\0';
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	}
	return -1;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	return -1;
}

static enum err_code code_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case EACCES:
	case EPERM:
		return ERR_FORBIDDEN;
	case EEXIST:
		return ERR_CONFLICT;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
		return ERR_UNAVAILABLE;
	default:
		return ERR_IO;
	}
}

int err_sys(struct err *err, int sys, const char *fmt, ...)
{
	if (!err)
		return -1;
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code_of_errno(sys), fmt, ap);
	va_end(ap);
	err->sys = sys;
	size_t used = strlen(err->msg);
	char text[64];
	snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror_r(sys, text, sizeof(text)));
	return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -1;
	char old[sizeof(err->msg)];
	memcpy(old, err->msg, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	size_t used = strlen(err->msg);
	snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", old);
	return -1;
}

int err_hint(struct err *err, const char *fmt, ...)
{
	if (err) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
		va_end(ap);
	}
	return -1;
}

int err_word(struct err *err, const char *word)
{
	if (err)
		err->word = word;
	return -1;
}

void err_clear(struct err *err)
{
	if (err)
		*err = (struct err)ERR_INIT;
}

const char *err_name(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? codes[code].name : "internal";
}

enum err_code err_from_name(const char *name)
{
	for (int i = 0; i < ERR_CODE_COUNT; i++)
		if (name && !strcmp(name, codes[i].name))
			return (enum err_code)i;
	return ERR_INTERNAL;
}

int err_status(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? codes[code].status : 500;
}

enum err_code err_from_status(int status)
{
	for (int i = 0; i < ERR_CODE_COUNT; i++)
		if (codes[i].status == status)
			return (enum err_code)i;
	return status >= 400 && status < 500 ? ERR_INVALID : ERR_INTERNAL;
}
