/* link: shared/store/ignore.c shared/store/ignore_glob.c | */
/* An ignore file, NUL, and a path. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
	struct ignore *g = ignore_new();

	if (nul && n <= 4096) {
		auto_free char *path = mem_strndup((const char *)nul + 1, (size_t)(data + n - nul - 1));
		auto_free char *text = mem_strndup((const char *)data, (size_t)(nul - data));
		ignore_add_file(g, "", text, (size_t)(nul - data));
		bool before = ignore_match(g, path, false);
		ignore_add_file(g, "a", text, (size_t)(nul - data));
		(void)ignore_match(g, path, true);
		(void)ignore_add(g, "b/c", text, NULL);
		ignore_pop(g, "a");
		ignore_pop(g, "b");
		/* Taken away again: as before. */
		if (ignore_match(g, path, false) != before)
			__builtin_trap();
		ignore_pop(g, "");
		if (ignore_match(g, path, false))
			__builtin_trap();
	}
	ignore_free(g);
	return 0;
}
