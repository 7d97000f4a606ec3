/*
 * qmp: a small blocking QMP client, one command at a time, with a deadline on each. For the builder process.
 * Source: docs/interop/qmp-spec.txt of QEMU. Thread: the caller's, one at a time.
 */
#ifndef SBX_VM_QMP_H
#define SBX_VM_QMP_H

#include "shared/base/err.h"
#include "shared/base/json.h"

struct qmp;

/* Take over a connected socket (closed on failure too), read the greeting and leave negotiation mode. */
struct qmp *qmp_open(int fd, int timeout_ms, struct err *err);
void qmp_close(struct qmp *q);

/* Run one command; args is JSON text of an object, or NULL. Events are skipped. *result (may be NULL) gets what it
 * returned: js_free it. -1 with err: STATE when QEMU refused, TIMEOUT, PROTOCOL, IO when the connection broke; after the last
 * three the connection is of no more use. */
int qmp_execute(struct qmp *q, const char *command, const char *args, js **result, struct err *err);
/* Give QEMU a descriptor as part of set `set` ("add-fd"), which it opens as the file /dev/fdset/N if the way of opening is the
 * descriptor's own (read, write, both). It stays ours too. */
int qmp_add_fd(struct qmp *q, unsigned set, int fd, struct err *err);
/* What is open of the set stays so. */
int qmp_drop_fds(struct qmp *q, unsigned set, struct err *err);

#endif
