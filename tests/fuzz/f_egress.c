/* link: shared/net/egress.c daemon/netd/allow.c */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/netd/allow.h"
#include "shared/base/mem.h"
#include "shared/net/egress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A list, and behind a line end a name that is asked for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = mem_strndup((const char *)data, size);
	char *name = strchr(text, '\n');
	if (name)
		*name++ = '\0';
	struct err err = ERR_INIT;
	struct allow *a = allow_new(text, &err);
	if (!a && (err.code != ERR_INVALID || !err.msg[0]))
		abort();
	if (!a)
		return 0;
	const char *asked = name ? name : "a.example.com";
	bool allowed = allow_name(a, asked), before = allow_packet(a, 0x01020304, 443, true, false, 5);
	allow_pin(a, asked, 0x01020304, 10, 5);
	bool after = allow_packet(a, 0x01020304, 443, true, false, 6);
	/* a name that is not allowed changes nothing */
	if ((!allowed && after != before) || (before && !after))
		abort();
	allow_free(a);
	return 0;
}
