/*
 * Inside the store: what its files share. Format: man/sbx-store.5.
 *
 * Locks within a process, taken in this order: `put` (the write buffer and the growing pack's file), then `lists` (which packs
 * there are, and their tables). Bytes are read from packs outside of both: a pack lives as long as somebody has a reference.
 */
#ifndef SBX_STORE_INTERNAL_H
#define SBX_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "shared/store/store.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files of the store are little-endian");

#define PACK_MAGIC "sbxpack1"
#define GROW_MAGIC "sbxgrow1" /* index in order of arrival */
#define SORT_MAGIC "sbxsort1" /* sorted index */
#define RECORD_MAGIC 0xc5db78a7u
#define PACK_LIMIT ((uint64_t)512 << 20) /* a pack that reaches this... */
#define PACK_OBJECTS 65536u		 /* ...or so many objects is full */
#define OBJECT_MAX ((size_t)1 << 30)
#define RECORD_ZSTD 1u
#define EAGER_PACKS 128u /* this many packs are kept open; of a larger store the rest is opened for each read */

/* The head of a pack and of an index. */
struct file_header {
	char magic[8];
	uint32_t number;
	uint32_t count; /* sorted index: objects */
	uint64_t nonce; /* of the pack: which index belongs to which */
	uint32_t end;	/* sorted index: length of the pack */
	uint32_t crc;	/* of what is before */
};
struct record_header {
	uint32_t magic;
	uint32_t
		header_crc; /* of what follows in the header; begins with the pack's nonce and the offset, so that no copy passes */
	uint32_t body_crc;
	uint32_t plain, stored;
	uint8_t kind, flags, zero[2];
	struct hash id;
};
struct idx_entry {
	struct hash id;
	uint32_t offset, plain, stored;
	uint8_t kind, flags, zero[2];
};
struct grow_entry {
	struct idx_entry e;
	uint32_t crc;
};
struct sort_head {
	struct file_header h;
	uint32_t fanout[256]; /* entries whose first byte is at most this */
	uint32_t fanout_crc, entries_crc;
};
enum { FILE_HEADER = sizeof(struct file_header), RECORD_HEADER = sizeof(struct record_header) };
_Static_assert(sizeof(struct file_header) == 32 && sizeof(struct record_header) == 56 && sizeof(struct idx_entry) == 48 &&
		sizeof(struct grow_entry) == 52 && sizeof(struct sort_head) == 1064,
	"these are on disk");

struct pack {
	uint32_t number;
	uint64_t nonce;
	int fd; /* -1: opened for each read */
	ino_t inode;
	_Atomic uint32_t refs;
	bool gone;     /* gc took its files away; readers go on */
	bool sealed;   /* entries are sorted, else in order of arrival with a table */
	bool loaded;   /* growing: the index was read */
	bool head_bad; /* the head of the pack is damaged: nothing is appended */
	const struct idx_entry *v;
	uint32_t n;
	/* sealed */
	const struct sort_head *head; /* mapped, or made from the pack when the file was no good */
	size_t mapped;
	bool checked; /* the entries' checksum was right */
	/* growing */
	struct idx_entry *own; /* = v */
	uint32_t cap, mask;
	uint32_t *table; /* 1 + position in own */
	bool idx_bad;
	uint32_t indexed;    /* entries that the index file has */
	uint64_t idx_end;    /* length of the index file that was understood */
	uint64_t idx_covers; /* end of the last record that the index file has */
	uint64_t scanned;    /* end of the last record that is in the table */
	uint64_t looked;     /* length of the pack when its tail was last scanned */
};

struct codec; /* a compressor with its memory: one for each thread at work */

struct writer {
	_Atomic bool on;
	bool failed;	   /* a write went wrong: the rest of this write is refused */
	bool dirty;	   /* something in the growing pack is not durable */
	bool new_file;	   /* nor its name */
	struct pack *pack; /* the growing one, NULL before the first put */
	int fd;		   /* its file, for writing */
	uint8_t *buf;
	size_t len;
	uint64_t flushed; /* where buf goes */
	uint64_t pushed;  /* up to here the kernel was asked to write back */
	uint64_t durable; /* end of what is durable, and how many entries that is: what an abort goes back to */
	uint32_t durable_n;
	struct err err;
};

struct moves; /* label.h: moves of a write that is open */

struct store {
	char *path;
	bool read_only;
	int dir_fd, packs_fd, labels_fd;
	int lock_fd, gc_fd;
	unsigned holds;
	bool gc; /* this store holds gc.lock alone */
	pthread_rwlock_t lists;
	struct pack **packs; /* by number */
	size_t count;
	struct timespec listed; /* mtime of packs/ when it was listed */
	bool listed_clean;	/* and the clock had moved on, so that any change since shows in the mtime */
	pthread_mutex_t put;
	struct writer w;
	pthread_mutex_t spare_lock;
	struct codec *spare;
	struct moves *moves;
};

struct found {
	struct pack *pack; /* a reference */
	struct idx_entry e;
};

