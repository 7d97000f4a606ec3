/* OpenSSL has a type of the same name as one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tls.h"

#define LIBRARY "libssl.so.3"

/* What we use of OpenSSL (of libcrypto too, which libssl brings along). */
#define FUNCTIONS(X)                                                                                                               \
	X(TLS_client_method)                                                                                                       \
	X(SSL_CTX_new)                                                                                                             \
	X(SSL_CTX_free)                                                                                                            \
	X(SSL_CTX_ctrl)                                                                                                            \
	X(SSL_CTX_set_default_verify_paths)                                                                                        \
	X(SSL_CTX_set_verify)                                                                                                      \
	X(SSL_CTX_set_alpn_protos)                                                                                                 \
	X(SSL_new)                                                                                                                 \
	X(SSL_free)                                                                                                                \
	X(SSL_ctrl)                                                                                                                \
	X(SSL_set_fd)                                                                                                              \
	X(SSL_set1_host)                                                                                                           \
	X(SSL_set_hostflags)                                                                                                       \
	X(SSL_get0_param)                                                                                                          \
	X(SSL_connect)                                                                                                             \
	X(SSL_read)                                                                                                                \
	X(SSL_write)                                                                                                               \
	X(SSL_shutdown)                                                                                                            \
	X(SSL_get_error)                                                                                                           \
	X(SSL_get_verify_result)                                                                                                   \
	X(X509_VERIFY_PARAM_set1_ip_asc)                                                                                           \
	X(X509_verify_cert_error_string)                                                                                           \
	X(ERR_clear_error)                                                                                                         \
	X(ERR_peek_last_error)                                                                                                     \
	X(ERR_reason_error_string)

struct tls {
	void *lib;
	SSL_CTX *ctx;
	SSL *ssl;
#define X(name) __typeof__(&name) name##_;
	FUNCTIONS(X)
#undef X
};

static int load(struct tls *t, struct err *err)
{
	t->lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!t->lib) {
		err_set(err, ERR_UNAVAILABLE, "cannot load '%s', which https needs", LIBRARY);
		return err_hint(err, "apt-get install libssl3");
	}
	bool all = true;
	/* POSIX lets an object pointer of dlsym hold a function */
#define X(name)                                                                                                                    \
	*(void **)(void *)&t->name##_ = dlsym(t->lib, #name);                                                                      \
	all &= t->name##_ != NULL;
	FUNCTIONS(X)
#undef X
	return all ? 0 : err_set(err, ERR_UNAVAILABLE, "'%s' lacks functions that https needs", LIBRARY);
}

static bool is_address(const char *host)
{
	struct in6_addr any;
	return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static int prepare(struct tls *t, int fd, const char *host, struct err *err)
{
	static const unsigned char alpn[] = { 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };
	t->ctx = t->SSL_CTX_new_(t->TLS_client_method_());
	bool ok = t->ctx && t->SSL_CTX_ctrl_(t->ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL) == 1 &&
		t->SSL_CTX_set_default_verify_paths_(t->ctx) == 1 && t->SSL_CTX_set_alpn_protos_(t->ctx, alpn, sizeof(alpn)) == 0;
	if (ok) {
		t->SSL_CTX_set_verify_(t->ctx, SSL_VERIFY_PEER, NULL);
		t->SSL_CTX_ctrl_(t->ctx, SSL_CTRL_MODE, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, NULL);
		t->ssl = t->SSL_new_(t->ctx);
		ok = t->ssl && t->SSL_set_fd_(t->ssl, fd) == 1;
	}
	if (ok && is_address(host)) {
		ok = t->X509_VERIFY_PARAM_set1_ip_asc_(t->SSL_get0_param_(t->ssl), host) == 1;
	} else if (ok) {
		/* the API takes the name without const but copies it */
		union {
			const char *in;
			void *out;
		} name = { .in = host };
		t->SSL_set_hostflags_(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = t->SSL_set1_host_(t->ssl, host) == 1 &&
			t->SSL_ctrl_(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.out) == 1;
	}
	return ok ? 0 : err_set(err, ERR_INTERNAL, "cannot set up TLS for '%s'", host);
}

static int untrusted(const struct tls *t, const char *host, long why, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE, "certificate of '%s' is not trusted: %s", host, t->X509_verify_cert_error_string_(why));
	switch (why) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return err_hint(err, "it was made for another name: use the name that it was made for");
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return err_hint(err, "the server needs a new certificate, or this machine's clock is wrong");
	default:
		return err_hint(err, "when you know who issued it, name that certificate: SSL_CERT_FILE=ca.pem");
	}
}

