/*
 * api: what the handlers of all dialects share: the daemon behind them, lists of words, and answers of the guest.
 */
#ifndef SBX_API_API_H
#define SBX_API_API_H

#include "daemon/core/core.h"
#include "daemon/core/execution.h"
#include "daemon/core/identity.h"
#include "daemon/http/http.h"
#include "shared/base/json.h"

/* A TCP address of the daemon: of its API, or, with the suffix of its host names, of a proxy into sandboxes. */
struct api_listener {
	const char *address, *suffix;
};

struct oauth;
struct wrenn_pty;

/* What the handlers of one daemon share. */
struct api {
	struct core *core;
	struct http_server *server;
	struct oauth *oauth;
	/* The daemon's own affairs, which main.c looks after. */
	int (*listen)(void *arg, const struct api_listener *wanted, int *port, struct err *err);
	/* i-th TCP address that is listened on, false past the end. */
	bool (*listener)(void *arg, size_t i, struct api_listener *out);
	void (*shutdown)(void *arg);
	void *arg;
	struct wrenn_pty *wrenn_ptys; /* the clients of Wrenn's terminals */
};

static inline struct api *api_of(struct http_req *r)
{
	return http_app(r);
}

/* The team whose sandboxes the request may see; TEAM_ANY for the operator's. */
static inline int64_t api_scope(struct http_req *r)
{
	return identity_scope(http_identity(r));
}

/* The sandbox, if it can be used now. When it was paused for idleness, or is not connected at the moment, NULL: the handler is
 * called again when it can (it must not have done anything before it asks for this), or the error is answered. */
struct sandbox *api_wake(struct http_req *r, struct sandbox *sb);
/* The same for what begins an operation on it. */
struct sandbox *api_settle(struct http_req *r, struct sandbox *sb);

/* "K=V" strings as an object. */
void api_write_pairs(struct jw *w, const char *key, char *const *list);
/* "K=V" strings of a JSON object of strings; NULL-terminated, freed with api_free_list. NULL for NULL. */
char **api_pairs(const js *obj);
/* Strings of a JSON array. */
char **api_strings(const js *arr);
/* The words of "a,b"; NULL for NULL and "". */
char **api_words(const char *text);
void api_free_list(char **list);

/* Signal number of a word of the contract's Signal enum ("INT"); SIGTERM for NULL. */
int api_signal(const char *word);

/* A small answer of the guest, collected (at most 16 MiB) and handed to done; err is NULL when it succeeded. The request is
 * answered by done. Owns itself. */
struct collect {
	struct http_req *req;
	struct execution *x;
	struct buf out;
	bool too_large;
	void (*done)(struct collect *c, const struct err *err);
	void *user;
};
/* Callbacks and the collector as their argument: start the execution with &collect_ops and c, then collect_run. */
extern const struct exec_ops collect_ops;
struct collect *collect_new(struct http_req *r, void (*done)(struct collect *c, const struct err *err));
/* x started with collect_ops and c, or NULL with err, which is then answered. */
void collect_run(struct collect *c, struct execution *x, const struct err *err);

#endif
