#include "daemon/core/series_file.h"

#include <endian.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/crc.h"

static const char magic[] = "SBXSERI1";

enum { MAGIC_LEN = sizeof(magic) - 1, CRC_LEN = 4, SLOT_MAX = 1 << 20 /* points of one mean */ };
/* More than any figure can be; what is read must fit into 64 bits when it is said in bytes. */
#define FIGURE_MAX 1e15

_Static_assert(sizeof(struct point) == sizeof(int64_t) + FIGURES * sizeof(float), "SERIES_FILE_MAX counts points without padding");

/* ---- writing ---- */

static void add_u32(struct buf *out, uint32_t v)
{
	v = htole32(v);
	buf_add(out, &v, sizeof(v));
}

static void add_u64(struct buf *out, uint64_t v)
{
	v = htole64(v);
	buf_add(out, &v, sizeof(v));
}

static void add_f32(struct buf *out, float f)
{
	uint32_t v;
	memcpy(&v, &f, sizeof(v));
	add_u32(out, v);
}

static void add_f64(struct buf *out, double f)
{
	uint64_t v;
	memcpy(&v, &f, sizeof(v));
	add_u64(out, v);
}

static void add_ring(struct buf *out, const struct series_ring *r)
{
	add_u32(out, (uint32_t)r->count);
	for (size_t i = 0; i < r->count; i++) {
		const struct point *p = &r->p[(r->first + i) % r->cap];
		add_u64(out, (uint64_t)p->wall_ms);
		for (size_t k = 0; k < FIGURES; k++)
			add_f32(out, p->v[k]);
	}
}

static void add_slot(struct buf *out, const struct series_slot *slot)
{
	add_u32(out, slot->n);
	add_u64(out, (uint64_t)slot->last_ms);
	for (size_t k = 0; k < FIGURES; k++) {
		add_f64(out, slot->sum[k]);
		add_u32(out, slot->known[k]);
	}
}

void series_write(const struct series *s, struct buf *out)
{
	size_t start = out->len;
	buf_add(out, magic, MAGIC_LEN);
	add_u32(out, FIGURES);
	for (size_t i = 0; i < SERIES_TIERS; i++)
		add_ring(out, &s->rings[i]);
	for (size_t i = SERIES_MIDDLE; i < SERIES_TIERS; i++)
		add_slot(out, &s->slots[i]);
	add_u32(out, crc32c(0, out->p + start, out->len - start));
}

/* ---- reading ---- */

struct cursor {
	const char *p;
	size_t left;
	bool bad; /* it was too short, or something in it cannot be */
};

static void take(struct cursor *c, void *out, size_t n)
{
	memset(out, 0, n);
	if (c->bad || c->left < n) {
		c->bad = true;
		return;
	}
	memcpy(out, c->p, n);
	c->p += n;
	c->left -= n;
}

static uint32_t take_u32(struct cursor *c)
{
	uint32_t v;
	take(c, &v, sizeof(v));
	return le32toh(v);
}

static uint64_t take_u64(struct cursor *c)
{
	uint64_t v;
	take(c, &v, sizeof(v));
	return le64toh(v);
}

static int64_t take_time(struct cursor *c)
{
	uint64_t v = take_u64(c);
	c->bad |= v > INT64_MAX;
	return c->bad ? 0 : (int64_t)v;
}

static float take_figure(struct cursor *c)
{
	uint32_t v = take_u32(c);
	float f;
	memcpy(&f, &v, sizeof(f));
	c->bad |= !isnan(f) && !(fabsf(f) <= FIGURE_MAX);
	return f;
}

static void take_ring(struct cursor *c, struct series_ring *r, size_t max)
{
	size_t count = take_u32(c);
	if (c->bad || count > max || count > c->left / sizeof(struct point)) {
		c->bad = true;
		return;
	}
	if (count == 0)
		return;
	*r = (struct series_ring){ .p = mem_array(count, sizeof(*r->p)), .cap = count, .count = count };
	for (size_t i = 0; i < count; i++) {
		r->p[i].wall_ms = take_time(c);
		for (size_t k = 0; k < FIGURES; k++)
			r->p[i].v[k] = take_figure(c);
	}
}

static void take_slot(struct cursor *c, struct series_slot *slot, int64_t ms)
{
	slot->n = take_u32(c);
	slot->last_ms = take_time(c);
	slot->number = slot->last_ms / ms;
	c->bad |= slot->n > SLOT_MAX;
	for (size_t k = 0; k < FIGURES; k++) {
		uint64_t sum = take_u64(c);
		memcpy(&slot->sum[k], &sum, sizeof(sum));
		slot->known[k] = take_u32(c);
		c->bad |= slot->known[k] > slot->n || !(fabs(slot->sum[k]) <= slot->known[k] * FIGURE_MAX);
	}
}

int series_read(const void *data, size_t n, struct series *out, struct err *err)
{
	static const size_t max[SERIES_TIERS] = { SERIES_FINE_MAX, SERIES_MIDDLE_MAX, SERIES_COARSE_MAX };
	static const int64_t ms[SERIES_TIERS] = { SERIES_FINE_MS, SERIES_MIDDLE_MS, SERIES_COARSE_MS };
	uint32_t crc;

	series_init(out);
	if (n < MAGIC_LEN + CRC_LEN || n > SERIES_FILE_MAX || memcmp(data, magic, MAGIC_LEN) != 0)
		return err_set(err, ERR_INVALID, "this is no file of figures, or one of another version of sbx");
	memcpy(&crc, (const char *)data + n - CRC_LEN, CRC_LEN);
	struct cursor c = { .p = (const char *)data + MAGIC_LEN, .left = n - MAGIC_LEN - CRC_LEN };
	c.bad = le32toh(crc) != crc32c(0, data, n - CRC_LEN) || take_u32(&c) != FIGURES;
	for (size_t i = 0; i < SERIES_TIERS && !c.bad; i++)
		take_ring(&c, &out->rings[i], max[i]);
	for (size_t i = SERIES_MIDDLE; i < SERIES_TIERS && !c.bad; i++)
		take_slot(&c, &out->slots[i], ms[i]);
	if (!c.bad && c.left == 0)
		return 0;
	series_free(out);
	return err_set(err, ERR_INVALID, "the file of figures is damaged");
}
