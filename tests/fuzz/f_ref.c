/* link: shared/store/ref_parse.c | */
/* What a person writes for a tree. */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	auto_free char *text = mem_strndup((const char *)data, n);
	struct ref_spec r;
	struct err err = ERR_INIT;

	if (ref_parse(text, 1796025600000, &r, &err) == 0) {
		size_t len = strlen(r.name);
		if (!len || strncmp(r.name, text, len) != 0 || strchr(r.name, ':') || strlen(r.path) > strlen(text) - len)
			__builtin_trap();
		ref_spec_free(&r);
	} else if (err.code != ERR_INVALID || !err.msg[0]) {
		__builtin_trap();
	}
	return 0;
}
