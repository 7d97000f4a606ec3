/*
 * resolve: the name server of a guest with `--net allow:...`. It answers only for names that are allowed, asks the host's resolver
 * itself, and tells allow.h which addresses it gave out.
 *
 * libslirp's own forwarding is not used for it: that takes an answer from anybody who reaches its socket, and so would an
 * accomplice of the guest name any address. Here each question has a socket of its own, connected, and a random id.
 */
#ifndef SBX_NETD_RESOLVE_H
#define SBX_NETD_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/netd/allow.h"

#define RESOLVE_MAX 32 /* questions under way; the oldest goes for a new one */
#define RESOLVE_WAIT_MS 5000
#define RESOLVE_FRAME_MAX 1514

struct resolve;
typedef void resolve_send(void *arg, const uint8_t *frame, size_t n); /* an Ethernet frame for the guest */

struct resolve *resolve_new(struct allow *allow, resolve_send *send, void *arg);
void resolve_free(struct resolve *r);
/* A frame that the filter has passed: is it a question to our name server? Then it is taken care of. */
int resolve_take(struct resolve *r, const uint8_t *frame, size_t n);
/* Descriptors to wait on for reading, at most RESOLVE_MAX. */
size_t resolve_fds(const struct resolve *r, int fds[RESOLVE_MAX]);
/* Something may have come on one of them. */
void resolve_read(struct resolve *r, int fd);

#endif
