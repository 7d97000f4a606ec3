/* What the files of the vault share: vault.c the threads and their queues, vault_ops.c what is done to labels and trees,
 * vault_upload.c and vault_stream.c objects that come and go at a client's speed. */
#ifndef SBX_CORE_VAULT_INTERNAL_H
#define SBX_CORE_VAULT_INTERNAL_H

#include <pthread.h>

#include "daemon/core/vault.h"

struct vault_queue {
	struct vault_op *first, **last;
};

struct vault_worker {
	struct vault *v;
	void (*work)(struct vault_worker *w, struct vault_op *list);
	pthread_t thread;
	bool started;
	pthread_cond_t wake;
	struct vault_queue pending; /* by the mutex */
	struct store *store;	    /* the thread's own */
};

struct vault {
	uv_loop_t *loop;
	char *path;
	uv_async_t async;
	uv_timer_t timer; /* lets go of the hold */
	unsigned users;	  /* its handles, and who keeps it */
	struct vault_worker writer, reader;
	pthread_mutex_t mutex; /* of the queues, of streams, and of `closing` */
	struct vault_queue done;
	struct vault_stream *noisy; /* those with something for the loop */
	bool closing;
	pthread_mutex_t opening; /* of the two below */
	bool opened;
	int lock_fd;
	/* the writer's */
	bool held;
	struct remote_haver *haver; /* what it found holds until objects come, or go when gc is let in; NULL */
	/* the loop's */
	int64_t hold_until;
	unsigned uploads;
	struct vault_stream *streams, *waiting; /* that run; that wait for a place */
	unsigned running;
};

/* ---- vault.c ---- */
/* Have op->run called by a worker; op->done follows. grouped: in a write of the store that others share; hold: gc is held off. */
void vault_submit(struct vault *v, struct vault_worker *w, struct vault_op *op,
	void (*run)(struct vault *, struct vault_op *, struct store *));
/* Have op->done called from the loop. Any thread. */
void vault_finish(struct vault *v, struct vault_op *op);
/* All signals are the loop's. 0 or an errno. */
int vault_thread(pthread_t *thread, void *(*main)(void *arg), void *arg);
/* Objects that no label leads to have come or are relied on: begin the time anew. */
void vault_touch(struct vault *v);
/* As remote_have, remembering. The writer's, under the hold. */
int vault_look(struct vault *v, struct store *s, const struct hash *ids, size_t n, bool *have, struct err *err);
void vault_forget(struct vault *v); /* objects have come or may go */

/* ---- vault_upload.c ---- */
/* What becomes of an upload's bytes. take: a batch of them, in the writer's thread and outside of a write of the store; last: no
 * more come. drop: let go of everything but the memory of `into` itself; may be called again. */
struct vault_sink {
	int (*take)(void *into, struct store *s, const struct buf *batch, bool last, struct err *err);
	void (*drop)(void *into);
	const struct remote_counts *(*counts)(void *into); /* for on_end */
};
/* into is taken over, and freed in the end (also on failure). */
struct vault_upload *vault_upload_to(
	struct vault *v, const struct vault_sink *sink, void *into, const struct vault_upload_ops *ops, void *arg, struct err *err);
void *vault_upload_into(struct vault_upload *u);

/* ---- vault_ops.c ---- */
/* The tree, or the folder in it, that a text means. ref_free(ref), also after a failure. */
int vault_tree_of(struct store *s, const char *text, struct ref *ref, struct hash *out, struct err *err);

/* ---- vault_stream.c ---- */
/* A thread of its own, with its own handle of the store, when there is a place for it; done follows. */
void vault_alone(struct vault *v, struct vault_op *op, int (*run)(struct vault_op *op, struct store *s, struct err *err));
/* What streams have for the loop. */
void vault_streams_run(struct vault *v);
void vault_streams_close(struct vault *v);

#endif
