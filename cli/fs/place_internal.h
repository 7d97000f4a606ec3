/*
 * place_internal: what a kind of place is made of; see place.h for what each does.
 */
#ifndef SBX_CLI_FS_PLACE_INTERNAL_H
#define SBX_CLI_FS_PLACE_INTERNAL_H

#include "cli/fs/place.h"

struct place_ops {
	void (*close)(struct place *p);
	struct client *(*client)(struct place *p); /* NULL: there is none */
	int (*list)(struct place *p, struct label_list *out, struct err *err);
	int (*head)(struct place *p, const char *name, struct hash *out, bool *exists, struct err *err);
	int (*log)(struct place *p, const char *name, size_t limit, struct label_log *out, struct err *err);
	int (*move)(struct place *p, const struct label_move *m, struct hash *current, bool *exists, struct err *err);
	int (*remove)(struct place *p, const char *name, const struct hash *expected, struct err *err);
	int (*rename)(struct place *p, const char *from, const char *to, struct err *err);
	int (*resolve)(struct place *p, const char *text, struct ref *out, struct err *err);
	int (*give)(struct place *p, struct store *from, const struct hash *trees, size_t n, struct moving *m, struct err *err);
	int (*take)(struct place *p, struct store *to, const struct hash *trees, size_t n, struct moving *m, struct err *err);
	int (*stats)(struct place *p, struct place_totals *out, struct err *err);
	int (*gc)(struct place *p, bool dry, struct store_swept *out, struct err *err);
};

/* The first member of every kind. */
struct place {
	const struct place_ops *ops;
	char *name;
	char *prefix;
	struct store *store; /* on this machine */
};

/* A store at a path, or NULL. */
struct place *place_open_path(const char *path, bool write, struct err *err);
/* A daemon. Takes the endpoint and the secret that its key may point into over. */
struct place *place_open_daemon(struct endpoint *ep, struct buf *secret, const char *name, const char *prefix);

/* What came whole is made durable and counted; err keeps what stopped it. */
int moving_finish(struct remote_receiver *r, int rc, struct remote_counts *out, struct err *err);
/* Between two pieces. */
int moving_step(struct moving *m, const char *noun, const struct remote_counts *c, struct err *err);

#endif
