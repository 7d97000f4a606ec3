/* remote: the receiving end. The peer may be hostile: nothing is kept that is not what its hash says, and no more memory is taken
 * than bytes have come, but for one object's plain bytes. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/chunk.h"
#include "shared/store/remote_internal.h"
#include "shared/store/store_internal.h"

#define CHECKPOINT ((uint64_t)64 << 20)

enum state { AT_MAGIC, AT_HEAD, AT_BODY, AT_END, FAILED };

struct remote_receiver {
	struct store *s;
	enum state state;
	bool writing;	    /* a write of the store is open */
	struct buf pending; /* the part that is coming in */
	size_t need;	    /* its length */
	struct stream_head head;
	struct buf plain;
	struct codec *codec;
	struct hasher order;
	uint64_t since; /* bytes put since the last checkpoint */
	struct remote_counts counts;
	struct err why; /* FAILED */
};

struct remote_receiver *remote_receiver_new(struct store *s, struct err *err)
{
	if (store_need_write(s, err))
		return NULL;
	struct remote_receiver *r = mem_zalloc(sizeof(*r));
	r->s = s;
	r->need = STREAM_MAGIC_LEN;
	buf_init(&r->pending);
	buf_init(&r->plain);
	r->codec = codec_take(s);
	hasher_init(&r->order);
	return r;
}

static int fail(struct remote_receiver *r, struct err *err)
{
	r->state = FAILED;
	if (err)
		r->why = *err;
	return -1;
}

static int bad(struct err *err, const char *what)
{
	err_set(err, ERR_PROTOCOL, "bad stream of objects: %s", what);
	return err_hint(err, "what came whole before is kept");
}

static int take_head(struct remote_receiver *r, struct err *err)
{
	stream_head_get((const uint8_t *)r->pending.p, &r->head);
	const struct stream_head *h = &r->head;
	if (h->kind == STREAM_END) {
		struct hash all;
		hasher_end(&r->order, &all);
		if (h->flags || h->plain || h->stored || !hash_eq(&all, &h->id))
			return bad(err, "its end does not match what came before");
		r->state = AT_END;
		return 0;
	}
	size_t limit = h->kind == OBJECT_CHUNK ? CHUNK_MAX : OBJECT_MAX;
	if (h->kind > OBJECT_BLOB || h->flags > STREAM_ZSTD)
		return bad(err, "a record of an unknown kind");
	if (h->plain > limit || (h->flags ? h->stored >= h->plain : h->stored != h->plain))
		return bad(err, "a record of an impossible length");
	r->state = AT_BODY;
	r->need = h->stored;
	return 0;
}

static int open_write(struct remote_receiver *r, struct err *err)
{
	if (r->writing)
		return 0;
	if (store_begin(r->s, true, err))
		return -1;
	r->writing = true;
	return 0;
}

static int check_node(const struct hash *id, const void *data, size_t n, struct err *err)
{
	struct node node;
	char hex[HASH_HEX + 1];
	if (node_decode(data, n, &node, err))
		return err_prefix(err, "the stream has a bad tree '%s'", hash_hex(id, hex));
	node_free(&node);
	return 0;
}

/* Is there a copy already? A damaged node is none: the new copy mends it. */
static bool have_whole(struct remote_receiver *r)
{
	struct err damaged = ERR_INIT;
	auto_buf bytes = BUF_INIT;
	if (!store_has(r->s, &r->head.id))
		return false;
	return r->head.kind != OBJECT_TREE || store_get(r->s, &r->head.id, &bytes, &damaged) == 0;
}

/* What was sent compressed is kept as it came. */
static int keep(struct remote_receiver *r, const void *plain, struct err *err)
{
	const struct stream_head *h = &r->head;
	struct record_header record = {
		.plain = h->plain, .stored = h->stored, .kind = h->kind, .flags = RECORD_ZSTD, .id = h->id
	};
	if (open_write(r, err))
		return -1;
	if (!h->flags)
		return store_put(r->s, (enum object_kind)h->kind, plain, h->plain, &h->id, NULL, err);
	return have_whole(r) ? 0 : store_append(r->s, &record, r->pending.p, err);
}

