#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/core/vault_internal.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/tree.h"

/* Between the thread and the loop. */
#define BUFFER ((size_t)1 << 20)
/* A client that takes nothing for so long is cut when others wait for his place. */
#define STALL_MS 60000

struct vault_stream {
	struct vault_stream *next; /* in v->streams or v->waiting */
	struct vault *v;
	const struct vault_stream_ops *ops; /* NULL: closed */
	void *arg;
	int (*run)(struct vault_stream *st, struct store *s, struct err *err);
	pthread_t thread;
	enum { STREAM_WAITS, STREAM_RUNS, STREAM_OVER } state;
	bool started, paused, told; /* its thread was; by the client; on_end was called */
	/* what to do */
	struct vault_fetch fetch;
	struct vault_gc *gc;
	struct vault_op *op; /* vault_alone */
	int (*op_run)(struct vault_op *op, struct store *s, struct err *err);
	struct hash tree;
	char *path;
	uint64_t offset, length;
	struct hash_set *known; /* the thread's: what the other side has */
	/* by the mutex */
	struct vault_stream *next_noisy;
	bool noisy, ended, cancel, contested;
	pthread_cond_t room;
	struct buf data;
	struct err err;
	bool failed;
};

/* ---- the thread ---- */

/* With the mutex held. */
static void make_noise(struct vault_stream *st)
{
	if (st->noisy)
		return;
	st->noisy = true;
	st->next_noisy = st->v->noisy;
	st->v->noisy = st;
	uv_async_send(&st->v->async);
}

/* With the mutex held: wait for room in the buffer. */
static int wait_room(struct vault_stream *st, struct err *err)
{
	int64_t since = clock_mono_ms();
	while (st->data.len >= BUFFER && !st->cancel) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&st->room, &st->v->mutex, &until);
		if (st->contested && st->data.len >= BUFFER && clock_mono_ms() - since > STALL_MS)
			return err_set(err, ERR_TIMEOUT, "nothing was taken for %d s", STALL_MS / 1000);
	}
	return st->cancel ? err_set(err, ERR_UNAVAILABLE, "nobody reads any more") : 0;
}

static int put(void *arg, const void *data, size_t n, struct err *err)
{
	struct vault_stream *st = arg;
	pthread_mutex_lock(&st->v->mutex);
	int rc = 0;
	for (size_t at = 0; at < n && rc == 0;) {
		rc = wait_room(st, err);
		size_t k = n - at < BUFFER ? n - at : BUFFER;
		if (rc == 0) {
			buf_add(&st->data, (const char *)data + at, k);
			rc = buf_failed(&st->data) ? err_set(err, ERR_UNAVAILABLE, "no memory for the stream") : 0;
			make_noise(st);
			at += k;
		}
	}
	pthread_mutex_unlock(&st->v->mutex);
	return rc;
}

static void *stream_main(void *arg)
{
	struct vault_stream *st = arg;
	struct err err = ERR_INIT;
	struct store *s = vault_open(st->v, &err);
	int rc = s ? st->run(st, s, &err) : -1;
	store_close(s);
	hash_set_free(st->known);
	st->known = NULL;
	pthread_mutex_lock(&st->v->mutex);
	st->failed = rc != 0;
	st->err = err;
	st->ended = true;
	make_noise(st);
	pthread_mutex_unlock(&st->v->mutex);
	return NULL;
}

/* ---- the loop ---- */

static void unlink_stream(struct vault_stream **list, struct vault_stream *st)
{
	for (struct vault_stream **p = list; *p; p = &(*p)->next) {
		if (*p == st) {
			*p = st->next;
			return;
		}
	}
}

static void stream_free(struct vault_stream *st)
{
	pthread_cond_destroy(&st->room);
	buf_free(&st->data);
	free(st->fetch.want);
	free(st->fetch.have);
	free(st->path);
	free(st);
}

static void end_with(struct vault_stream *st, const struct err *err)
{
	pthread_mutex_lock(&st->v->mutex);
	st->failed = true;
	st->err = *err;
	st->ended = true;
	make_noise(st);
	pthread_mutex_unlock(&st->v->mutex);
}

/* Those who have a place learn whether somebody waits for it. */
static void contest(struct vault *v)
{
	pthread_mutex_lock(&v->mutex);
	for (struct vault_stream *st = v->streams; st; st = st->next)
		st->contested = v->waiting != NULL;
	pthread_mutex_unlock(&v->mutex);
}

