/*
 * chunk: where files are cut. FastCDC (2020), min 256 KiB, average 1 MiB, max 4 MiB, normalisation 1, no seed: exactly the cuts of
 * mcp-v8 (reference/mcp-v8.md 2.4), so that equal files have equal chunks in both. Pure.
 */
#ifndef SBX_STORE_CHUNK_H
#define SBX_STORE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_MIN ((size_t)256 << 10)
#define CHUNK_AVG ((size_t)1 << 20)
#define CHUNK_MAX ((size_t)4 << 20)

/* Length of the first chunk of data, which is the rest of a file or at least CHUNK_MAX bytes of it. 0 for n == 0. */
size_t chunk_cut(const uint8_t *data, size_t n);

/* The same while a chunk comes in piece by piece: no byte is looked at twice. data is all of the chunk that is there, from its
 * first byte on. Returns its length, or 0 when that depends on what follows (at the end of a file the rest is the chunk). { 0 } for
 * each chunk. */
struct chunk_scan {
	uint64_t hash;
	size_t pairs; /* of bytes that were looked at, or skipped */
};
size_t chunk_scan(struct chunk_scan *scan, const uint8_t *data, size_t n);

#endif
