/* link: cli/endpoint/wsframe.c cli/endpoint/sha1.c */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/endpoint/wsframe.h"

/* Frames of a hostile server, in one buffer; every message must lie within it or within the reassembly buffer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_reader r = { .part = BUF_INIT };
	struct err err = ERR_INIT;
	uint8_t *copy = malloc(size + 1);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	struct ws_input in = { .in = copy, .n = size };
	struct ws_msg m;
	uint8_t sum = 0;
	while (ws_read(&r, &in, &m, &err) == 1) {
		if (in.used == 0 || in.used > in.n)
			abort();
		for (size_t i = 0; i < m.len; i++)
			sum ^= m.data[i];
		in.in += in.used;
		in.n -= in.used;
	}
	ws_reader_free(&r);
	free(copy);
	/* the sum is there so that every byte is read */
	(void)*(volatile uint8_t *)&sum;
	return 0;
}
