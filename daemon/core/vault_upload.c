#include <stdlib.h>

#include "daemon/core/vault_internal.h"
#include "shared/base/mem.h"

/* A batch that the writer gets at once: one fdatasync each. A client may have two under way. */
#define BATCH ((size_t)4 << 20)

struct vault_upload {
	struct vault_op op; /* the batch that is with the writer */
	struct vault *v;
	const struct vault_upload_ops *ops; /* NULL: closed */
	void *arg;
	struct buf fill, batch;
	bool out;   /* op is with the writer, and so is all below but `full`, `ended` and `over` */
	bool last;  /* the stream ends with this batch */
	bool leave; /* nobody waits: let go of what has come */
	const struct vault_sink *sink;
	void *into;
	bool full, ended; /* the client waits for room; all has come */
	bool over;	  /* on_end was called */
};

/* ---- where it goes: into the store as it is ---- */

struct objects {
	struct remote_receiver *receiver;
	struct remote_counts counts;
};

static int take_objects(void *into, struct store *s, const struct buf *batch, bool last, struct err *err)
{
	struct objects *o = into;
	if (!o->receiver && !(o->receiver = remote_receiver_new(s, err)))
		return -1;
	if (batch->len > 0 && remote_receiver_add(o->receiver, batch->p, batch->len, err) != 0)
		return -1;
	return last ? remote_receiver_end(o->receiver, &o->counts, err) : remote_receiver_pause(o->receiver, err);
}

static void drop_objects(void *into)
{
	struct objects *o = into;
	remote_receiver_free(o->receiver);
	o->receiver = NULL;
}

static const struct remote_counts *count_objects(void *into)
{
	const struct objects *o = into;
	return &o->counts;
}

static const struct vault_sink objects_sink = { take_objects, drop_objects, count_objects };

/* ---- in batches ---- */

static void run_batch(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_upload *u = (struct vault_upload *)op;
	vault_forget(v);
	if (u->batch.len > 0 || u->last)
		op->failed = u->sink->take(u->into, s, &u->batch, u->last, &op->err) != 0;
	if (op->failed || u->last || u->leave)
		u->sink->drop(u->into);
}

static void upload_free(struct vault_upload *u)
{
	u->v->uploads--;
	u->sink->drop(u->into);
	free(u->into);
	buf_free(&u->fill);
	buf_free(&u->batch);
	free(u);
}

static void batch_done(struct vault_op *op);

/* Hand over what has come, if it is time. */
static void send_batch(struct vault_upload *u)
{
	if (u->out || u->over || (u->fill.len < BATCH && !u->ended && u->ops))
		return;
	struct buf swap = u->batch;
	u->batch = u->fill;
	u->fill = swap;
	buf_clear(&u->fill);
	u->out = true;
	u->last = u->ended;
	u->leave = !u->ops;
	u->op = (struct vault_op){ .done = batch_done, .hold = true };
	vault_submit(u->v, &u->v->writer, &u->op, run_batch);
}

static void batch_done(struct vault_op *op)
{
	struct vault_upload *u = (struct vault_upload *)op;
	u->out = false;
	if (u->leave || (!u->ops && (op->failed || u->last))) {
		upload_free(u);
		return;
	}
	if (op->failed || u->last) {
		u->over = true;
		u->ops->on_end(u->arg, op->failed ? NULL : u->sink->counts(u->into), op->failed ? &op->err : NULL);
		return;
	}
	send_batch(u);
	if (u->ops && u->full) {
		u->full = false;
		u->ops->on_room(u->arg);
	}
}

static struct vault_upload *upload_new(struct vault *v, const struct vault_upload_ops *ops, void *arg, struct err *err)
{
	if (v->uploads >= VAULT_UPLOADS) {
		err_set(err, ERR_LIMIT, "%u uploads are under way, which is the limit", VAULT_UPLOADS);
		err_hint(err, "try again when one is through");
		return NULL;
	}
	struct vault_upload *u = mem_zalloc(sizeof(*u));
	u->v = v;
	u->ops = ops;
	u->arg = arg;
	buf_init(&u->fill);
	buf_init(&u->batch);
	if (!buf_reserve(&u->fill, BATCH) || !buf_reserve(&u->batch, BATCH)) {
		buf_free(&u->fill);
		buf_free(&u->batch);
		free(u);
		err_set(err, ERR_UNAVAILABLE, "no memory for an upload");
		return NULL;
	}
	v->uploads++;
	return u;
}

struct vault_upload *vault_upload_to(
	struct vault *v, const struct vault_sink *sink, void *into, const struct vault_upload_ops *ops, void *arg, struct err *err)
{
	struct vault_upload *u = upload_new(v, ops, arg, err);
	if (u) {
		u->sink = sink;
		u->into = into;
		return u;
	}
	sink->drop(into);
	free(into);
	return NULL;
}

void *vault_upload_into(struct vault_upload *u)
{
	return u->into;
}

struct vault_upload *vault_upload_new(struct vault *v, const struct vault_upload_ops *ops, void *arg, struct err *err)
{
	return vault_upload_to(v, &objects_sink, mem_zalloc(sizeof(struct objects)), ops, arg, err);
}

size_t vault_upload_write(struct vault_upload *u, const void *data, size_t n)
{
	size_t taken = 0;
	while (taken < n && !u->over) {
		size_t room = BATCH - u->fill.len;
		size_t k = n - taken < room ? n - taken : room;
		buf_add(&u->fill, (const char *)data + taken, k);
		taken += k;
		send_batch(u);
		if (u->fill.len == BATCH)
			break;
	}
	u->full = taken < n && !u->over;
	return u->over ? n : taken;
}

void vault_upload_end(struct vault_upload *u)
{
	u->ended = true;
	send_batch(u);
}

void vault_upload_close(struct vault_upload *u)
{
	if (!u)
		return;
	u->ops = NULL;
	if (u->over) {
		upload_free(u);
		return;
	}
	u->ended = false;
	send_batch(u);
}