static void stream_start(struct vault_stream *st)
{
	struct vault *v = st->v;
	st->next = v->streams;
	v->streams = st;
	v->running++;
	st->state = STREAM_RUNS;
	int rc = vault_thread(&st->thread, stream_main, st);
	st->started = rc == 0;
	if (rc == 0)
		return;
	struct err err = ERR_INIT;
	err_sys(&err, rc, "cannot start a thread");
	end_with(st, &err);
}

/* Its thread is at its end: the place is free. */
static void stream_over(struct vault_stream *st)
{
	struct vault *v = st->v;
	if (st->started)
		pthread_join(st->thread, NULL);
	st->state = STREAM_OVER;
	unlink_stream(&v->streams, st);
	v->running--;
	struct vault_stream *next = v->waiting;
	if (!next || v->closing)
		return;
	v->waiting = next->next;
	stream_start(next);
	contest(v);
}

static void tell_end(struct vault_stream *st)
{
	st->told = true;
	st->ops->on_end(st->arg, st->failed ? &st->err : NULL);
}

static void deliver(struct vault_stream *st)
{
	struct vault *v = st->v;
	auto_buf data = BUF_INIT;
	pthread_mutex_lock(&v->mutex);
	if (!st->paused && st->ops) {
		data = st->data;
		buf_init(&st->data);
		pthread_cond_signal(&st->room);
	}
	bool ended = st->ended;
	pthread_mutex_unlock(&v->mutex);
	if (data.len > 0)
		st->paused = !st->ops->on_data(st->arg, data.p, data.len);
	if (!ended)
		return;
	if (st->state == STREAM_RUNS)
		stream_over(st);
	if (!st->ops)
		stream_free(st);
	else if (!st->paused && !st->told)
		tell_end(st);
}

void vault_streams_run(struct vault *v)
{
	for (;;) {
		pthread_mutex_lock(&v->mutex);
		struct vault_stream *st = v->noisy;
		if (st) {
			v->noisy = st->next_noisy;
			st->noisy = false;
		}
		pthread_mutex_unlock(&v->mutex);
		if (!st)
			return;
		deliver(st);
	}
}

void vault_stream_resume(struct vault_stream *st)
{
	st->paused = false;
	pthread_mutex_lock(&st->v->mutex);
	make_noise(st);
	pthread_mutex_unlock(&st->v->mutex);
}

void vault_stream_close(struct vault_stream *st)
{
	if (!st)
		return;
	st->ops = NULL;
	if (st->state == STREAM_WAITS) {
		unlink_stream(&st->v->waiting, st);
		contest(st->v);
	}
	pthread_mutex_lock(&st->v->mutex);
	st->cancel = true;
	pthread_cond_signal(&st->room);
	bool later = st->noisy || st->state == STREAM_RUNS; /* deliver frees it */
	pthread_mutex_unlock(&st->v->mutex);
	if (!later)
		stream_free(st);
}

void vault_streams_close(struct vault *v)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_UNAVAILABLE, "the daemon is going down");
	while (v->waiting) {
		struct vault_stream *st = v->waiting;
		v->waiting = st->next;
		st->state = STREAM_OVER;
		end_with(st, &err);
	}
	pthread_mutex_lock(&v->mutex);
	for (struct vault_stream *st = v->streams; st; st = st->next) {
		st->cancel = true;
		pthread_cond_signal(&st->room);
	}
	pthread_mutex_unlock(&v->mutex);
	for (struct vault_stream *st = v->streams; st; st = st->next) {
		if (st->started)
			pthread_join(st->thread, NULL);
		st->started = false;
		st->paused = false;
	}
	vault_streams_run(v);
}

static struct vault_stream *stream_new(struct vault *v, const struct vault_stream_ops *ops, void *arg)
{
	struct vault_stream *st = mem_zalloc(sizeof(*st));
	st->v = v;
	st->ops = ops;
	st->arg = arg;
	buf_init(&st->data);
	pthread_cond_init(&st->room, NULL);
	return st;
}

/* A place, or the end of the line. */
static struct vault_stream *stream_begin(struct vault_stream *st, int (*run)(struct vault_stream *, struct store *, struct err *))
{
	struct vault *v = st->v;
	st->run = run;
	if (v->running < VAULT_STREAMS) {
		stream_start(st);
		return st;
	}
	struct vault_stream **end = &v->waiting;
	while (*end)
		end = &(*end)->next;
	*end = st;
	contest(v);
	return st;
}

