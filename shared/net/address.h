/*
 * address: which addresses are out on the Internet, for connections whose destination somebody else chose (webhooks): those must
 * not reach this machine or the networks it stands in. Ask about the address that is connected to, never about a name: what a name
 * means may change between two looks.
 */
#ifndef SBX_NET_ADDRESS_H
#define SBX_NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Is it globally reachable unicast (IANA's special-purpose registries, RFC 6890)? False for loopback, private, link-local, shared
 * (100.64/10), multicast, unspecified, documentation and reserved ones, for such in IPv4-mapped, NAT64 or 6to4 form, and for
 * whatever is not IP. Pure. */
bool address_is_public(const struct sockaddr *address, socklen_t n);
/* Is it that of one of this machine's interfaces? A connection to it never leaves the machine, public or not. True when the
 * interfaces cannot be read. */
bool address_is_ours(const struct sockaddr *address, socklen_t n);

#endif
