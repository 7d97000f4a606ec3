/* link: daemon/core/series.c daemon/core/series_file.c shared/store/crc.c */
/* The input is a file without its sum, which is made here: else nothing behind the sum would ever be tried. */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/series_file.h"
#include "shared/store/crc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *arg, const struct point *p)
{
	(void)arg;
	if (p->wall_ms < 0)
		abort();
	for (size_t i = 0; i < FIGURES; i++)
		if (p->v[i] > 1e16f || p->v[i] < -1e16f)
			abort();
}

/* What is taken for a series can be shown, goes on, and is the same when it is written. */
static void use(struct series *s, const struct buf *in)
{
	auto_buf out = BUF_INIT;
	for (enum series_tier tier = SERIES_FINE; tier < SERIES_TIERS; tier++)
		series_each(s, tier, 0, look, NULL);
	series_write(s, &out);
	if (out.len != in->len || memcmp(out.p, in->p, in->len) != 0)
		abort();
	struct point p = { .wall_ms = 1700000000000 };
	for (unsigned i = 0; i < 2000; i++, p.wall_ms += SERIES_FINE_MS)
		series_add(s, &p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct series s;
	auto_buf in = BUF_INIT;
	uint32_t crc = htole32(crc32c(0, data, size));
	buf_add(&in, data, size);
	buf_add(&in, &crc, sizeof(crc));
	if (series_read(in.p, in.len, &s, NULL) == 0)
		use(&s, &in);
	series_free(&s);
	return 0;
}
