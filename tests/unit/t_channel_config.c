/* link: cli/channel_config.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/channel_config.h"
#include "shared/base/mem.h"

/* "a=1 b=2", or NULL when it was refused. */
static void expect(const char *text, const char *want)
{
	static char pair[] = "p=q=r";
	static char *pairs[] = { pair };
	const struct opt_list none = { 0 }, one = { pairs, 1 };
	struct channel_config c;
	struct err err = ERR_INIT;
	auto_buf got = BUF_INIT;
	int rc = channel_config_parse(&none, text, "f", &c, &err);
	assert_int_equal(rc, want ? 0 : -1);
	for (size_t i = 0; i < c.n; i++)
		buf_fmt(&got, "%s<%s=%s>", i ? " " : "", c.v[i].key, c.v[i].value);
	if (want)
		assert_string_equal(got.p, want);
	else
		assert_int_equal(err.code, ERR_USAGE);
	channel_config_free(&c);
	/* a pair of the command line comes first, and is enough */
	rc = channel_config_parse(&one, text, "f", &c, &err);
	assert_true(rc == 0 || !want);
	if (rc == 0) {
		assert_string_equal(c.v[0].key, "p");
		assert_string_equal(c.v[0].value, "q=r");
	}
	channel_config_free(&c);
}

static void test_files(void **state)
{
	(void)state;
	expect("url=https://x/?a=b\n", "<url=https://x/?a=b>");
	expect("url=x", "<url=x>");
	expect("# where\n\n  url=x \r\n\tsecret= s p \n", "<url=x> <secret= s p>");
	expect("a=", "<a=>");
	expect("", NULL);
	expect("\n# nothing\n", NULL);
	expect("url\n", NULL);
	expect("=x\n", NULL);
	expect("a=1\nb\n", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_files) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
