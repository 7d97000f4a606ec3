/* link: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "shared/base/err.h"

static void fills_and_returns_minus_one(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_int_equal(err_set(&err, ERR_NOT_FOUND, "no sandbox named '%s'", "x"), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err.msg, "no sandbox named 'x'");
	assert_string_equal(err.hint, "");
	assert_int_equal(err_hint(&err, "try %d", 1), -1);
	assert_string_equal(err.hint, "try 1");
	assert_int_equal(err_prefix(&err, "create '%s'", "y"), -1);
	assert_string_equal(err.msg, "create 'y': no sandbox named 'x'");
	assert_string_equal(err.hint, "try 1");
	err_clear(&err);
	assert_int_equal(err.code, ERR_OK);
	assert_string_equal(err.msg, "");
}

static void null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_IO, "x"), -1);
	assert_int_equal(err_sys(NULL, ENOENT, "x"), -1);
	assert_int_equal(err_prefix(NULL, "x"), -1);
	assert_int_equal(err_hint(NULL, "x"), -1);
	err_clear(NULL);
}

static void errno_gives_the_code(void **state)
{
	static const struct {
		int sys;
		enum err_code code;
	} rows[] = {
		{ ENOENT, ERR_NOT_FOUND },
		{ ENOSPC, ERR_NO_SPACE },
		{ EACCES, ERR_FORBIDDEN },
		{ EPERM, ERR_FORBIDDEN },
		{ EEXIST, ERR_CONFLICT },
		{ EIO, ERR_IO },
		{ ETIMEDOUT, ERR_TIMEOUT },
		{ 0, ERR_IO },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(err_sys(&err, rows[i].sys, "open"), -1);
		assert_int_equal(err.code, rows[i].code);
		assert_int_equal(err.sys, rows[i].sys);
	}
	struct err err = ERR_INIT;
	err_sys(&err, ENOENT, "open '%s'", "/x");
	assert_string_equal(err.msg, "open '/x': No such file or directory");
}

static void long_messages_are_cut(void **state)
{
	(void)state;
	char text[2000];
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	struct err err = ERR_INIT;
	err_set(&err, ERR_IO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	err_sys(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	err_prefix(&err, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	err_hint(&err, "%s", text);
	assert_int_equal(strlen(err.hint), sizeof(err.hint) - 1);
}

static void names_and_statuses(void **state)
{
	(void)state;
	for (int i = 0; i < ERR_CODE_COUNT; i++) {
		enum err_code code = (enum err_code)i;
		assert_int_equal(err_from_name(err_name(code)), code);
		assert_int_equal(err_status(err_from_status(err_status(code))), err_status(code));
	}
	assert_int_equal(err_from_name("nonsense"), ERR_INTERNAL);
	assert_int_equal(err_from_name(NULL), ERR_INTERNAL);
	assert_string_equal(err_name(ERR_CODE_COUNT), "internal");
	assert_int_equal(err_status(ERR_CODE_COUNT), 500);
	assert_int_equal(err_from_status(418), ERR_INVALID);
	assert_int_equal(err_from_status(599), ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_and_returns_minus_one),
		cmocka_unit_test(null_is_allowed),
		cmocka_unit_test(errno_gives_the_code),
		cmocka_unit_test(long_messages_are_cut),
		cmocka_unit_test(names_and_statuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
