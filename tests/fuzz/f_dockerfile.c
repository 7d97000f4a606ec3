/* link: cli/build/dockerfile.c cli/build/expand.c */
/* A Dockerfile; all of its words are expanded too. */
#include <stdlib.h>
#include <string.h>

#include "cli/build/dockerfile.h"
#include "cli/build/expand.h"
#include "shared/base/mem.h"

static const char *value(void *arg, const char *name, size_t n)
{
	(void)arg;
	return n == 1 ? "one" : *name == 'e' ? "" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dockerfile d;
	struct err err = ERR_INIT;
	int rc = dockerfile_parse("Dockerfile", (const char *)data, n, &d, &err);

	if (rc && err.code != ERR_INVALID)
		__builtin_trap();
	const struct expand x = { .escape = d.escape, .value = value };
	for (size_t i = 0; rc == 0 && i < d.count; i++) {
		for (size_t k = 0; k < d.steps[i].count; k++) {
			auto_buf out = BUF_INIT;
			struct err bad = ERR_INIT;
			if (expand_word(&x, d.steps[i].words[k], &out, &bad) && bad.code != ERR_INVALID)
				__builtin_trap();
		}
	}
	dockerfile_free(&d);
	return 0;
}
