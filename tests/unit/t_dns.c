/* link: daemon/netd/dns.c | -lresolv */
/* DNS messages: what libc's own writer and reader of them (res_mkquery, ns_parserr) say is the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/netd/dns.h"
#include "shared/base/mem.h"

static size_t query(const char *name, int type, uint8_t out[512])
{
	struct __res_state st;
	memset(&st, 0, sizeof(st));
	assert_int_equal(res_ninit(&st), 0);
	int n = res_nmkquery(&st, ns_o_query, name, ns_c_in, type, NULL, 0, NULL, out, 512);
	res_nclose(&st);
	assert_true(n > 0);
	return (size_t)n;
}

struct got {
	uint32_t addr[8], ttl[8];
	size_t n;
};

static void take(void *arg, uint32_t addr, uint32_t ttl)
{
	struct got *g = arg;
	assert_true(g->n < 8);
	g->addr[g->n] = addr;
	g->ttl[g->n++] = ttl;
}

/* In memory of exactly n bytes, so that ASan sees a read past the end. */
static int answer(const uint8_t *msg, size_t n, const struct dns_question *q, uint16_t id, struct got *g)
{
	uint8_t *copy = malloc(n ? n : 1);
	assert_non_null(copy);
	memcpy(copy, msg, n);
	*g = (struct got){ .n = 0 };
	int rc = dns_answer(copy, n, q, id, take, g);
	free(copy);
	return rc;
}

static void queries(void **state)
{
	(void)state;
	uint8_t msg[512], out[DNS_QUERY_MAX];
	struct dns_question q;
	size_t n = query("WWW.Example.com", ns_t_a, msg);
	assert_int_equal(dns_query(msg, n, &q), 0);
	assert_string_equal(q.name, "www.example.com");
	assert_int_equal(q.id, msg[0] << 8 | msg[1]);
	/* what we ask is what libc asks, but for the id; the case is kept */
	assert_int_equal(dns_ask(&q, q.id, out), n);
	assert_memory_equal(out, msg, n);
	/* libc reads our refusal */
	size_t m = dns_refuse(&q, DNS_NXDOMAIN, out);
	ns_msg parsed;
	assert_int_equal(ns_initparse(out, (int)m, &parsed), 0);
	assert_int_equal(ns_msg_getflag(parsed, ns_f_rcode), ns_r_nxdomain);
	assert_int_equal(ns_msg_getflag(parsed, ns_f_qr), 1);
	assert_int_equal(ns_msg_id(parsed), q.id);
	assert_int_equal(ns_msg_count(parsed, ns_s_qd), 1);
	assert_int_equal(ns_msg_count(parsed, ns_s_an), 0);
	ns_rr rr;
	assert_int_equal(ns_parserr(&parsed, ns_s_qd, 0, &rr), 0);
	assert_string_equal(ns_rr_name(rr), "WWW.Example.com");
	/* cut anywhere it is none */
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = malloc(i ? i : 1);
		memcpy(copy, msg, i);
		assert_int_equal(dns_query(copy, i, &q), -1);
		free(copy);
	}
}

static void strange_queries(void **state)
{
	(void)state;
	uint8_t msg[512], bad[512];
	struct dns_question q;
	size_t n = query("a.com", ns_t_a, msg);
	static const struct {
		size_t at;
		uint8_t value;
	} spoil[] = { { 2, 0x80 }, { 2, 0x10 }, { 5, 0 }, { 5, 2 }, { 7, 1 }, { 9, 1 }, { 12, 0xc0 }, { 12, 0x40 }, { 12, 63 } };
	for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
		memcpy(bad, msg, n);
		bad[spoil[i].at] = spoil[i].value;
		assert_int_equal(dns_query(bad, n, &q), -1);
	}
	/* a dot or a NUL in a label is not one of the name's dots */
	memcpy(bad, msg, n);
	bad[13] = '.';
	assert_int_equal(dns_query(bad, n, &q), 0);
	assert_string_equal(q.name, "?.com");
	bad[13] = 0;
	assert_int_equal(dns_query(bad, n, &q), 0);
	assert_string_equal(q.name, "?.com");
	/* options of the asker's do not go on */
	memcpy(bad, msg, n);
	memcpy(bad + n, "\0\0\x29\x10\0\0\0\0\0\0\0", 11);
	bad[11] = 1;
	assert_int_equal(dns_query(bad, n + 11, &q), 0);
	uint8_t out[DNS_QUERY_MAX];
	assert_int_equal(dns_ask(&q, q.id, out), n);
}

/* "a.com" asked; CNAME to b.net, which has two addresses; and an address of a name that nobody asked for. */
static const char records[] = "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\7"
			      "\1b\3net\0"
			      "\xc0\x23\0\1\0\1\0\0\1\0\0\4\1\2\3\4"
			      "\xc0\x23\0\1\0\1\xff\xff\xff\xff\0\4\5\6\7\x8"
			      "\4evil\xc0\x0e\0\1\0\1\0\0\1\0\0\4\x9\x9\x9\x9";

static size_t make_answer(uint8_t *msg, struct dns_question *q)
{
	size_t n = query("a.com", ns_t_a, msg);
	assert_int_equal(dns_query(msg, n, q), 0);
	msg[2] = 0x81;
	msg[3] = 0x80;
	msg[7] = 4;
	memcpy(msg + n, records, sizeof(records) - 1);
	return n + sizeof(records) - 1;
}

static void answers(void **state)
{
	(void)state;
	uint8_t msg[512];
	struct dns_question q;
	struct got g;
	size_t n = make_answer(msg, &q);
	/* the bytes are what libc takes them for */
	ns_msg parsed;
	ns_rr rr;
	assert_int_equal(ns_initparse(msg, (int)n, &parsed), 0);
	assert_int_equal(ns_parserr(&parsed, ns_s_an, 1, &rr), 0);
	assert_string_equal(ns_rr_name(rr), "b.net");
	assert_int_equal(ns_parserr(&parsed, ns_s_an, 3, &rr), 0);
	assert_string_equal(ns_rr_name(rr), "evil.com");
	assert_int_equal(answer(msg, n, &q, q.id, &g), 0);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.addr[0], 0x01020304);
	assert_int_equal(g.ttl[0], 256);
	assert_int_equal(g.addr[1], 0x05060708);
	assert_int_equal(g.ttl[1], 0);
	/* another id, another question, no answer at all, cut */
	assert_int_equal(answer(msg, n, &q, (uint16_t)(q.id + 1), &g), -1);
	assert_int_equal(answer(msg, n, &(struct dns_question){ .name = "c.com", .len = q.len }, q.id, &g), -1);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(answer(msg, i, &q, q.id, &g), -1);
	msg[2] = 1;
	assert_int_equal(answer(msg, n, &q, q.id, &g), -1);
}

static void loops_end(void **state)
{
	(void)state;
	uint8_t msg[512];
	struct dns_question q;
	struct got g;
	size_t n = make_answer(msg, &q), first = n - (sizeof(records) - 1);
	for (unsigned to = 12; to < n; to++) { /* the first record's name points everywhere */
		msg[first] = (uint8_t)(0xc0 | to >> 8);
		msg[first + 1] = (uint8_t)to;
		answer(msg, n, &q, q.id, &g); /* whatever it says, it ends */
	}
	msg[first + 1] = (uint8_t)first; /* at itself */
	assert_int_equal(answer(msg, n, &q, q.id, &g), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries),
		cmocka_unit_test(strange_queries),
		cmocka_unit_test(answers),
		cmocka_unit_test(loops_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
