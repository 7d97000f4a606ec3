/* store_dir: a store in a folder of its own for a test: setup and teardown for cmocka. *state is the struct store. */
#ifndef SBX_TESTS_STORE_DIR_H
#define SBX_TESTS_STORE_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/store.h"

static inline int store_dir_setup(void **state)
{
	struct err err = ERR_INIT;
	const char *tmp = getenv("TMPDIR");
	auto_free char *path = mem_printf("%s/sbx-t.XXXXXX", tmp ? tmp : "/tmp");
	struct store *s = mkdtemp(path) ? store_open(path, true, &err) : NULL;
	if (!s)
		(void)fprintf(stderr, "%s: %s\n", path, err.msg);
	*state = s;
	return s ? 0 : -1;
}

static inline int store_dir_teardown(void **state)
{
	struct err err = ERR_INIT;
	auto_free char *path = mem_strdup(store_path(*state));
	store_close(*state);
	return fs_remove_tree(path, &err);
}

#endif
