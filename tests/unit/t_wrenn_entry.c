/* link: daemon/api/wrenn/entry.c | */
/* Wrenn's paths, and what the agent says of files in Wrenn's words: also what it should not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/api/wrenn/entry.h"
#include "shared/base/mem.h"

static void t_paths(void **state)
{
	static const struct {
		const char *sent, *path;
	} rows[] = {
		{ "/", "/" },
		{ "/a//b/../c/", "/a//b/../c/" },
		{ "~", "/root" },
		{ "~/", "/root" },
		{ "~/x", "/root/x" },
		{ "~//x/", "/root/x" },
		{ "x", "/root/x" },
		{ "x/~y", "/root/x/~y" },
		{ ".", "/root" },
		{ "./x/./y/.", "/root/x/y" },
		{ "a/../b", "/root/b" },
		{ "..", "/" },
		{ "../../..", "/" },
		{ "~/../../etc/x", "/etc/x" },
		{ "...", "/root/..." },
		{ ".x/..y", "/root/.x/..y" },
		{ " ", "/root/ " },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		auto_free char *path = wrenn_path(rows[i].sent, strlen(rows[i].sent), &err);
		assert_non_null(path);
		assert_string_equal(path, rows[i].path);
	}
}

static void t_paths_refused(void **state)
{
	static const struct {
		const char *sent;
		size_t n;
	} rows[] = { { "", 0 }, { "~bob", 4 }, { "~bob/x", 6 }, { "~~", 2 }, { "/a\0b", 4 }, { "~\0", 2 } };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		assert_null(wrenn_path(rows[i].sent, rows[i].n, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.msg, "'path'"));
	}
	char longest[WRENN_PATH_MAX + 1];
	struct err err = ERR_INIT;
	memset(longest, 'x', sizeof(longest));
	assert_null(wrenn_path(longest, sizeof(longest), &err));
	auto_free char *path = wrenn_path(longest, WRENN_PATH_MAX, &err);
	assert_int_equal(strlen(path), strlen("/root/") + WRENN_PATH_MAX);
}

static void t_permissions(void **state)
{
	static const struct {
		const char *type;
		int mode;
		const char *want;
	} rows[] = {
		{ "file", 0644, "-rw-r--r--" },
		{ "file", 0, "----------" },
		{ "file", 07777, "ugtrwxrwxrwx" },
		{ "directory", 0755, "drwxr-xr-x" },
		{ "directory", 01777, "dtrwxrwxrwx" },
		{ "symlink", 0777, "Lrwxrwxrwx" },
		{ "character", 07666, "Dugctrw-rw-rw-" },
		{ "block", 0660, "Drw-rw----" },
		{ "fifo", 0600, "prw-------" },
		{ "socket", 0755, "Srwxr-xr-x" },
		{ "whiteout", 0111, "---x--x--x" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[WRENN_PERMISSIONS];
		wrenn_permissions(rows[i].type, rows[i].mode, out);
		assert_string_equal(out, rows[i].want);
	}
}

/* What becomes of the agent's lines; NULL: refused. Caller frees. */
static char *entries(const char *lines)
{
	struct buf out = BUF_INIT;
	struct err err = ERR_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_arr(&w);
	int rc = wrenn_write_entries(&w, lines, strlen(lines), &err);
	jw_arr_end(&w);
	char *text = buf_take(&out, NULL);
	assert_int_equal(err.code, rc ? ERR_PROTOCOL : ERR_OK);
	if (rc)
		free(text);
	return rc ? NULL : text;
}

#define FIELDS(type, mode, size, ms)                                                                                               \
	"{\"name\":\"n\",\"path\":\"/d/n\",\"type\":\"" type "\",\"size\":" size ",\"mode\":" mode                                 \
	",\"permissions\":\"?\",\"owner\":\"o\",\"group\":\"g\",\"modifiedWallMs\":" ms
#define ENTRY(type, size, mode, permissions, at)                                                                                   \
	"{\"name\":\"n\",\"path\":\"/d/n\",\"type\":\"" type "\",\"size\":" size ",\"mode\":" mode                                 \
	",\"permissions\":\"" permissions "\",\"owner\":\"o\",\"group\":\"g\",\"modified_at\":" at

