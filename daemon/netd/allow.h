/*
 * allow: what a guest with `--net allow:...` may reach at this moment: the networks it was given, and the addresses that its
 * names resolved to a short while ago. Pure: the caller says what time it is.
 */
#ifndef SBX_NETD_ALLOW_H
#define SBX_NETD_ALLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"

#define ALLOW_PINS_MAX 1024 /* the one that ends first goes for a new one */
#define ALLOW_TTL_MIN_S 60  /* a client may take a moment from the answer to its connection */
#define ALLOW_TTL_MAX_S 3600
#define ALLOW_UDP_KEEP_MS 60000 /* a flow that is in use stays allowed: it has no beginning that could be told from the rest */

struct allow;

struct allow *allow_new(const char *rules, struct err *err);
void allow_free(struct allow *a);
/* May the guest ask for this name (lower case)? */
bool allow_name(const struct allow *a, const char *name);
/* The name resolved to addr (host byte order), for ttl_s. */
void allow_pin(struct allow *a, const char *name, uint32_t addr, uint32_t ttl_s, int64_t now_ms);
/* A packet to addr; port 0 for a protocol without ports. begins: it may open a connection; otherwise it is part of one that was
 * allowed when it began, or of none. */
bool allow_packet(struct allow *a, uint32_t addr, uint16_t port, bool begins, bool udp, int64_t now_ms);

#endif
