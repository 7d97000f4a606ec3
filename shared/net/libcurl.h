/*
 * libcurl: the library, loaded when it is first needed (as tls.h does with OpenSSL), so that a program which seldom needs it starts
 * fast. Once loaded it stays: it does not like to go while libraries of its own are in use.
 */
#ifndef SBX_NET_LIBCURL_H
#define SBX_NET_LIBCURL_H

#define CURL_DISABLE_TYPECHECK /* its macros name functions that nobody links here */
#include <curl/curl.h>

#include "shared/base/err.h"

/* What we use of it. */
#define LIBCURL_FUNCTIONS(X)                                                                                                       \
	X(easy_init)                                                                                                               \
	X(easy_setopt)                                                                                                             \
	X(easy_getinfo)                                                                                                            \
	X(easy_perform)                                                                                                            \
	X(easy_reset)                                                                                                              \
	X(easy_cleanup)                                                                                                            \
	X(easy_strerror)                                                                                                           \
	X(multi_init)                                                                                                              \
	X(multi_setopt)                                                                                                            \
	X(multi_add_handle)                                                                                                        \
	X(multi_remove_handle)                                                                                                     \
	X(multi_socket_action)                                                                                                     \
	X(multi_assign)                                                                                                            \
	X(multi_info_read)                                                                                                         \
	X(multi_cleanup)                                                                                                           \
	X(slist_append)                                                                                                            \
	X(slist_free_all)                                                                                                          \
	X(url)                                                                                                                     \
	X(url_set)                                                                                                                 \
	X(url_get)                                                                                                                 \
	X(url_cleanup)                                                                                                             \
	X(free)

/* Each under its name without "curl_". */
struct libcurl {
#define X(name) __typeof__(&curl_##name) name;
	LIBCURL_FUNCTIONS(X)
#undef X
};

/* -1 with UNAVAILABLE when there is no libcurl or an old one; `user` needs it ("registries"). Any thread. */
int libcurl_load(struct libcurl *out, const char *user, struct err *err);

#endif
