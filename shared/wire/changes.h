/*
 * changes: what differs between a folder in the guest and the tree that was mounted there, as a stream of bytes. (A tar archive
 * cannot say that something is gone, that a folder hides what was below it, that a file is to be forgotten because it changed
 * while it was read, nor hold a socket.) Pure functions on memory. Used by the agent, which writes, and the daemon, which reads
 * and trusts nothing.
 *
 * A stream is a sequence of records, little endian: kind u8, flags u8, mode u16, length u32, payload (length <= CHANGES_PAYLOAD).
 * Paths are relative, parts between single slashes, none of them "", "." or "..", any bytes but NUL. A folder comes before what is
 * in it. A file is FILE, then DATA and HOLE in order, then DONE; AGAIN instead of DONE: it begins anew. END comes last.
 */
#ifndef SBX_WIRE_CHANGES_H
#define SBX_WIRE_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define CHANGES_PAYLOAD 65536u
#define CHANGES_HEADER 8u
#define CHANGES_PATH_MAX 4095u
#define CHANGES_NAME_MAX 255u
/* A hostile guest must not keep us busy for ever: of one file; of a stream. */
#define CHANGES_FILE_MAX ((uint64_t)64 << 30)
#define CHANGES_DATA_MAX ((uint64_t)256 << 30)
#define CHANGES_ENTRIES_MAX ((uint64_t)4 << 20)

enum change_kind {
	CHANGE_DIR = 1, /* path: there is a folder with this mode; flag CHANGE_OPAQUE: with nothing in it but what follows */
	CHANGE_FILE,	/* path: begins */
	CHANGE_LINK,	/* path NUL target */
	CHANGE_SPECIAL, /* path NUL "MAJOR:MINOR", or nothing behind the NUL for fifo and socket; mode with its type */
	CHANGE_GONE,	/* path: nothing is there any more */
	CHANGE_DATA,	/* bytes of the file that is open */
	CHANGE_HOLE,	/* u64: so many zeros */
	CHANGE_AGAIN,	/* the file begins anew, with this mode */
	CHANGE_DONE,	/* the file ends */
	CHANGE_END,	/* u64: how many of the first five kinds there were */
	CHANGE_KINDS
};
#define CHANGE_OPAQUE 1u

/* ---- writing: append one record ---- */
void changes_put(struct buf *out, enum change_kind kind, unsigned flags, unsigned mode, const void *payload, size_t n);
/* With a second text behind a NUL; NULL: none. */
void changes_put_path(struct buf *out, enum change_kind kind, unsigned flags, unsigned mode, const char *path, const char *more);
void changes_put_number(struct buf *out, enum change_kind kind, uint64_t v);

/* ---- reading ---- */
struct changes_rx {
	struct buf in;
	size_t used;
	bool in_file, ended;
	uint64_t entries, data, file; /* so far; bytes of the file that is open */
	char path[CHANGES_PATH_MAX + 1], more[CHANGES_PATH_MAX + 1];
};
struct change {
	enum change_kind kind;
	bool opaque;
	unsigned mode; /* permission bits; CHANGE_SPECIAL: with the type */
	const char *path, *more;
	const uint8_t *data; /* until the next call */
	size_t n;
	uint64_t hole;
};
void changes_rx_init(struct changes_rx *rx);
void changes_rx_free(struct changes_rx *rx);
void changes_rx_add(struct changes_rx *rx, const void *data, size_t n);
/* 1 and *c; 0 when more bytes are needed; -1 PROTOCOL or TOO_LARGE for a stream that breaks a rule. */
int changes_rx_next(struct changes_rx *rx, struct change *c, struct err *err);
/* The stream came to its end: 0, or -1 with PROTOCOL. */
int changes_rx_end(const struct changes_rx *rx, struct err *err);

#endif
