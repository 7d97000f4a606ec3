/* link: tests/unit/core_kit.c daemon/core/authority.c daemon/core/account.c daemon/core/team.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/db/[a-z]*.c shared/net/ca.c shared/net/crypto.c shared/net/tcp.c | -luv -lsqlite3 -lcrypt -lcrypto */
/* The authority of a control plane: made once and kept, never replaced, with openssl(1) as the judge of what it issues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "daemon/core/authority.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "tests/unit/core_kit.h"
#include "tests/unit/oracle.h"

struct issued {
	struct ca_pem pem;
	struct buf ca;
};
#define auto_issued __attribute__((cleanup(issued_free))) struct issued
#define ISSUED_INIT                                                                                                                \
	{                                                                                                                          \
		.pem = CA_PEM_INIT, .ca = BUF_INIT                                                                                 \
	}

static void issued_free(struct issued *i)
{
	ca_pem_free(&i->pem);
	buf_free(&i->ca);
}

static int setup(void **state)
{
	if (core_kit_setup(state))
		return -1;
	struct core_kit *k = *state;
	k->core->home = k->dir;
	static const char script[] = "exec openssl \"$@\" 2>/dev/null\n";
	oracle_write(k->dir, "quiet.sh", script, strlen(script));
	return 0;
}

static struct db_host add_host(struct core_kit *k, const char *uid, const char *address)
{
	struct err err = ERR_INIT;
	struct db_host host = { .uid = mem_strdup(uid),
		.type = mem_strdup("regular"),
		.status = mem_strdup("online"),
		.address = mem_strdup(address) };
	assert_int_equal(db_host_insert(k->core->db, &host, &err), 0);
	return host;
}

static void issue(struct core_kit *k, struct db_host *host, struct issued *out)
{
	struct err err = ERR_INIT;
	if (authority_host(k->core, host, &out->pem, &out->ca, &err))
		print_error("%s\n", err.msg);
	assert_int_equal(err.code, ERR_OK);
}

static int verifies(struct core_kit *k, const struct issued *i, const char *options)
{
	auto_free char *words = mem_printf("sh quiet.sh verify -x509_strict -CAfile i.ca %s i.pem", options);
	oracle_write(k->dir, "i.pem", i->pem.cert.p, i->pem.cert.len);
	oracle_write(k->dir, "i.ca", i->ca.p, i->ca.len);
	return oracle_run(k->dir, words, NULL, NULL);
}

static unsigned mode_of(struct core_kit *k, const char *name)
{
	auto_free char *path = fs_join(k->dir, name);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static enum err_code control(struct core_kit *k, struct issued *out)
{
	struct err err = ERR_INIT;
	int rc = authority_control(k->core, &out->pem, &out->ca, &err);
	return rc ? err.code : ERR_OK;
}

static void t_made_once(void **state)
{
	struct core_kit *k = *state;
	auto_issued first = ISSUED_INIT;
	auto_issued second = ISSUED_INIT;
	auto_issued own = ISSUED_INIT;
	auto_buf cert = BUF_INIT, key = BUF_INIT, now = BUF_INIT;
	struct db_host host = add_host(k, "host1", "10.1.2.3:8443"), other = add_host(k, "host2", "node.example:1");
	/* a control plane alone makes none */
	assert_int_equal(control(k, &own), ERR_NOT_FOUND);
	auto_free char *path = fs_join(k->dir, "ca.key");
	assert_false(fs_exists(path));
	issue(k, &host, &first);
	assert_int_equal(mode_of(k, "ca.key"), 0600);
	assert_int_equal(mode_of(k, "ca.pem"), 0644);
	oracle_read(k->dir, "ca.pem", &cert);
	oracle_read(k->dir, "ca.key", &key);
	assert_string_equal(first.ca.p, cert.p);
	assert_null(strstr(cert.p, "PRIVATE"));
	assert_non_null(strstr(key.p, "PRIVATE"));
	/* and the next one finds it */
	issue(k, &other, &second);
	assert_string_equal(second.ca.p, cert.p);
	oracle_read(k->dir, "ca.key", &now);
	assert_string_equal(now.p, key.p);
	assert_int_equal(control(k, &own), ERR_OK);
	assert_string_equal(own.ca.p, cert.p);
	db_host_release(&host);
	db_host_release(&other);
}

static void t_certificates(void **state)
{
	struct core_kit *k = *state;
	auto_issued ip = ISSUED_INIT;
	auto_issued name = ISSUED_INIT;
	auto_issued own = ISSUED_INIT;
	struct db_host host = add_host(k, "host1", "10.1.2.3:8443"), other = add_host(k, "host2", "node.example:1");
	issue(k, &host, &ip);
	issue(k, &other, &name);
	assert_int_equal(verifies(k, &ip, "-purpose sslserver -verify_ip 10.1.2.3"), 0);
	assert_int_equal(verifies(k, &ip, "-verify_ip 10.1.2.4"), 2);
	assert_int_equal(verifies(k, &ip, "-purpose sslclient"), 2);
	assert_int_equal(verifies(k, &name, "-purpose sslserver -verify_hostname node.example"), 0);
	assert_int_equal(control(k, &own), ERR_OK);
	assert_int_equal(verifies(k, &own, "-purpose sslclient"), 0);
	assert_int_equal(verifies(k, &own, "-purpose sslserver"), 2);
	db_host_release(&host);
	db_host_release(&other);
}

