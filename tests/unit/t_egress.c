/* link: shared/net/egress.c daemon/netd/allow.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/netd/allow.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/net/egress.h"

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static void right_lists(void **state)
{
	(void)state;
	struct egress e;
	struct err err = ERR_INIT;
	assert_int_equal(egress_parse("API.Example.com,*.example.org:443,10.1.0.0/16,1.2.3.4:53,0.0.0.0/0:80,a_b", &e, &err), 0);
	assert_int_equal(e.count, 6);
	assert_string_equal(e.rules[0].name, "api.example.com");
	assert_false(e.rules[0].below);
	assert_int_equal(e.rules[0].port, 0);
	assert_string_equal(e.rules[1].name, "example.org");
	assert_true(e.rules[1].below);
	assert_int_equal(e.rules[1].port, 443);
	assert_int_equal(e.rules[2].net, IP4(10, 1, 0, 0));
	assert_int_equal(e.rules[2].mask, 0xffff0000);
	assert_int_equal(e.rules[3].mask, 0xffffffff);
	assert_int_equal(e.rules[3].port, 53);
	assert_int_equal(e.rules[4].mask, 0);
	assert_true(egress_rule_has(&e.rules[0], "api.example.com"));
	assert_false(egress_rule_has(&e.rules[0], "x.api.example.com"));
	assert_true(egress_rule_has(&e.rules[1], "a.example.org"));
	assert_true(egress_rule_has(&e.rules[1], "a.b.example.org"));
	assert_false(egress_rule_has(&e.rules[1], "example.org"));
	assert_false(egress_rule_has(&e.rules[1], ".example.org"));
	assert_false(egress_rule_has(&e.rules[1], "badexample.org"));
	assert_false(egress_rule_has(&e.rules[1], "a.example.org.evil.com"));
	assert_false(egress_rule_has(&e.rules[2], "10.1.0.0"));
	egress_release(&e);
}

static void wrong_lists(void **state)
{
	(void)state;
	static const char *const wrong[] = { "", ",", "a,", ",a", "a b", "a:", "a:0", "a:65536", "a:1:2", "[::1]:80", "::1",
		"1.2.3", "1.2.3.4.5", "1.2.3.4/33", "1.2.3.4/", "10.0.0.1/8", "1.2.3.256", "*", "*.", "*.*.a", "a.*.b", ".a",
		"a..b", "a.", "x/24", "-\n", "http://a", "a.1", "\xc3\xa4.de",
		"12345678901234567890123456789012345678901234567890123456789012345.com" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct egress e;
		struct err err = ERR_INIT;
		if (egress_parse(wrong[i], &e, &err) == 0)
			fail_msg("taken: '%s'", wrong[i]);
		assert_int_equal(err.code, ERR_INVALID);
		assert_int_equal(e.count, 0);
		assert_int_not_equal(err.msg[0], 0);
	}
	auto_buf many = BUF_INIT;
	for (int i = 0; i < EGRESS_RULES_MAX; i++)
		buf_fmt(&many, "%sa%d", i ? "," : "", i);
	struct egress e;
	struct err err = ERR_INIT;
	assert_int_equal(egress_parse(many.p, &e, &err), 0);
	egress_release(&e);
	buf_str(&many, ",b");
	assert_int_equal(egress_parse(many.p, &e, &err), -1);
	for (int i = 0; i < EGRESS_TEXT_MAX; i++)
		buf_ch(&many, 'a');
	assert_int_equal(egress_parse(many.p, &e, &err), -1);
}

static bool tcp(struct allow *a, uint32_t addr, uint16_t port, int64_t now)
{
	return allow_packet(a, addr, port, true, false, now);
}

static void names_are_pinned_for_a_while(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct allow *a = allow_new("*.a.com,b.com:443,10.0.0.0/8:22,11.0.0.1", &err);
	const uint32_t x = IP4(9, 9, 9, 9), y = IP4(8, 8, 8, 8);
	assert_non_null(a);
	assert_true(allow_name(a, "x.a.com") && allow_name(a, "b.com"));
	assert_false(allow_name(a, "a.com") || allow_name(a, "c.com") || allow_name(a, ""));
	assert_false(tcp(a, x, 80, 0));
	allow_pin(a, "x.a.com", x, 100, 1000);
	assert_true(tcp(a, x, 80, 1000) && tcp(a, x, 9, 100999));
	assert_false(tcp(a, x, 80, 101000));
	/* what has begun goes on */
	assert_true(allow_packet(a, x, 80, false, false, 900000));
	/* a rule's port, and no packet without ports */
	allow_pin(a, "b.com", y, 0, 1000);
	assert_true(tcp(a, y, 443, 1000 + ALLOW_TTL_MIN_S * 1000 - 1));
	assert_false(tcp(a, y, 443, 1000 + ALLOW_TTL_MIN_S * 1000));
	assert_false(tcp(a, y, 80, 1000) || tcp(a, y, 0, 1000));
	/* not longer than that, and a shorter answer does not take away */
	allow_pin(a, "b.com", y, UINT32_MAX, 1000);
	allow_pin(a, "b.com", y, 1, 1000);
	assert_true(tcp(a, y, 443, 1000 + ALLOW_TTL_MAX_S * 1000 - 1));
	assert_false(tcp(a, y, 443, 1000 + ALLOW_TTL_MAX_S * 1000));
	/* a name that no rule has */
	allow_pin(a, "evil.com", IP4(7, 7, 7, 7), 100, 1000);
	assert_false(tcp(a, IP4(7, 7, 7, 7), 443, 1000));
	/* networks */
	assert_true(tcp(a, IP4(10, 200, 3, 4), 22, 0) && tcp(a, IP4(11, 0, 0, 1), 5, 0) && tcp(a, IP4(11, 0, 0, 1), 0, 0));
	assert_false(tcp(a, IP4(10, 200, 3, 4), 23, 0) || tcp(a, IP4(10, 200, 3, 4), 0, 0) || tcp(a, IP4(11, 0, 0, 2), 5, 0));
	allow_free(a);
}

static void a_udp_flow_in_use_stays(void **state)
{
	(void)state;
	struct allow *a = allow_new("a.com", NULL);
	int64_t now = 0;
	allow_pin(a, "a.com", 1, 60, now);
	for (int i = 0; i < 100; i++, now += ALLOW_UDP_KEEP_MS - 1)
		assert_true(allow_packet(a, 1, 443, true, true, now));
	now += 2 * ALLOW_UDP_KEEP_MS;
	assert_false(allow_packet(a, 1, 443, true, true, now));
	allow_free(a);
}

static void the_table_is_bounded(void **state)
{
	(void)state;
	struct allow *a = allow_new("a.com", NULL);
	for (uint32_t i = 1; i <= 3 * ALLOW_PINS_MAX; i++)
		allow_pin(a, "a.com", i, 100, i);
	assert_false(tcp(a, 1, 80, 3 * ALLOW_PINS_MAX));
	assert_false(tcp(a, 2 * ALLOW_PINS_MAX, 80, 3 * ALLOW_PINS_MAX));
	for (uint32_t i = 2 * ALLOW_PINS_MAX + 1; i <= 3 * ALLOW_PINS_MAX; i++)
		assert_true(tcp(a, i, 80, 3 * ALLOW_PINS_MAX));
	allow_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_lists),
		cmocka_unit_test(wrong_lists),
		cmocka_unit_test(names_are_pinned_for_a_while),
		cmocka_unit_test(a_udp_flow_in_use_stays),
		cmocka_unit_test(the_table_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
