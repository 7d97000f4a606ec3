/*
 * work_pool: threads that work off a stack of jobs, for push, status and checkout. Private to work_*.c.
 *
 * A job is embedded in what it works on, so queueing never allocates. The stack is last in, first out: a tree is walked in depth,
 * and what waits stays small. The first failure stops all; jobs that wait then are dropped.
 * The calling thread does not work: it waits, reports progress and hands out warnings.
 */
#ifndef SBX_STORE_WORK_POOL_H
#define SBX_STORE_WORK_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "shared/store/work.h"

struct pool;
struct work_window;

/* What a thread has to itself. */
struct worker {
	struct pool *pool;
	struct buf content, node, names; /* reused from job to job; emptied of a large one by worker_trim */
	struct child *scratch;
	size_t scratch_n;
	struct work_window *window;
};

struct pool_job {
	struct pool_job *next;
	void (*run)(struct worker *w, struct pool_job *job);
	void (*drop)(struct pool_job *job); /* instead of run, when all is stopped; NULL: somebody else frees it */
};

struct pool {
	const struct work_options *o;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct pool_job *top;
	size_t queued, busy; /* jobs that wait, jobs that run */
	atomic_int idle;     /* threads that wait, less the jobs that do: > 0 when help is to be had */
	atomic_bool stop;
	bool ended;
	struct err err; /* the first failure */
	char **warnings;
	size_t warnings_n;
	/* struct work_progress */
	atomic_uint_fast64_t files, bytes, new_files, new_bytes;
};

int pool_init(struct pool *p, const struct work_options *o, struct err *err);
void pool_free(struct pool *p);
/* Queue jobs that are linked by next; the first is run first. */
void pool_add(struct pool *p, struct pool_job *first);
/* Run until no job is left. Called again for a second round. -1 with the first failure. */
int pool_run(struct pool *p, struct err *err);

/* From jobs: end everything with this error. */
void pool_fail(struct pool *p, const struct err *err);
/* Failed elsewhere, or cancelled (then it fails here): leave as soon as it is convenient. */
bool pool_stopped(struct pool *p);
/* Tell the caller when skip_unreadable is set (true: go on without it), else fail (false). */
bool pool_skip(struct pool *p, const struct err *err);
/* Tell the caller something. */
void pool_warn(struct pool *p, const char *text);
void pool_progress(struct pool *p, struct work_progress *out);
/* Threads that will be there. */
unsigned pool_threads(const struct work_options *o);

/* Scratch for n children, zeroed. */
struct child *worker_children(struct worker *w, size_t n);
void worker_trim(struct worker *w);

#endif