static int take_object(struct remote_receiver *r, struct err *err)
{
	const struct stream_head *h = &r->head;
	const void *plain = r->pending.p;
	struct hash is;
	char hex[HASH_HEX + 1];
	if (h->flags) {
		buf_clear(&r->plain);
		void *out = buf_reserve(&r->plain, h->plain);
		if (!out)
			return err_set(err, ERR_LIMIT, "no memory for an object of %u bytes", h->plain);
		if (!codec_expand(r->codec, r->pending.p, h->stored, out, h->plain))
			return bad(err, "a record that cannot be unpacked");
		plain = out;
	}
	hash_of(plain, h->plain, &is);
	if (!hash_eq(&is, &h->id)) {
		err_set(err, ERR_INVALID, "the stream has an object that is not what its name '%s' says", hash_hex(&h->id, hex));
		return err_hint(err, "the sender's store is damaged ('sbx fs fsck' there), or somebody changed the stream");
	}
	if (h->kind == OBJECT_TREE && check_node(&h->id, plain, h->plain, err))
		return -1;
	if (keep(r, plain, err))
		return -1;
	hasher_add(&r->order, h->id.b, HASH_LEN);
	r->counts.objects++;
	r->since += h->stored;
	if (r->since >= CHECKPOINT) {
		r->since = 0;
		if (store_checkpoint(r->s, err))
			return -1;
	}
	r->state = AT_HEAD;
	r->need = STREAM_HEAD;
	return 0;
}

static int take(struct remote_receiver *r, struct err *err)
{
	int rc = 0;
	if (r->state == AT_MAGIC) {
		if (memcmp(r->pending.p, STREAM_MAGIC, STREAM_MAGIC_LEN) != 0)
			return bad(err, "it is none");
		r->state = AT_HEAD;
		r->need = STREAM_HEAD;
	} else if (r->state == AT_HEAD) {
		rc = take_head(r, err);
	} else {
		rc = take_object(r, err);
	}
	buf_clear(&r->pending);
	return rc;
}

int remote_receiver_add(struct remote_receiver *r, const void *data, size_t n, struct err *err)
{
	const char *p = data;
	if (r->state == FAILED) {
		if (err)
			*err = r->why;
		return -1;
	}
	struct err own = ERR_INIT;
	if (!err)
		err = &own;
	r->counts.bytes += n;
	for (;;) {
		size_t want = r->need - r->pending.len;
		size_t some = n < want ? n : want;
		if (r->state == AT_END)
			return n ? (bad(err, "something follows its end"), fail(r, err)) : 0;
		buf_add(&r->pending, p, some);
		if (buf_failed(&r->pending)) {
			err_set(err, ERR_LIMIT, "no memory for an object of %u bytes", r->head.plain);
			return fail(r, err);
		}
		p += some;
		n -= some;
		if (some < want)
			return 0;
		if (take(r, err))
			return fail(r, err);
	}
}

int remote_receiver_pause(struct remote_receiver *r, struct err *err)
{
	if (!r->writing)
		return 0;
	r->writing = false;
	r->since = 0;
	return store_end(r->s, err) ? fail(r, err) : 0;
}

int remote_receiver_end(struct remote_receiver *r, struct remote_counts *out, struct err *err)
{
	remote_receiver_counts(r, out);
	if (remote_receiver_pause(r, err))
		return -1;
	if (r->state == FAILED) {
		if (err)
			*err = r->why;
		return -1;
	}
	if (r->state == AT_END)
		return 0;
	err_set(err, ERR_PROTOCOL, "the stream of objects was cut");
	return err_hint(err, "what came whole is kept: try again, and it goes on from there");
}

bool remote_receiver_done(const struct remote_receiver *r)
{
	return r->state == AT_END;
}

void remote_receiver_counts(const struct remote_receiver *r, struct remote_counts *out)
{
	*out = r->counts;
}

void remote_receiver_free(struct remote_receiver *r)
{
	if (!r)
		return;
	struct err lost = ERR_INIT;
	(void)remote_receiver_pause(r, &lost); /* whoever cares has called remote_receiver_end */
	codec_give(r->s, r->codec);
	buf_free(&r->pending);
	buf_free(&r->plain);
	free(r);
}
