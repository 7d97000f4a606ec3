#include "cli/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "cli/api/call.h"
#include "cli/api/describe.h"
#include "cli/help.h"
#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "shared/base/mem.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"

#define NAMES_MAX 512

static const struct contract *const contracts[] = { &contract_wrenn, &contract_voidrun, &contract_freestyle, &contract_mcp_v8,
	&contract_molecule };

const struct contract *api_at(size_t i)
{
	return i < ARRAY_LEN(contracts) ? contracts[i] : NULL;
}

const struct contract *api_find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(contracts); i++) {
		if (strcmp(contracts[i]->name, name) == 0)
			return contracts[i];
	}
	return NULL;
}

uint32_t api_operation(const struct contract *c, const char *noun, const char *verb)
{
	for (uint32_t i = 0; i < c->op_count; i++) {
		if (strcmp(ct_s(c, c->ops[i].noun), noun) == 0 && strcmp(ct_s(c, c->ops[i].verb), verb) == 0)
			return i;
	}
	return CT_NONE;
}

bool api_has_noun(const struct contract *c, const char *noun)
{
	for (uint32_t i = 0; i < c->op_count; i++) {
		if (strcmp(ct_s(c, c->ops[i].noun), noun) == 0)
			return true;
	}
	return false;
}

static bool is_first(const struct contract *c, uint32_t op)
{
	for (uint32_t i = 0; i < op; i++) {
		if (c->ops[i].noun == c->ops[op].noun) /* equal strings are one in the pool */
			return false;
	}
	return true;
}

uint32_t api_noun(const struct contract *c, size_t i)
{
	for (uint32_t op = 0; op < c->op_count; op++) {
		if (is_first(c, op) && i-- == 0)
			return op;
	}
	return CT_NONE;
}

/* ---- wrong words ---- */

static int unknown_noun(const struct contract *c, const char *word, struct err *err)
{
	const char *names[NAMES_MAX];
	size_t n = 0;
	for (; n < NAMES_MAX && api_noun(c, n) != CT_NONE; n++)
		names[n] = ct_s(c, c->ops[api_noun(c, n)].noun);
	const char *near = opt_nearest(word, names, n);
	err_set(err, ERR_USAGE, "unknown noun '%s'", word);
	return near ? err_hint(err, "did you mean 'sbx %s %s'?", c->name, near)
		    : err_hint(err, "'sbx %s --help' lists the nouns", c->name);
}

static int unknown_verb(const struct contract *c, const char *noun, const char *word, struct err *err)
{
	static const char *const same[][2] = { { "ls", "list" }, { "get", "inspect" }, { "show", "inspect" }, { "rm", "delete" },
		{ "remove", "delete" }, { "new", "create" }, { "add", "create" } };
	const char *names[NAMES_MAX];
	size_t n = 0;
	for (uint32_t i = 0; i < c->op_count && n < NAMES_MAX; i++) {
		if (strcmp(ct_s(c, c->ops[i].noun), noun) == 0)
			names[n++] = ct_s(c, c->ops[i].verb);
	}
	const char *near = opt_nearest(word, names, n);
	for (size_t i = 0; i < ARRAY_LEN(same) && !near; i++) {
		if (strcmp(word, same[i][0]) == 0 && api_operation(c, noun, same[i][1]) != CT_NONE)
			near = same[i][1];
	}
	err_set(err, ERR_USAGE, "unknown verb '%s'", word);
	return near ? err_hint(err, "did you mean 'sbx %s %s %s'?", c->name, noun, near)
		    : err_hint(err, "'sbx %s %s --help' lists the verbs", c->name, noun);
}

/* ---- running ---- */

static int check_ids(const struct api_flags *f, size_t n, struct err *err)
{
	auto_buf ids = BUF_INIT;
	size_t want = 0;
	for (const char *at = strchr(ct_s(f->c, f->op->path), '{'); at; at = strchr(at + 1, '{'))
		want++;
	if (n == want)
		return 0;
	describe_ids(&ids, f->c, f->op);
	err_set(err, ERR_USAGE, n < want ? "arguments are missing" : "too many arguments");
	return err_hint(err, "usage: sbx %s %s %s%s%s [options]", f->c->name, ct_s(f->c, f->op->noun), ct_s(f->c, f->op->verb),
		ids.len ? " " : "", ids.p);
}

static int run_operation(struct cli *cli, const struct contract *c, uint32_t index, int argc, char **argv, struct err *err)
{
	struct api_flags f;
	struct call_options o = { 0 };
	api_flags_init(&f, c, &c->ops[index]);
	struct opt_parse p = {
		.sets = { { f.table, f.values }, { c->ops[index].flags & CT_OP_WEBSOCKET ? call_ws_table : call_table, &o },
			{ global_options, &cli->globals } },
		.command_after = NO_COMMAND,
	};
	int rc = opt_parse(&p, argc, argv, err);
	if (rc && !*err->hint)
		err_hint(err, "'sbx %s %s %s --help' lists the options", c->name, ct_s(c, f.op->noun), ct_s(c, f.op->verb));
	struct args ids = { p.args, p.count, p.plain };
	if (rc == 0 && cli->globals.help)
		describe_operation(&cli->out, &f);
	else if (rc == 0)
		rc = check_ids(&f, ids.n, err) || cli_set_format(cli, err) ? -1 : call_run(cli, &f, &o, &ids, err);
	opt_parse_free(&p);
	api_flags_free(&f);
	return rc;
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* "help" in front: sbx wrenn help capsule create. */
static int skip_help(int argc, char **argv, bool *help)
{
	*help = argc > 0 && is_help(argv[0]);
	return *help ? 1 : 0;
}

int api_run(struct cli *cli, const struct contract *c, int argc, char **argv, struct err *err)
{
	bool help;
	int skip = skip_help(argc, argv, &help);
	argc -= skip;
	argv += skip;
	cli->words[0] = c->name;
	if (argc == 0) {
		describe_contract(&cli->out, c);
		return 0;
	}
	if (!api_has_noun(c, argv[0]))
		return unknown_noun(c, argv[0], err);
	cli->words[1] = argv[0];
	if (argc == 1 || is_help(argv[1])) {
		help = help || (argc > 2 && is_help(argv[1]));
		if (argc <= 2) {
			describe_noun(&cli->out, c, argv[0]);
			return 0;
		}
		argv[1] = argv[2];
	}
	uint32_t op = api_operation(c, argv[0], argv[1]);
	if (op == CT_NONE)
		return unknown_verb(c, argv[0], argv[1], err);
	cli->words[2] = argv[1];
	if (help)
		cli->globals.help = true;
	return help ? run_operation(cli, c, op, 0, argv, err) : run_operation(cli, c, op, argc - 2, argv + 2, err);
}
