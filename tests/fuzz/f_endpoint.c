/* link: cli/endpoint/address.c cli/endpoint/proxy.c cli/endpoint/tcp.c */
/* Any text as an address: what is taken can stand in a request's head and among ssh's arguments. As a proxy and its exceptions too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/endpoint/endpoint.h"
#include "cli/endpoint/proxy.h"
#include "shared/base/mem.h"

static void check(const char *s, const char *never)
{
	for (; s && *s; s++)
		if (*s <= ' ' || *s >= 0x7f || strchr(never, *s))
			abort();
}

static void address(const char *text)
{
	struct endpoint ep;
	struct err err = ERR_INIT;
	if (endpoint_parse(text, &ep, &err) == 0 && ep.kind != ENDPOINT_UNIX) {
		check(ep.host, "/?#@ \"'\\$`;&|<>()");
		check(ep.user, "/?#@ \"'\\$`;&|<>():");
		check(ep.authority, "/?#@");
		check(ep.base_path, "?#\"\\<>^`{|}");
		check(ep.port, "+-.");
		if (*ep.host == '-' || (ep.user && *ep.user == '-') || (*ep.base_path && *ep.base_path != '/'))
			abort();
		(void)endpoint_in_clear(&ep);
	}
	endpoint_free(&ep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 4096)
		return 0;
	auto_free char *text = mem_strndup((const char *)data, n);
	struct proxy p;
	address(text);
	(void)proxy_excluded(text, "a.example.org", "443");
	if (setenv("HTTPS_PROXY", text, 1) == 0)
		(void)proxy_find("::1", "80", &p, NULL);
	proxy_free(&p);
	return 0;
}
