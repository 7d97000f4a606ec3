/* tree: the set of hashes. Open addressing. Ids may come from a hostile sender, who can choose bytes that collide: slots follow
 * from a product of all of them with secret keys. A byte a slot holds the marks (none: the slot is free) and some bits of that
 * product, so that most slots that are not the right one cost no look at the hash itself. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/tree_internal.h"

#define FIRST_SLOTS 1024u
#define TAG_BITS 0xfcu

struct hash_set {
	struct hash *ids;
	uint8_t *tags;
	size_t slots, count; /* a power of two */
	uint64_t keys[4];
};

struct hash_set *hash_set_new(void)
{
	struct hash_set *set = mem_zalloc(sizeof(*set));
	set->slots = FIRST_SLOTS;
	set->ids = mem_array(set->slots, sizeof(*set->ids));
	set->tags = mem_array(set->slots, 1);
	rand_bytes(set->keys, sizeof(set->keys));
	return set;
}

void hash_set_free(struct hash_set *set)
{
	if (!set)
		return;
	free(set->ids);
	free(set->tags);
	free(set);
}

static uint64_t mix(const struct hash_set *set, const struct hash *id)
{
	uint64_t w[4];
	memcpy(w, id->b, sizeof(w));
	unsigned __int128 a = (unsigned __int128)(w[0] ^ set->keys[0]) * (w[1] ^ set->keys[1]);
	unsigned __int128 b = (unsigned __int128)(w[2] ^ set->keys[2]) * (w[3] ^ set->keys[3]);
	a += b;
	return (uint64_t)a ^ (uint64_t)(a >> 64);
}

/* Where the id is, or the free slot where it would be. */
static size_t slot_of(const struct hash_set *set, const struct hash *id, uint64_t h)
{
	size_t i = (size_t)h & (set->slots - 1);
	uint8_t tag = (uint8_t)(h >> 56) & TAG_BITS;
	while (set->tags[i] && ((set->tags[i] & TAG_BITS) != tag || !hash_eq(&set->ids[i], id)))
		i = (i + 1) & (set->slots - 1);
	return i;
}

static void grow(struct hash_set *set)
{
	struct hash_set old = *set;
	set->slots *= 2;
	set->ids = mem_array(set->slots, sizeof(*set->ids));
	set->tags = mem_array(set->slots, 1);
	for (size_t i = 0; i < old.slots; i++) {
		if (!old.tags[i])
			continue;
		size_t at = slot_of(set, &old.ids[i], mix(set, &old.ids[i]));
		set->tags[at] = old.tags[i];
		set->ids[at] = old.ids[i];
	}
	free(old.ids);
	free(old.tags);
}

bool hash_set_mark(struct hash_set *set, const struct hash *id, unsigned marks)
{
	uint64_t h = mix(set, id);
	size_t at = slot_of(set, id, h);
	if (set->tags[at]) {
		bool fresh = (set->tags[at] & marks) != marks;
		set->tags[at] |= (uint8_t)marks;
		return fresh;
	}
	if ((set->count + 1) * 4 > set->slots * 3) {
		grow(set);
		at = slot_of(set, id, h);
	}
	set->tags[at] = (uint8_t)(((uint8_t)(h >> 56) & TAG_BITS) | marks);
	set->ids[at] = *id;
	set->count++;
	return true;
}

bool hash_set_add(struct hash_set *set, const struct hash *id)
{
	size_t before = set->count;
	hash_set_mark(set, id, MARK_ALL);
	return set->count != before;
}

bool hash_set_has(const struct hash_set *set, const struct hash *id)
{
	return set->tags[slot_of(set, id, mix(set, id))] != 0;
}

size_t hash_set_count(const struct hash_set *set)
{
	return set->count;
}
