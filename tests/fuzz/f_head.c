/* link: daemon/proxy/head.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/proxy/head.h"
#include "shared/base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct head_target t = { 0 };
	enum head_result r = head_parse((const char *)data, size, "localhost", &t);
	if (r == HEAD_OK && (t.port == 0 || !name_valid(t.sandbox) || !memmem(data, size, "\r\n\r\n", 4)))
		abort();
	if ((r == HEAD_MORE) != (size < HEAD_MAX && !memmem(data, size, "\r\n\r\n", 4)))
		abort();
	return 0;
}