/* In the record, and in the one that was given: of the last. */
static void t_fingerprint(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	struct db_host host = add_host(k, "host1", "10.1.2.3:8443"), got;
	char want[CA_HEX + 1], before[CA_HEX + 1] = "";
	for (int i = 0; i < 2; i++) {
		auto_issued made = ISSUED_INIT;
		issue(k, &host, &made);
		assert_int_equal(ca_fingerprint(made.pem.cert.p, want, &err), 0);
		assert_string_not_equal(want, before);
		assert_string_equal(host.fingerprint, want);
		assert_int_equal(db_host_get(k->core->db, "host1", &got, &err), 1);
		assert_string_equal(got.fingerprint, want);
		assert_string_equal(got.address, "10.1.2.3:8443");
		db_host_release(&got);
		memcpy(before, want, sizeof(before));
	}
	db_host_release(&host);
}

static void t_bad_address(void **state)
{
	struct core_kit *k = *state;
	struct err err = ERR_INIT;
	auto_issued made = ISSUED_INIT;
	struct db_host host = add_host(k, "host1", "a,DNS:evil:1");
	assert_int_equal(authority_host(k->core, &host, &made.pem, &made.ca, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_null(host.fingerprint);
	db_host_release(&host);
}

/* A key without a certificate is what a crash leaves: it is none yet. */
static void t_half_made(void **state)
{
	struct core_kit *k = *state;
	auto_issued made = ISSUED_INIT;
	auto_issued own = ISSUED_INIT;
	struct db_host host = add_host(k, "host1", "10.1.2.3:8443");
	oracle_write(k->dir, "ca.key", "old", 3);
	assert_int_equal(control(k, &own), ERR_NOT_FOUND);
	issue(k, &host, &made);
	assert_int_equal(mode_of(k, "ca.key"), 0600);
	assert_int_equal(verifies(k, &made, "-verify_ip 10.1.2.3"), 0);
	assert_int_equal(control(k, &own), ERR_OK);
	db_host_release(&host);
}

static void refused(struct core_kit *k, struct db_host *host)
{
	struct err err = ERR_INIT;
	auto_issued made = ISSUED_INIT;
	auto_free char *before = host->fingerprint ? mem_strdup(host->fingerprint) : NULL;
	enum err_code code = control(k, &made);
	assert_true(code != ERR_OK && code != ERR_NOT_FOUND);
	assert_int_equal(authority_host(k->core, host, &made.pem, &made.ca, &err), -1);
	assert_string_equal(host->fingerprint, before);
}

/* What is there is never replaced: all hosts would be strangers. */
static void t_damaged(void **state)
{
	struct core_kit *k = *state;
	auto_issued made = ISSUED_INIT;
	auto_issued own = ISSUED_INIT;
	auto_buf cert = BUF_INIT, key = BUF_INIT, now = BUF_INIT;
	struct db_host host = add_host(k, "host1", "10.1.2.3:8443");
	issue(k, &host, &made);
	oracle_read(k->dir, "ca.pem", &cert);
	oracle_read(k->dir, "ca.key", &key);
	const struct {
		const char *name, *data;
		size_t n;
	} cases[] = {
		{ "ca.pem", "", 0 },
		{ "ca.pem", cert.p, cert.len / 2 },
		{ "ca.pem", key.p, key.len },
		{ "ca.pem", made.pem.cert.p, made.pem.cert.len },
		{ "ca.key", "", 0 },
		{ "ca.key", key.p, key.len / 2 },
		{ "ca.key", made.pem.key.p, made.pem.key.len },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		oracle_write(k->dir, cases[i].name, cases[i].data, cases[i].n);
		refused(k, &host);
		oracle_read(k->dir, cases[i].name, &now);
		assert_int_equal(now.len, cases[i].n);
		oracle_write(k->dir, "ca.pem", cert.p, cert.len);
		oracle_write(k->dir, "ca.key", key.p, key.len);
	}
	assert_int_equal(control(k, &own), ERR_OK);
	auto_free char *path = fs_join(k->dir, "ca.key");
	assert_int_equal(unlink(path), 0);
	refused(k, &host);
	assert_false(fs_exists(path));
	db_host_release(&host);
}

#define AUTHORITY_TEST(f) cmocka_unit_test_setup_teardown(f, setup, core_kit_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AUTHORITY_TEST(t_made_once),
		AUTHORITY_TEST(t_certificates),
		AUTHORITY_TEST(t_fingerprint),
		AUTHORITY_TEST(t_bad_address),
		AUTHORITY_TEST(t_half_made),
		AUTHORITY_TEST(t_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
