/* link: shared/net/ca.c shared/net/tcp.c | -lcrypto */
/* ca, with openssl(1) as the judge of what it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/util.h"
#include "shared/net/ca.h"
#include "shared/net/tcp.h"
#include "tests/unit/oracle.h"

enum { DAY = 86400 };

static const char *dir;
static struct ca *ca;
static struct ca_pem root = CA_PEM_INIT;

static void put(const char *name, const struct buf *pem)
{
	oracle_write(dir, name, pem->p, pem->len);
}

/* openssl's words for its arguments; its exit code. */
static int ask(struct buf *said, const char *fmt, ...)
{
	va_list ap;
	auto_buf words = BUF_INIT;
	buf_str(&words, "sh ask.sh ");
	va_start(ap, fmt);
	buf_vfmt(&words, fmt, ap);
	va_end(ap);
	int code = oracle_run(dir, words.p, NULL, "said");
	oracle_read(dir, "said", said);
	return code;
}

static void must_say(const char *text, const char *want)
{
	if (!strstr(text, want))
		print_error("no '%s' in:\n%s\n", want, text);
	assert_non_null(strstr(text, want));
}

static void verifies(const char *name, const char *options, const char *want)
{
	auto_buf said = BUF_INIT;
	int code = ask(&said, "verify -x509_strict -CAfile ca.pem %s %s", options, name);
	must_say(said.p, want ? want : ": OK");
	assert_int_equal(code, want ? 2 : 0);
}

static void issue(const char *address, int64_t life, const char *name)
{
	struct err e = ERR_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	if (ca_issue_host(ca, "host-7", address, life, &pem, &e))
		print_error("%s\n", e.msg);
	assert_int_equal(e.code, ERR_OK);
	put(name, &pem.cert);
	auto_free char *key = mem_printf("%s.key", name);
	put(key, &pem.key);
}

