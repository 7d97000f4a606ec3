/*
 * blocks_internal: what the parts of blocks share: the shape of the trie, decoding its nodes, and a crew of threads.
 */
#ifndef SBX_STORE_BLOCKS_INTERNAL_H
#define SBX_STORE_BLOCKS_INTERNAL_H

#include "shared/store/blocks.h"
#include "shared/store/tree.h"

#define BLOCKS_META "blocks"
#define BLOCKS_DATA "data"
#define BLOCKS_LEAF "blocks"
#define FAN_BITS 4u
#define FAN (1u << FAN_BITS)
#define LEAF_MAX 32u
#define LEVELS_MAX 8u

/* A tree, as its top says. */
struct layout {
	struct blocks_shape shape;
	unsigned per_leaf, levels; /* blocks of a leaf; folders above one */
	uint64_t blocks, leaves;
	bool has_data;
	struct hash data;
};
/* INVALID for a shape that cannot be. */
int layout_of(const struct blocks_shape *shape, struct layout *out, struct err *err);
/* The text of BLOCKS_META; how many bytes. */
size_t blocks_meta(const struct blocks_shape *shape, char *out, size_t room);
/* id NULL: zeros, of the shape that is in *out already. */
int layout_load(struct store *s, const struct hash *id, struct layout *out, struct err *err);
/* Can `to` be told as changes of `from`? */
int layout_fits(const struct layout *from, const struct layout *to, struct err *err);

struct leaf {
	struct hash id[LEAF_MAX];
};
/* id NULL: zeros. zero is the id of a block of zeros. */
int leaf_load(
	struct store *s, const struct hash *id, const struct layout *l, const struct hash *zero, struct leaf *out, struct err *err);
/* The node of a leaf, put. */
int leaf_put(struct store *s, const struct leaf *leaf, const struct layout *l, struct hash *out, struct err *err);

/* A folder of the trie: its children by digit, where has has the bit. */
struct fan {
	unsigned has;
	struct hash id[FAN];
};
int fan_load(struct store *s, const struct hash *id, struct fan *out, struct err *err);
/* A folder whose leaves begin behind the end: there can be none. */
int layout_beyond(struct err *err);

/* The id of n zero bytes. */
void blocks_zero_id(uint32_t n, struct hash *out);
bool blocks_all_zero(const uint8_t *p, size_t n);

/*
 * A crew: threads that run jobs of one kind which one thread hands out. Slots hold jobs; they are used in turn, so that results
 * come back in the order of the jobs, and the one who hands out waits when all are busy.
 */
struct crew;
struct crew_work {
	size_t slot;	/* bytes of one */
	size_t scratch; /* bytes that each thread has to itself */
	int (*run)(void *arg, void *slot, void *scratch, struct err *err);
	int (*done)(void *arg, const void *slot, struct err *err); /* in the calling thread, in the order of the jobs; NULL */
	void *arg;
};
struct crew *crew_new(const struct crew_work *w, struct err *err);
/* A slot to fill in, as it was left; NULL with err when something failed before. */
void *crew_slot(struct crew *c, struct err *err);
/* Hand out what crew_slot gave. */
void crew_go(struct crew *c);
/* Wait for what was handed out (rc 0) or stop (else), free, and return rc or -1 with the first failure. */
int crew_end(struct crew *c, int rc, struct err *err);

#endif
