#include "shared/store/work_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

#define THREADS_MAX 64
#define PROGRESS_NS 100000000L
#define KEEP_MAX ((size_t)16 << 20) /* of a buffer between jobs */

int pool_init(struct pool *p, const struct work_options *o, struct err *err)
{
	memset(p, 0, sizeof(*p));
	p->o = o;
	pthread_condattr_t attr;
	if (pthread_condattr_init(&attr))
		return err_set(err, ERR_INTERNAL, "cannot make a condition variable");
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static void drop(struct pool_job *job)
{
	if (job->drop)
		job->drop(job);
}

void pool_free(struct pool *p)
{
	while (p->top) {
		struct pool_job *job = p->top;
		p->top = job->next;
		drop(job);
	}
	for (size_t i = 0; i < p->warnings_n; i++)
		free(p->warnings[i]);
	free(p->warnings);
	pthread_cond_destroy(&p->done);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
}

unsigned pool_threads(const struct work_options *o)
{
	long n = o->threads ? (long)o->threads : sysconf(_SC_NPROCESSORS_ONLN);
	if (n < 1)
		n = 1;
	return n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

void pool_add(struct pool *p, struct pool_job *first)
{
	if (!first)
		return;
	size_t n = 1;
	struct pool_job *last = first;
	for (; last->next; last = last->next)
		n++;
	pthread_mutex_lock(&p->lock);
	last->next = p->top;
	p->top = first;
	p->queued += n;
	atomic_fetch_sub(&p->idle, (int)n);
	if (n == 1)
		pthread_cond_signal(&p->work);
	else
		pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
}

static void stop_locked(struct pool *p)
{
	atomic_store(&p->stop, true);
	pthread_cond_broadcast(&p->work);
	pthread_cond_signal(&p->done);
}

void pool_fail(struct pool *p, const struct err *err)
{
	pthread_mutex_lock(&p->lock);
	if (!atomic_load(&p->stop))
		p->err = *err;
	stop_locked(p);
	pthread_mutex_unlock(&p->lock);
}

bool pool_stopped(struct pool *p)
{
	if (atomic_load_explicit(&p->stop, memory_order_relaxed))
		return true;
	if (!p->o->cancel || !*p->o->cancel)
		return false;
	struct err err = ERR_INIT;
	err_sys(&err, EINTR, "stopped");
	pool_fail(p, &err);
	return true;
}

void pool_warn(struct pool *p, const char *text)
{
	if (!p->o->warn)
		return;
	pthread_mutex_lock(&p->lock);
	p->warnings = mem_grow(p->warnings, p->warnings_n + 1, sizeof(*p->warnings));
	p->warnings[p->warnings_n++] = mem_strdup(text);
	pthread_mutex_unlock(&p->lock);
}

bool pool_skip(struct pool *p, const struct err *err)
{
	if (!p->o->skip_unreadable) {
		struct err e = *err;
		if (!e.hint[0])
			err_hint(&e, "leave out what cannot be kept with the option to skip it, or with an ignore pattern");
		pool_fail(p, &e);
		return false;
	}
	pool_warn(p, err->msg);
	return true;
}

void pool_progress(struct pool *p, struct work_progress *out)
{
	out->files = atomic_load(&p->files);
	out->bytes = atomic_load(&p->bytes);
	out->new_files = atomic_load(&p->new_files);
	out->new_bytes = atomic_load(&p->new_bytes);
}

static void *worker_main(void *arg)
{
	struct worker w = { .pool = arg, .content = BUF_INIT, .node = BUF_INIT, .names = BUF_INIT };
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (!p->top && !p->ended && !atomic_load(&p->stop)) {
			atomic_fetch_add(&p->idle, 1);
			while (!p->top && !p->ended && !atomic_load(&p->stop))
				pthread_cond_wait(&p->work, &p->lock);
			atomic_fetch_sub(&p->idle, 1);
		}
		struct pool_job *job = p->top;
		if (!job || atomic_load(&p->stop))
			break;
		p->top = job->next;
		job->next = NULL;
		p->queued--;
		p->busy++;
		atomic_fetch_add(&p->idle, 1);
		pthread_mutex_unlock(&p->lock);
		if (pool_stopped(p))
			drop(job);
		else
			job->run(&w, job);
		worker_trim(&w);
		pthread_mutex_lock(&p->lock);
		p->busy--;
		if (!p->busy && !p->top)
			pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	buf_free(&w.content);
	buf_free(&w.node);
	buf_free(&w.names);
	free(w.scratch);
	work_window_drop(w.window);
	return NULL;
}

/* Warnings and progress go out in the calling thread, without the lock. */
static void report(struct pool *p)
{
	size_t n = p->warnings_n;
	char **texts = mem_steal(&p->warnings);
	p->warnings_n = 0;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < n; i++) {
		p->o->warn(p->o->arg, texts[i]);
		free(texts[i]);
	}
	free(texts);
	if (p->o->progress) {
		struct work_progress now;
		pool_progress(p, &now);
		p->o->progress(p->o->arg, &now);
	}
	pthread_mutex_lock(&p->lock);
}

static void wait_for_all(struct pool *p)
{
	while ((p->top || p->busy) && !atomic_load(&p->stop)) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += PROGRESS_NS;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_nsec -= 1000000000L;
			until.tv_sec++;
		}
		if (pthread_cond_timedwait(&p->done, &p->lock, &until) == ETIMEDOUT)
			report(p);
	}
}

int pool_run(struct pool *p, struct err *err)
{
	unsigned want = pool_threads(p->o), have = 0;
	pthread_t ids[THREADS_MAX];
	p->ended = false;
	while (have < want && !pthread_create(&ids[have], NULL, worker_main, p))
		have++;
	if (!have)
		return err_set(err, ERR_LIMIT, "cannot start a thread");
	pthread_mutex_lock(&p->lock);
	wait_for_all(p);
	p->ended = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < have; i++)
		pthread_join(ids[i], NULL);
	pthread_mutex_lock(&p->lock);
	report(p);
	pthread_mutex_unlock(&p->lock);
	if (!atomic_load(&p->stop))
		return 0;
	if (err)
		*err = p->err;
	return -1;
}

struct child *worker_children(struct worker *w, size_t n)
{
	if (w->scratch_n < n) {
		free(w->scratch);
		w->scratch_n = n + n / 2 + 64;
		w->scratch = mem_array(w->scratch_n, sizeof(struct child));
	} else if (n) {
		memset(w->scratch, 0, n * sizeof(struct child));
	}
	return w->scratch;
}

static void trim(struct buf *b)
{
	if (b->cap > KEEP_MAX)
		buf_free(b);
	else
		buf_clear(b);
}

void worker_trim(struct worker *w)
{
	trim(&w->content);
	trim(&w->node);
	trim(&w->names);
}
