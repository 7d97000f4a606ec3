#include "daemon/core/authority.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

enum { PEM_MAX = 16 * 1024 };

/* The key first: a certificate without its key is no authority, a key without certificate is none yet. */
static int keep(const struct ca_pem *made, const char *cert_path, const char *key_path, struct err *err)
{
	if (fs_write_atomic(key_path, made->key.p, made->key.len, 0600, err))
		return -1;
	return fs_write_atomic(cert_path, made->cert.p, made->cert.len, 0644, err);
}

static struct ca *make(const char *cert_path, const char *key_path, struct buf *cert, struct err *err)
{
	auto_ca_pem made = CA_PEM_INIT;
	struct ca *ca = ca_new(&made, err);
	if (!ca)
		return NULL;
	if (keep(&made, cert_path, key_path, err)) {
		ca_free(ca);
		return NULL;
	}
	buf_add(cert, made.cert.p, made.cert.len);
	return ca;
}

/* cert: its certificate, appended. make_it: if there is none. */
static struct ca *load(struct core *core, bool make_it, struct buf *cert, struct err *err)
{
	auto_free char *cert_path = fs_join(core->home, "ca.pem");
	auto_free char *key_path = fs_join(core->home, "ca.key");
	auto_ca_pem pem = CA_PEM_INIT;
	if (!fs_exists(cert_path)) {
		if (make_it)
			return make(cert_path, key_path, cert, err);
		err_set(err, ERR_NOT_FOUND, "this daemon has no certificates for hosts yet");
		return NULL;
	}
	if (fs_read(cert_path, PEM_MAX, &pem.cert, err) || fs_read(key_path, PEM_MAX, &pem.key, err)) {
		if (err && err->code == ERR_NOT_FOUND) /* that is said of what was never made */
			err->code = ERR_STATE;
		return NULL;
	}
	buf_add(cert, pem.cert.p, pem.cert.len);
	struct ca *ca = ca_load(pem.cert.p, pem.key.p, err);
	if (!ca)
		err_prefix(err, "'%s'", cert_path);
	return ca;
}

int authority_ready(struct core *core, struct err *err)
{
	auto_buf cert = BUF_INIT;
	struct ca *ca = load(core, true, &cert, err);
	ca_free(ca);
	return ca ? 0 : -1;
}

int authority_host(struct core *core, struct db_host *host, struct ca_pem *out, struct buf *ca_cert, struct err *err)
{
	char fingerprint[CA_HEX + 1];
	struct ca *ca = load(core, true, ca_cert, err);
	int rc = ca ? ca_issue_host(ca, host->uid, host->address, CA_HOST_LIFE_S, out, err) : -1;
	ca_free(ca);
	if (rc || ca_fingerprint(out->cert.p, fingerprint, err))
		return -1;
	free(host->fingerprint);
	host->fingerprint = mem_strdup(fingerprint);
	return db_host_update(core->db, host, err);
}

int authority_control(struct core *core, struct ca_pem *out, struct buf *ca_cert, struct err *err)
{
	struct ca *ca = load(core, false, ca_cert, err);
	int rc = ca ? ca_issue_control(ca, CA_CONTROL_LIFE_S, out, err) : -1;
	ca_free(ca);
	return rc;
}
