/*
 * dns: as much of DNS messages (RFC 1035) as a resolver's doorkeeper needs. Pure. Both sides' bytes are hostile.
 */
#ifndef SBX_NETD_DNS_H
#define SBX_NETD_DNS_H

#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX 256  /* as text, with its NUL */
#define DNS_QUERY_MAX 288 /* header and one question */
enum { DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3 };

struct dns_question {
	char name[DNS_NAME_MAX]; /* lower case, no dot at its end; bytes that no host name has are '?' */
	uint16_t id;
	size_t len;		      /* of its bytes, name, type and class */
	uint8_t bytes[DNS_QUERY_MAX]; /* as they came, in the case that the asker chose */
};

/* A query of n bytes with one question. 0, or -1 when it is none. */
int dns_query(const uint8_t *msg, size_t n, struct dns_question *out);
/* The same question and nothing else (no options of the asker's), recursion desired. Returns its length. */
size_t dns_ask(const struct dns_question *q, uint16_t id, uint8_t out[DNS_QUERY_MAX]);
/* An answer without records. Returns its length. */
size_t dns_refuse(const struct dns_question *q, unsigned rcode, uint8_t out[DNS_QUERY_MAX]);

typedef void dns_address(void *arg, uint32_t addr, uint32_t ttl_s); /* host byte order */
/* Is this the answer to the question as asked under id? Calls fn for every A record of the name that was asked for, or of where
 * its CNAMEs lead. 0, or -1 when it is not (fn may have been called for what came before the fault: give it all or nothing). */
int dns_answer(const uint8_t *msg, size_t n, const struct dns_question *q, uint16_t id, dns_address *fn, void *arg);

#endif
