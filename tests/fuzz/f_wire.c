/* link: shared/wire/wire.c shared/wire/record.c | */
/* Arbitrary bytes in arbitrary splits: the frames must be the same as in one piece, and every byte of them readable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

static uint32_t digest(uint32_t h, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static void walk_record(const uint8_t *p, size_t n)
{
	struct wire_field f;
	size_t at = 0, last = 0;
	volatile uint32_t sink = 0;
	bool valid = wire_rec_valid(p, n);
	int r;

	while ((r = wire_rec_next(p, n, &at, &f)) > 0) {
		CHECK(at > last && at <= n && f.p >= p && f.p + f.n <= p + n);
		last = at;
		sink ^= digest(0, f.p, f.n);
	}
	CHECK((r == 0) == valid);
	for (unsigned tag = 0; tag < WT_TAG_END; tag++) {
		char *s = wire_rec_get_str(p, n, (enum wire_tag)tag);

		sink ^= (uint32_t)wire_rec_get_u64(p, n, (enum wire_tag)tag, 1);
		free(s);
	}
}

static uint32_t drain(struct wire_rx *rx, uint32_t h)
{
	struct wire_frame f;

	while (wire_rx_next(rx, &f)) {
		CHECK(f.type > 0 && f.type < WIRE_TYPE_END && f.channel < WIRE_CHANNELS && f.length <= WIRE_PAYLOAD_MAX);
		CHECK(!rx->lost && rx->used <= rx->in.len);
		h = digest(h, &f.type, 1);
		h = digest(h, &f.channel, 1);
		h = digest(h, f.payload, f.length);
		walk_record(f.payload, f.length);
	}
	return h;
}

static uint32_t run(const uint8_t *data, size_t size, uint8_t step, bool lost)
{
	struct wire_rx rx;
	uint32_t h = 1;

	wire_rx_init(&rx);
	if (lost)
		wire_rx_lose(&rx);
	while (size) {
		size_t n = step && step < size ? step : size;
		char *p = wire_rx_space(&rx, n);

		CHECK(p != NULL);
		memcpy(p, data, n);
		wire_rx_fed(&rx, n);
		data += n;
		size -= n;
		h = drain(&rx, h);
	}
	wire_rx_free(&rx);
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool lost;
	uint8_t step;

	if (size < 2)
		return 0;
	step = data[0];
	lost = data[1] & 1;
	CHECK(run(data + 2, size - 2, 0, lost) == run(data + 2, size - 2, step ? step : 1, lost));
	walk_record(data + 2, size - 2);
	return 0;
}
