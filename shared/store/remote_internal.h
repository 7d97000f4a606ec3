/*
 * remote_internal: the stream of remote.h, shared by both ends.
 */
#ifndef SBX_STORE_REMOTE_INTERNAL_H
#define SBX_STORE_REMOTE_INTERNAL_H

#include <endian.h>

#include "shared/store/remote.h"

#define STREAM_MAGIC "SBXPACK1"
#define STREAM_ZSTD 1u
enum { STREAM_MAGIC_LEN = 8, STREAM_HEAD = 10 + HASH_LEN };

struct stream_head {
	uint8_t kind; /* enum object_kind, or STREAM_END */
	uint8_t flags;
	uint32_t plain, stored;
	struct hash id;
};
enum { STREAM_END = 0 };

static inline void stream_head_put(const struct stream_head *h, uint8_t out[STREAM_HEAD])
{
	uint32_t plain = htole32(h->plain), stored = htole32(h->stored);
	out[0] = h->kind;
	memcpy(out + 1, &plain, sizeof(plain));
	memcpy(out + 5, &stored, sizeof(stored));
	out[9] = h->flags;
	memcpy(out + 10, h->id.b, HASH_LEN);
}

static inline void stream_head_get(const uint8_t in[STREAM_HEAD], struct stream_head *h)
{
	uint32_t plain, stored;
	memcpy(&plain, in + 1, sizeof(plain));
	memcpy(&stored, in + 5, sizeof(stored));
	*h = (struct stream_head){ .kind = in[0], .flags = in[9], .plain = le32toh(plain), .stored = le32toh(stored) };
	memcpy(h->id.b, in + 10, HASH_LEN);
}

#endif
