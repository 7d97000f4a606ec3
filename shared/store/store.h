/*
 * store: immutable objects by their hash, in append-only packs. Format: man/sbx-store.5.
 *
 * On disk, below one folder: `packs/N.pack` (records: header with kind, hash, lengths, checksum, then the bytes, zstd where that is
 * smaller), `packs/N.idx` beside each (sorted with a fan-out for a full pack, in order of arrival for the one that grows; made
 * again from the pack when it is behind or damaged), `lock` (writers), `gc.lock` (shared by whoever makes objects that no label
 * leads to yet, exclusive for gc), `labels/` (label.h), `tmp/`.
 * Several processes: readers take no lock and never wait; one writer at a time, which others wait for. A reader that misses an
 * object looks for new packs once before it says so, and goes on reading packs that gc has removed.
 * Crash: an object is there when the write that made it was ended with success (one fdatasync a write). What a torn write left at
 * the end of a pack is cut by the next writer and ignored by readers. Every read is checked by hash.
 * Threads: get, has and put from any thread; open, begin, end, close from one.
 * Errors: NOT_FOUND no such object; IO damaged, naming object, pack and offset; CONFLICT another writer (only with wait == false);
 * FORBIDDEN read-only; NO_SPACE; UNAVAILABLE a format of the future.
 */
#ifndef SBX_STORE_STORE_H
#define SBX_STORE_STORE_H

#include "shared/base/err.h"
#include "shared/store/hash.h"
#include "shared/store/object.h"

struct store;

/* Open the store at path; create makes it when the folder is missing or empty. A store on a read-only file system opens for
 * reading. NOT_FOUND when there is none. */
struct store *store_open(const char *path, bool create, struct err *err);
/* Is there one at path, or anything that is in the way of one? Not a folder that is empty, or whose making was cut short. */
bool store_exists(const char *path);
void store_close(struct store *s);
const char *store_path(const struct store *s);
bool store_read_only(const struct store *s);

/* ---- reading ---- */
bool store_has(struct store *s, const struct hash *id);
/* The plain bytes, appended to out. */
int store_get(struct store *s, const struct hash *id, struct buf *out, struct err *err);
/* Size of the plain bytes and of what they take in the pack; kind as it was put. */
struct store_info {
	enum object_kind kind;
	uint64_t size, stored;
};
int store_stat(struct store *s, const struct hash *id, struct store_info *out, struct err *err);
/* Ids that begin with these hex digits (>= 4 of them): calls each until it returns non-zero. */
int store_prefix(struct store *s, const char *hex, int (*each)(void *arg, const struct hash *id), void *arg);
/* Every object, in no order, until each returns non-zero (which is returned). */
int store_each(struct store *s, int (*each)(void *arg, const struct hash *id, const struct store_info *info), void *arg,
	struct err *err);

/* ---- writing: begin, put..., end ---- */
/* Take the writer lock (others are waited for, or CONFLICT) and see what they wrote. Nests not. */
int store_begin(struct store *s, bool wait, struct err *err);
/* Keep an object; the id is the caller's (computed from these bytes: not checked again) or NULL, then it is returned in *out when
 * out is not NULL. Does nothing when it is there already. Compresses in the calling thread. */
int store_put(struct store *s, enum object_kind kind, const void *data, size_t n, const struct hash *id, struct hash *out,
	struct err *err);
/* Make durable all that was put, and let go of the lock. After -1 nothing of this write may be relied on. */
int store_end(struct store *s, struct err *err);
/* Let go without making anything durable; what was put may or may not be there. */
void store_abort(struct store *s);
/* As store_end and store_begin in one, keeping the lock: for writes of many gigabytes. */
int store_checkpoint(struct store *s, struct err *err);

/* Keep gc away from objects that no label leads to yet: from before the first has/put until the label has moved. Counts. */
int store_hold(struct store *s, struct err *err);
void store_release(struct store *s);

/* Pins: names for objects that must live though no label leads to them (VM manifests, templates). */
int store_pin(struct store *s, const char *name, const struct hash *id, struct err *err);
int store_unpin(struct store *s, const char *name, struct err *err);
int store_each_pin(struct store *s, int (*each)(void *arg, const char *name, const struct hash *id), void *arg, struct err *err);

/* ---- care ---- */
struct store_totals {
	uint64_t objects, bytes /* plain */, stored, packs, disk /* of all files */;
};
int store_totals(struct store *s, struct store_totals *out, struct err *err);

/* Rewrite the packs without the objects for which keep returns false. Needs gc.lock (waits for holders, or CONFLICT when !wait).
 * Packs that are mostly alive stay. dry only counts. */
struct store_swept {
	uint64_t kept, removed, freed /* bytes of disk */;
};
int store_sweep(struct store *s, bool (*keep)(void *arg, const struct hash *id), void *arg, bool dry, bool wait,
	struct store_swept *out, struct err *err);

/* Read and check every record of every pack and its index. fault is called for each thing that is wrong (text names pack, offset
 * and object) and the check goes on. Returns 0 and the count in *faults; -1 only when the check itself could not go on. */
int store_check(struct store *s, void (*fault)(void *arg, const char *text), void *arg, uint64_t *faults, struct err *err);

#endif
