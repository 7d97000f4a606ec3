/* link: shared/net/address.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "shared/base/mem.h"
#include "shared/net/address.h"

static socklen_t make(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
		memcpy(out, &four, sizeof(four));
		return sizeof(four);
	}
	if (inet_pton(AF_INET6, text, &six.sin6_addr) != 1)
		fail_msg("no address: %s", text);
	memcpy(out, &six, sizeof(six));
	return sizeof(six);
}

static bool is_public(const char *text)
{
	struct sockaddr_storage s;
	socklen_t n = make(text, &s);
	return address_is_public((struct sockaddr *)&s, n);
}

/* The first and the last of each network, and their neighbours outside. */
static void special(void **state)
{
	(void)state;
	static const char *const rows[] = { "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
		"100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "172.16.0.0", "172.31.255.255",
		"192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255",
		"198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::2",
		"::7f00:1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::ffff:0:192.168.1.1",
		"64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::100.64.0.1", "64:ff9b:1::8.8.8.8", "100::1", "fc00::1",
		"fd12:3456::1", "fdff::", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "2001::1", "2001:0:1:2:3:4:5:6",
		"2001:1ff::", "2001:db8::1", "3fff::1", "2002:7f00:1::", "2002:c0a8:1::1", "2002:a9fe:a9fe::", "1::1", "4000::1",
		"5f00::1", "e000::1" };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (is_public(rows[i]))
			fail_msg("public: %s", rows[i]);
}

static void ordinary(void **state)
{
	(void)state;
	static const char *const rows[] = { "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
		"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "8.8.8.8", "223.255.255.255", "::ffff:8.8.8.8",
		"64:ff9b::8.8.8.8", "2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2002:808:808::1",
		"2606:4700::1111", "3ffe::1", "3fff:1000::1", "2a00::1" };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!is_public(rows[i]))
			fail_msg("not public: %s", rows[i]);
}

static void not_ip(void **state)
{
	(void)state;
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct sockaddr_storage s;
	make("8.8.8.8", &s);
	assert_false(address_is_public((struct sockaddr *)&path, sizeof(path)));
	assert_false(address_is_public((struct sockaddr *)&s, sizeof(struct sockaddr_in) - 1));
	assert_false(address_is_public((struct sockaddr *)&s, 0));
	make("2606:4700::1111", &s);
	assert_false(address_is_public((struct sockaddr *)&s, sizeof(struct sockaddr_in)));
}

static void ours(void **state)
{
	(void)state;
	static const char *const own[] = { "127.0.0.1", "::ffff:127.0.0.1" }, *const others[] = { "8.8.8.8", "2606:4700::1111" };
	struct sockaddr_storage s;
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		socklen_t n = make(own[i], &s);
		assert_true(address_is_ours((struct sockaddr *)&s, n));
		n = make(others[i], &s);
		assert_false(address_is_ours((struct sockaddr *)&s, n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(special), cmocka_unit_test(ordinary), cmocka_unit_test(not_ip),
		cmocka_unit_test(ours) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
