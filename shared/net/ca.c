/* OpenSSL has a type of the same name as one of our error codes. */
#define ERR_STATE openssl_err_state
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "shared/net/ca.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

enum { CA_LIFE_S = 3652 * 86400, SERIAL = 16, PEM_MAX = 1 << 20 };

struct ca {
	X509 *cert;
	EVP_PKEY *key;
};

/* ---- OpenSSL's objects, freed at the end of the scope ---- */

static void free_x509(X509 **p)
{
	X509_free(*p);
}

static void free_key(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void free_bio(BIO **p)
{
	BIO_free(*p); /* wipes what it held */
}

static void free_bn(BIGNUM **p)
{
	BN_free(*p);
}

#define auto_x509 __attribute__((cleanup(free_x509))) X509
#define auto_key __attribute__((cleanup(free_key))) EVP_PKEY
#define auto_bio __attribute__((cleanup(free_bio))) BIO
#define auto_bn __attribute__((cleanup(free_bn))) BIGNUM

static int failed(struct err *err)
{
	ERR_clear_error();
	return err_set(err, ERR_INTERNAL, "OpenSSL cannot make a certificate");
}

/* ---- PEM ---- */

static void wipe(struct buf *b)
{
	OPENSSL_cleanse(b->p, b->cap ? b->len : 0);
	buf_free(b);
}

void ca_pem_free(struct ca_pem *pem)
{
	buf_free(&pem->cert);
	wipe(&pem->key);
}

static X509 *read_cert(const char *pem, struct err *err)
{
	size_t n = strlen(pem);
	auto_bio *bio = n <= PEM_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
	char password[] = ""; /* nobody is asked on a terminal */
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, password) : NULL;
	if (cert)
		return cert;
	ERR_clear_error();
	err_set(err, ERR_INVALID, "there is no certificate in PEM");
	return NULL;
}

static EVP_PKEY *read_key(const char *pem, struct err *err)
{
	size_t n = strlen(pem);
	auto_bio *bio = n <= PEM_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
	char password[] = "";
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, password) : NULL;
	if (key)
		return key;
	ERR_clear_error();
	err_set(err, ERR_INVALID, "there is no private key in PEM, or it is encrypted");
	return NULL;
}

/* Once, so that no copy of a key is left where the buffer has grown out of. */
static bool copy_out(BIO *bio, struct buf *out)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	buf_add(out, data, (size_t)n);
	return !buf_failed(out);
}

static int write_pem(X509 *cert, EVP_PKEY *key, struct ca_pem *out, struct err *err)
{
	auto_bio *certs = BIO_new(BIO_s_mem());
	auto_bio *keys = BIO_new(BIO_s_mem());
	ca_pem_free(out);
	if (certs && keys && PEM_write_bio_X509(certs, cert) == 1 &&
		PEM_write_bio_PrivateKey(keys, key, NULL, NULL, 0, NULL, NULL) == 1 && copy_out(certs, &out->cert) &&
		copy_out(keys, &out->key))
		return 0;
	ca_pem_free(out);
	return failed(err);
}

/* ---- the parts of a certificate ---- */

static bool set_name(X509 *cert, const char *name)
{
	return X509_NAME_add_entry_by_NID(
		       X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1;
}

static bool set_serial(X509 *cert)
{
	unsigned char random[SERIAL];
	rand_bytes(random, sizeof(random));
	auto_bn *number = BN_bin2bn(random, sizeof(random), NULL);
	return number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
}

/* value is one of ours, never made of what somebody said: OpenSSL's little language for them has ways to read files. */
static bool add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* A new certificate with a new key; not signed. */
static X509 *blank(const char *name, EVP_PKEY **key, int64_t life_s)
{
	X509 *cert = X509_new();
	*key = EVP_EC_gen("P-256");
	time_t now = time(NULL);
	int64_t from = life_s < 0 ? life_s - CA_SKEW_S : -CA_SKEW_S; /* before its end in any case */
	if (cert && *key && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) && set_name(cert, name) &&
		X509_time_adj_ex(X509_getm_notBefore(cert), 0, (long)from, &now) &&
		X509_time_adj_ex(X509_getm_notAfter(cert), 0, (long)life_s, &now) && X509_set_pubkey(cert, *key) == 1)
		return cert;
	X509_free(cert);
	return NULL;
}

/* ---- the authority ---- */

