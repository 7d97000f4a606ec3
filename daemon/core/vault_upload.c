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
	bool leave; /* nobody waits: let go of the receiver */
	struct remote_receiver *receiver;
	struct remote_counts counts;
	bool full, ended; /* the client waits for room; all has come */
	bool over;	  /* on_end was called */
};

static int receive(struct vault_upload *u, struct store *s, struct err *err)
{
	if (!u->receiver && u->batch.len == 0 && !u->last)
		return 0;
	if (!u->receiver && !(u->receiver = remote_receiver_new(s, err)))
		return -1;
	if (u->batch.len > 0 && remote_receiver_add(u->receiver, u->batch.p, u->batch.len, err) != 0)
		return -1;
	return u->last ? remote_receiver_end(u->receiver, &u->counts, err) : remote_receiver_pause(u->receiver, err);
}

static void run_batch(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_upload *u = (struct vault_upload *)op;
	vault_forget(v);
	op->failed = receive(u, s, &op->err) != 0;
	if (op->failed || u->last || u->leave) {
		remote_receiver_free(u->receiver);
		u->receiver = NULL;
	}
}

static void upload_free(struct vault_upload *u)
{
	u->v->uploads--;
	remote_receiver_free(u->receiver);
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
		u->ops->on_end(u->arg, op->failed ? NULL : &u->counts, op->failed ? &op->err : NULL);
		return;
	}
	send_batch(u);
	if (u->ops && u->full) {
		u->full = false;
		u->ops->on_room(u->arg);
	}
}

struct vault_upload *vault_upload_new(struct vault *v, const struct vault_upload_ops *ops, void *arg, struct err *err)
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
