/* link: cli/[!m]*.c cli/api/[a-z]*.c cli/build/[a-z]*.c cli/cmd/[a-z]*.c cli/fs/[a-z]*.c shared/store/[a-z]*.c cli/render/[a-z]*.c cli/term/[a-z]*.c cli/endpoint/[a-z]*.c shared/contract/[a-z]*.c shared/net/[a-z]*.c shared/yaml/[a-z]*.c build/gen/freestyle_contract.c build/gen/mcp-v8_contract.c build/gen/molecule_contract.c build/gen/sbx_contract.c build/gen/voidrun_contract.c build/gen/wrenn_contract.c | -larchive -lyaml -lzstd -lcrypto -lpthread */
/* Any words, parted by spaces: the answer is lines that begin with what was typed, and the directive. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/complete.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define WORDS_MAX 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void live(struct cli *cli, enum arg_kind kind, const char *typed, struct buf *out)
{
	(void)cli;
	(void)typed;
	buf_fmt(out, "demo\trunning\nkind-%d\t\n", (int)kind);
}

/* Is the text lines of "word<TAB>about" with this beginning, and one of ":..." at the end? */
static bool well_formed(const char *text, const char *typed)
{
	const char *line = text;
	for (; str_starts(line, typed) && *line != ':'; line = strchr(line, '\n') + 1) {
		const char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
		if (!tab || !end || tab > end)
			return false;
	}
	return *line == ':' && strchr(line, '\n') && strchr(line, '\n')[1] == '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = size > 0 ? mem_strndup((const char *)data, size) : mem_strdup("");
	char *words[WORDS_MAX], *at = text;
	size_t n = 0;
	while (n < WORDS_MAX) {
		char *end = strchr(at, ' ');
		words[n++] = at;
		if (!end)
			break;
		*end = '\0';
		at = end + 1;
	}
	struct cli cli = { .out = BUF_INIT };
	auto_buf out = BUF_INIT;
	complete_words(&cli, n, words, live, &out);
	if (!well_formed(out.p, words[n - 1]))
		abort();
	return 0;
}
