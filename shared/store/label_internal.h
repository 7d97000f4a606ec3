/* Inside labels: the files below `labels/`. Format: man/sbx-store.5. */
#ifndef SBX_STORE_LABEL_INTERNAL_H
#define SBX_STORE_LABEL_INTERNAL_H

#include "shared/store/label.h"
#include "shared/store/store_internal.h"

enum {
	LABEL_FROM = 1,
	LABEL_OTHER = 2,
	LABEL_TEXT = 4,
	LABEL_ABSENT = 8 /* the target was not in the store, and the caller knew */
};

/* A record where it lies. */
struct label_record {
	uint64_t pos;
	uint32_t len;
	int64_t at;
	uint8_t op, flags;
	const struct hash *from, *to, *other; /* NULL where there is none */
	const char *name, *message;
	size_t name_len, message_len;
};
#define LABEL_RECORD_MAX (sizeof(struct label_fixed) + 3 * HASH_LEN + LABEL_MAX + LABEL_MESSAGE_MAX + 4)
struct label_fixed {
	uint32_t len, len_check; /* the second is the first with LABEL_LEN_MASK: a torn record has both right */
	uint32_t crc;		 /* of all that follows, to the end of the record */
	uint8_t op, flags, name_len, zero;
	uint16_t message_len, zero2;
	uint32_t zero4;
	int64_t at;
};
#define LABEL_LEN_MASK 0x6c626c73u

struct label_file {
	struct buf bytes;
	struct label_record *v; /* the whole ones, oldest first */
	size_t n;
	uint64_t keep;	   /* where the next record goes */
	bool damaged;	   /* bytes that are neither a record nor a torn one at the end: the first at damaged_at */
	bool damaged_last; /* the last ones, so that the head is not known */
	uint64_t damaged_at;
};
/* The name of a label's file. */
void label_file_name(const char *name, char out[HASH_HEX + 1]);
/* Read all of a file. 0; 1 there is none, or no whole record in it (keep and bytes are set all the same); -1. */
int label_file_read(struct store *s, const char *file, struct label_file *out, struct err *err);
void label_file_free(struct label_file *f);
/* Its last whole record only. 0, 1 as above, 2 read it all instead, -1. The record lies in bytes. */
int label_file_last(
	struct store *s, const char *file, struct buf *bytes, struct label_record *out, uint64_t *keep, struct err *err);
void label_record_render(const struct label_record *r, struct buf *out);
/* The names of all files, sorted; free each and the array. */
int label_files(struct store *s, char ***names, size_t *n, struct err *err);
int label_damaged(struct store *s, const char *name, const char *file, uint64_t at, struct err *err);

/* The head as the next move must see it. */
struct label_state {
	bool exists;
	bool damaged; /* the head is not known; `head` is the last that is */
	struct hash head;
	int64_t at;
	uint64_t keep;
};
int label_state_read(struct store *s, const char *name, struct label_state *out, struct err *err);
/* Moves of this store that are not on disk yet: put them there. */
int label_settle(struct store *s, struct err *err);

#endif