static int refused(const struct tls *t, const char *host, int kind, int sys, struct err *err)
{
	long why = t->SSL_get_verify_result_(t->ssl);
	if (why != X509_V_OK)
		return untrusted(t, host, why, err);
	unsigned long code = t->ERR_peek_last_error_();
	int reason = ERR_GET_REASON(code);
	const char *text = code ? t->ERR_reason_error_string_(code) : NULL;
	static const char closed[] = "'%s' closed the connection during the TLS handshake";
	if (kind == SSL_ERROR_SYSCALL && sys) {
		err_sys(err, sys, closed, host);
		return err_hint(err, "perhaps it does not speak TLS: does the address begin with http:// instead?");
	}
	if (kind == SSL_ERROR_SYSCALL || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		err_set(err, ERR_UNAVAILABLE, closed, host);
		return err_hint(err, "perhaps it does not speak TLS: does the address begin with http:// instead?");
	}
	err_set(err, ERR_UNAVAILABLE, "TLS handshake with '%s' failed: %s", host, text ? text : "unknown reason");
	if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
		return err_hint(err, "it does not speak TLS: does the address begin with http:// instead?");
	return -1;
}

static int handshake(struct tls *t, const char *host, int limit_ms, int fd, struct err *err)
{
	int64_t end = clock_mono_ms() + limit_ms;
	for (;;) {
		t->ERR_clear_error_();
		errno = 0;
		int rc = t->SSL_connect_(t->ssl);
		if (rc == 1)
			return 0;
		int sys = errno, kind = t->SSL_get_error_(t->ssl, rc);
		if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
			return refused(t, host, kind, sys, err);
		int64_t left = end - clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT };
		if (left <= 0)
			return err_set(
				err, ERR_TIMEOUT, "the TLS handshake with '%s' took longer than %d s", host, limit_ms / 1000);
		(void)poll(&p, 1, (int)left); /* SSL_connect tells */
	}
}

struct tls *tls_open(int fd, const char *host, int limit_ms, struct err *err)
{
	struct tls *t = mem_zalloc(sizeof(*t));
	if (load(t, err) == 0 && prepare(t, fd, host, err) == 0 && handshake(t, host, limit_ms, fd, err) == 0)
		return t;
	tls_free(t);
	return NULL;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	if (t->ssl)
		t->SSL_free_(t->ssl);
	if (t->ctx)
		t->SSL_CTX_free_(t->ctx);
	/* the library stays: OpenSSL has handlers that run at the end of the process */
	free(t);
}

static ssize_t outcome(const struct tls *t, int rc, short *events)
{
	switch (t->SSL_get_error_(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		*events = POLLIN;
		return TLS_WAIT;
	case SSL_ERROR_WANT_WRITE:
		*events = POLLOUT;
		return TLS_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return TLS_BROKEN;
	}
}

ssize_t tls_read(struct tls *t, void *out, size_t n, short *events)
{
	t->ERR_clear_error_();
	int rc = t->SSL_read_(t->ssl, out, (int)(n < INT32_MAX ? n : INT32_MAX));
	return rc > 0 ? rc : outcome(t, rc, events);
}

ssize_t tls_write(struct tls *t, const void *data, size_t n, short *events)
{
	t->ERR_clear_error_();
	int rc = t->SSL_write_(t->ssl, data, (int)(n < INT32_MAX ? n : INT32_MAX));
	if (rc > 0)
		return rc;
	ssize_t out = outcome(t, rc, events);
	return out ? out : TLS_BROKEN;
}

void tls_end(struct tls *t)
{
	t->ERR_clear_error_();
	(void)t->SSL_shutdown_(t->ssl); /* the peer may have gone already */
}
