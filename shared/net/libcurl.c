#include "shared/net/libcurl.h"

#include <dlfcn.h>
#include <stdbool.h>

#define LIBRARY "libcurl.so.4"

int libcurl_load(struct libcurl *out, const char *user, struct err *err)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		err_set(err, ERR_UNAVAILABLE, "cannot load '%s', which %s need", LIBRARY, user);
		return err_hint(err, "apt-get install libcurl4");
	}
	bool all = true;
	/* POSIX lets an object pointer of dlsym hold a function */
#define X(name)                                                                                                                    \
	*(void **)(void *)&out->name = dlsym(lib, "curl_" #name);                                                                  \
	all &= out->name != NULL;
	LIBCURL_FUNCTIONS(X)
#undef X
	return all ? 0 : err_set(err, ERR_UNAVAILABLE, "'%s' lacks functions that %s need", LIBRARY, user);
}