/* ---- store_pack.c: records ---- */
uint32_t record_crc(const struct pack *p, uint64_t offset, const struct record_header *h);
bool record_header_ok(const struct pack *p, uint64_t offset, const struct record_header *h);
void file_header_fill(struct file_header *h, const char *magic, uint32_t number, uint64_t nonce);
/* 0 right, 1 damaged, -1 a format of the future (err). */
int file_header_check(const struct file_header *h, const char *magic, const char *what, struct err *err);
/* All n bytes at an offset; fewer at the end of the file; -1 on an error (errno). */
ssize_t read_at(int fd, void *data, size_t n, uint64_t offset);

enum scan_kind {
	SCAN_END,
	SCAN_RECORD,  /* whole (bodies: its checksum is right) */
	SCAN_DAMAGED, /* the body's checksum is wrong */
	SCAN_GAP,     /* no record: at, length */
	SCAN_TORN,    /* an unfinished record at the end */
};
struct scan {
	const struct pack *pack;
	int fd;
	uint64_t pos, size;
	bool bodies;
	uint8_t *window;
	uint64_t from;
	size_t have, cap;
	/* of the last answer */
	uint64_t at, length;
	struct record_header h;
	const uint8_t *body; /* until the next call */
};
void scan_init(struct scan *sc, const struct pack *p, int fd, uint64_t from, uint64_t size, bool bodies);
int scan_next(struct scan *sc, enum scan_kind *kind, struct err *err);
void scan_free(struct scan *sc);
struct idx_entry scan_entry(const struct scan *sc);

/* ---- store_index.c: what is where ---- */
struct pack *pack_open(struct store *s, uint32_t number, struct err *err);
struct pack *pack_new(struct store *s, uint32_t number, struct err *err); /* the file is made by the first flush */
void pack_unref(struct pack *p);
int pack_fd(struct store *s, const struct pack *p); /* -1 with errno; give back with pack_fd_done */
void pack_fd_done(const struct pack *p, int fd);
void pack_file_name(uint32_t number, const char *suffix, char out[32]);
const struct idx_entry *pack_find(const struct pack *p, const struct hash *id);
bool pack_entry_sane(const struct idx_entry *e);
/* Growing packs. The caller holds `lists` for writing. */
void pack_insert(struct pack *p, const struct idx_entry *e);
void pack_cut(struct pack *p, uint32_t n); /* keep the first n entries */
int pack_load(struct store *s, struct pack *p, struct err *err);
int pack_scan_tail(struct store *s, struct pack *p, struct err *err);
/* A sorted index made in memory from entries; freed with free. */
struct sort_head *sort_build(const struct pack *p, const struct idx_entry *v, uint32_t n, uint64_t end, size_t *size);
void pack_take_sorted(struct pack *p, struct sort_head *head);
/* Check the mapped index once; make it again in memory when it is damaged. 1 when that changed something. */
int pack_verify_index(struct store *s, struct pack *p);

/* ---- store_list.c: which packs there are ---- */
/* See new packs and entries; drop: forget packs that are gone. Takes `lists`. */
int store_refresh(struct store *s, bool drop, struct err *err);
int store_list(struct store *s, struct err *err); /* the first look, when the store is opened */
/* Refreshes when it is not there, unless this store is writing. */
bool store_find(struct store *s, const struct hash *id, struct found *out);
bool store_find_locked(struct store *s, const struct hash *id, size_t before, struct found *out, size_t *at);
int store_damaged(struct err *err, const struct found *f);
/* An object was not where the index said: read and check all indexes again. */
int store_recheck(struct store *s, struct err *err);

/* ---- store_codec.c ---- */
struct codec *codec_take(struct store *s);
void codec_give(struct store *s, struct codec *c);
void codec_free_all(struct store *s);
/* Compressed bytes that live in c, or NULL when they would not be fewer. */
const void *codec_compress(struct codec *c, const void *data, size_t n, size_t *out);
/* Exactly n bytes. */
bool codec_expand(struct codec *c, const void *data, size_t stored, void *out, size_t n);
void *codec_scratch(struct codec *c, size_t n); /* NULL without memory */

/* ---- store_write.c ---- */
/* Append a record as it is (checksums are made here). Takes `put`. */
int store_append(struct store *s, const struct record_header *h, const void *body, struct err *err);
int store_start_pack(struct store *s, struct err *err); /* the caller holds `put`, or is the only thread */
/* Bytes that are not in the file yet: copies them and returns true. */
bool store_copy_buffered(struct store *s, const struct pack *p, uint64_t offset, void *out, size_t n);
int store_need_write(struct store *s, struct err *err); /* FORBIDDEN on a read-only store */
/* A write of its own around something, unless one is open: *own tells, for store_leave. */
int store_enter(struct store *s, bool *own, struct err *err);
int store_leave(struct store *s, bool own, int rc, struct err *err);

/* ---- store_seal.c ---- */
int store_recover(struct store *s, struct err *err); /* at the beginning of a write */
int store_append_index(struct store *s, struct pack *p);
int store_seal(struct store *s, struct pack *p, struct err *err);

/* ---- store_lock.c ---- */
int store_gc_lock(struct store *s, bool wait, struct err *err);
void store_gc_unlock(struct store *s);
int store_flock(struct store *s, int fd, int how, bool wait, const char *what, struct err *err);
int store_open_lock(struct store *s, const char *name, int *fd, struct err *err);

/* ---- label.c ---- */
int label_flush(struct store *s, struct err *err); /* after the objects are durable */
void label_drop(struct store *s);

#endif
