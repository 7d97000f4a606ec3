#include "shared/net/address.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/base/mem.h"

struct net {
	uint8_t bytes[16];
	unsigned bits;
};

static const struct net not_public4[] = {
	{ { 0 }, 8 },		  /* this network; Linux takes 0.0.0.0 for loopback */
	{ { 10 }, 8 },		  /* private */
	{ { 100, 64 }, 10 },	  /* shared: carrier-grade NAT, and what some clouds put behind it */
	{ { 127 }, 8 },		  /* loopback */
	{ { 169, 254 }, 16 },	  /* link-local, clouds' metadata services */
	{ { 172, 16 }, 12 },	  /* private */
	{ { 192, 0, 0 }, 24 },	  /* protocol assignments */
	{ { 192, 0, 2 }, 24 },	  /* documentation */
	{ { 192, 88, 99 }, 24 },  /* 6to4 relays, withdrawn */
	{ { 192, 168 }, 16 },	  /* private */
	{ { 198, 18 }, 15 },	  /* benchmarks */
	{ { 198, 51, 100 }, 24 }, /* documentation */
	{ { 203, 0, 113 }, 24 },  /* documentation */
	{ { 224 }, 3 },		  /* multicast, reserved, broadcast */
};

/* IPv6 has one block of global unicast; these parts of it are something else. */
static const struct net public6 = { { 0x20 }, 3 };
static const struct net not_public6[] = {
	{ { 0x20, 0x01 }, 23 },		    /* protocol assignments, Teredo */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x3f, 0xff }, 20 },		    /* documentation */
};

/* Prefixes with an IPv4 address behind them, which is where such a packet ends up. */
static const struct {
	struct net net;
	size_t at;
} carries4[] = {
	{ { { 0 }, 96 }, 12 },			      /* IPv4-compatible; ::1 is 0.0.0.1 here */
	{ { { [10] = 0xff, [11] = 0xff }, 96 }, 12 }, /* IPv4-mapped */
	{ { { [8] = 0xff, [9] = 0xff }, 96 }, 12 },   /* IPv4-translated */
	{ { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 },   /* NAT64 */
	{ { { 0x20, 0x02 }, 16 }, 2 },		      /* 6to4 */
};

static bool inside(const uint8_t *address, const struct net *net)
{
	size_t whole = net->bits / 8;
	unsigned rest = net->bits % 8;
	return !memcmp(address, net->bytes, whole) && (!rest || (address[whole] ^ net->bytes[whole]) >> (8 - rest) == 0);
}

static bool is_public4(const uint8_t *address)
{
	for (size_t i = 0; i < ARRAY_LEN(not_public4); i++)
		if (inside(address, &not_public4[i]))
			return false;
	return true;
}

static bool is_public6(const uint8_t *address)
{
	for (size_t i = 0; i < ARRAY_LEN(carries4); i++)
		if (inside(address, &carries4[i].net))
			return is_public4(address + carries4[i].at);
	for (size_t i = 0; i < ARRAY_LEN(not_public6); i++)
		if (inside(address, &not_public6[i]))
			return false;
	return inside(address, &public6);
}

/* The bytes of the address, 4 or 16 of them; 0 when it is not IP or cut short. */
static size_t bytes_of(const struct sockaddr *address, socklen_t n, uint8_t out[16])
{
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	sa_family_t family = n >= sizeof(sa_family_t) ? address->sa_family : AF_UNSPEC;
	if (family == AF_INET && n >= sizeof(four)) {
		memcpy(&four, address, sizeof(four));
		memcpy(out, &four.sin_addr, 4);
		return 4;
	}
	if (family == AF_INET6 && n >= sizeof(six)) {
		memcpy(&six, address, sizeof(six));
		memcpy(out, &six.sin6_addr, 16);
		return 16;
	}
	return 0;
}

bool address_is_public(const struct sockaddr *address, socklen_t n)
{
	uint8_t bytes[16] = { 0 };
	size_t len = bytes_of(address, n, bytes);
	return len == 4 ? is_public4(bytes) : len == 16 && is_public6(bytes);
}

/* Without the form that IPv6 has for an IPv4 address. */
static size_t bare(uint8_t bytes[16], size_t len)
{
	static const struct net mapped = { { [10] = 0xff, [11] = 0xff }, 96 };
	if (len != 16 || !inside(bytes, &mapped))
		return len;
	memmove(bytes, bytes + 12, 4);
	return 4;
}

bool address_is_ours(const struct sockaddr *address, socklen_t n)
{
	struct ifaddrs *list = NULL;
	uint8_t asked[16] = { 0 };
	size_t len = bare(asked, bytes_of(address, n, asked));
	if (getifaddrs(&list))
		return true;
	bool ours = false;
	for (const struct ifaddrs *it = list; it && !ours && len; it = it->ifa_next) {
		uint8_t own[16] = { 0 };
		ours = it->ifa_addr && bytes_of(it->ifa_addr, sizeof(struct sockaddr_in6), own) == len && !memcmp(own, asked, len);
	}
	freeifaddrs(list);
	return ours;
}
