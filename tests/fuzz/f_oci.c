/* link: daemon/image/oci.c daemon/image/hash.c | -lcrypto */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/image/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void said(const struct err *err)
{
	if (err->code == ERR_OK || !err->msg[0])
		abort();
}

/* A hash that is used as a file's name must be one. */
static void check(const struct oci_blob *b)
{
	if (b->sha[0] && (strlen(b->sha) != HASH_HEX - 1 || strspn(b->sha, "0123456789abcdef") != HASH_HEX - 1))
		abort();
	if (!b->sha[0] && !b->path)
		abort();
}

/* Documents of foreign images: refused with a reason, or taken whole. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct oci_manifest m;
	struct oci_blob chosen = { .size = -1 };
	struct oci_config c;
	struct err err = ERR_INIT;
	int rc = oci_read_manifest(text, size, &m, &chosen, &err);
	if (rc < 0)
		said(&err);
	if (rc == 1)
		check(&chosen);
	if (rc == 0)
		check(&m.config);
	for (size_t i = 0; rc == 0 && i < m.layer_count; i++)
		check(&m.layers[i]);
	oci_manifest_free(&m);
	err = (struct err)ERR_INIT;
	if (oci_read_saved(text, size, &m, &err))
		said(&err);
	else
		check(&m.config);
	oci_manifest_free(&m);
	err = (struct err)ERR_INIT;
	if (oci_read_config(text, size, &c, &err)) {
		said(&err);
		return 0;
	}
	for (size_t i = 0; c.env[i]; i++)
		if (!strchr(c.env[i], '='))
			abort();
	if (c.workdir[0] && c.workdir[0] != '/')
		abort();
	oci_config_free(&c);
	return 0;
}
