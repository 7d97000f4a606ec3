/* link: daemon/oauth/config.c daemon/oauth/state.c daemon/oauth/github.c daemon/notify/url.c shared/net/crypto.c | -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/oauth/config.h"
#include "daemon/oauth/github.h"
#include "daemon/oauth/state.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- the configuration ---- */

static const char *const *environment; /* "NAME=VALUE", NULL-terminated */

static char *look_up(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; environment[i]; i++)
		if (!strncmp(environment[i], name, n) && environment[i][n] == '=')
			return (char *)(uintptr_t)(environment[i] + n + 1);
	return NULL;
}

static int read_config(const char *const *env, struct oauth_config *out, struct err *err)
{
	environment = env;
	return oauth_config_read(look_up, out, err);
}
#define ENV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define CLIENT "SBX_GITHUB_CLIENT_ID=id", "SBX_GITHUB_CLIENT_SECRET=s"

static void t_config(void **state)
{
	(void)state;
	struct oauth_config c;
	assert_int_equal(read_config(ENV("SBX_PUBLIC_URL=nonsense"), &c, NULL), 0);
	assert_null(c.client_id);
	assert_int_equal(read_config(ENV("SBX_GITHUB_CLIENT_ID=", "SBX_GITHUB_CLIENT_SECRET="), &c, NULL), 0);
	assert_null(c.client_id);
	assert_int_equal(read_config(ENV(CLIENT, "SBX_PUBLIC_URL=https://sbx.example.com"), &c, NULL), 0);
	assert_string_equal(c.client_id, "id");
	assert_string_equal(c.client_secret, "s");
	assert_string_equal(c.site, "https://github.com");
	assert_string_equal(c.api, "https://api.github.com");
	assert_string_equal(c.here, "https://sbx.example.com");
	assert_string_equal(c.front, "https://sbx.example.com");
	oauth_config_release(&c);
	assert_int_equal(read_config(ENV(CLIENT, "SBX_PUBLIC_URL=http://[::1]:80/a//", "SBX_OAUTH_REDIRECT_URL=https://front/x/",
					     "SBX_GITHUB_URL=https://git/", "SBX_GITHUB_API_URL=https://git/api/v3"),
				 &c, NULL),
		0);
	assert_string_equal(c.here, "http://[::1]:80/a");
	assert_string_equal(c.front, "https://front/x");
	assert_string_equal(c.site, "https://git");
	assert_string_equal(c.api, "https://git/api/v3");
	oauth_config_release(&c);
}

