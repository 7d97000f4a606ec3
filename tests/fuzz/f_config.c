/* link: cli/config.c cli/config_edit.c cli/opt.c cli/render/yaml.c cli/endpoint/address.c shared/yaml/yaml_tree.c | -lyaml */
/* Any bytes as a configuration: what is taken is written so that it reads back as the same. Also as one context of a file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config.h"

static void one(const char *text, size_t n)
{
	struct err err = ERR_INIT;
	struct config *c = config_parse(text, n, "fuzz", &err);
	if (!c)
		return;
	auto_buf once = BUF_INIT, twice = BUF_INIT;
	config_render(c, &once);
	config_free(c);
	c = config_parse(once.p, once.len, "fuzz", &err);
	if (!c)
		abort();
	config_render(c, &twice);
	config_free(c);
	if (once.len != twice.len || memcmp(once.p, twice.p, once.len) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	auto_buf text = BUF_INIT;
	if (n > 1 << 14)
		return 0;
	one((const char *)data, n);
	buf_str(&text, "output: json\ncontexts: {a: {api-key: x, endpoint: ");
	buf_add(&text, data, n);
	buf_str(&text, "}}\n");
	one(text.p, text.len);
	return 0;
}
