/*
 * process: what the commands, streams and terminals of a capsule share: how a process is started and how its end is told, and a
 * WebSocket that shows its output.
 *
 * All run as root and, unless they say otherwise, in root's home, with what Wrenn promises in the environment. What outlives its
 * client is a session of the agent, named by its tag.
 */
#ifndef SBX_API_WRENN_PROCESS_H
#define SBX_API_WRENN_PROCESS_H

#include "daemon/api/wrenn/wrenn.h"

/* The live capsule of that id; NULL when there is none any more. */
struct sandbox *wrenn_find(struct core *core, const char *id);

/* ---- how one is started ---- */

struct wrenn_process {
	struct exec_spec spec; /* points into the JSON it was read from and the lists below */
	char **command, **env;
};
/* From cmd (or def), args, envs and cwd of a body or message. -1 with INVALID when one of them is of a wrong type or cmd is
 * missing; to be freed with wrenn_process_free in any case, before the JSON goes. */
int wrenn_process_read(struct wrenn_process *p, const struct sandbox *sb, const js *m, const char *def, struct err *err);
void wrenn_process_free(struct wrenn_process *p);

/* PREFIX and 8 hexadecimal digits. */
#define WRENN_TAG_MAX 65
void wrenn_tag(const char *prefix, char out[WRENN_TAG_MAX]);

/* ---- what runs ---- */

/* Ask for those that outlive their clients; done calls wrenn_selected. */
void wrenn_select(struct http_req *r, struct sandbox *sb, void (*done)(struct collect *c, const struct err *err));
/* The tag (to be freed) of the one that the path's {selector} means, by pid or tag; NULL when the request has been answered. */
char *wrenn_selected(struct collect *c, const struct err *err);

/* ---- how it ended ---- */

/* -1 for one that a signal ended. */
int wrenn_exit_code(const struct exec_end *end);
/* What the guest's refusal is to a client: his own mistake, or the agent's trouble. */
void wrenn_refusal(struct err *err);

/* ---- its output on a WebSocket ----
 * Every message is one JSON object in a text frame. The guest gets its credit back only while the socket's queue is short, so a
 * slow client makes the process wait and loses nothing. */

struct wrenn_peer {
	struct core *core;
	struct ws *ws;
	struct execution *x;
	char capsule[UID_TEXT]; /* our id */
	size_t unconsumed[3];
};
void wrenn_peer_init(struct wrenn_peer *p, struct http_req *r);
/* Begin and end (and send) a message of that type. */
void wrenn_message(struct jw *w, struct buf *text, const char *type);
void wrenn_peer_send(struct wrenn_peer *p, struct jw *w);
/* n bytes of output have been sent. */
void wrenn_peer_sent(struct wrenn_peer *p, enum exec_channel ch, size_t n);
/* The queue is short again. */
void wrenn_peer_drained(struct wrenn_peer *p);
/* {"type":"exit","exit_code":N} */
void wrenn_peer_exit(struct wrenn_peer *p, const struct exec_end *end);
/* Leave the execution; the capsule was in use until now. */
void wrenn_peer_leave(struct wrenn_peer *p);

#endif