struct ca *ca_new(struct ca_pem *out, struct err *err)
{
	auto_key *key = NULL;
	auto_x509 *cert = blank("sbx CA", &key, CA_LIFE_S);
	if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
		!add(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
		!add(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") ||
		!add(cert, cert, NID_subject_key_identifier, "hash") || X509_sign(cert, key, EVP_sha256()) <= 0) {
		failed(err);
		return NULL;
	}
	if (write_pem(cert, key, out, err))
		return NULL;
	struct ca *ca = mem_zalloc(sizeof(*ca));
	*ca = (struct ca){ mem_steal(&cert), mem_steal(&key) };
	return ca;
}

static int check(X509 *cert, EVP_PKEY *key, struct err *err)
{
	if (X509_check_ca(cert) != 1)
		return err_set(err, ERR_INVALID, "the certificate is not that of a certificate authority");
	if (X509_check_private_key(cert, key) != 1) {
		ERR_clear_error();
		return err_set(err, ERR_INVALID, "the private key is not that of the certificate");
	}
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return err_set(err, ERR_STATE, "the certificate has expired");
	return 0;
}

struct ca *ca_load(const char *cert_pem, const char *key_pem, struct err *err)
{
	auto_x509 *cert = read_cert(cert_pem, err);
	auto_key *key = cert ? read_key(key_pem, err) : NULL;
	if (!key || check(cert, key, err)) {
		err_prefix(err, "certificate authority");
		return NULL;
	}
	struct ca *ca = mem_zalloc(sizeof(*ca));
	*ca = (struct ca){ mem_steal(&cert), mem_steal(&key) };
	return ca;
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

/* ---- what it issues ---- */

/* An authority's signature is worth nothing after its own end. */
static bool within(const struct ca *ca, X509 *cert)
{
	const ASN1_TIME *end = X509_get0_notAfter(ca->cert);
	return ASN1_TIME_compare(X509_get0_notAfter(cert), end) <= 0 || X509_set1_notAfter(cert, end) == 1;
}

static bool add_alt_name(X509 *cert, const char *host)
{
	unsigned char ip[sizeof(struct in6_addr)];
	int n = inet_pton(AF_INET, host, ip) == 1 ? 4 : inet_pton(AF_INET6, host, ip) == 1 ? 16 : 0;
	ASN1_STRING *value = n ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = value && name && names && ASN1_STRING_set(value, n ? (const void *)ip : host, n ? n : -1) == 1;
	if (ok) {
		GENERAL_NAME_set0_value(name, n ? GEN_IPADD : GEN_DNS, value);
		value = NULL;
		ok = sk_GENERAL_NAME_push(names, name) > 0;
	}
	if (ok) {
		name = NULL;
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	}
	ASN1_STRING_free(value);
	GENERAL_NAME_free(name);
	GENERAL_NAMES_free(names);
	return ok;
}

/* host: what its alternative name is, NULL: none. */
static int issue(const struct ca *ca, const char *name, const char *host, int64_t life_s, struct ca_pem *out, struct err *err)
{
	auto_key *key = NULL;
	auto_x509 *cert = blank(name, &key, life_s);
	if (!cert || !within(ca, cert) || X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) != 1 ||
		!add(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
		!add(cert, ca->cert, NID_key_usage, "critical,digitalSignature") ||
		!add(cert, ca->cert, NID_ext_key_usage, host ? "serverAuth" : "clientAuth") ||
		!add(cert, ca->cert, NID_subject_key_identifier, "hash") ||
		!add(cert, ca->cert, NID_authority_key_identifier, "keyid:always") || (host && !add_alt_name(cert, host)) ||
		X509_sign(cert, ca->key, EVP_sha256()) <= 0)
		return failed(err);
	return write_pem(cert, key, out, err);
}

/* Printable ASCII without blanks: what it shows is what it is, in a log and in a certificate. */
static int check_name(const char *id, struct err *err)
{
	size_t n = strlen(id);
	bool good = n > 0 && n <= CA_NAME_MAX;
	for (size_t i = 0; i < n; i++)
		good = good && id[i] > ' ' && id[i] < 0x7f;
	return good ? 0 : err_set(err, ERR_INVALID, "a host's id must be 1 to %d printable characters", CA_NAME_MAX);
}

int ca_issue_host(const struct ca *ca, const char *id, const char *address, int64_t life_s, struct ca_pem *out, struct err *err)
{
	auto_free char *host = NULL;
	int port = 0;
	if (check_name(id, err) || tcp_split(address, &host, &port, err))
		return -1;
	return issue(ca, id, host, life_s, out, err);
}

int ca_issue_control(const struct ca *ca, int64_t life_s, struct ca_pem *out, struct err *err)
{
	return issue(ca, CA_CONTROL_NAME, NULL, life_s, out, err);
}

/* ---- looking at one ---- */

int ca_fingerprint(const char *pem, char out[CA_HEX + 1], struct err *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	auto_x509 *cert = read_cert(pem, err);
	if (!cert)
		return -1;
	if (X509_digest(cert, EVP_sha256(), sum, &n) != 1)
		return failed(err);
	auto_buf hex = BUF_INIT;
	buf_hex(&hex, sum, n);
	str_copy(out, CA_HEX + 1, hex.p);
	return 0;
}

int ca_expiry(const char *pem, int64_t *out, struct err *err)
{
	auto_x509 *cert = read_cert(pem, err);
	struct tm tm;
	if (!cert)
		return -1;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return err_set(err, ERR_INVALID, "the certificate's end is no time");
	*out = (int64_t)timegm(&tm) * 1000;
	return 0;
}
