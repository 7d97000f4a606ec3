/* A store for fuzzers that put objects into one. */
#ifndef SBX_FUZZ_STORE_KIT_H
#define SBX_FUZZ_STORE_KIT_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/store.h"

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

static struct store *current;

static void clean_up(void)
{
	struct err err = ERR_INIT;
	if (!current)
		return;
	auto_free char *old = mem_strdup(store_path(current));
	store_close(current);
	current = NULL;
	CHECK(fs_remove_tree(old, &err) == 0);
}

/* The store to fuzz with, in memory where that can be; name is that of the fuzzer. A new one every so often keeps the packs small. */
static struct store *store_of_now(const char *name)
{
	static unsigned uses;
	struct err err = ERR_INIT;
	if (uses++ % 1000) {
		return current;
	}
	CHECK(uses > 1 || !atexit(clean_up));
	clean_up();
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/sbx-%s-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", name);
	CHECK(mkdtemp(path));
	current = store_open(path, true, &err);
	CHECK(current);
	return current;
}

#endif
