/*
 * series_file: a series as bytes, for a file that outlives the daemon.
 *
 * All numbers little-endian: "SBXSERI1"; the number of figures (u32); for each tier how many points its ring has (u32), and those,
 * oldest first (i64 of its time, f32 for each figure); for each tier but the finest what it has of its next point (u32 n, i64 time
 * of the last, f64 sum and u32 number for each figure); the CRC-32C of all before it (u32). At most SERIES_FILE_MAX. A file of
 * another version, of other figures, or in which a bit is wrong is none. Pure.
 */
#ifndef SBX_CORE_SERIES_FILE_H
#define SBX_CORE_SERIES_FILE_H

#include <stddef.h>

#include "daemon/core/series.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"

#define SERIES_FILE_MAX (SERIES_BYTES_MAX + 1024)

/* Appended to out. */
void series_write(const struct series *s, struct buf *out);
/* INVALID for what series_write has not made, or could not have: then out is empty. Release it with series_free in any case. */
int series_read(const void *data, size_t n, struct series *out, struct err *err);

#endif
