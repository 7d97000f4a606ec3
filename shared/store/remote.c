/* remote: the sending end, and what a store says it has. */
#include "shared/store/remote.h"

#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/store/remote_internal.h"
#include "shared/store/store_internal.h"

enum { PIECE = 256 << 10 };

struct ids {
	struct hash *v;
	size_t n, room;
};

static void ids_add(struct ids *l, const struct hash *id)
{
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->v = mem_grow(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = *id;
}

/* A folder whose children are being looked at, and those above it. Trees may be deeper than a thread's stack. */
struct frame {
	struct hash id;
	struct tree_node t;
	uint32_t next;
	bool whole; /* haver */
};
struct frames {
	struct frame *v;
	size_t n, room;
};

static int frames_push(struct frames *f, struct store *s, const struct hash *id, struct err *err)
{
	if (f->n == f->room) {
		f->room = f->room ? f->room * 2 : 16;
		f->v = mem_grow(f->v, f->room, sizeof(*f->v));
	}
	struct frame *top = &f->v[f->n];
	*top = (struct frame){ .id = *id, .whole = true };
	if (tree_load(s, id, &top->t, err))
		return -1;
	f->n++;
	return 0;
}

static void frames_pop(struct frames *f)
{
	tree_unload(&f->v[--f->n].t);
}

static void frames_free(struct frames *f)
{
	while (f->n)
		frames_pop(f);
	free(f->v);
}

static void chunk_at(const struct entry *e, uint32_t i, struct hash *out)
{
	memcpy(out->b, e->data + (size_t)i * HASH_LEN, HASH_LEN);
}

/* ---- sending ---- */

struct sender {
	struct store *s;
	struct remote_peer to;
	struct hash_set *want; /* what the other side has not; unused without ask */
	struct hash_set *sent;
	struct buf out, plain;
	struct codec *codec;
	struct hasher order;
	struct remote_counts counts;
	struct err *err;
};

static void sender_init(struct sender *sd, struct store *s, const struct remote_peer *to, struct err *err)
{
	*sd = (struct sender){ .s = s, .to = *to, .out = BUF_INIT, .plain = BUF_INIT, .err = err };
	sd->want = hash_set_new();
	sd->sent = hash_set_new();
	sd->codec = codec_take(s);
	hasher_init(&sd->order);
	buf_add(&sd->out, STREAM_MAGIC, STREAM_MAGIC_LEN);
}

static void sender_free(struct sender *sd)
{
	codec_give(sd->s, sd->codec);
	hash_set_free(sd->want);
	hash_set_free(sd->sent);
	buf_free(&sd->out);
	buf_free(&sd->plain);
}

static int write_out(struct sender *sd)
{
	if (buf_failed(&sd->out))
		return err_set(sd->err, ERR_LIMIT, "no memory to send with");
	sd->counts.bytes += sd->out.len;
	int rc = sd->to.write(sd->to.arg, sd->out.p, sd->out.len, sd->err);
	buf_clear(&sd->out);
	return rc;
}

static int emit(struct sender *sd, uint8_t kind, const struct hash *id, const void *data, size_t n)
{
	struct stream_head h = { .kind = kind, .plain = (uint32_t)n, .stored = (uint32_t)n, .id = *id };
	size_t packed_len = 0;
	const void *packed = n ? codec_compress(sd->codec, data, n, &packed_len) : NULL;
	if (packed) {
		h.stored = (uint32_t)packed_len;
		h.flags = STREAM_ZSTD;
	}
	uint8_t head[STREAM_HEAD];
	stream_head_put(&h, head);
	buf_add(&sd->out, head, sizeof(head));
	buf_add(&sd->out, packed ? packed : data, h.stored);
	return sd->out.len >= PIECE || buf_failed(&sd->out) ? write_out(sd) : 0;
}

static int emit_object(struct sender *sd, enum object_kind kind, const struct hash *id, const void *data, size_t n)
{
	hasher_add(&sd->order, id->b, HASH_LEN);
	sd->counts.objects++;
	return emit(sd, (uint8_t)kind, id, data, n);
}

static int emit_end(struct sender *sd)
{
	struct hash all;
	hasher_end(&sd->order, &all);
	return emit(sd, STREAM_END, &all, NULL, 0) || (sd->out.len && write_out(sd)) ? -1 : 0;
}

static int send_stored(struct sender *sd, enum object_kind kind, const struct hash *id)
{
	buf_clear(&sd->plain);
	if (store_get(sd->s, id, &sd->plain, sd->err))
		return -1;
	return emit_object(sd, kind, id, sd->plain.p, sd->plain.len);
}

/* The ids of a level that the other side has not, in their order; they are marked as wanted. */
static int ask_level(struct sender *sd, const struct ids *level, struct ids *missing)
{
	bool have[REMOTE_ASK_MAX];
	for (size_t at = 0; at < level->n;) {
		size_t n = level->n - at < REMOTE_ASK_MAX ? level->n - at : REMOTE_ASK_MAX;
		memset(have, 0, sizeof(have));
		if (sd->to.ask(sd->to.arg, level->v + at, n, have, sd->err))
			return -1;
		for (size_t i = 0; i < n; i++) {
			if (have[i])
				continue;
			hash_set_add(sd->want, &level->v[at + i]);
			if (missing)
				ids_add(missing, &level->v[at + i]);
		}
		at += n;
	}
	return 0;
}

/* What a missing folder leads to, as far as it was not asked for before. */
static int look_into(struct sender *sd, const struct hash *id, struct hash_set *asked, struct ids *trees, struct ids *chunks)
{
	struct tree_node t;
	if (tree_load(sd->s, id, &t, sd->err))
		return -1;
	for (uint32_t i = 0; i < t.node.count; i++) {
		const struct child *c = &t.node.children[i];
		for (uint32_t k = 0; c->has_file && c->file.chunked && k < c->file.chunks; k++) {
			struct hash chunk;
			chunk_at(&c->file, k, &chunk);
			if (hash_set_add(asked, &chunk))
				ids_add(chunks, &chunk);
		}
		if (c->has_dir && !hash_eq(&c->dir, &object_empty) && hash_set_add(asked, &c->dir))
			ids_add(trees, &c->dir);
	}
	tree_unload(&t);
	return 0;
}

/* Level by level, so that few questions tell all that is missing. */
static int negotiate(struct sender *sd, const struct hash *roots, size_t n)
{
	struct hash_set *asked = hash_set_new();
	struct ids level = { 0 };
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		if (hash_set_add(asked, &roots[i]))
			ids_add(&level, &roots[i]);
	while (rc == 0 && level.n) {
		struct ids missing = { 0 }, trees = { 0 }, chunks = { 0 };
		rc = ask_level(sd, &level, &missing);
		for (size_t i = 0; rc == 0 && i < missing.n; i++)
			rc = look_into(sd, &missing.v[i], asked, &trees, &chunks);
		if (rc == 0)
			rc = ask_level(sd, &chunks, NULL);
		free(missing.v);
		free(chunks.v);
		free(level.v);
		level = trees;
	}
	free(level.v);
	hash_set_free(asked);
	return rc;
}

static bool is_due(const struct sender *sd, const struct hash *id)
{
	return (!sd->to.ask || hash_set_has(sd->want, id)) && !hash_set_has(sd->sent, id);
}

static int send_file(struct sender *sd, const struct entry *e)
{
	for (uint32_t k = 0; e->chunked && k < e->chunks; k++) {
		struct hash id;
		chunk_at(e, k, &id);
		if (is_due(sd, &id) && (hash_set_add(sd->sent, &id), send_stored(sd, OBJECT_CHUNK, &id)))
			return -1;
	}
	return 0;
}

static int begin_folder(struct sender *sd, struct frames *f, const struct hash *id)
{
	hash_set_add(sd->sent, id);
	return frames_push(f, sd->s, id, sd->err);
}

/* The next child of the top folder, or the folder itself when it has no more. */
static int send_step(struct sender *sd, struct frames *f)
{
	struct frame *top = &f->v[f->n - 1];
	if (top->next == top->t.node.count) {
		auto_buf none = BUF_INIT;
		const struct buf *bytes = &top->t.bytes;
		if (hash_eq(&top->id, &object_empty) && node_encode(NULL, 0, &none, sd->err))
			return -1;
		if (hash_eq(&top->id, &object_empty))
			bytes = &none;
		int rc = emit_object(sd, OBJECT_TREE, &top->id, bytes->p, bytes->len);
		frames_pop(f);
		return rc;
	}
	const struct child *c = &top->t.node.children[top->next++];
	if (c->has_file && send_file(sd, &c->file))
		return -1;
	if (!c->has_dir || hash_eq(&c->dir, &object_empty) || !is_due(sd, &c->dir))
		return 0;
	return begin_folder(sd, f, &c->dir);
}

int remote_send(struct store *s, const struct hash *roots, size_t n, const struct remote_peer *to, struct remote_counts *out,
	struct err *err)
{
	struct sender sd;
	struct frames frames = { 0 };
	sender_init(&sd, s, to, err);
	int rc = to->ask ? negotiate(&sd, roots, n) : 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (!is_due(&sd, &roots[i]))
			continue;
		rc = begin_folder(&sd, &frames, &roots[i]);
		while (rc == 0 && frames.n)
			rc = send_step(&sd, &frames);
	}
	if (rc == 0)
		rc = emit_end(&sd);
	*out = sd.counts;
	frames_free(&frames);
	sender_free(&sd);
	return rc;
}

