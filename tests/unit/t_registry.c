/* link: daemon/image/registry_ref.c daemon/image/oci.c daemon/image/hash.c shared/net/fetch.c shared/net/libcurl.c | -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/image/registry.h"
#include "shared/base/mem.h"
#include "shared/net/fetch.h"

#define D "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* What docker makes of such names. */
static void references(void **state)
{
	(void)state;
	static const struct {
		const char *text, *host, *repository, *tag, *digest;
	} rows[] = {
		{ "debian", "registry-1.docker.io", "library/debian", "latest", "" },
		{ "debian:12-slim", "registry-1.docker.io", "library/debian", "12-slim", "" },
		{ "docker.io/debian:12", "registry-1.docker.io", "library/debian", "12", "" },
		{ "docker://index.docker.io/library/debian", "registry-1.docker.io", "library/debian", "latest", "" },
		{ "team/app", "registry-1.docker.io", "team/app", "latest", "" },
		{ "localhost/app", "localhost", "app", "latest", "" },
		{ "localhost:5000/app:1", "localhost:5000", "app", "1", "" },
		{ "ghcr.io/a/b__c/d-e.f:V_1", "ghcr.io", "a/b__c/d-e.f", "V_1", "" },
		{ "[::1]:5000/app", "[::1]:5000", "app", "latest", "" },
		{ "http://registry/app:2", "registry", "app", "2", "" },
		{ "127.0.0.1:5000/app@" D, "127.0.0.1:5000", "app", "", D },
		{ "debian:12@" D, "registry-1.docker.io", "library/debian", "", D },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct registry_ref r;
		struct err err = ERR_INIT;
		if (registry_parse(rows[i].text, &r, &err))
			fail_msg("%s: %s", rows[i].text, err.msg);
		assert_string_equal(r.host, rows[i].host);
		assert_string_equal(r.repository, rows[i].repository);
		assert_string_equal(r.tag, rows[i].tag);
		assert_string_equal(r.digest, rows[i].digest[0] ? rows[i].digest + 7 : "");
	}
}

static void bad_references(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "/", "/app", "App", "app:", "app:-1", "app:a/b", "app/", "app//b", "-app", "app-",
		"a/../b", "a/./b", "http://host", "https:///app", "host.org:0/app", "host.org:99999/app", "host.org:x/app",
		"ho st.org/app", "u:p@host.org/app", "app@sha256:12", "app@" D "0", "app@sha512:aa", "app?x", "app#x", "app:1\n",
		"[::1/app", "[]:1/app", "[::1]x/app" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct registry_ref r;
		struct err err = ERR_INIT;
		if (registry_parse(texts[i], &r, &err) == 0)
			fail_msg("taken: '%s' as %s / %s : %s", texts[i], r.host, r.repository, r.tag);
		assert_int_equal(err.code, ERR_INVALID);
	}
	auto_free char *longer = mem_array(3000, 1);
	memset(longer, 'a', 2999);
	struct registry_ref r;
	assert_int_equal(registry_parse(longer, &r, NULL), -1);
}

static void challenges(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int kind;
		const char *realm, *service, *scope;
	} rows[] = {
		{ "Bearer "
		  "realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/debian:pull\"",
			CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io", "repository:library/debian:pull" },
		{ "bearer  scope = \"a, b\" , REALM=\"x\"", CHALLENGE_BEARER, "x", "", "a, b" },
		{ "Basic realm=\"r\"", CHALLENGE_BASIC, "r", "", "" },
		{ "Basic", CHALLENGE_BASIC, "", "", "" },
		{ "Basic realm=\"r\", Bearer realm=\"t\",service=s", CHALLENGE_BEARER, "t", "s", "" },
		{ "Bearer realm=\"t\", Basic realm=\"r\"", CHALLENGE_BEARER, "t", "", "" },
		{ "Negotiate, Basic realm=\"a \\\"b\\\"\"", CHALLENGE_BASIC, "a \"b\"", "", "" },
		{ "Bearer", CHALLENGE_NONE, "", "", "" }, /* no use without a realm */
		{ "", CHALLENGE_NONE, "", "", "" },
		{ "\"\"", CHALLENGE_NONE, "", "", "" },
		{ "Bearer realm=\"cut", CHALLENGE_NONE, "", "", "" },
		{ ",,,", CHALLENGE_NONE, "", "", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct registry_challenge c;
		registry_challenge(rows[i].text, &c);
		if ((int)c.kind != rows[i].kind)
			fail_msg("%s: %d", rows[i].text, (int)c.kind);
		assert_string_equal(c.realm, rows[i].realm);
		assert_string_equal(c.service, rows[i].service);
		assert_string_equal(c.scope, rows[i].scope);
	}
}

static void this_machine(void **state)
{
	(void)state;
	static const char *const local[] = { "localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]" };
	static const char *const others[] = { "localhost.example.com", "128.0.0.1", "10.0.0.1", "::2", "[::2]", "", "[", "[]",
		"0.0.0.0", "127.0.0.1.nip.io" };
	for (size_t i = 0; i < ARRAY_LEN(local); i++)
		assert_true(fetch_is_local(local[i]));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(fetch_is_local(others[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(references), cmocka_unit_test(bad_references),
		cmocka_unit_test(challenges), cmocka_unit_test(this_machine) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
