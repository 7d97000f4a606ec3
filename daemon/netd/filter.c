#include "daemon/netd/filter.h"

#include <stdbool.h>
#include <string.h>

#include "daemon/netd/allow.h"
#include "daemon/netd/bytes.h"

/* Offsets in a frame: Ethernet (14), IPv4 without options (20), then ports or the ICMP type. */
enum { ETH_TYPE = 12, IP = 14, IP_LEN = 16, IP_FRAG = 20, IP_PROTO = 23, IP_SRC = 26, IP_DST = 30, L4 = 34, L4_DST_PORT = 36 };
enum { TCP_FLAGS = 47, TCP_SYN = 2 };
enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806, ARP_SENDER = 28, ARP_LEN = 42 };

#define ALL_PORTS 0, 65535
const struct filter_rule filter_default_rules[] = {
	{ NET_DNS, 0xffffffff, PROTO_TCP, 53, 53, RULE_PASS }, /* FILTER_ALLOW_SKIP leaves it out */
	{ NET_DNS, 0xffffffff, PROTO_UDP, 53, 53, RULE_PASS },
	{ NET_GATEWAY, 0xffffffff, PROTO_ICMP, ALL_PORTS, RULE_PASS },
	{ NET_BASE, NET_MASK, PROTO_ANY, ALL_PORTS, RULE_REFUSE },
	{ 0x00000000, 0xff000000, PROTO_ANY, ALL_PORTS, RULE_REFUSE }, /* 0/8: Linux takes 0.0.0.0 for loopback */
	{ 0x7f000000, 0xff000000, PROTO_ANY, ALL_PORTS, RULE_REFUSE }, /* 127/8: loopback */
	{ 0xa9fe0000, 0xffff0000, PROTO_ANY, ALL_PORTS, RULE_REFUSE }, /* 169.254/16: link-local, clouds' metadata services */
	{ 0xe0000000, 0xe0000000, PROTO_ANY, ALL_PORTS, RULE_REFUSE }, /* 224/3: multicast, reserved, broadcast */
	{ 0, 0, PROTO_ANY, ALL_PORTS, RULE_PASS_UNLESS_HOST },
};
const size_t filter_default_rule_count = sizeof(filter_default_rules) / sizeof(filter_default_rules[0]);

/* ARP for IPv4 on Ethernet. libslirp answers for its own addresses and learns the sender's: the guest's one alone. */
static enum filter_verdict check_arp(const uint8_t *frame, size_t n)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0 };
	if (n < ARP_LEN || memcmp(frame + IP, head, sizeof(head)) != 0)
		return FILTER_MALFORMED;
	uint8_t operation = frame[IP + sizeof(head)];
	if (operation != 1 && operation != 2)
		return FILTER_MALFORMED;
	return get32(frame + ARP_SENDER) == NET_GUEST ? FILTER_PASS : FILTER_SOURCE;
}

static bool is_host(const struct filter *f, uint32_t addr)
{
	for (size_t i = 0; i < f->host_count; i++)
		if (f->hosts[i] == addr)
			return true;
	return false;
}

static bool matches(const struct filter_rule *rule, uint32_t dst, unsigned proto, unsigned port)
{
	if ((dst & rule->mask) != rule->net || (rule->proto != PROTO_ANY && rule->proto != proto))
		return false;
	return proto == PROTO_ICMP || (port >= rule->port_from && port <= rule->port_to);
}

/* A TCP segment without SYN opens nothing: it belongs to a connection that was allowed, or libslirp resets it. */
static bool is_allowed(const struct filter *f, const uint8_t *frame, uint32_t dst, unsigned proto, unsigned port)
{
	bool begins = proto != PROTO_TCP || frame[TCP_FLAGS] & TCP_SYN;
	return !f->allow ||
		allow_packet(f->allow, dst, proto == PROTO_ICMP ? 0 : (uint16_t)port, begins, proto == PROTO_UDP, f->now_ms);
}

