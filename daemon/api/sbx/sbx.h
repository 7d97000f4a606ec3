/*
 * The native API (shared/specs/sbx.yaml, base /sbx/v1): between HTTP and core, nothing else. One file a tag; one handler an
 * operation, named sbx_<operationId>.
 */
#ifndef SBX_API_SBX_SBX_H
#define SBX_API_SBX_SBX_H

#include "daemon/core/core.h"
#include "daemon/core/execution.h"
#include "daemon/core/sandbox.h"
#include "daemon/http/http.h"
#include "shared/base/json.h"

/* A TCP address of the daemon: of its API, or, with the suffix of its host names, of a proxy into sandboxes. */
struct api_listener {
	const char *address, *suffix;
};

/* What the handlers of one daemon share. */
struct api {
	struct core *core;
	struct http_server *server;
	/* The daemon's own affairs, which main.c looks after. */
	int (*listen)(void *arg, const struct api_listener *wanted, int *port, struct err *err);
	/* i-th TCP address that is listened on, false past the end. */
	bool (*listener)(void *arg, size_t i, struct api_listener *out);
	void (*shutdown)(void *arg);
	void *arg;
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

/* True, and answered with FORBIDDEN: something was asked for that teams may not have. */
bool api_only_operator(struct http_req *r, bool asked, const char *what);

/* The sandbox named in the path; NULL when the error has been answered. */
struct sandbox *api_sandbox(struct http_req *r);

/* The same for what needs its guest: it can be used now. When it was paused for idleness it is resumed, and the handler is called
 * again when it runs: it must not have done anything before it asks for this. */
struct sandbox *api_guest(struct http_req *r);

/* The same for what begins an operation on it. */
struct sandbox *api_settled(struct http_req *r);

void api_reply_sandbox(struct http_req *r, int status, struct sandbox *sb);
void api_write_sandbox(struct jw *w, struct sandbox *sb);
/* "ports": [...] of an object. */
void api_write_ports(struct jw *w, const struct sandbox *sb);
/* Those of a request body, none for NULL: allocated; strings point into the body. */
struct port_spec *api_ports(struct http_req *r, const js *list, size_t *n);
void api_write_image(struct jw *w, struct api *api, const char *name);
/* {"code","message","hint"} */
void api_write_error(struct jw *w, const struct err *e);
void api_write_time(struct jw *w, const char *key, int64_t wall_ms); /* null for 0 */

/* "K=V" strings as an object. */
void api_write_pairs(struct jw *w, const char *key, char *const *list);
/* "K=V" strings of a JSON object of strings; NULL-terminated, freed with api_free_list. NULL for NULL. */
char **api_pairs(const js *obj);
/* Strings of a JSON array. */
char **api_strings(const js *arr);
void api_free_list(char **list);

/* Schema index of a component by name; it exists, or the contract is not the one this was compiled with. */
uint32_t api_schema(const char *name);

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
