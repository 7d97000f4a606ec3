/* blocks: the crew. A ring of slots: those between `tail` and `next` are taken or done, those up to `head` wait. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/blocks_internal.h"

enum { THREADS_MAX = 16, SLOTS = 64 };

struct crew {
	struct crew_work w;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	uint8_t *slots;
	bool ready[SLOTS];	   /* its job is done */
	uint64_t head, next, tail; /* the next slot to fill, to run, whose result is to be taken */
	bool ended, failed;
	struct err err;
	pthread_t ids[THREADS_MAX];
	unsigned threads;
};

static void *slot_at(struct crew *c, uint64_t i)
{
	return c->slots + i % SLOTS * c->w.slot;
}

static void fail_locked(struct crew *c, const struct err *err)
{
	if (!c->failed)
		c->err = *err;
	c->failed = true;
	pthread_cond_broadcast(&c->work);
	pthread_cond_signal(&c->done);
}

static void *crew_main(void *arg)
{
	struct crew *c = arg;
	struct err err = ERR_INIT;
	auto_free void *scratch = mem_try(c->w.scratch ? c->w.scratch : 1);
	pthread_mutex_lock(&c->lock);
	if (!scratch) {
		err_set(&err, ERR_INTERNAL, "no memory to work on blocks");
		fail_locked(c, &err);
	}
	for (;;) {
		while (c->next == c->head && !c->ended && !c->failed)
			pthread_cond_wait(&c->work, &c->lock);
		if (c->next == c->head || c->failed)
			break;
		uint64_t i = c->next++;
		pthread_mutex_unlock(&c->lock);
		int rc = c->w.run(c->w.arg, slot_at(c, i), scratch, &err);
		pthread_mutex_lock(&c->lock);
		c->ready[i % SLOTS] = true;
		if (rc)
			fail_locked(c, &err);
		else if (i == c->tail)
			pthread_cond_signal(&c->done);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct crew *crew_new(const struct crew_work *w, struct err *err)
{
	struct crew *c = mem_zalloc(sizeof(*c));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned want = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (unsigned)cores;
	c->w = *w;
	c->slots = mem_array(SLOTS, w->slot);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	pthread_cond_init(&c->done, NULL);
	while (c->threads < want && !pthread_create(&c->ids[c->threads], NULL, crew_main, c))
		c->threads++;
	if (c->threads)
		return c;
	(void)crew_end(c, -1, NULL);
	err_set(err, ERR_LIMIT, "cannot start a thread");
	return NULL;
}

/* Take results until at most `left` jobs are under way. The caller holds the lock. */
static int collect(struct crew *c, uint64_t left, struct err *err)
{
	while (!c->failed && c->head - c->tail > left) {
		if (!c->ready[c->tail % SLOTS]) {
			pthread_cond_wait(&c->done, &c->lock);
			continue;
		}
		uint64_t i = c->tail;
		struct err why = ERR_INIT;
		pthread_mutex_unlock(&c->lock);
		int rc = c->w.done ? c->w.done(c->w.arg, slot_at(c, i), &why) : 0;
		pthread_mutex_lock(&c->lock);
		c->ready[i % SLOTS] = false;
		c->tail++;
		if (rc)
			fail_locked(c, &why);
	}
	if (c->failed && err)
		*err = c->err;
	return c->failed ? -1 : 0;
}

void *crew_slot(struct crew *c, struct err *err)
{
	pthread_mutex_lock(&c->lock);
	int rc = collect(c, SLOTS - 1, err);
	pthread_mutex_unlock(&c->lock);
	return rc ? NULL : slot_at(c, c->head);
}

void crew_go(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->head++;
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
}

int crew_end(struct crew *c, int rc, struct err *err)
{
	const struct err stopped = ERR_INIT;
	pthread_mutex_lock(&c->lock);
	if (rc)
		fail_locked(c, &stopped);
	else
		rc = collect(c, 0, err);
	c->ended = true;
	pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->threads; i++)
		pthread_join(c->ids[i], NULL);
	pthread_cond_destroy(&c->done);
	pthread_cond_destroy(&c->work);
	pthread_mutex_destroy(&c->lock);
	free(c->slots);
	free(c);
	return rc;
}