static void t_authority(void **state)
{
	(void)state;
	auto_buf said = BUF_INIT;
	assert_int_equal(ask(&said, "x509 -in ca.pem -noout -text"), 0);
	must_say(said.p, "Version: 3 (0x2)");
	must_say(said.p, "Signature Algorithm: ecdsa-with-SHA256");
	must_say(said.p, "Issuer: CN = sbx CA");
	must_say(said.p, "Subject: CN = sbx CA");
	must_say(said.p, "ASN1 OID: prime256v1");
	must_say(said.p, "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0");
	must_say(said.p, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign");
	verifies("ca.pem", "", NULL);
	assert_int_equal(ask(&said, "x509 -in ca.pem -noout -checkend %d", 3650 * DAY), 0);
	assert_int_equal(ask(&said, "x509 -in ca.pem -noout -checkend %d", 3653 * DAY), 1);
}

static void t_host(void **state)
{
	(void)state;
	auto_buf said = BUF_INIT;
	issue("10.1.2.3:8443", CA_HOST_LIFE_S, "v4.pem");
	assert_int_equal(ask(&said, "x509 -in v4.pem -noout -text"), 0);
	must_say(said.p, "Version: 3 (0x2)");
	must_say(said.p, "Issuer: CN = sbx CA");
	must_say(said.p, "Subject: CN = host-7\n");
	must_say(said.p, "ASN1 OID: prime256v1");
	must_say(said.p, "X509v3 Basic Constraints: critical\n                CA:FALSE");
	must_say(said.p, "X509v3 Key Usage: critical\n                Digital Signature\n");
	must_say(said.p, "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n");
	must_say(said.p, "X509v3 Subject Alternative Name: \n                IP Address:10.1.2.3\n");
	must_say(said.p, "X509v3 Authority Key Identifier");
	assert_int_equal(ask(&said, "x509 -in v4.pem -noout -checkend %d", 7 * DAY - 60), 0);
	assert_int_equal(ask(&said, "x509 -in v4.pem -noout -checkend %d", 7 * DAY + 1), 1);
	verifies("v4.pem", "-purpose sslserver", NULL);
	verifies("v4.pem", "-purpose sslserver -verify_ip 10.1.2.3", NULL);
	verifies("v4.pem", "-verify_ip 10.1.2.4", "IP address mismatch");
	verifies("v4.pem", "-purpose sslclient", "unsuitable certificate purpose");
}

static void t_addresses(void **state)
{
	(void)state;
	issue("[fd00::a:1]:8443", CA_HOST_LIFE_S, "v6.pem");
	verifies("v6.pem", "-verify_ip fd00::a:1", NULL);
	issue("node-1.example:8443", CA_HOST_LIFE_S, "dns.pem");
	verifies("dns.pem", "-verify_hostname node-1.example", NULL);
	verifies("dns.pem", "-verify_hostname node-2.example", "hostname mismatch");
}

static void t_control(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	auto_buf said = BUF_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	assert_int_equal(ca_issue_control(ca, CA_CONTROL_LIFE_S, &pem, &e), 0);
	put("control.pem", &pem.cert);
	assert_int_equal(ask(&said, "x509 -in control.pem -noout -text"), 0);
	must_say(said.p, "Subject: CN = sbx-control\n");
	must_say(said.p, "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n");
	assert_null(strstr(said.p, "Alternative"));
	assert_int_equal(ask(&said, "x509 -in control.pem -noout -checkend %d", DAY - 60), 0);
	assert_int_equal(ask(&said, "x509 -in control.pem -noout -checkend %d", DAY + 1), 1);
	verifies("control.pem", "-purpose sslclient", NULL);
	verifies("control.pem", "-purpose sslserver", "unsuitable certificate purpose");
}

/* The key in the pair is that of the certificate: both tell the same public key. */
static void t_keys(void **state)
{
	(void)state;
	auto_buf one = BUF_INIT;
	auto_buf two = BUF_INIT;
	issue("10.1.2.3:8443", CA_HOST_LIFE_S, "k.pem");
	assert_int_equal(ask(&one, "x509 -in k.pem -noout -pubkey"), 0);
	assert_int_equal(ask(&two, "pkey -in k.pem.key -pubout"), 0);
	assert_string_equal(one.p, two.p);
	assert_int_equal(ask(&two, "x509 -in ca.pem -noout -pubkey"), 0);
	assert_string_not_equal(one.p, two.p);
	assert_int_equal(ask(&two, "pkey -in k.pem.key -noout -check"), 0);
}

static void t_serials(void **state)
{
	(void)state;
	auto_buf last = BUF_INIT;
	auto_buf said = BUF_INIT;
	size_t digits = 0;
	for (int i = 0; i < 8; i++) {
		issue("10.1.2.3:8443", CA_HOST_LIFE_S, "s.pem");
		assert_int_equal(ask(&said, "x509 -in s.pem -noout -serial"), 0);
		assert_memory_equal(said.p, "serial=", 7);
		assert_string_not_equal(said.p, last.p);
		buf_clear(&last);
		buf_str(&last, said.p);
		digits += said.len - 8;
	}
	assert_in_range(digits, 8 * 30, 8 * 32);
}

static void t_skew_and_expiry(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	auto_buf said = BUF_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	int64_t before = clock_wall_ms(), end = 0;
	assert_int_equal(ca_issue_control(ca, 3600, &pem, &e), 0);
	put("t.pem", &pem.cert);
	assert_int_equal(ca_expiry(pem.cert.p, &end, &e), 0);
	assert_in_range(end, before / 1000 * 1000 + 3600000, clock_wall_ms() + 3600000);
	verifies("t.pem", "", NULL);
	/* by itself: the CA is as old as this test */
	long long begin = before / 1000 - CA_SKEW_S;
	assert_int_equal(ask(&said, "verify -partial_chain -CAfile t.pem -attime %lld t.pem", begin + 5), 0);
	assert_int_equal(ask(&said, "verify -partial_chain -CAfile t.pem -attime %lld t.pem", begin - 60), 2);
	must_say(said.p, "certificate is not yet valid");
	issue("10.1.2.3:8443", -60, "old.pem");
	verifies("old.pem", "", "certificate has expired");
	issue("10.1.2.3:8443", -30 * DAY, "older.pem");
	verifies("older.pem", "", "certificate has expired");
	/* not longer than the authority */
	issue("10.1.2.3:8443", (int64_t)20 * 365 * DAY, "long.pem");
	assert_int_equal(ask(&said, "x509 -in long.pem -noout -checkend %d", 3653 * DAY), 1);
	assert_int_equal(ask(&said, "x509 -in long.pem -noout -checkend %d", 3650 * DAY), 0);
	assert_int_equal(ca_expiry("nothing", &end, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void t_fingerprint(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char hex[CA_HEX + 1], plain[CA_HEX + 1] = "";
	auto_buf said = BUF_INIT;
	assert_int_equal(ca_fingerprint(root.cert.p, hex, &e), 0);
	assert_int_equal(ask(&said, "x509 -in ca.pem -noout -fingerprint -sha256"), 0);
	const char *p = strchr(said.p, '=');
	assert_non_null(p);
	size_t n = 0;
	for (p++; *p && n < CA_HEX; p++) {
		if (*p != ':')
			plain[n++] = (char)(*p >= 'A' && *p <= 'F' ? *p + 32 : *p);
	}
	assert_string_equal(hex, plain);
	assert_int_equal(ca_fingerprint("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", hex, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

static void refuse_load(const char *cert, const char *key, const char *want)
{
	struct err e = ERR_INIT;
	assert_null(ca_load(cert, key, &e));
	must_say(e.msg, want);
}

static void t_load(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	auto_ca_pem other = CA_PEM_INIT;
	struct ca *again = ca_load(root.cert.p, root.key.p, &e);
	assert_non_null(again);
	assert_int_equal(ca_issue_host(again, "host-8", "h:1", 60, &pem, &e), 0);
	ca_free(again);
	put("again.pem", &pem.cert);
	verifies("again.pem", "-purpose sslserver", NULL);
	struct ca *wrong = ca_new(&other, &e);
	assert_non_null(wrong);
	ca_free(wrong);
	refuse_load(root.cert.p, other.key.p, "not that of the certificate");
	refuse_load(pem.cert.p, pem.key.p, "not that of a certificate authority");
	refuse_load("", "", "no certificate");
	refuse_load(root.cert.p, root.cert.p, "no private key");
	/* nobody is asked for a password */
	auto_buf sealed = BUF_INIT;
	assert_int_equal(ask(&sealed, "pkey -in ca.key -aes256 -passout pass:secret"), 0);
	refuse_load(root.cert.p, sealed.p, "encrypted");
	ca_free(NULL);
}

/* Signed by another of the same name. */
static void t_other_authority(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	auto_ca_pem made = CA_PEM_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	struct ca *other = ca_new(&made, &e);
	assert_non_null(other);
	assert_int_equal(ca_issue_host(other, "host-7", "10.1.2.3:8443", 60, &pem, &e), 0);
	ca_free(other);
	put("forged.pem", &pem.cert);
	verifies("forged.pem", "", "error 20");
}

static void t_names(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	auto_ca_pem pem = CA_PEM_INIT;
	char long_id[CA_NAME_MAX + 2];
	memset(long_id, 'x', sizeof(long_id));
	long_id[CA_NAME_MAX + 1] = '\0';
	const char *const ids[] = { "", "a b", "a\nb", "h\xc3\xa9", long_id };
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(ca_issue_host(ca, ids[i], "h:1", 60, &pem, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
	}
	assert_int_equal(ca_issue_host(ca, long_id + 1, "h:1", 60, &pem, &e), 0);
	static const char *const addresses[] = { "", ":1", "h", "h:", "h:0", "h:65536", "h:1x", "[::1:1", "::1:1", "[10.0.0.1]:1",
		"a b:1", "a,DNS:evil:1", "a/b:1", "h..i:1", ".h:1", "-h:1", "[fe80::1%eth0]:1", "[h]:1" };
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		if (ca_issue_host(ca, "host-7", addresses[i], 60, &pem, &e) != -1)
			fail_msg("'%s' was taken", addresses[i]);
		assert_int_equal(e.code, ERR_INVALID);
	}
	char *host = NULL;
	int port = 0;
	assert_int_equal(tcp_split("[::1]:65535", &host, &port, &e), 0);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 65535);
	free(host);
}

static int setup(void **state)
{
	static const char script[] = "exec openssl \"$@\" 2>&1\n";
	struct err e = ERR_INIT;
	if (oracle_dir(state))
		return -1;
	dir = *state;
	oracle_write(dir, "ask.sh", script, strlen(script));
	ca = ca_new(&root, &e);
	put("ca.pem", &root.cert);
	put("ca.key", &root.key);
	return ca ? 0 : -1;
}

static int teardown(void **state)
{
	ca_free(ca);
	ca_pem_free(&root);
	return oracle_dir_end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_authority),
		cmocka_unit_test(t_host),
		cmocka_unit_test(t_addresses),
		cmocka_unit_test(t_control),
		cmocka_unit_test(t_keys),
		cmocka_unit_test(t_serials),
		cmocka_unit_test(t_skew_and_expiry),
		cmocka_unit_test(t_fingerprint),
		cmocka_unit_test(t_load),
		cmocka_unit_test(t_other_authority),
		cmocka_unit_test(t_names),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
