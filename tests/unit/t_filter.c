/* link: daemon/netd/filter.c daemon/netd/allow.c shared/net/egress.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/netd/allow.h"
#include "daemon/netd/filter.h"
#include "shared/base/mem.h"

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
enum { FRAME = 54 }; /* Ethernet, IPv4, TCP: nothing beyond */

static const uint32_t hosts[] = { IP4(127, 0, 0, 1), IP4(192, 168, 7, 9), IP4(192, 168, 7, 255) };
static struct filter filter(void)
{
	return (struct filter){ filter_default_rules, filter_default_rule_count, hosts, ARRAY_LEN(hosts), NULL, 0 };
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A right frame from the guest, to be spoilt by the tests. */
static void make(uint8_t *f, uint32_t dst, uint8_t proto, uint16_t port)
{
	memset(f, 0, FRAME);
	memcpy(f, "\x52\x55\x0a\x00\x02\x02\x52\x54\x00\x12\x34\x56\x08\x00\x45\x00\x00\x28", 18);
	f[20] = 0x40; /* DF */
	f[22] = 64;
	f[23] = proto;
	put32(f + 26, NET_GUEST);
	put32(f + 30, dst);
	f[34] = proto == PROTO_ICMP ? 8 : 0x9c;
	f[36] = (uint8_t)(port >> 8);
	f[37] = (uint8_t)port;
	f[46] = 0x50;
}

/* The frame in memory of exactly n bytes, so that ASan sees a read past the end. */
static enum filter_verdict check(const uint8_t *f, size_t n)
{
	const struct filter with = filter();
	uint8_t *copy = malloc(n ? n : 1);
	assert_non_null(copy);
	memcpy(copy, f, n);
	enum filter_verdict verdict = filter_check(&with, copy, n);
	free(copy);
	return verdict;
}

static void destinations(void **state)
{
	static const struct {
		uint32_t dst;
		uint8_t proto;
		uint16_t port;
		enum filter_verdict want;
	} rows[] = {
		{ IP4(1, 1, 1, 1), PROTO_TCP, 443, FILTER_PASS },
		{ IP4(1, 1, 1, 1), PROTO_UDP, 53, FILTER_PASS },
		{ IP4(1, 1, 1, 1), PROTO_ICMP, 0, FILTER_PASS },
		{ IP4(10, 0, 1, 2), PROTO_TCP, 1, FILTER_PASS },
		{ IP4(10, 0, 3, 0), PROTO_TCP, 1, FILTER_PASS },
		{ IP4(128, 0, 0, 1), PROTO_TCP, 1, FILTER_PASS },
		{ IP4(169, 253, 255, 255), PROTO_TCP, 1, FILTER_PASS },
		{ IP4(169, 255, 0, 0), PROTO_TCP, 1, FILTER_PASS },
		{ IP4(223, 255, 255, 255), PROTO_UDP, 1, FILTER_PASS },
		{ IP4(192, 168, 7, 8), PROTO_TCP, 22, FILTER_PASS },
		/* libslirp's own network */
		{ NET_DNS, PROTO_UDP, 53, FILTER_PASS },
		{ NET_DNS, PROTO_TCP, 53, FILTER_PASS },
		{ NET_DNS, PROTO_TCP, 52, FILTER_DESTINATION },
		{ NET_DNS, PROTO_UDP, 54, FILTER_DESTINATION },
		{ NET_DNS, PROTO_UDP, 53 << 8, FILTER_DESTINATION },
		{ NET_DNS, PROTO_ICMP, 53, FILTER_DESTINATION },
		{ NET_GATEWAY, PROTO_ICMP, 0, FILTER_PASS },
		{ NET_GATEWAY, PROTO_TCP, 80, FILTER_DESTINATION },
		{ NET_GATEWAY, PROTO_TCP, 53, FILTER_DESTINATION },
		{ NET_GATEWAY, PROTO_UDP, 69, FILTER_DESTINATION },
		{ NET_GATEWAY, PROTO_UDP, 67, FILTER_DESTINATION },
		{ NET_BASE, PROTO_TCP, 80, FILTER_DESTINATION },
		{ NET_BASE | 1, PROTO_TCP, 80, FILTER_DESTINATION },
		{ NET_GUEST, PROTO_TCP, 80, FILTER_DESTINATION },
		{ NET_BASE | 255, PROTO_UDP, 67, FILTER_DESTINATION },
		/* special */
		{ IP4(0, 0, 0, 0), PROTO_TCP, 80, FILTER_DESTINATION },
		{ IP4(0, 1, 2, 3), PROTO_TCP, 80, FILTER_DESTINATION },
		{ IP4(127, 0, 0, 1), PROTO_TCP, 80, FILTER_DESTINATION },
		{ IP4(127, 0, 0, 53), PROTO_UDP, 53, FILTER_DESTINATION },
		{ IP4(127, 255, 255, 255), PROTO_ICMP, 0, FILTER_DESTINATION },
		{ IP4(169, 254, 169, 254), PROTO_TCP, 80, FILTER_DESTINATION },
		{ IP4(224, 0, 0, 1), PROTO_UDP, 80, FILTER_DESTINATION },
		{ IP4(239, 255, 255, 250), PROTO_UDP, 1900, FILTER_DESTINATION },
		{ IP4(240, 0, 0, 1), PROTO_UDP, 80, FILTER_DESTINATION },
		{ IP4(255, 255, 255, 255), PROTO_UDP, 67, FILTER_DESTINATION },
		/* the host */
		{ IP4(192, 168, 7, 9), PROTO_TCP, 22, FILTER_DESTINATION },
		{ IP4(192, 168, 7, 9), PROTO_UDP, 53, FILTER_DESTINATION },
		{ IP4(192, 168, 7, 9), PROTO_ICMP, 0, FILTER_DESTINATION },
		{ IP4(192, 168, 7, 255), PROTO_UDP, 9, FILTER_DESTINATION },
		/* other protocols: SCTP, IPv6 in IPv4, GRE, IGMP, none */
		{ IP4(1, 1, 1, 1), 132, 80, FILTER_PROTOCOL },
		{ IP4(1, 1, 1, 1), 41, 0, FILTER_PROTOCOL },
		{ IP4(1, 1, 1, 1), 47, 0, FILTER_PROTOCOL },
		{ IP4(1, 1, 1, 1), 2, 0, FILTER_PROTOCOL },
		{ IP4(1, 1, 1, 1), 0, 0, FILTER_PROTOCOL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t f[FRAME];
		make(f, rows[i].dst, rows[i].proto, rows[i].port);
		enum filter_verdict got = check(f, sizeof(f));
		if (got != rows[i].want)
			fail_msg("row %zu: %d, not %d", i, (int)got, (int)rows[i].want);
	}
}

/* One byte of a right frame made wrong. */
static void spoilt(void **state)
{
	static const struct {
		uint8_t at, value;
		enum filter_verdict want;
	} rows[] = {
		{ 12, 0x86, FILTER_ETHERTYPE },					/* not IPv4 */
		{ 12, 0x81, FILTER_ETHERTYPE },					/* VLAN */
		{ 12, 0x88, FILTER_ETHERTYPE },					/* NC-SI and others */
		{ 12, 0x00, FILTER_ETHERTYPE },					/* 802.3 length */
		{ 13, 0x06, FILTER_MALFORMED },					/* ARP by type, IPv4 by content */
		{ 14, 0x65, FILTER_MALFORMED },					/* IP version 6 */
		{ 14, 0x35, FILTER_MALFORMED }, { 14, 0x46, FILTER_MALFORMED }, /* options */
		{ 14, 0x4f, FILTER_MALFORMED }, { 14, 0x44, FILTER_MALFORMED }, /* header too short */
		{ 17, 19, FILTER_MALFORMED },					/* total length below the header */
		{ 17, 39, FILTER_MALFORMED },					/* ... cuts the TCP header */
		{ 17, 41, FILTER_MALFORMED },					/* ... beyond the frame */
		{ 16, 1, FILTER_MALFORMED }, { 20, 0x20, FILTER_FRAGMENT },	/* more fragments */
		{ 20, 0x80, FILTER_FRAGMENT },					/* reserved bit */
		{ 21, 1, FILTER_FRAGMENT },					/* offset */
		{ 20, 0x1f, FILTER_FRAGMENT }, { 20, 0x00, FILTER_PASS },	/* no DF */
		{ 29, 16, FILTER_SOURCE }, { 26, 127, FILTER_SOURCE },
		{ 0, 0xff, FILTER_PASS }, /* the Ethernet address does not matter */
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t f[FRAME];
		make(f, IP4(1, 1, 1, 1), PROTO_TCP, 80);
		f[rows[i].at] = rows[i].value;
		enum filter_verdict got = check(f, sizeof(f));
		if (got != rows[i].want)
			fail_msg("row %zu: %d, not %d", i, (int)got, (int)rows[i].want);
	}
}

static void lengths(void **state)
{
	(void)state;
	uint8_t f[2000];
	memset(f, 0, sizeof(f));
	make(f, IP4(1, 1, 1, 1), PROTO_TCP, 80);
	for (size_t n = 0; n < FRAME; n++)
		assert_int_equal(check(f, n), FILTER_MALFORMED);
	/* padding is fine, more than an Ethernet frame is not */
	assert_int_equal(check(f, 60), FILTER_PASS);
	assert_int_equal(check(f, FILTER_FRAME_MAX), FILTER_PASS);
	assert_int_equal(check(f, FILTER_FRAME_MAX + 1), FILTER_MALFORMED);
	/* shortest UDP: eight bytes of header */
	make(f, NET_DNS, PROTO_UDP, 53);
	f[17] = 28;
	assert_int_equal(check(f, 42), FILTER_PASS);
	f[17] = 27;
	assert_int_equal(check(f, 42), FILTER_MALFORMED);
	/* a port that lies beyond the packet, in the padding, is none */
	f[17] = 20;
	assert_int_equal(check(f, 60), FILTER_MALFORMED);
}

static void icmp(void **state)
{
	(void)state;
	uint8_t f[FRAME];
	make(f, NET_GATEWAY, PROTO_ICMP, 0);
	assert_int_equal(check(f, FRAME), FILTER_PASS);
	for (int type = 0; type < 256; type++) {
		f[34] = (uint8_t)type;
		assert_int_equal(check(f, FRAME), type == 8 ? FILTER_PASS : FILTER_PROTOCOL);
	}
	f[34] = 8;
	f[35] = 1;
	assert_int_equal(check(f, FRAME), FILTER_PROTOCOL);
}

static void arp(void **state)
{
	(void)state;
	uint8_t f[FRAME] = { 0 };
	memcpy(f + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);
	put32(f + 28, NET_GUEST);
	put32(f + 38, NET_GATEWAY);
	assert_int_equal(check(f, 42), FILTER_PASS);
	assert_int_equal(check(f, 41), FILTER_MALFORMED);
	f[21] = 2;
	assert_int_equal(check(f, 42), FILTER_PASS);
	f[21] = 3;
	assert_int_equal(check(f, 42), FILTER_MALFORMED);
	f[21] = 1;
	for (size_t i = 14; i < 21; i++) {
		f[i] ^= 0x10;
		assert_int_equal(check(f, 42), FILTER_MALFORMED);
		f[i] ^= 0x10;
	}
	/* nobody else's address: libslirp would learn it */
	put32(f + 28, 0);
	assert_int_equal(check(f, 42), FILTER_SOURCE);
}

/* A table of one's own: only what it names. */
static void allow_list(void **state)
{
	static const struct filter_rule rules[] = {
		{ IP4(5, 6, 0, 0), 0xffff0000, PROTO_TCP, 440, 450, RULE_PASS_UNLESS_HOST },
	};
	static const uint32_t own[] = { IP4(5, 6, 7, 8) };
	const struct filter with = { rules, ARRAY_LEN(rules), own, ARRAY_LEN(own), NULL, 0 };
	(void)state;
	uint8_t f[FRAME];
	make(f, IP4(5, 6, 1, 1), PROTO_TCP, 443);
	assert_int_equal(filter_check(&with, f, FRAME), FILTER_PASS);
	make(f, IP4(5, 6, 1, 1), PROTO_TCP, 451);
	assert_int_equal(filter_check(&with, f, FRAME), FILTER_DESTINATION);
	make(f, IP4(5, 6, 1, 1), PROTO_UDP, 443);
	assert_int_equal(filter_check(&with, f, FRAME), FILTER_DESTINATION);
	make(f, IP4(5, 7, 1, 1), PROTO_TCP, 443);
	assert_int_equal(filter_check(&with, f, FRAME), FILTER_DESTINATION);
	make(f, IP4(5, 6, 7, 8), PROTO_TCP, 443);
	assert_int_equal(filter_check(&with, f, FRAME), FILTER_DESTINATION);
}

/* With a list of destinations the usual rules hold as well, and DNS goes over UDP only. */
static void destinations_by_name(void **state)
{
	(void)state;
	struct allow *allow = allow_new("a.com:443,6.0.0.0/8,192.168.7.9,169.254.1.1", NULL);
	struct filter with = filter();
	uint8_t f[FRAME];
	assert_non_null(allow);
	allow_pin(allow, "a.com", IP4(5, 5, 5, 5), 100, 0);
	allow_pin(allow, "a.com", IP4(192, 168, 7, 9), 100, 0);
	with.rules += FILTER_ALLOW_SKIP;
	with.rule_count -= FILTER_ALLOW_SKIP;
	with.allow = allow;
	with.now_ms = 1;
	const struct {
		uint32_t dst;
		uint8_t proto;
		uint16_t port;
		uint8_t flags;
		enum filter_verdict want;
	} rows[] = {
		{ IP4(5, 5, 5, 5), PROTO_TCP, 443, 0x02, FILTER_PASS },
		{ IP4(5, 5, 5, 5), PROTO_TCP, 80, 0x02, FILTER_DESTINATION },
		{ IP4(5, 5, 5, 5), PROTO_TCP, 80, 0x12, FILTER_DESTINATION },
		{ IP4(5, 5, 5, 5), PROTO_TCP, 80, 0xff, FILTER_DESTINATION },
		{ IP4(5, 5, 5, 5), PROTO_TCP, 80, 0x10, FILTER_PASS }, /* opens nothing */
		{ IP4(5, 5, 5, 5), PROTO_UDP, 443, 0, FILTER_PASS },
		{ IP4(5, 5, 5, 5), PROTO_UDP, 53, 0, FILTER_DESTINATION },
		{ IP4(5, 5, 5, 5), PROTO_ICMP, 0, 0, FILTER_DESTINATION },
		{ IP4(6, 1, 2, 3), PROTO_TCP, 1, 0x02, FILTER_PASS },
		{ IP4(6, 1, 2, 3), PROTO_ICMP, 0, 0, FILTER_PASS },
		{ IP4(7, 1, 2, 3), PROTO_TCP, 1, 0x02, FILTER_DESTINATION },
		{ IP4(192, 168, 7, 9), PROTO_TCP, 443, 0x02, FILTER_DESTINATION }, /* the host itself, whoever says otherwise */
		{ IP4(169, 254, 1, 1), PROTO_TCP, 80, 0x02, FILTER_DESTINATION },
		{ IP4(127, 0, 0, 1), PROTO_TCP, 80, 0x10, FILTER_DESTINATION },
		{ NET_DNS, PROTO_UDP, 53, 0, FILTER_PASS },
		{ NET_DNS, PROTO_TCP, 53, 0x02, FILTER_DESTINATION },
		{ NET_GATEWAY, PROTO_ICMP, 0, 0, FILTER_PASS },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		make(f, rows[i].dst, rows[i].proto, rows[i].port);
		f[47] = rows[i].flags;
		enum filter_verdict got = filter_check(&with, f, FRAME);
		if (got != rows[i].want)
			fail_msg("row %zu: %d", i, got);
	}
	allow_free(allow);
}

static unsigned sum16(const uint8_t *p, size_t n)
{
	unsigned sum = 0;
	for (size_t i = 0; i < n; i += 2)
		sum += (unsigned)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void reply(void **state)
{
	(void)state;
	uint8_t f[FRAME], out[FILTER_REPLY_LEN];
	make(f, IP4(127, 0, 0, 1), PROTO_TCP, 80);
	assert_int_equal(filter_reply(f, out), FILTER_REPLY_LEN);
	assert_memory_equal(out, f + 6, 6);
	assert_memory_equal(out + 30, f + 26, 4);
	assert_int_equal(sum16(out + 14, 20), 0xffff);
	assert_int_equal(sum16(out + 34, 36), 0xffff);
	assert_memory_equal(out + 42, f + 14, 28);
	make(f, IP4(224, 0, 0, 1), PROTO_UDP, 80);
	assert_int_equal(filter_reply(f, out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destinations),
		cmocka_unit_test(spoilt),
		cmocka_unit_test(lengths),
		cmocka_unit_test(icmp),
		cmocka_unit_test(arp),
		cmocka_unit_test(allow_list),
		cmocka_unit_test(destinations_by_name),
		cmocka_unit_test(reply),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
