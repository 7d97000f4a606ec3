/* link: daemon/image/registry_ref.c daemon/image/oci.c daemon/image/hash.c | -lcrypto */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/image/registry.h"
#include "shared/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken of a name goes into a URL as it is: it must not be able to say anything else there; and written out again it must
 * be the same image. */
static void reference(const char *text)
{
	struct registry_ref a, b;
	struct err err = ERR_INIT;
	if (registry_parse(text, &a, &err)) {
		if (err.code != ERR_INVALID || !err.msg[0])
			abort();
		return;
	}
	if (strpbrk(a.host, "/?#@ \r\n%") || strpbrk(a.repository, "?#@: \r\n%") || strpbrk(a.tag, "/?#@: \r\n%") || !a.host[0] ||
		!a.repository[0] || a.repository[0] == '/' || strstr(a.repository, "//") || !a.tag[0] == !a.digest[0])
		abort();
	auto_free char *again =
		mem_printf("https://%s/%s%s%s", a.host, a.repository, a.tag[0] ? ":" : "@sha256:", a.tag[0] ? a.tag : a.digest);
	if (registry_parse(again, &b, &err) || strcmp(a.host, b.host) != 0 || strcmp(a.repository, b.repository) != 0 ||
		strcmp(a.tag, b.tag) != 0 || strcmp(a.digest, b.digest) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct registry_challenge c;
	auto_free char *text = mem_strndup((const char *)data, size);
	reference(text);
	registry_challenge(text, &c);
	if (c.kind == CHALLENGE_BEARER && !c.realm[0])
		abort();
	const char *const values[] = { c.realm, c.service, c.scope };
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		for (const char *p = values[i]; *p; p++)
			if ((unsigned char)*p < 0x20)
				abort();
	return 0;
}
