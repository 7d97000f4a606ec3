#include "cli/man/page.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api/api.h"
#include "cli/api/call.h"
#include "cli/api/describe.h"
#include "cli/help.h"
#include "cli/man/mdoc.h"
#include "shared/base/mem.h"

char *page_noun_name(const struct contract *c, uint32_t op)
{
	return mem_printf("sbx-%s-%s", c->name, ct_s(c, c->ops[op].noun));
}

static bool same_noun(const struct contract *c, uint32_t a, uint32_t b)
{
	return strcmp(ct_s(c, c->ops[a].noun), ct_s(c, c->ops[b].noun)) == 0;
}

static void put_example(struct buf *out, const struct contract *c, uint32_t op)
{
	struct api_flags f;
	api_flags_init(&f, c, &c->ops[op]);
	buf_str(out, "sbx ");
	describe_example(out, &f);
	buf_ch(out, '\n');
	api_flags_free(&f);
}

static void put_environment(struct buf *out, const struct contract *c)
{
	auto_buf names = BUF_INIT;
	describe_env(&names, c, NULL);
	buf_str(out, ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n");
	for (const char *at = names.p; *at;) {
		auto_free char *name = mem_strndup(at, strcspn(at, ","));
		bool url = false;
		for (uint32_t i = 0; i < c->env_url_count; i++)
			url = url || strcmp(ct_s(c, c->enum_pool[c->env_url + i]), name) == 0;
		buf_fmt(out, ".It Ev %s\n%s\n", name, url ? "Address of the server." : "Credential of the API.");
		at += strlen(name);
		at += strspn(at, ", ");
	}
	buf_str(out,
		".It Ev SBX_HOST , SBX_API_KEY\nThe daemon to call where no server of the API is named, and the key for "
		"it.\n.El\n");
}

void page_contract(struct buf *out, const struct man *m, const struct contract *c)
{
	auto_free char *name = mem_printf("sbx-%s", c->name), *summary = mem_printf("%s as commands", c->title);
	auto_buf examples = BUF_INIT;
	mdoc_head(out, m->date, name, "1", summary);
	buf_fmt(out, ".Sh SYNOPSIS\n.Nm sbx %s\n.Ar noun verb\n.Op Ar id ...\n.Op Ar options\n.Sh DESCRIPTION\n", c->name);
	mdoc_text(out, c->description);
	buf_str(out, ".Sh NOUNS\n.Bl -tag -width Ds\n");
	for (size_t i = 0; api_noun(c, i) != CT_NONE; i++) {
		uint32_t op = api_noun(c, i);
		const char *noun = ct_s(c, c->ops[op].noun);
		buf_fmt(out, ".It Sy sbx-%s-%s(1)\n", c->name, noun);
		mdoc_text(out, describe_about(c, noun));
		put_example(&examples, c, op);
	}
	buf_str(out, ".El\n");
	(void)page_part(out, m, "contract.mdoc", true, NULL);
	buf_str(out, ".Sh COMMON OPTIONS\n");
	mdoc_options(out, call_table);
	buf_str(out, ".Pp\nCommands over a WebSocket have these, too:\n");
	mdoc_options(out, (const struct opt[]){ call_ws_table[0], call_ws_table[1], { .kind = OPT_END } });
	buf_str(out, ".Sh GLOBAL OPTIONS\n");
	mdoc_options(out, global_options);
	put_environment(out, c);
	buf_str(out,
		".Sh EXIT STATUS\n0 when it is done, 1 when it failed or the server refused, 2 for wrong usage.\n.Sh EXAMPLES\n");
	mdoc_literal(out, examples.p);
	buf_str(out, ".Sh SEE ALSO\n.Xr sbx 1 ,\n.Xr sbx-api 1 ,\n.Xr sbx.yaml 5\n");
}

/* ---- one noun ---- */

static void put_ids(struct buf *out, const struct contract *c, const struct ct_op *op)
{
	for (size_t i = 0;; i++) {
		auto_buf name = BUF_INIT;
		const struct ct_param *p = describe_id(&name, c, op, i);
		if (!p) {
			buf_str(out, i ? ".El\n" : "");
			return;
		}
		if (i == 0)
			buf_str(out, ".Pp\nArguments:\n.Bl -tag -width Ds\n");
		buf_str(out, ".It Ar");
		mdoc_arg(out, name.p);
		buf_ch(out, '\n');
		mdoc_text(out, ct_s(c, p->description));
	}
}

static void put_flags(struct buf *out, const struct api_flags *f)
{
	if (f->n > 0)
		buf_str(out, ".Pp\nOptions:\n.Bl -tag -width Ds\n");
	for (size_t i = 0; i < f->n; i++) {
		auto_buf value = BUF_INIT, about = BUF_INIT;
		describe_value(&value, f->c, &f->v[i]);
		describe_flag(&about, f->c, &f->v[i]);
		mdoc_option(out, 0, f->v[i].name, value.p);
		mdoc_text(out, about.p);
	}
	buf_str(out, f->n > 0 ? ".El\n" : "");
}

static void put_operation(struct buf *out, const struct contract *c, uint32_t index)
{
	const struct ct_op *op = &c->ops[index];
	auto_buf example = BUF_INIT;
	struct api_flags f;
	api_flags_init(&f, c, op);
	buf_fmt(out, ".Ss %s\n", ct_s(c, op->verb));
	mdoc_text(out, ct_s(c, op->summary));
	if (op->description) {
		buf_str(out, ".Pp\n");
		mdoc_text(out, ct_s(c, op->description));
	}
	if (op->flags & CT_OP_DEPRECATED)
		buf_str(out, "It is deprecated.\n");
	put_ids(out, c, op);
	put_flags(out, &f);
	buf_str(out, ".Pp\nExample:\n");
	put_example(&example, c, index);
	mdoc_literal(out, example.p);
	buf_str(out, ".Pp\nRequest:\n.Li");
	mdoc_arg(out, ct_s(c, op->method));
	mdoc_arg(out, ct_s(c, op->path));
	buf_ch(out, '\n');
	api_flags_free(&f);
}

void page_noun(struct buf *out, const struct man *m, const struct contract *c, uint32_t first)
{
	const char *noun = ct_s(c, c->ops[first].noun);
	auto_free char *name = page_noun_name(c, first), *summary = mem_printf("%s: commands for %s", c->title, noun);
	mdoc_head(out, m->date, name, "1", summary);
	buf_str(out, ".Sh SYNOPSIS\n");
	for (uint32_t op = first; op < c->op_count; op++) {
		auto_buf ids = BUF_INIT, usage = BUF_INIT;
		if (!same_noun(c, first, op))
			continue;
		describe_ids(&ids, c, &c->ops[op]);
		buf_fmt(&usage, "%s%s[options]", ids.p, ids.len ? " " : "");
		buf_fmt(out, ".Nm sbx %s %s %s\n", c->name, noun, ct_s(c, c->ops[op].verb));
		mdoc_usage(out, usage.p);
	}
	buf_str(out, ".Sh DESCRIPTION\n");
	mdoc_text(out, describe_about(c, noun));
	buf_fmt(out, "Options that all of these have, credentials and formats are described in\n.Xr sbx-%s 1 .\n.Sh COMMANDS\n",
		c->name);
	for (uint32_t op = first; op < c->op_count; op++) {
		if (same_noun(c, first, op))
			put_operation(out, c, op);
	}
	buf_fmt(out,
		".Sh EXIT STATUS\n0 when it is done, 1 when it failed or the server refused, 2 for wrong usage.\n"
		".Sh SEE ALSO\n.Xr sbx 1 ,\n.Xr sbx-%s 1\n",
		c->name);
}
