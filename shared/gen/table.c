#include "shared/gen/table.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

void *vec_room(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 8;
	return mem_grow(p, *cap, size);
}

void cons_init(struct cons *c)
{
	*c = (struct cons){ .slot_count = 256 };
	buf_init(&c->bytes);
	c->slots = mem_array(c->slot_count, sizeof *c->slots);
}

void cons_free(struct cons *c)
{
	buf_free(&c->bytes);
	vec_free(&c->entries);
	free(c->slots);
	c->slots = NULL;
}

static uint32_t hash_bytes(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static void place(struct cons *c, uint32_t entry)
{
	uint32_t mask = c->slot_count - 1;
	uint32_t at = c->entries.p[entry].hash & mask;

	while (c->slots[at] != 0)
		at = (at + 1) & mask;
	c->slots[at] = entry + 1;
}

static void grow(struct cons *c)
{
	free(c->slots);
	c->slot_count *= 2;
	c->slots = mem_array(c->slot_count, sizeof *c->slots);
	for (uint32_t i = 0; i < c->entries.n; i++)
		place(c, i);
}

struct cons_entry *cons_add(struct cons *c, const void *data, size_t n, bool *fresh)
{
	uint32_t hash = hash_bytes(data, n);
	uint32_t mask = c->slot_count - 1;

	for (uint32_t at = hash & mask; c->slots[at] != 0; at = (at + 1) & mask) {
		struct cons_entry *e = &c->entries.p[c->slots[at] - 1];
		if (e->hash == hash && e->len == n && memcmp(c->bytes.p + e->off, data, n) == 0) {
			*fresh = false;
			return e;
		}
	}
	vec_add(&c->entries, ((struct cons_entry){ .off = (uint32_t)c->bytes.len, .len = (uint32_t)n, .hash = hash }));
	buf_add(&c->bytes, data, n);
	if (c->entries.n * 2 > c->slot_count)
		grow(c);
	else
		place(c, c->entries.n - 1);
	*fresh = true;
	return &c->entries.p[c->entries.n - 1];
}
