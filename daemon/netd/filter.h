/*
 * filter: which of the guest's Ethernet frames may go on to libslirp. Pure: no system calls, no state but the tables.
 *
 * Why: libslirp opens ordinary sockets of the host for the guest, and the guest is hostile. Whatever leads to the host
 * itself (loopback, an address of one of its interfaces, libslirp's alias for loopback) has to be refused here.
 * Every frame is looked at, so nothing depends on connections that are already open.
 */
#ifndef SBX_NETD_FILTER_H
#define SBX_NETD_FILTER_H

#include <stddef.h>
#include <stdint.h>

/* The virtual network, in host byte order. */
#define NET_BASE 0x0a000200u /* 10.0.2.0/24 */
#define NET_MASK 0xffffff00u
#define NET_GATEWAY 0x0a000202u /* answers ping, else nothing */
#define NET_DNS 0x0a000203u	/* libslirp sends it on to the host's resolver, at any port: so port 53 only */
#define NET_GUEST 0x0a00020fu

#define FILTER_FRAME_MAX 1514 /* MTU 1500 and the Ethernet header */

enum filter_verdict {
	FILTER_PASS,
	FILTER_MALFORMED,  /* truncated, lengths that do not fit, IP options, not IPv4 in an IPv4 frame */
	FILTER_ETHERTYPE,  /* neither ARP nor IPv4 (IPv6, VLAN tags, ...) */
	FILTER_FRAGMENT,   /* any fragment: ports could not be seen */
	FILTER_SOURCE,	   /* not from the guest's address */
	FILTER_PROTOCOL,   /* not TCP, UDP or ICMP echo */
	FILTER_DESTINATION /* refused by a rule, or the host itself */
};

enum filter_proto { PROTO_ANY = 0, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17 };

/* The first rule that matches decides; none: refused. Ports bind TCP and UDP only; 0-65535 is all. */
struct filter_rule {
	uint32_t net, mask; /* host byte order */
	enum filter_proto proto;
	uint16_t port_from, port_to;
	enum { RULE_REFUSE, RULE_PASS, RULE_PASS_UNLESS_HOST } action;
};

struct allow;

struct filter {
	const struct filter_rule *rules;
	size_t rule_count;
	const uint32_t *hosts; /* the host's own and its broadcast addresses, host byte order */
	size_t host_count;
	struct allow *allow; /* what passes by RULE_PASS_UNLESS_HOST must be allowed here as well; NULL: no such list */
	int64_t now_ms;	     /* for it */
};

/* The built-in policy: DNS, ping of the gateway, and the world without what is special or the host's. */
extern const struct filter_rule filter_default_rules[];
extern const size_t filter_default_rule_count;
/* So many of them come before those for a guest whose names we look up ourselves (resolve.h), over UDP only. */
#define FILTER_ALLOW_SKIP 1

/* May this frame of n bytes pass? */
enum filter_verdict filter_check(const struct filter *f, const uint8_t *frame, size_t n);

/* The answer to a frame that got FILTER_DESTINATION, so that the guest's connect fails at once instead of hanging: an
 * ICMP "administratively prohibited" (RFC 1812, 5.2.7.1). Returns its length in out,
 * 0 when none is due. */
#define FILTER_REPLY_LEN 70
size_t filter_reply(const uint8_t *frame, uint8_t out[FILTER_REPLY_LEN]);

#endif
