/*
 * table: growing arrays and hash-consing for the generator. Sizes come from documents that we write, so a lack of memory aborts.
 */
#ifndef SBX_GEN_TABLE_H
#define SBX_GEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"

/* A growing array: `vec(struct ct_field) fields;` */
#define vec(type)                                                                                                                  \
	struct {                                                                                                                   \
		type *p;                                                                                                           \
		uint32_t n, cap;                                                                                                   \
	}
/* Append a value; evaluates v once. */
#define vec_add(v, value)                                                                                                          \
	do {                                                                                                                       \
		__typeof__(*(v)->p) vec_item_ = (value);                                                                           \
		(v)->p = vec_room((v)->p, (v)->n, &(v)->cap, sizeof vec_item_);                                                    \
		(v)->p[(v)->n++] = vec_item_;                                                                                      \
	} while (0)
/* Append all of another array of the same type. */
#define vec_join(v, other)                                                                                                         \
	do {                                                                                                                       \
		for (uint32_t vec_i_ = 0; vec_i_ < (other)->n; vec_i_++)                                                           \
			vec_add(v, (other)->p[vec_i_]);                                                                            \
	} while (0)
#define vec_free(v)                                                                                                                \
	do {                                                                                                                       \
		free((v)->p);                                                                                                      \
		(v)->p = NULL;                                                                                                     \
		(v)->n = (v)->cap = 0;                                                                                             \
	} while (0)

/* p with room for item n; used by vec_add. */
void *vec_room(void *p, uint32_t n, uint32_t *cap, size_t size);

/* Byte strings, each stored once, one after the other in `bytes`, in the order in which they came. */
struct cons_entry {
	uint32_t off, len, hash;
	uint32_t value; /* the caller's */
};
struct cons {
	struct buf bytes;
	vec(struct cons_entry) entries;
	uint32_t *slots; /* entry + 1; open addressing */
	uint32_t slot_count;
};

void cons_init(struct cons *c);
void cons_free(struct cons *c);
/* The entry of these bytes; *fresh tells whether it was made just now. Valid until the next cons_add. */
struct cons_entry *cons_add(struct cons *c, const void *data, size_t n, bool *fresh);

#endif
