#include "daemon/core/vault_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Another process may hold the store for so long, before those who wait are told. */
#define BEGIN_WAIT_MS 30000
#define BEGIN_POLL_NS (2 * 1000 * 1000)

/* ---- queues ---- */

static void queue_init(struct vault_queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_add(struct vault_queue *q, struct vault_op *op)
{
	op->next = NULL;
	*q->last = op;
	q->last = &op->next;
}

static struct vault_op *queue_take(struct vault_queue *q)
{
	struct vault_op *list = q->first;
	queue_init(q);
	return list;
}

void vault_finish(struct vault *v, struct vault_op *op)
{
	pthread_mutex_lock(&v->mutex);
	queue_add(&v->done, op);
	pthread_mutex_unlock(&v->mutex);
	uv_async_send(&v->async);
}

static void finish_list(struct vault *v, struct vault_op *list)
{
	pthread_mutex_lock(&v->mutex);
	for (struct vault_op *op = list, *next; op; op = next) {
		next = op->next;
		queue_add(&v->done, op);
	}
	pthread_mutex_unlock(&v->mutex);
	uv_async_send(&v->async);
}

static void run_done(struct vault *v)
{
	pthread_mutex_lock(&v->mutex);
	struct vault_op *list = queue_take(&v->done);
	pthread_mutex_unlock(&v->mutex);
	for (struct vault_op *op = list, *next; op; op = next) {
		next = op->next;
		if (op->hold)
			vault_touch(v);
		op->done(op);
	}
}

static void on_async(uv_async_t *async)
{
	struct vault *v = async->data;
	run_done(v);
	vault_streams_run(v);
}

/* ---- the store ---- */

struct store *vault_open(struct vault *v, struct err *err)
{
	pthread_mutex_lock(&v->opening);
	struct store *s = NULL;
	if (vault_closing(v))
		err_set(err, ERR_UNAVAILABLE, "the daemon is going down");
	else
		s = store_open(v->path, true, err);
	if (s && !v->opened && !store_read_only(s)) {
		auto_free char *lock = fs_join(v->path, "daemon.lock");
		v->lock_fd = fs_lock(lock, false, err);
		if (v->lock_fd < 0) {
			if (err->code == ERR_CONFLICT) {
				err_set(err, ERR_CONFLICT, "another sbxd works with the store '%s'", v->path);
				err_hint(err, "two daemons cannot share a store; end the other one with: sbx down");
			}
			store_close(s);
			s = NULL;
		}
	}
	v->opened |= s != NULL;
	pthread_mutex_unlock(&v->opening);
	return s;
}

bool vault_exists(const struct vault *v)
{
	return store_exists(v->path);
}

bool vault_closing(struct vault *v)
{
	pthread_mutex_lock(&v->mutex);
	bool yes = v->closing;
	pthread_mutex_unlock(&v->mutex);
	return yes;
}

/* As store_begin, but not for ever. */
static int begin(struct vault *v, struct store *s, struct err *err)
{
	int64_t end = clock_mono_ms() + BEGIN_WAIT_MS;
	const struct timespec pause = { .tv_nsec = BEGIN_POLL_NS };
	for (;;) {
		err_clear(err);
		if (store_begin(s, false, err) == 0)
			return 0;
		if (err->code != ERR_CONFLICT)
			return -1;
		if (vault_closing(v) || clock_mono_ms() > end) {
			err_set(err, ERR_UNAVAILABLE, "another process has been writing to the store for a while");
			return err_hint(err, "try again when it is through");
		}
		nanosleep(&pause, NULL);
	}
}

void vault_forget(struct vault *v)
{
	remote_haver_free(v->haver);
	v->haver = NULL;
}

int vault_look(struct vault *v, struct store *s, const struct hash *ids, size_t n, bool *have, struct err *err)
{
	if (!v->haver)
		v->haver = remote_haver_new(s);
	return remote_have(v->haver, ids, n, have, err);
}

static int hold(struct vault *v, struct store *s, struct err *err)
{
	if (v->held || store_read_only(s))
		return 0;
	if (store_hold(s, err) != 0)
		return -1;
	v->held = true;
	return 0;
}

/* ---- the workers ---- */

static struct store *worker_store(struct vault_worker *w, struct err *err)
{
	if (!w->store)
		w->store = vault_open(w->v, err);
	return w->store;
}

static void run_op(struct vault *v, struct vault_op *op, struct store *s)
{
	if (op->hold && hold(v, s, &op->err) != 0)
		op->failed = true;
	else
		op->run(v, op, s);
}

static void fail_list(struct vault_op *list, const struct err *err)
{
	for (struct vault_op *op = list; op; op = op->next) {
		if (!op->failed)
			op->err = *err;
		op->failed = true;
	}
}

/* All of list in one write. Who was refused is told after the others' moves are on disk, too: that is what he is told of. */
static void run_group(struct vault_worker *w, struct vault_op *list)
{
	struct err err = ERR_INIT;
	struct store *s = worker_store(w, &err);
	if (!s || begin(w->v, s, &err) != 0) {
		fail_list(list, &err);
	} else {
		for (struct vault_op *op = list; op; op = op->next)
			run_op(w->v, op, s);
		if (store_end(s, &err) != 0)
			fail_list(list, &err);
		for (struct vault_op *op = list; op; op = op->next) {
			if (op->after && !op->failed)
				op->after(op, s);
		}
	}
	finish_list(w->v, list);
}

static void run_alone(struct vault_worker *w, struct vault_op *op)
{
	struct store *s = worker_store(w, &op->err);
	if (s)
		run_op(w->v, op, s);
	else
		op->failed = true;
	vault_finish(w->v, op);
}

static void work_writer(struct vault_worker *w, struct vault_op *list)
{
	while (list) {
		struct vault_op *first = list, **end = &list;
		while (*end && (*end)->grouped)
			end = &(*end)->next;
		if (*end == first) {
			list = first->next;
			first->next = NULL;
			run_alone(w, first);
			continue;
		}
		struct vault_op *rest = *end;
		*end = NULL;
		run_group(w, first);
		list = rest;
	}
}

static void work_reader(struct vault_worker *w, struct vault_op *list)
{
	for (struct vault_op *op = list, *next; op; op = next) {
		next = op->next;
		run_alone(w, op);
	}
}

static void *worker_main(void *arg)
{
	struct vault_worker *w = arg;
	struct vault *v = w->v;
	pthread_mutex_lock(&v->mutex);
	while (!v->closing) {
		struct vault_op *list = queue_take(&w->pending);
		if (!list) {
			pthread_cond_wait(&w->wake, &v->mutex);
			continue;
		}
		pthread_mutex_unlock(&v->mutex);
		w->work(w, list);
		pthread_mutex_lock(&v->mutex);
	}
	pthread_mutex_unlock(&v->mutex);
	return NULL;
}

int vault_thread(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(thread, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

void vault_submit(struct vault *v, struct vault_worker *w, struct vault_op *op,
	void (*run)(struct vault *, struct vault_op *, struct store *))
{
	op->run = run;
	err_clear(&op->err);
	op->failed = false;
	if (v->closing) {
		op->failed = err_set(&op->err, ERR_UNAVAILABLE, "the daemon is going down") != 0;
		vault_finish(v, op);
		return;
	}
	if (op->hold)
		vault_touch(v);
	if (!w->started) {
		int rc = vault_thread(&w->thread, worker_main, w);
		if (rc != 0) {
			op->failed = err_sys(&op->err, rc, "cannot start a thread") != 0;
			vault_finish(v, op);
			return;
		}
		w->started = true;
	}
	pthread_mutex_lock(&v->mutex);
	queue_add(&w->pending, op);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&v->mutex);
}

/* ---- the hold ---- */

static void run_release(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)op;
	vault_forget(v);
	if (v->held)
		store_release(s);
	v->held = false;
}

static void free_op(struct vault_op *op)
{
	free(op);
}

static void on_timer(uv_timer_t *timer)
{
	struct vault *v = timer->data;
	if (v->uploads > 0)
		v->hold_until = clock_mono_ms() + VAULT_HOLD_MS;
	int64_t left = v->hold_until - clock_mono_ms();
	if (left > 0) {
		uv_timer_start(timer, on_timer, (uint64_t)left, 0);
		return;
	}
	struct vault_op *op = mem_zalloc(sizeof(*op));
	op->done = free_op;
	vault_submit(v, &v->writer, op, run_release);
}

void vault_touch(struct vault *v)
{
	v->hold_until = clock_mono_ms() + VAULT_HOLD_MS;
	if (!v->closing && !uv_is_active((uv_handle_t *)&v->timer))
		uv_timer_start(&v->timer, on_timer, VAULT_HOLD_MS, 0);
}

/* ---- life ---- */

static void worker_init(struct vault *v, struct vault_worker *w, void (*work)(struct vault_worker *, struct vault_op *))
{
	w->v = v;
	w->work = work;
	queue_init(&w->pending);
	pthread_cond_init(&w->wake, NULL);
}

struct vault *vault_new(uv_loop_t *loop, const char *path)
{
	struct vault *v = mem_zalloc(sizeof(*v));
	v->loop = loop;
	v->path = mem_strdup(path);
	v->lock_fd = -1;
	queue_init(&v->done);
	pthread_mutex_init(&v->mutex, NULL);
	pthread_mutex_init(&v->opening, NULL);
	worker_init(v, &v->writer, work_writer);
	worker_init(v, &v->reader, work_reader);
	uv_async_init(loop, &v->async, on_async);
	uv_timer_init(loop, &v->timer);
	v->async.data = v->timer.data = v;
	v->users = 2;
	return v;
}

void vault_keep(struct vault *v)
{
	v->users++;
}

void vault_let_go(struct vault *v)
{
	if (--v->users > 0)
		return;
	pthread_mutex_destroy(&v->mutex);
	pthread_mutex_destroy(&v->opening);
	pthread_cond_destroy(&v->writer.wake);
	pthread_cond_destroy(&v->reader.wake);
	free(v->path);
	free(v);
}

static void on_handle_closed(uv_handle_t *handle)
{
	vault_let_go(handle->data);
}

static void worker_join(struct vault_worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	struct err err = ERR_INIT;
	err_set(&err, ERR_UNAVAILABLE, "the daemon is going down");
	struct vault_op *list = queue_take(&w->pending);
	fail_list(list, &err);
	if (list)
		finish_list(w->v, list);
}

void vault_close(struct vault *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->mutex);
	v->closing = true;
	pthread_cond_signal(&v->writer.wake);
	pthread_cond_signal(&v->reader.wake);
	pthread_mutex_unlock(&v->mutex);
	vault_streams_close(v);
	worker_join(&v->writer);
	worker_join(&v->reader);
	while (v->done.first)
		run_done(v);
	vault_forget(v);
	store_close(v->writer.store);
	store_close(v->reader.store);
	pthread_mutex_lock(&v->opening);
	mem_cleanup_fd(&v->lock_fd);
	v->lock_fd = -1;
	pthread_mutex_unlock(&v->opening);
	uv_close((uv_handle_t *)&v->async, on_handle_closed);
	uv_close((uv_handle_t *)&v->timer, on_handle_closed);
}
