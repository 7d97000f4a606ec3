/* link: shared/contract/[a-z]*.c shared/yaml/*.c cli/opt.c cli/api/flags.c cli/api/value.c cli/api/body.c build/gen/wrenn_contract.c build/gen/voidrun_contract.c build/gen/freestyle_contract.c build/gen/mcp-v8_contract.c build/gen/molecule_contract.c | -lyaml */
/* "operationId\nword\nword\n\nDOCUMENT": options of a generated command over an --input of any bytes, for every contract. What is
 * made of them must be what the contract wants, and must come out the same when it goes in again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/api/body.h"
#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "shared/base/mem.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"

#define WORDS 48

static const struct contract *const all[] = { &contract_wrenn, &contract_voidrun, &contract_freestyle, &contract_mcp_v8,
	&contract_molecule };
static const struct opt null_table[] = { { .kind = OPT_LIST, .name = "null", .off = 0 }, { .kind = OPT_END } };

static const struct ct_op *find(const char *id, const struct contract **c)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		uint32_t op = ct_op_by_id(all[i], id);
		*c = all[i];
		if (op != CT_NONE)
			return &all[i]->ops[op];
	}
	return NULL;
}

/* body_input reads files. */
static js *read_input(const char *text, size_t n, struct err *err)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	char path[64];
	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	js *v = body_input(path, err);
	close(fd);
	if (!v && (err->code != ERR_USAGE || !*err->msg))
		__builtin_trap();
	return v;
}

static void again(const struct api_flags *f, const struct buf *made)
{
	struct err err = ERR_INIT;
	struct api_flags none;
	struct opt_list nulls = { 0 };
	auto_buf out = BUF_INIT;
	auto_js *v = js_parse(made->p, made->len, JS_LIMITS_DEFAULT, &err);
	if (!v || ct_validate(f->c, f->body->schema, v, &err) != 0)
		__builtin_trap();
	auto_buf plain = BUF_INIT;
	struct jw w;
	jw_init(&w, &plain);
	jw_js(&w, v);
	api_flags_init(&none, f->c, f->op);
	if (body_json(&none, v, &nulls, &out, &err) != 0 || strcmp(out.p, plain.p) != 0)
		__builtin_trap();
	api_flags_free(&none);
}

static void run(const struct contract *c, const struct ct_op *op, int argc, char **argv, const char *doc, size_t n)
{
	struct err err = ERR_INIT;
	struct api_flags f;
	struct opt_list nulls = { 0 };
	auto_buf out = BUF_INIT;
	api_flags_init(&f, c, op);
	struct opt_parse p = { .sets = { { f.table, f.values }, { null_table, &nulls } }, .command_after = -1 };
	int rc = opt_parse(&p, argc, argv, &err);
	auto_js *input = rc == 0 && n > 0 ? read_input(doc, n, &err) : NULL;
	if (rc == 0 && (input || n == 0) && f.body && f.body->kind == CT_BODY_JSON) {
		err_clear(&err);
		rc = body_json(&f, input, &nulls, &out, &err);
		if (rc == 0)
			again(&f, &out);
		else if (err.code != ERR_USAGE || !*err.msg)
			__builtin_trap();
	}
	for (size_t i = 0; rc == 0 && i < f.n; i++) {
		if (f.v[i].param && f.values[i].n > 0)
			(void)body_check_param(&f, &f.v[i], f.values[i].v[0], &err);
	}
	opt_parse_free(&p);
	api_flags_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct contract *c;
	char *argv[WORDS];
	int argc = 0;
	if (n > 1 << 14)
		return 0;
	auto_buf text = BUF_INIT;
	buf_add(&text, data, n);
	char *rest = text.p;
	const struct ct_op *op = find(strsep(&rest, "\n"), &c);
	while (op && rest && *rest && *rest != '\n' && argc < WORDS)
		argv[argc++] = strsep(&rest, "\n");
	for (int i = 0; i < argc; i++) {
		if (strstr(argv[i], "-file")) /* it would read files of this machine */
			return 0;
	}
	if (!op)
		return 0;
	size_t at = rest && *rest ? (size_t)(rest - text.p) + 1 : n;
	run(c, op, argc, argv, text.p + at, n - at);
	return 0;
}