int remote_send_objects(
	struct store *s, const struct hash *ids, size_t n, const struct remote_peer *to, struct remote_counts *out, struct err *err)
{
	struct sender sd;
	sender_init(&sd, s, to, err);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct store_info info;
		rc = store_stat(s, &ids[i], &info, err);
		if (rc == 0)
			rc = send_stored(&sd, info.kind, &ids[i]);
	}
	if (rc == 0)
		rc = emit_end(&sd);
	*out = sd.counts;
	sender_free(&sd);
	return rc;
}

/* ---- what is here ---- */

struct remote_haver {
	struct store *s;
	struct hash_set *whole, *broken; /* folders */
};

struct remote_haver *remote_haver_new(struct store *s)
{
	struct remote_haver *h = mem_zalloc(sizeof(*h));
	h->s = s;
	h->whole = hash_set_new();
	h->broken = hash_set_new();
	return h;
}

void remote_haver_free(struct remote_haver *h)
{
	if (!h)
		return;
	hash_set_free(h->whole);
	hash_set_free(h->broken);
	free(h);
}

/* The folder on top is done: it and, when something is missing, the one above it are known. */
static void have_pop(struct remote_haver *h, struct frames *f)
{
	const struct frame *top = &f->v[f->n - 1];
	bool whole = top->whole;
	hash_set_add(whole ? h->whole : h->broken, &top->id);
	frames_pop(f);
	if (!whole && f->n)
		f->v[f->n - 1].whole = false;
}