/* ---- fetch ---- */

static int ignore_object(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)arg;
	(void)kind;
	(void)id;
	(void)err;
	return 0;
}

static void ignore_missing(void *arg, const struct hash *id)
{
	(void)arg;
	(void)id;
}

static int ask(void *arg, const struct hash *ids, size_t n, bool *have, struct err *err)
{
	struct vault_stream *st = arg;
	(void)err;
	for (size_t i = 0; i < n; i++)
		have[i] = hash_set_has(st->known, &ids[i]);
	return 0;
}

static int run_fetch(struct vault_stream *st, struct store *s, struct err *err)
{
	const struct vault_fetch *q = &st->fetch;
	for (size_t i = 0; i < q->want_n; i++) {
		char hex[HASH_HEX + 1];
		if (!store_has(s, &q->want[i]))
			return err_set(err, ERR_NOT_FOUND, "no tree '%s' in the store", hash_hex(&q->want[i], hex));
	}
	struct remote_counts counts;
	struct remote_peer client = { ask, put, st };
	if (q->only)
		return remote_send_objects(s, q->want, q->want_n, &client, &counts, err);
	st->known = hash_set_new();
	for (size_t i = 0; i < q->have_n; i++) {
		bool here = store_has(s, &q->have[i]);
		if (here && tree_reach(s, &q->have[i], st->known, ignore_object, NULL, ignore_missing, err) != 0)
			return -1;
	}
	return remote_send(s, q->want, q->want_n, &client, &counts, err);
}

struct vault_stream *vault_fetch(struct vault *v, const struct vault_fetch *q, const struct vault_stream_ops *ops, void *arg)
{
	struct vault_stream *st = stream_new(v, ops, arg);
	st->fetch = *q;
	return stream_begin(st, run_fetch);
}

/* ---- a file ---- */

static int run_read(struct vault_stream *st, struct store *s, struct err *err)
{
	struct tree_at at = { 0 };
	if (tree_find(s, &st->tree, st->path, &at, err) != 0)
		return -1;
	int rc = tree_read(s, &at.file, st->offset, st->length, put, st, err);
	tree_at_free(&at);
	return rc;
}

struct vault_stream *vault_read(struct vault *v, const struct vault_file *file, uint64_t offset, uint64_t length,
	const struct vault_stream_ops *ops, void *arg)
{
	struct vault_stream *st = stream_new(v, ops, arg);
	st->tree = file->tree;
	st->path = mem_strdup(file->path);
	st->offset = offset;
	st->length = length;
	return stream_begin(st, run_read);
}

/* ---- gc ---- */

static int run_gc(struct vault_stream *st, struct store *s, struct err *err)
{
	if (gc_run(s, st->gc->dry, false, &st->gc->out, err) == 0)
		return 0;
	if (err->code == ERR_CONFLICT)
		err_hint(err, "uploads, merges and pushes keep it off for %d minutes", VAULT_HOLD_MS / 60000);
	return -1;
}

static void gc_ended(void *arg, const struct err *err)
{
	struct vault_stream *st = arg;
	struct vault_gc *q = st->gc;
	if (err)
		q->op.err = *err;
	q->op.failed = err != NULL;
	vault_stream_close(st);
	q->op.done(&q->op);
}

static const struct vault_stream_ops gc_ops = { .on_end = gc_ended };

void vault_gc(struct vault *v, struct vault_gc *q)
{
	struct vault_stream *st = stream_new(v, &gc_ops, NULL);
	st->arg = st;
	st->gc = q;
	stream_begin(st, run_gc);
}

/* ---- what takes long ---- */

static int run_alone(struct vault_stream *st, struct store *s, struct err *err)
{
	return st->op_run(st->op, s, err);
}

static void alone_ended(void *arg, const struct err *err)
{
	struct vault_stream *st = arg;
	struct vault_op *op = st->op;
	if (err)
		op->err = *err;
	op->failed = err != NULL;
	vault_stream_close(st);
	op->done(op);
}

static const struct vault_stream_ops alone_ops = { .on_end = alone_ended };

void vault_alone(struct vault *v, struct vault_op *op, int (*run)(struct vault_op *op, struct store *s, struct err *err))
{
	struct vault_stream *st = stream_new(v, &alone_ops, NULL);
	st->arg = st;
	st->op = op;
	st->op_run = run;
	stream_begin(st, run_alone);
}
