/* link: daemon/api/mcp_v8/label_name.c shared/store/?*.c | -lzstd -lpthread */
/* mcp-v8's names of labels as ours and back: every name has one, no two have the same, and ours takes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/api/mcp_v8/label_name.h"
#include "shared/base/mem.h"
#include "shared/store/label.h"

static const struct {
	const char *theirs, *ours;
} pairs[] = {
	{ "main", "main" },
	{ "a/b.c", "a/b.c" },
	{ "100%", "100%" },
	{ "a-b@c", "a-b@c" },
	{ "..a", "..a" },
	{ "user:alice", "user%3Aalice" },
	{ "-x", "%2Dx" },
	{ "@x", "%40x" },
	{ "x@{1}", "x@%7B1}" },
	{ " x ", "%20x%20" },
	{ "%3A", "%253A" },
	{ "%41", "%41" },
	{ "%25", "%2525" },
	{ "/", "%2F" },
	{ "/a", "%2Fa" },
	{ "a/", "a%2F" },
	{ "a//b", "a/%2Fb" },
	{ ".", "%2E" },
	{ "a/./b", "a/%2E/b" },
	{ "*?[\\", "%2A%3F%5B%5C" },
};

static void t_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct err err = ERR_INIT;
		auto_free char *ours = mcp_label_to_ours(pairs[i].theirs, &err);
		assert_non_null(ours);
		assert_string_equal(ours, pairs[i].ours);
		assert_int_equal(label_check(ours, &err), 0);
		auto_free char *theirs = mcp_label_to_theirs(ours);
		assert_string_equal(theirs, pairs[i].theirs);
	}
}

static void t_refused(void **state)
{
	static const char *const bad[] = { "", "..", "../a", "a/..", "a/../b", "a\nb", "\x7f",
		"0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		assert_null(mcp_label_to_ours(bad[i], &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	struct err err = ERR_INIT;
	char longest[MCP_LABEL_MAX + 2];
	memset(longest, 'a', sizeof(longest));
	longest[MCP_LABEL_MAX + 1] = '\0';
	assert_null(mcp_label_to_ours(longest, &err));
	longest[MCP_LABEL_MAX] = '\0';
	auto_free char *ours = mcp_label_to_ours(longest, &err);
	assert_string_equal(ours, longest);
}

/* A label of ours that only looks escaped is shown as it is. */
static void t_ours(void **state)
{
	static const char *const names[] = { "a%2Db", "a%2Eb", "x%2Fy%2F" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		auto_free char *theirs = mcp_label_to_theirs(names[i]);
		assert_string_equal(theirs, names[i]);
	}
}

/* All names of up to five characters of a mean alphabet. */
static void t_all(void **state)
{
	static const char alphabet[] = "a%2FE:-./@{ ";
	(void)state;
	for (size_t n = 1, count = sizeof(alphabet) - 1; n <= 5; n++, count *= sizeof(alphabet) - 1) {
		for (size_t i = 0; i < count; i++) {
			char name[8] = "";
			struct err err = ERR_INIT;
			for (size_t k = 0, rest = i; k < n; k++, rest /= sizeof(alphabet) - 1)
				name[k] = alphabet[rest % (sizeof(alphabet) - 1)];
			auto_free char *ours = mcp_label_to_ours(name, &err);
			if (!ours)
				continue;
			auto_free char *theirs = mcp_label_to_theirs(ours);
			if (label_check(ours, &err) != 0 || strcmp(theirs, name) != 0)
				fail_msg("'%s' became '%s' and '%s' again: %s", name, ours, theirs, err.msg);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_pairs),
		cmocka_unit_test(t_refused),
		cmocka_unit_test(t_ours),
		cmocka_unit_test(t_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
