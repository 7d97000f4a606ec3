/* link: shared/store/remote*.c shared/store/tree*.c shared/store/store*.c shared/store/label*.c shared/store/crc.c shared/store/object.c shared/store/chunk.c shared/store/hash*.c | -lzstd -lpthread */
/* A stream of objects from a hostile peer, in pieces that the first byte chooses. The first half of the inputs goes on behind a
 * whole record, so that the fuzzer needs no hash to get there. What is accepted can be sent on, and is accepted again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/remote_internal.h"
#include "tests/fuzz/store_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A record whose hash is right, of the bytes given. */
static void whole_record(const uint8_t *data, size_t size, struct hasher *order, struct buf *out)
{
	struct stream_head h = { .kind = (uint8_t)(1 + size % 3), .plain = (uint32_t)size, .stored = (uint32_t)size };
	uint8_t head[STREAM_HEAD];
	hash_of(data, size, &h.id);
	hasher_add(order, h.id.b, HASH_LEN);
	stream_head_put(&h, head);
	buf_add(out, head, sizeof(head));
	buf_add(out, data, size);
}

static int feed(struct store *s, const struct buf *in, size_t piece)
{
	struct err err = ERR_INIT;
	struct remote_counts counts;
	struct remote_receiver *r = remote_receiver_new(s, &err);
	CHECK(r);
	int rc = 0;
	for (size_t at = 0; rc == 0 && at < in->len; at += piece)
		rc = remote_receiver_add(r, in->p + at, in->len - at < piece ? in->len - at : piece, &err);
	if (rc == 0)
		rc = remote_receiver_end(r, &counts, &err);
	CHECK(rc == 0 || (err.code != ERR_OK && err.msg[0]));
	remote_receiver_free(r);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct store *s = store_of_now("f_remote");
	size_t piece = 1 + data[0];
	auto_buf in = BUF_INIT;
	struct hasher order;
	hasher_init(&order);
	buf_str(&in, STREAM_MAGIC);
	if (data[1] & 1) {
		size_t half = (size - 2) / 2;
		whole_record(data + 2, half, &order, &in);
		buf_add(&in, data + 2 + half, size - 2 - half);
	} else {
		buf_add(&in, data + 2, size - 2);
	}
	(void)feed(s, &in, piece);
	return 0;
}
