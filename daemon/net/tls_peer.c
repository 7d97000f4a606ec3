#include "daemon/net/tls_internal.h"

#include <arpa/inet.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/util.h"

/* ---- who it is ---- */

/* The one common name of a certificate; false when there is none, or more than one, or it is no text that could be right. */
static bool read_cn(X509 *cert, char out[TLS_PEER_CN + 1])
{
	X509_NAME *name = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
		return false;
	unsigned char *text = NULL;
	int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	bool ok = n > 0 && n <= TLS_PEER_CN && !memchr(text, 0, (size_t)n);
	if (ok) {
		memcpy(out, text, (size_t)n);
		out[n] = '\0';
	}
	OPENSSL_free(text);
	return ok;
}

/* OpenSSL asks once for each certificate of a chain that is good so far, from the authority's to the peer's own, and for each
 * fault. */
static int on_verify(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_expect *expect = SSL_get_app_data(ssl);
	if (!good || X509_STORE_CTX_get_error_depth(store) > 0 || !expect->cn)
		return good;
	if (read_cn(X509_STORE_CTX_get_current_cert(store), expect->found) && strcmp(expect->found, expect->cn) == 0)
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static bool is_ip(const char *host)
{
	struct in6_addr any;
	return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static bool expect_host(SSL *ssl, const char *host, bool named)
{
	/* the API takes the name without const but copies it */
	union {
		const char *in;
		void *out;
	} sni = { .in = host };
	if (is_ip(host))
		return named || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sni.out) == 1 &&
		(named || SSL_set1_host(ssl, host) == 1);
}

bool tls_peer_verify(SSL *ssl, const struct tls_ctx *ctx, bool server, const char *host, struct tls_expect *expect)
{
	SSL_set_app_data(ssl, expect);
	if (server)
		SSL_set_verify(ssl, ctx->anchored ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, on_verify);
	else
		SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
	return server || expect_host(ssl, host, expect->cn);
}

void tls_peer_read(SSL *ssl, struct tls_peer *out)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	*out = (struct tls_peer){ .cn = "" };
	if (!cert)
		return;
	if (!read_cn(cert, out->cn))
		out->cn[0] = '\0';
	auto_buf hex = BUF_INIT;
	if (X509_digest(cert, EVP_sha256(), sum, &n) == 1)
		buf_hex(&hex, sum, n);
	str_copy(out->fingerprint, sizeof(out->fingerprint), hex.p);
}

/* ---- what went wrong ---- */

static int distrusted(SSL *ssl, const char *name, struct err *err)
{
	long why = SSL_get_verify_result(ssl);
	const struct tls_expect *expect = SSL_get_app_data(ssl);
	if (why == X509_V_ERR_APPLICATION_VERIFICATION)
		return err_set(
			err, ERR_FORBIDDEN, "'%s' is not '%s': its certificate is for '%s'", name, expect->cn, expect->found);
	err_set(err, ERR_FORBIDDEN, "certificate of '%s' is not trusted: %s", name, X509_verify_cert_error_string(why));
	if (why == X509_V_ERR_CERT_HAS_EXPIRED || why == X509_V_ERR_CERT_NOT_YET_VALID)
		return err_hint(err, "it needs a new certificate, or one of the two clocks is wrong");
	return -1;
}

/* What the peer said before it hung up (RFC 8446, 6.2): reasons count from SSL_AD_REASON_OFFSET. */
static int alerted(int alert, const char *text, const char *name, struct err *err)
{
	switch (alert) {
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_EXPIRED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_UNKNOWN_CA:
	case SSL_AD_ACCESS_DENIED:
	case SSL_AD_CERTIFICATE_REQUIRED:
		return err_set(err, ERR_FORBIDDEN, "'%s' does not take our certificate: %s", name, text);
	default:
		return err_set(err, ERR_UNAVAILABLE, "'%s' refused the connection: %s", name, text);
	}
}

int tls_peer_failed(SSL *ssl, int rc, bool shaking, const char *name, struct err *err)
{
	int kind = SSL_get_error(ssl, rc);
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_REASON(code);
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	if (kind == SSL_ERROR_SYSCALL || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return err_set(err, ERR_UNAVAILABLE, "'%s' closed the connection %s", name,
			shaking ? "during the TLS handshake" : "without ending it");
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return distrusted(ssl, name, err);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return err_set(err, ERR_FORBIDDEN, "'%s' has no certificate", name);
	if (reason > SSL_AD_REASON_OFFSET)
		return alerted(reason - SSL_AD_REASON_OFFSET, text ? text : "unknown reason", name, err);
	return err_set(err, ERR_PROTOCOL, "'%s' does not speak TLS 1.3 as it should: %s", name, text ? text : "unknown reason");
}
