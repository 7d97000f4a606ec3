/* Folders of one node, merged side by side. Each job has a state of its own; the store takes get and put from any thread. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/merge_internal.h"

#define JOBS_MIN 4u /* fewer are done by the way: there may be more folders further down */
#define THREADS_MAX 16u

struct job {
	struct three_dirs d;
	struct merging g;
	struct merge_result out;
	struct hash id;
	bool has;
	int rc;
	struct err err;
};

struct merge_jobs {
	struct job *v;
	size_t n, room, taken;
	bool done;
	atomic_size_t next;
	atomic_bool failed;
};

struct merge_jobs *merge_jobs_new(void)
{
	return mem_zalloc(sizeof(struct merge_jobs));
}

void merge_jobs_add(struct merge_jobs *j, const struct merging *g, const char *name, size_t len, const struct three_dirs *d)
{
	if (j->n == j->room) {
		j->room = j->room ? j->room * 2 : 16;
		j->v = mem_grow(j->v, j->room, sizeof(*j->v));
	}
	struct job *job = &j->v[j->n++];
	*job = (struct job){ .d = *d, .g = { .s = g->s, .m = g->m, .depth = g->depth + 1, .alone = true, .path = BUF_INIT } };
	buf_add(&job->g.path, g->path.p, g->path.len);
	buf_add(&job->g.path, name, len);
	buf_ch(&job->g.path, '/');
}

static void *work(void *arg)
{
	struct merge_jobs *j = arg;

	for (size_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n && !atomic_load(&j->failed);) {
		struct job *job = &j->v[i];
		job->g.out = &job->out;
		job->rc = merge_dirs(&job->g, &job->d, &job->id, &job->has, &job->err);
		if (job->rc != 0)
			atomic_store(&j->failed, true);
	}
	return NULL;
}

void merge_jobs_run(struct merge_jobs *j)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t want = cores < 2 ? 0 : (size_t)cores - 1, begun = 0;
	pthread_t threads[THREADS_MAX];
	sigset_t all, before;

	if (j->n < JOBS_MIN || !want)
		return;
	if (want > THREADS_MAX)
		want = THREADS_MAX;
	if (want > j->n - 1)
		want = j->n - 1;
	/* Signals are for the threads that were there before. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (begun < want && pthread_create(&threads[begun], NULL, work, j) == 0)
		begun++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)work(j);
	for (size_t i = 0; i < begun; i++)
		pthread_join(threads[i], NULL);
	j->done = true;
}

/* Conflicts of a job, after those that g has. */
static void adopt(struct merging *g, struct merge_result *r)
{
	struct merge_result *out = g->out;

	if (!r->count)
		return;
	if (g->room < out->count + r->count) {
		g->room = (out->count + r->count) * 2;
		out->conflicts = mem_grow(out->conflicts, g->room, sizeof(*out->conflicts));
	}
	for (size_t i = 0; i < r->count; i++)
		out->conflicts[out->count++] = r->conflicts[i];
	free(r->conflicts);
	*r = (struct merge_result){ 0 };
}

int merge_jobs_take(
	struct merge_jobs *j, struct merging *g, const struct three_dirs *d, struct hash *out, bool *has, struct err *err)
{
	struct job *job = &j->v[j->taken++];

	if (!j->done)
		return merge_dirs(g, d, out, has, err);
	if (atomic_load(&j->failed)) {
		/* The first that failed says why; some may not have been tried. */
		for (size_t i = 0; i < j->n; i++)
			if (j->v[i].rc != 0 && err) {
				*err = j->v[i].err;
				break;
			}
		return -1;
	}
	adopt(g, &job->out);
	*out = job->id;
	*has = job->has;
	return 0;
}

void merge_jobs_free(struct merge_jobs *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++) {
		merge_result_free(&j->v[i].out);
		buf_free(&j->v[i].g.path);
	}
	free(j->v);
	free(j);
}
