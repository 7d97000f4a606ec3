/* link: cli/endpoint/address.c cli/endpoint/proxy.c cli/endpoint/tcp.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/endpoint/endpoint.h"
#include "cli/endpoint/proxy.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"

/* What an address means: NULL members are not there. */
struct want {
	const char *text;
	enum endpoint_kind kind;
	const char *user, *host, *port, *base, *authority, *path;
};

static void same(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void test_good(void **state)
{
	static const struct want table[] = {
		{ "unix:/run/x.sock", ENDPOINT_UNIX, NULL, NULL, NULL, "", "sbx", "/run/x.sock" },
		{ "unix:x", ENDPOINT_UNIX, NULL, NULL, NULL, "", "sbx", "x" },
		{ "http://h", ENDPOINT_HTTP, NULL, "h", "80", "", "h", NULL },
		{ "http://h:8080", ENDPOINT_HTTP, NULL, "h", "8080", "", "h:8080", NULL },
		{ "http://h:8080/", ENDPOINT_HTTP, NULL, "h", "8080", "", "h:8080", NULL },
		{ "http://h/a/b//", ENDPOINT_HTTP, NULL, "h", "80", "/a/b", "h", NULL },
		{ "https://a.b-c.example", ENDPOINT_HTTPS, NULL, "a.b-c.example", "443", "", "a.b-c.example", NULL },
		{ "https://h:1/x%20y", ENDPOINT_HTTPS, NULL, "h", "1", "/x%20y", "h:1", NULL },
		{ "https://[::1]", ENDPOINT_HTTPS, NULL, "::1", "443", "", "[::1]", NULL },
		{ "http://[fe80::1]:65535", ENDPOINT_HTTP, NULL, "fe80::1", "65535", "", "[fe80::1]:65535", NULL },
		{ "ssh://box", ENDPOINT_SSH, NULL, "box", NULL, "", "sbx", NULL },
		{ "ssh://me@box:22/", ENDPOINT_SSH, "me", "box", "22", "", "sbx", NULL },
		{ "ssh://a.b_c-d+e@[::1]:2222", ENDPOINT_SSH, "a.b_c-d+e", "::1", "2222", "", "sbx", NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct want *w = &table[i];
		struct endpoint ep;
		struct err err = ERR_INIT;
		assert_int_equal(endpoint_parse(w->text, &ep, &err), 0);
		assert_int_equal(ep.kind, w->kind);
		assert_false(ep.managed);
		same(ep.user, w->user);
		same(ep.host, w->host);
		same(ep.port, w->port);
		same(ep.base_path, w->base);
		same(ep.authority, w->authority);
		same(ep.path, w->path);
		same(ep.shown, w->text);
		endpoint_free(&ep);
	}
}

static void test_local(void **state)
{
	(void)state;
	struct endpoint ep;
	assert_int_equal(setenv("SBX_HOME", "/tmp/nosuch", 1), 0);
	assert_int_equal(endpoint_parse("unix:", &ep, NULL), 0);
	assert_true(ep.managed);
	assert_string_equal(ep.path, "/tmp/nosuch/sbxd.sock");
	assert_string_equal(ep.home, "/tmp/nosuch");
	endpoint_free(&ep);
}

static void test_bad(void **state)
{
	static const char *const table[] = { "", "h", "ftp://h", "HTTP://h", "http:/h", "http://", "http:///x", "http://:80",
		"http://h:", "http://h:0", "http://h:65536", "http://h:+80", "http://h:80x", "http://h:0000080", "http://h:80:81",
		"http://[::1", "http://[]", "http://[::1]x", "http://::1", "http://[h]", "http://me@h", "http://me:pw@h",
		"http://-h", "http://h/a b", "http://h/a\r\nX: y", "http://h?q", "http://h/a?q", "http://h/a#f", "http://h/\x80",
		"http://h\t", "https://a b", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@h", "ssh://me@", "ssh://@h",
		"ssh://me@-h", "ssh://me:pw@h", "ssh://h/path", "ssh://h;id", "ssh://$(id)", "ssh://h:22:23", "ssh://me@you@h",
		"unix", "unix//x" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct endpoint ep;
		struct err err = ERR_INIT;
		if (endpoint_parse(table[i], &ep, &err) == 0)
			fail_msg("taken: '%s'", table[i]);
		assert_int_equal(err.code, ERR_USAGE);
		assert_null(strstr(err.msg, "pw"));
		assert_true(*err.hint);
		endpoint_free(&ep);
	}
	struct endpoint ep;
	auto_buf text = BUF_INIT;
	buf_str(&text, "http://");
	while (text.len < 5000)
		buf_ch(&text, 'h');
	assert_int_equal(endpoint_parse(text.p, &ep, NULL), -1);
	endpoint_free(&ep);
}

static void test_in_clear(void **state)
{
	static const struct {
		const char *text;
		bool in_clear;
	} table[] = {
		{ "http://h", true },
		{ "http://10.0.0.1", true },
		{ "http://localhost:80", false },
		{ "http://LocalHost", false },
		{ "http://127.0.0.1", false },
		{ "http://127.1.2.3", false },
		{ "http://[::1]:5", false },
		{ "http://127.0.0.1.evil.example", true },
		{ "http://127.evil.a.b", true },
		{ "http://localhost.evil.example", true },
		{ "https://h", false },
		{ "ssh://h", false },
		{ "unix:/x", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct endpoint ep;
		assert_int_equal(endpoint_parse(table[i].text, &ep, NULL), 0);
		assert_int_equal(endpoint_in_clear(&ep), table[i].in_clear);
		endpoint_free(&ep);
	}
}

static void test_no_proxy(void **state)
{
	static const struct {
		const char *list, *host, *port;
		bool out;
	} table[] = {
		{ "", "h", "443", false },
		{ "*", "h", "443", true },
		{ "h", "h", "443", true },
		{ "H", "h", "443", true },
		{ "a, h ,b", "h", "443", true },
		{ "a,,b", "h", "443", false },
		{ ".example.org", "a.example.org", "443", true },
		{ "example.org", "a.example.org", "443", true },
		{ "example.org", "example.org", "443", true },
		{ "ample.org", "example.org", "443", false },
		{ "a.example.org", "example.org", "443", false },
		{ "h:443", "h", "443", true },
		{ "h:444", "h", "443", false },
		{ "h:44", "h", "443", false },
		{ "127.0.0.1", "127.0.0.1", "443", true },
		{ "::1", "::1", "443", true },
		{ "[::1]", "::1", "443", true },
		{ "[::1]:443", "::1", "443", true },
		{ "[::1]:1", "::1", "443", false },
		{ ":443", "h", "443", false },
		{ ".", "h", "443", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (proxy_excluded(table[i].list, table[i].host, table[i].port) != table[i].out)
			fail_msg("'%s' and '%s'", table[i].list, table[i].host);
}

static void test_proxy(void **state)
{
	static const struct {
		const char *text, *host, *port, *credential;
	} table[] = {
		{ "http://p:3128", "p", "3128", NULL },
		{ "http://p:3128/", "p", "3128", NULL },
		{ "p:3128", "p", "3128", NULL },
		{ "p", "p", "80", NULL },
		{ "http://a:b%40c@p", "p", "80", "YTpiQGM=" },
		{ "http://[::1]:8", "::1", "8", NULL },
		{ "https://p", NULL, NULL, NULL },
		{ "socks5://p", NULL, NULL, NULL },
		{ "http://", NULL, NULL, NULL },
		{ "http://p:x", NULL, NULL, NULL },
		{ "http://a%zz@p", NULL, NULL, NULL },
	};
	(void)state;
	assert_int_equal(unsetenv("https_proxy") | unsetenv("no_proxy") | unsetenv("NO_PROXY"), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct proxy p;
		struct err err = ERR_INIT;
		assert_int_equal(setenv("HTTPS_PROXY", table[i].text, 1), 0);
		int rc = proxy_find("h", "443", &p, &err);
		assert_int_equal(rc, table[i].host ? 0 : -1);
		if (rc == 0) {
			same(p.host, table[i].host);
			same(p.port, table[i].port);
			same(p.credential, table[i].credential);
		}
		proxy_free(&p);
	}
	struct proxy p;
	assert_int_equal(setenv("NO_PROXY", "h", 1), 0);
	assert_int_equal(proxy_find("h", "443", &p, NULL), 0);
	assert_null(p.host);
	proxy_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_in_clear),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_proxy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
