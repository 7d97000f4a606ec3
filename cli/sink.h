/*
 * sink: output to one of our own standard streams that never blocks the loop and never makes the stream non-blocking for
 * whoever shares it: pipes and terminals are opened anew with a file description of our own, sockets use MSG_DONTWAIT,
 * files cannot block.
 */
#ifndef SBX_CLI_SINK_H
#define SBX_CLI_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sink {
	int fd;
	bool own; /* fd is ours to close */
	bool socket;
};

void sink_open(struct sink *s, int fd);
void sink_close(struct sink *s);
/* Bytes written now, 0 when it would block (poll s->fd for POLLOUT), -1 with errno. */
ssize_t sink_write(struct sink *s, const void *data, size_t n);

#endif