static void t_entries(void **state)
{
	static const struct {
		const char *said, *want;
	} rows[] = {
		{ "", "[]" },
		{ FIELDS("file", "420", "5", "1999") "}\n", "[" ENTRY("file", "5", "420", "-rw-r--r--", "1") "}]" },
		{ FIELDS("directory", "1023", "4096", "-1") "}\n",
			"[" ENTRY("directory", "4096", "511", "dtrwxrwxrwx", "-1") "}]" },
		{ FIELDS("fifo", "384", "0", "-2000") "}\n" FIELDS("file", "2541", "1", "0") ",\"resolved\":\"/x\"}\n",
			"[" ENTRY("unknown", "0", "384", "prw-------", "-2") "}," ENTRY(
				"file", "1", "493", "urwxr-xr-x", "0") "}]" },
		{ FIELDS("symlink", "511", "3", "0") ",\"resolved\":\"/t\",\"resolvedType\":\"file\",\"resolvedMode\":2541}\n",
			"[" ENTRY("file", "3", "493", "Lrwxrwxrwx", "0") ",\"symlink_target\":\"/t\"}]" },
		{ FIELDS("symlink", "511", "3", "0") ",\"resolved\":\"/t\",\"resolvedType\":\"socket\",\"resolvedMode\":448}\n",
			"[" ENTRY("unknown", "3", "448", "Lrwxrwxrwx", "0") ",\"symlink_target\":\"/t\"}]" },
		{ FIELDS("symlink", "511", "3", "0") ",\"target\":\"nowhere\"}\n",
			"[" ENTRY("unknown", "3", "0", "Lrwxrwxrwx", "0") ",\"symlink_target\":\"/d/n\"}]" },
		{ FIELDS("file", "420", "1125899906842624", "0") "}\n",
			"[" ENTRY("file", "1125899906842624", "420", "-rw-r--r--", "0") "}]" },
		{ FIELDS("file", "420", "4611686018427387904", "0") "}\n",
			"[" ENTRY("file", "4611686018427387904", "420", "-rw-r--r--", "0") "}]" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *got = entries(rows[i].said);
		assert_non_null(got);
		assert_string_equal(got, rows[i].want);
	}
}

static void t_hostile(void **state)
{
	static const char *const rows[] = {
		"\n",
		"null\n",
		"[]\n",
		"{}\n",
		"{\"name\":\n",
		FIELDS("file", "420", "5", "1"),
		FIELDS("file", "420", "5", "1") "}",
		FIELDS("file", "420", "5", "1") "} x\n",
		FIELDS("file", "420", "5", "1") ",\"size\":6}\n",
		FIELDS("file", "4096", "5", "1") "}\n",
		FIELDS("file", "-1", "5", "1") "}\n",
		FIELDS("file", "\"420\"", "5", "1") "}\n",
		FIELDS("file", "420", "-1", "1") "}\n",
		FIELDS("file", "420", "1e19", "1") "}\n",
		FIELDS("file", "420", "1e999", "1") "}\n",
		FIELDS("file", "420", "null", "1") "}\n",
		FIELDS("file", "420", "5", "1e300") "}\n",
		FIELDS("symlink", "420", "5", "1") ",\"resolved\":\"/x\"}\n",
		FIELDS("symlink", "420", "5", "1") ",\"resolved\":\"/x\",\"resolvedType\":1,\"resolvedMode\":1}\n",
		FIELDS("symlink", "420", "5", "1") ",\"resolved\":\"/x\",\"resolvedType\":\"file\",\"resolvedMode\":-1}\n",
		FIELDS("file", "420", "5", "1") "}\n{}\n",
		"{\"name\":1,\"path\":\"/"
		"\",\"type\":\"file\",\"size\":1,\"mode\":1,\"owner\":\"\",\"group\":\"\",\"modifiedWallMs\":1}\n",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *got = entries(rows[i]);
		if (got)
			fail_msg("taken: %s", rows[i]);
	}
}

static void t_folder(void **state)
{
	static const struct {
		const char *said;
		int want;
	} rows[] = {
		{ FIELDS("directory", "493", "1", "1") "}\n", 1 },
		{ FIELDS("file", "493", "1", "1") "}\n", 0 },
		{ FIELDS("symlink", "511", "1", "1") "}\n", 0 },
		{ FIELDS("symlink", "511", "1", "1") ",\"resolved\":\"/t\",\"resolvedType\":\"directory\",\"resolvedMode\":448}\n",
			1 },
		{ FIELDS("symlink", "511", "1", "1") ",\"resolved\":\"/t\",\"resolvedType\":\"file\",\"resolvedMode\":448}\n", 0 },
		{ "{}\n", -1 },
		{ "", -1 },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(wrenn_is_folder(rows[i].said, strlen(rows[i].said), &err), rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_paths),
		cmocka_unit_test(t_paths_refused),
		cmocka_unit_test(t_permissions),
		cmocka_unit_test(t_entries),
		cmocka_unit_test(t_hostile),
		cmocka_unit_test(t_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
