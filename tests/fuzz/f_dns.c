/* link: daemon/netd/dns.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/netd/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, uint32_t addr, uint32_t ttl_s)
{
	(void)addr;
	if (ttl_s > INT32_MAX)
		abort();
	++*(size_t *)arg;
}

/* The input is a query, and an answer to what was asked, whatever it says its question is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_question q;
	uint8_t out[DNS_QUERY_MAX];
	size_t found = 0;
	if (dns_query(data, size, &q) == 0) {
		struct dns_question again;
		if (strlen(q.name) >= DNS_NAME_MAX || dns_ask(&q, q.id, out) > sizeof(out))
			abort();
		if (dns_query(out, dns_ask(&q, q.id, out), &again) || strcmp(again.name, q.name) != 0)
			abort();
		if (dns_refuse(&q, DNS_NXDOMAIN, out) < 12 || dns_answer(out, 12 + q.len, &q, q.id, take, &found) || found)
			abort();
	}
	/* the question of an answer: as a query */
	if (size < 12)
		return 0;
	uint8_t *copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	memset(copy + 2, 0, 2);
	memset(copy + 6, 0, 4);
	if (dns_query(copy, size, &q) == 0 && dns_answer(data, size, &q, q.id, take, &found) == 0 && found > size)
		abort();
	free(copy);
	return 0;
}
