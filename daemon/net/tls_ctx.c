#include "daemon/net/tls_internal.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

enum {
	PEM_MAX = 1 << 20,
	CHAIN_MAX = 2,	      /* certificates between the authority and the peer; ours have none */
	CERTS_MAX = 16 << 10, /* bytes of them that a peer may send */
};

static int refuse(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, ERR_INVALID, "%s", what);
}

static BIO *reader(const char *pem)
{
	size_t n = strlen(pem);
	return n <= PEM_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
}

static bool add_anchors(SSL_CTX *ssl, BIO *bio)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	char password[] = ""; /* nobody is asked on a terminal */
	bool ok = true;
	int n = 0;
	for (X509 *cert; ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, password)); n++) {
		ok = X509_STORE_add_cert(store, cert) == 1;
		X509_free(cert);
	}
	ok = ok && n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE; /* that was all */
	ERR_clear_error();
	return ok;
}

static int use_ca(SSL_CTX *ssl, const char *pem, struct err *err)
{
	BIO *bio = reader(pem);
	bool ok = bio && add_anchors(ssl, bio);
	BIO_free(bio);
	return ok ? 0 : refuse(err, "the authority's certificate is not PEM");
}

static int use_pair(SSL_CTX *ssl, const char *cert_pem, const char *key_pem, struct err *err)
{
	BIO *certs = reader(cert_pem), *keys = reader(key_pem);
	char password[] = "";
	X509 *cert = certs ? PEM_read_bio_X509(certs, NULL, NULL, password) : NULL;
	EVP_PKEY *key = keys ? PEM_read_bio_PrivateKey(keys, NULL, NULL, password) : NULL;
	int rc = 0;
	if (!cert || !key)
		rc = refuse(err, cert ? "the private key is not PEM, or it is encrypted" : "the certificate is not PEM");
	else if (SSL_CTX_use_certificate(ssl, cert) != 1 || SSL_CTX_use_PrivateKey(ssl, key) != 1 ||
		SSL_CTX_check_private_key(ssl) != 1)
		rc = refuse(err, "the private key is not that of the certificate, or one of them is too weak");
	BIO_free(certs);
	BIO_free(keys);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

static SSL_CTX *blank(void)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_method());
	if (!ssl)
		return NULL;
	/* buffers go when they are empty: most connections are idle */
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify_depth(ssl, CHAIN_MAX);
	SSL_CTX_set_max_cert_list(ssl, CERTS_MAX);
	if (SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(ssl, 0) == 1)
		return ssl;
	SSL_CTX_free(ssl);
	return NULL;
}

static int fill(struct tls_ctx *ctx, const struct tls_pem *pem, struct err *err)
{
	SSL_CTX *ssl = blank();
	if (!ssl) {
		ERR_clear_error();
		return err_set(err, ERR_INTERNAL, "cannot set up TLS");
	}
	if ((pem->ca && use_ca(ssl, pem->ca, err)) || (pem->cert && use_pair(ssl, pem->cert, pem->key, err))) {
		SSL_CTX_free(ssl);
		return -1;
	}
	SSL_CTX_free(ctx->ssl); /* counted: open pipes have theirs still */
	ctx->ssl = ssl;
	ctx->anchored = pem->ca;
	ctx->certified = pem->cert;
	return 0;
}

struct tls_ctx *tls_ctx_new(const struct tls_pem *pem, struct err *err)
{
	struct tls_ctx *ctx = mem_zalloc(sizeof(*ctx));
	ctx->refs = 1;
	if (fill(ctx, pem, err) == 0) {
		ctx->scratch = mem_array(TLS_SCRATCH, 1);
		return ctx;
	}
	tls_ctx_free(ctx);
	return NULL;
}

int tls_ctx_renew(struct tls_ctx *ctx, const struct tls_pem *pem, struct err *err)
{
	return fill(ctx, pem, err);
}

void tls_ctx_free(struct tls_ctx *ctx)
{
	if (!ctx || --ctx->refs > 0)
		return;
	SSL_CTX_free(ctx->ssl);
	BIO_meth_free(ctx->bio);
	free(ctx->scratch);
	free(ctx);
}
