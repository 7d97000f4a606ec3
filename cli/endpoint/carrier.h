/*
 * carrier: a process of our own that carries one connection, so that whatever is at the other end, the caller has a plain socket.
 *
 * The carrier holds the other end of a socket pair and nothing else of its parent: no descriptor (standard error excepted), no
 * blocked signal, no terminal, so that Ctrl-C reaches the parent only, who decides. It says once how the start went and then
 * carries bytes until either side closes; it ends with its parent, whose end is then closed. Ended carriers leave no zombie:
 * while one is being started the parent waits for it, afterwards SA_NOCLDWAIT holds (it has no other children then).
 */
#ifndef SBX_CLI_CARRIER_H
#define SBX_CLI_CARRIER_H

#include "cli/endpoint/endpoint.h"

/* What runs in the carrier: it never returns to the caller's code, only here, and the process ends with this code.
 * fd: its end of the pair, non-blocking. report: for carrier_report, or closed by it when the peer speaks for itself. */
typedef int carrier_main(const struct endpoint *ep, int fd, int report);

/* Tell the parent once how the start went: err->code ERR_OK is well. Closes report. */
void carrier_report(int report, const struct err *err);

struct carrier_plan {
	carrier_main *run;
	const char *hello; /* the line that the far end sends first, or NULL: then the carrier reports */
	int limit_ms;	   /* for the start */
};

/* The parent's end of a connection that is up, non-blocking, or -1 with what the carrier reported. EINTR in err->sys when one of
 * the signals that end a command is waiting, even a blocked one. */
int carrier_start(const struct carrier_plan *plan, const struct endpoint *ep, struct err *err);

/* At the end of the program: give carriers a moment to pass on what they have and to end, so that none outlives it unseen. */
void carrier_wait_all(void);

#endif
