/* link: daemon/netd/filter.c daemon/netd/allow.c shared/net/egress.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/netd/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What must hold of an IPv4 frame that passed, said in another way than the filter does. */
static int harmless(const uint8_t *f, size_t n, uint32_t host)
{
	uint32_t dst = get32(f + 30);
	unsigned proto = f[23], port = (unsigned)f[36] << 8 | f[37];
	if (n < 42 || f[14] != 0x45 || (f[20] & 0x3f) || f[21] || get32(f + 26) != NET_GUEST)
		return 0;
	if (dst == NET_DNS)
		return port == 53 && (proto == 6 || proto == 17);
	if (dst == NET_GATEWAY)
		return proto == 1 && f[34] == 8;
	return dst >> 8 != NET_BASE >> 8 && dst >> 24 != 127 && dst >> 24 != 0 && dst >> 24 < 224 && dst >> 16 != 0xa9fe &&
		dst != host;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint32_t host = 0x0b010203;
	const struct filter filter = { filter_default_rules, filter_default_rule_count, &host, 1, NULL, 0 };
	uint8_t reply[FILTER_REPLY_LEN];
	enum filter_verdict verdict = filter_check(&filter, data, size);
	if (verdict == FILTER_DESTINATION && filter_reply(data, reply) > sizeof(reply))
		abort();
	if (verdict == FILTER_PASS && !memcmp(data + 12, "\x08\x00", 2) && !harmless(data, size, host))
		abort();
	return 0;
}