static void t_config_refused(void **state)
{
	(void)state;
	static const struct {
		const char *env[4], *named;
	} rows[] = {
		{ { "SBX_GITHUB_CLIENT_ID=id" }, "SBX_GITHUB_CLIENT_SECRET" },
		{ { "SBX_GITHUB_CLIENT_SECRET=s" }, "SBX_GITHUB_CLIENT_ID" },
		{ { CLIENT }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=sbx.example.com" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=https://" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=https://u@x" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=https://x/?" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=https://x#" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=https://x/\r\nA: b" }, "SBX_PUBLIC_URL" },
		{ { CLIENT, "SBX_PUBLIC_URL=https://\xc3\xa4" }, "SBX_PUBLIC_URL" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct oauth_config c;
		struct err err = ERR_INIT;
		const char *const env[] = { rows[i].env[0], rows[i].env[1], rows[i].env[2], NULL };
		if (read_config(env, &c, &err) == 0)
			fail_msg("taken: row %zu", i);
		assert_int_equal(err.code, ERR_USAGE);
		assert_non_null(strstr(err.msg, rows[i].named));
		assert_null(c.here);
	}
}

/* ---- the state and its cookie ---- */

static const uint8_t key[CRYPTO_MAC] = "one key", other_key[CRYPTO_MAC] = "another";

static void t_state(void **state)
{
	(void)state;
	struct oauth_state a, b;
	oauth_state_make(key, &a);
	oauth_state_make(key, &b);
	assert_int_equal(strlen(a.state), OAUTH_STATE_LEN);
	assert_int_equal(strspn(a.state, "0123456789abcdef"), OAUTH_STATE_LEN);
	assert_int_equal(strlen(a.cookie), OAUTH_COOKIE_LEN);
	assert_string_not_equal(a.state, b.state);
	assert_true(oauth_state_check(key, a.cookie, a.state));
	assert_false(oauth_state_check(key, a.cookie, b.state));
	assert_false(oauth_state_check(other_key, a.cookie, a.state));
	assert_false(oauth_state_check(key, a.cookie, ""));
	assert_false(oauth_state_check(key, "", a.state));
	assert_false(oauth_state_check(key, "", ""));
	for (size_t n = 0; n < OAUTH_COOKIE_LEN; n++) {
		char cut[OAUTH_COOKIE_LEN + 1], changed[OAUTH_COOKIE_LEN + 1];
		str_copy(cut, n + 1, a.cookie);
		str_copy(changed, sizeof(changed), a.cookie);
		changed[n] ^= 1;
		assert_false(oauth_state_check(key, cut, a.state));
		assert_false(oauth_state_check(key, changed, a.state));
	}
}

static void t_cookie(void **state)
{
	(void)state;
	static const struct {
		const char *header, *value; /* NULL: there is none */
	} rows[] = {
		{ "s=1", "1" },
		{ "a=b; s=1; c=d", "1" },
		{ "a=b;s=1;c=d", "1" },
		{ "  ;; s=1 ; ", "1" },
		{ "s=1; s=2", "1" },
		{ "s=", "" },
		{ "s=a=b", "a=b" },
		{ "xs=1; sx=2; S=3", NULL },
		{ "a=s=1", NULL },
		{ "s", NULL },
		{ "s; =1", NULL },
		{ "", NULL },
		{ ";", NULL },
		{ "=", NULL },
		{ NULL, NULL },
		{ "s=1234567", "1234567" },
		{ "s=12345678", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[8];
		bool is = oauth_cookie(rows[i].header, "s", out, sizeof(out));
		if (is != (rows[i].value != NULL) || (is && strcmp(out, rows[i].value) != 0))
			fail_msg("'%s': %s", rows[i].header, is ? out : "nothing");
	}
}

/* ---- what the service is sent ---- */

static void t_requests(void **state)
{
	(void)state;
	struct oauth_config c;
	auto_buf page = BUF_INIT, form = BUF_INIT;
	assert_int_equal(read_config(ENV("SBX_GITHUB_CLIENT_ID=a&b", "SBX_GITHUB_CLIENT_SECRET=c d", "SBX_PUBLIC_URL=https://h/p"),
				 &c, NULL),
		0);
	github_page(&c, "77", &page);
	assert_string_equal(page.p,
		"https://github.com/login/oauth/authorize?response_type=code&client_id=a%26b"
		"&redirect_uri=https%3A%2F%2Fh%2Fp%2Fauth%2Foauth%2Fgithub%2Fcallback&scope=user%3Aemail&state=77");
	github_token_form(&c, "x&client_id=y", &form);
	assert_string_equal(form.p,
		"client_id=a%26b&client_secret=c%20d&code=x%26client_id%3Dy"
		"&redirect_uri=https%3A%2F%2Fh%2Fp%2Fauth%2Foauth%2Fgithub%2Fcallback");
	oauth_config_release(&c);
}

/* ---- what it answers ---- */

/* Nothing of these is what any of the three questions is answered with. */
static void t_nonsense(void **state)
{
	(void)state;
	static const char *const texts[] = { "", " ", "null", "true", "1", "\"x\"", "[", "{", "{}", "[]", "[[]]", "[{}]",
		"{\"id\":1", "{\"id\":1}x", "{\"id\":1,\"id\":2,\"login\":\"a\"}", "<html>", "{\"login\":\"a\"}",
		"{\"id\":\"1\",\"login\":\"a\"}", "{\"id\":0,\"login\":\"a\"}", "{\"id\":-1,\"login\":\"a\"}",
		"{\"id\":1.5,\"login\":\"a\"}", "{\"id\":1e300,\"login\":\"a\"}", "{\"id\":9007199254740993,\"login\":\"a\"}",
		"{\"id\":1}", "{\"id\":1,\"login\":7}", "{\"id\":1,\"login\":\"\",\"name\":\" \\t\"}",
		"{\"id\":1,\"login\":\"\\u0000\"}", "{\"id\":1,\"login\":\"a\",\"email\":\"b\"}",
		"{\"id\":1,\"login\":\"a\",\"email\":\"@b\"}", "{\"id\":1,\"login\":\"a\",\"email\":\"b@\"}",
		"{\"id\":1,\"login\":\"a\",\"email\":\"b@c\\r\\nd\"}", "{\"id\":1,\"login\":\"a\",\"email\":\"b @c\"}",
		"{\"id\":1,\"login\":\"\xff\"}", "{\"access_token\":\"\"}", "{\"access_token\":7}", "{\"access_token\":null}",
		"{\"access_token\":[\"a\"]}", "{\"access_token\":\"a b\"}", "{\"access_token\":\"a\\r\\nX: y\"}",
		"{\"access_token\":\"\\u00e4\"}", "{\"access_token\":\"a\",\"error\":\"x\"}", "[{\"email\":\"a@b\"}]",
		"[{\"email\":\"a@b\",\"primary\":true}]", "[{\"email\":\"a@b\",\"verified\":true}]",
		"[{\"email\":\"a@b\",\"primary\":\"true\",\"verified\":1}]",
		"[{\"email\":\"a\",\"primary\":true,\"verified\":true}]", "[{\"email\":[],\"primary\":true,\"verified\":true}]",
		"[{\"primary\":true,\"verified\":true}]", "[1,null,\"a@b\"]" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char token[GITHUB_TOKEN_MAX + 1];
		struct oauth_profile who = { 0 };
		struct err err[3] = { ERR_INIT, ERR_INIT, ERR_INIT };
		size_t n = strlen(texts[i]);
		if (!github_read_token(texts[i], n, token, &err[0]) || !github_read_user(texts[i], n, &who, &err[1]) ||
			!github_read_emails(texts[i], n, &who, &err[2]))
			fail_msg("taken: %s", texts[i]);
		for (size_t k = 0; k < ARRAY_LEN(err); k++)
			assert_int_equal(err[k].code, ERR_PROTOCOL);
	}
}

static int read_user(const char *json, struct oauth_profile *out)
{
	return github_read_user(json, strlen(json), out, NULL);
}

static void t_user(void **state)
{
	(void)state;
	struct oauth_profile who;
	assert_int_equal(
		read_user("{\"id\":9007199254740991,\"login\":\"a\",\"name\":\"A \\u00e4\",\"email\":\"X@y.z\",\"plan\":{}}", &who),
		0);
	assert_string_equal(who.subject, "9007199254740991");
	assert_string_equal(who.name, "A \xc3\xa4");
	assert_string_equal(who.email, "X@y.z");
	assert_int_equal(read_user("{\"id\":1,\"login\":\"a-b\",\"name\":null,\"email\":null}", &who), 0);
	assert_string_equal(who.subject, "1");
	assert_string_equal(who.name, "a-b");
	assert_string_equal(who.email, "");
	assert_int_equal(read_user("{\"id\":1,\"login\":\"a\",\"name\":\" \\u0001\\r\\n\\u007f \"}", &who), 0);
	assert_string_equal(who.name, "a");
	assert_int_equal(read_user("{\"id\":1,\"login\":\"a\",\"name\":\"  b\\r\\n c  \"}", &who), 0);
	assert_string_equal(who.name, "b c");
}

/* Long texts are cut between characters, or refused. */
static void t_long(void **state)
{
	(void)state;
	struct oauth_profile who;
	char token[GITHUB_TOKEN_MAX + 1];
	for (size_t n = 95; n < 110; n++) {
		auto_buf json = BUF_INIT;
		buf_fmt(&json, "{\"id\":1,\"login\":\"a\",\"name\":\"%0*d\xf0\x9f\x99\x82\"}", (int)n, 0);
		assert_int_equal(read_user(json.p, &who), 0);
		assert_int_equal(strlen(who.name), n + 4 <= 100 ? n + 4 : n < 100 ? n : 100);
	}
	for (size_t n = 250; n < 260; n++) {
		auto_buf json = BUF_INIT;
		buf_fmt(&json, "{\"id\":1,\"login\":\"a\",\"email\":\"@%0*d\"}", (int)n - 1, 0);
		assert_int_equal(read_user(json.p, &who), -1); /* nothing before the @ */
		buf_clear(&json);
		buf_fmt(&json, "{\"id\":1,\"login\":\"a\",\"email\":\"a@%0*d\"}", (int)n - 2, 0);
		assert_int_equal(read_user(json.p, &who), n <= 254 ? 0 : -1);
	}
	for (size_t n = GITHUB_TOKEN_MAX - 1; n <= GITHUB_TOKEN_MAX + 1; n++) {
		auto_buf json = BUF_INIT;
		buf_fmt(&json, "{\"access_token\":\"%0*d\"}", (int)n, 0);
		assert_int_equal(github_read_token(json.p, json.len, token, NULL), n <= GITHUB_TOKEN_MAX ? 0 : -1);
	}
	auto_buf deep = BUF_INIT;
	for (int i = 0; i < 100000; i++)
		buf_ch(&deep, '[');
	assert_int_equal(github_read_emails(deep.p, deep.len, &who, NULL), -1);
	assert_int_equal(github_read_emails(deep.p, 1000, &who, NULL), -1);
}

static void t_token(void **state)
{
	(void)state;
	static const char good[] = "{\"access_token\":\"gho_1~\",\"token_type\":\"bearer\"}";
	static const char bad[] = "{\"error\":\"bad_verification_code\",\"error_description\":\"x\"}";
	char token[GITHUB_TOKEN_MAX + 1];
	struct err err = ERR_INIT;
	assert_int_equal(github_read_token(good, strlen(good), token, NULL), 0);
	assert_string_equal(token, "gho_1~");
	assert_int_equal(github_read_token(bad, strlen(bad), token, &err), -1);
	assert_non_null(strstr(err.msg, "bad_verification_code"));
}

static void t_emails(void **state)
{
	(void)state;
	static const char json[] = "[null,{\"email\":\"a@b\",\"primary\":false,\"verified\":true},{\"email\":\"c@d\",\"primary\":"
				   "true,\"verified\":true},"
				   "{\"email\":\"e@f\",\"primary\":true,\"verified\":true}]";
	struct oauth_profile who = { .name = "n" };
	assert_int_equal(github_read_emails(json, strlen(json), &who, NULL), 0);
	assert_string_equal(who.email, "c@d");
	assert_string_equal(who.name, "n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(t_config), cmocka_unit_test(t_config_refused),
		cmocka_unit_test(t_state), cmocka_unit_test(t_cookie), cmocka_unit_test(t_requests), cmocka_unit_test(t_nonsense),
		cmocka_unit_test(t_user), cmocka_unit_test(t_long), cmocka_unit_test(t_token), cmocka_unit_test(t_emails) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