static enum filter_verdict check_rules(const struct filter *f, const uint8_t *frame)
{
	uint32_t dst = get32(frame + IP_DST);
	unsigned proto = frame[IP_PROTO], port = get16(frame + L4_DST_PORT);
	for (size_t i = 0; i < f->rule_count; i++) {
		const struct filter_rule *rule = &f->rules[i];
		if (!matches(rule, dst, proto, port))
			continue;
		bool world = rule->action == RULE_PASS_UNLESS_HOST && !is_host(f, dst);
		bool pass = rule->action == RULE_PASS || (world && is_allowed(f, frame, dst, proto, port));
		return pass ? FILTER_PASS : FILTER_DESTINATION;
	}
	return FILTER_DESTINATION;
}

/* What follows the IP header has to be there in full, so that the port that is checked is the port that is used. */
static enum filter_verdict check_transport(const uint8_t *frame, size_t ip_len)
{
	static const struct {
		enum filter_proto proto;
		size_t header;
	} known[] = { { PROTO_TCP, 20 }, { PROTO_UDP, 8 }, { PROTO_ICMP, 8 } };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (frame[IP_PROTO] != known[i].proto)
			continue;
		if (ip_len < 20 + known[i].header)
			return FILTER_MALFORMED;
		bool echo = frame[L4] == 8 && frame[L4 + 1] == 0;
		return known[i].proto != PROTO_ICMP || echo ? FILTER_PASS : FILTER_PROTOCOL;
	}
	return FILTER_PROTOCOL;
}

static enum filter_verdict check_ipv4(const struct filter *f, const uint8_t *frame, size_t n)
{
	if (n < L4 || frame[IP] != 0x45)
		return FILTER_MALFORMED;
	size_t ip_len = get16(frame + IP_LEN);
	if (ip_len < 20 || ip_len > n - IP)
		return FILTER_MALFORMED;
	/* more fragments, offset; DF may be set, the reserved bit may not */
	if (get16(frame + IP_FRAG) & 0xbfff)
		return FILTER_FRAGMENT;
	if (get32(frame + IP_SRC) != NET_GUEST)
		return FILTER_SOURCE;
	enum filter_verdict verdict = check_transport(frame, ip_len);
	if (verdict != FILTER_PASS)
		return verdict;
	return check_rules(f, frame);
}

enum filter_verdict filter_check(const struct filter *f, const uint8_t *frame, size_t n)
{
	if (n < IP || n > FILTER_FRAME_MAX)
		return FILTER_MALFORMED;
	switch (get16(frame + ETH_TYPE)) {
	case ETHERTYPE_ARP:
		return check_arp(frame, n);
	case ETHERTYPE_IPV4:
		return check_ipv4(f, frame, n);
	default:
		return FILTER_ETHERTYPE;
	}
}

/* RFC 1071 */
static unsigned checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get16(p + i);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

size_t filter_reply(const uint8_t *frame, uint8_t out[FILTER_REPLY_LEN])
{
	enum { IP_SUM = 24, TTL = 22, ICMP_SUM = L4 + 2, ICMP_DATA = L4 + 8, QUOTED = 28 };
	/* RFC 1122, 3.2.2: no ICMP error for broadcast and multicast */
	if (frame[IP_DST] >= 224)
		return 0;
	memset(out, 0, FILTER_REPLY_LEN);
	/* from the gateway's Ethernet address as libslirp makes it (52:55 and the address), to the guest's */
	static const uint8_t gateway[] = { 0x52, 0x55, 10, 0, 2, 2 };
	memcpy(out, frame + 6, 6);
	memcpy(out + 6, gateway, 6);
	put16(out + ETH_TYPE, ETHERTYPE_IPV4);
	out[IP] = 0x45;
	put16(out + IP_LEN, FILTER_REPLY_LEN - IP);
	out[TTL] = 64;
	out[IP_PROTO] = PROTO_ICMP;
	memcpy(out + IP_SRC, gateway + 2, 4);
	memcpy(out + IP_DST, frame + IP_SRC, 4);
	put16(out + IP_SUM, checksum(out + IP, 20));
	/* destination unreachable (3): communication administratively prohibited (13); the header and 8 bytes of the frame */
	out[L4] = 3;
	out[L4 + 1] = 13;
	memcpy(out + ICMP_DATA, frame + IP, QUOTED);
	put16(out + ICMP_SUM, checksum(out + L4, FILTER_REPLY_LEN - L4));
	return FILTER_REPLY_LEN;
}