static void have_enter(struct remote_haver *h, struct frames *f, const struct hash *id)
{
	struct err ignored = ERR_INIT;
	if (hash_set_has(h->whole, id))
		return;
	/* damaged is as bad as missing: it comes again, and then there is a whole copy */
	if (!hash_set_has(h->broken, id) && frames_push(f, h->s, id, &ignored) == 0)
		return;
	hash_set_add(h->broken, id);
	if (f->n)
		f->v[f->n - 1].whole = false;
}

static void have_step(struct remote_haver *h, struct frames *f)
{
	struct frame *top = &f->v[f->n - 1];
	if (!top->whole || top->next == top->t.node.count) {
		have_pop(h, f);
		return;
	}
	const struct child *c = &top->t.node.children[top->next++];
	for (uint32_t k = 0; top->whole && c->has_file && c->file.chunked && k < c->file.chunks; k++) {
		struct hash id;
		chunk_at(&c->file, k, &id);
		top->whole = store_has(h->s, &id);
	}
	if (top->whole && c->has_dir)
		have_enter(h, f, &c->dir);
}

static bool have_tree(struct remote_haver *h, const struct hash *id)
{
	struct frames f = { 0 };
	have_enter(h, &f, id);
	while (f.n)
		have_step(h, &f);
	frames_free(&f);
	return hash_set_has(h->whole, id);
}

int remote_have(struct remote_haver *h, const struct hash *ids, size_t n, bool *have, struct err *err)
{
	(void)err;
	for (size_t i = 0; i < n; i++) {
		struct store_info info;
		struct err missing = ERR_INIT;
		have[i] = store_stat(h->s, &ids[i], &info, &missing) == 0;
		if (have[i] && info.kind == OBJECT_TREE)
			have[i] = have_tree(h, &ids[i]);
	}
	return 0;
}
