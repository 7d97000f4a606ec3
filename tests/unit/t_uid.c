/* link: daemon/core/uid.c daemon/core/identity.c */
/* Ids as people see them, and the words of roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/identity.h"
#include "daemon/core/uid.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static const char *const prefixes[] = { UID_CAPSULE, UID_USER, UID_TEAM, UID_KEY, UID_HOST, UID_AUDIT, UID_CHANNEL };

static void t_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		for (size_t n = 1; n <= UID_DIGITS; n++) {
			char uid[UID_DIGITS + 1], text[UID_TEXT], again[UID_TEXT];
			struct err err = ERR_INIT;
			rand_id(uid, n);
			assert_ptr_equal(uid_format(prefixes[i], uid, text), text);
			assert_int_equal(strlen(text), strlen(prefixes[i]) + UID_DIGITS);
			const char *back = uid_parse(prefixes[i], text, &err);
			assert_non_null(back);
			assert_string_equal(back, uid);
			assert_string_equal(uid_format(prefixes[i], back, again), text);
			for (size_t j = 0; j < ARRAY_LEN(prefixes); j++)
				assert_int_equal(uid_parse(prefixes[j], text, NULL) != NULL, i == j);
		}
	}
}

static void t_format(void **state)
{
	char text[UID_TEXT];
	(void)state;
	assert_string_equal(uid_format(UID_CAPSULE, "abcdefghijkl", text), "cl-0000000000000abcdefghijkl");
	assert_string_equal(uid_format(UID_TEAM, "local", text), "team-00000000000000000000local");
	assert_string_equal(uid_format(UID_AUDIT, "100", text), "log-0000000000000000000000100");
	assert_string_equal(uid_format(UID_KEY, "", text), "key-0000000000000000000000000");
	assert_string_equal(uid_format(UID_TEAM, "abcdefghijklmnopqrstuvwxy", text), "team-abcdefghijklmnopqrstuvwxy");
	assert_string_equal(uid_format(UID_TEAM, "abcdefghijklmnopqrstuvwxyz", text), ""); /* too long for one */
	assert_string_equal(uid_format(UID_TEAM, NULL, text), "");
}

static void t_prefix(void **state)
{
	(void)state;
	assert_string_equal(uid_prefix("sandbox"), UID_CAPSULE);
	assert_string_equal(uid_prefix("api_key"), UID_KEY);
	assert_string_equal(uid_prefix("member"), UID_USER); /* a member is a person */
	assert_null(uid_prefix("snapshot"));
	assert_null(uid_prefix("system"));
	assert_null(uid_prefix(""));
}

static void t_parse(void **state)
{
	static const char *const bad[] = { "", "cl-", "cl", "abcdefghijkl", "cl-abcdefghijkl", "cl-000000000000abcdefghijkl",
		"cl-00000000000000abcdefghijkl", "cl-0000000000000abcdefghijkl-", "CL-0000000000000abcdefghijkl",
		"cl-0000000000000ABCDEFGHIJKL", "cl-0000000000000abcdefghijk ", " cl-0000000000000abcdefghijkl",
		"cl-0000000000000abcdefghijk-", "cl-0000000000000abcdefghijk\xc3", "cl_0000000000000abcdefghijkl",
		"cl-cl-0000000000abcdefghijkl", "cl-0000000000000abcdefghij\n" };
	struct err err = ERR_INIT;
	(void)state;
	assert_string_equal(uid_parse(UID_CAPSULE, "cl-0000000000000abcdefghijkl", &err), "abcdefghijkl");
	assert_string_equal(uid_parse(UID_CAPSULE, "cl-zzzzzzzzzzzzzzzzzzzzzzzzz", &err), "zzzzzzzzzzzzzzzzzzzzzzzzz");
	assert_string_equal(uid_parse(UID_CAPSULE, "cl-0000000000000000000000000", &err), ""); /* of that form, but nobody's */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&err);
		if (uid_parse(UID_CAPSULE, bad[i], &err))
			fail_msg("%s", bad[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.msg, "'cl-'"));
	}
	auto_buf huge = BUF_INIT;
	for (int i = 0; i < 100000; i++)
		buf_ch(&huge, 'x');
	assert_null(uid_parse(UID_CAPSULE, huge.p, &err));
	assert_true(strlen(err.msg) < 200);
}

static void t_roles(void **state)
{
	(void)state;
	for (enum role role = ROLE_MEMBER; role <= ROLE_OWNER; role++)
		assert_int_equal(role_parse(role_name(role)), role);
	assert_null(role_name(ROLE_NONE));
	static const char *const bad[] = { "", "none", "Owner", "owner ", "root", "members" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(role_parse(bad[i]), ROLE_NONE);
	assert_true(ROLE_NONE < ROLE_MEMBER && ROLE_MEMBER < ROLE_ADMIN && ROLE_ADMIN < ROLE_OWNER);
}

/* Who sees everything: the operator and his keys, no host of his, no other team's owner. */
static void t_scope(void **state)
{
	static const struct {
		struct identity who;
		int64_t scope;
	} rows[] = {
		{ { .kind = IDENTITY_LOCAL, .team = TEAM_LOCAL }, TEAM_ANY },
		{ { .kind = IDENTITY_KEY, .team = TEAM_LOCAL }, TEAM_ANY },
		{ { .kind = IDENTITY_KEY, .team = 3 }, 3 },
		{ { .kind = IDENTITY_USER, .team = 3, .role = ROLE_OWNER, .admin = true }, 3 },
		{ { .kind = IDENTITY_HOST, .team = TEAM_LOCAL }, TEAM_LOCAL },
		{ { .kind = IDENTITY_HOST, .team = 3 }, 3 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(identity_scope(&rows[i].who), rows[i].scope);
		assert_int_equal(identity_is_operator(&rows[i].who), rows[i].scope == TEAM_ANY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_round_trip),
		cmocka_unit_test(t_format),
		cmocka_unit_test(t_prefix),
		cmocka_unit_test(t_parse),
		cmocka_unit_test(t_roles),
		cmocka_unit_test(t_scope),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
