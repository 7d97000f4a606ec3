#include "cli/man/page.h"

#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/man/mdoc.h"
#include "shared/base/mem.h"

static bool together(size_t i, size_t k)
{
	const char *a = commands[i]->group, *b = commands[k]->group;
	return i == k || (a && b && strcmp(a, b) == 0 && !commands[k]->hidden);
}

char *page_command_name(size_t i)
{
	const struct command *c = commands[i];
	return mem_printf("sbx-%s", c->group ? c->group : c->name);
}

/* ".Nm sbx create" and its arguments; macro is the line's first word. */
static void put_call(struct buf *out, const char *macro, const struct command *c)
{
	buf_fmt(out, ".%s sbx%s%s %s\n", macro, c->group ? " " : "", c->group ? c->group : "", c->name);
	mdoc_usage(out, c->usage);
}

static void put_about(struct buf *out, const struct command *c)
{
	auto_buf text = BUF_INIT;
	buf_fmt(&text, "%s.", c->summary);
	if (c->about)
		buf_fmt(&text, "\n\n%s", c->about);
	if (c->alias)
		buf_fmt(&text, "\n\n`%s` is the same as `%s`.", c->alias, c->name);
	mdoc_text(out, text.p);
}

static void put_group(struct buf *out, size_t first)
{
	for (size_t k = first; k < command_count; k++) {
		if (!together(first, k))
			continue;
		buf_fmt(out, ".Ss sbx %s %s\n", commands[k]->group, commands[k]->name);
		put_about(out, commands[k]);
		mdoc_options(out, commands[k]->options);
	}
}

static void put_globals(struct buf *out)
{
	buf_str(out, ".Sh GLOBAL OPTIONS\nThese work with every command; see\n.Xr sbx 1 .\n");
	mdoc_options(out, global_options);
}

static void put_examples(struct buf *out, size_t first)
{
	auto_buf lines = BUF_INIT;
	for (size_t k = first; k < command_count; k++) {
		if (together(first, k))
			buf_fmt(&lines, "%s\n", commands[k]->example);
	}
	buf_str(out, ".Sh EXAMPLES\n");
	mdoc_literal(out, lines.p);
}

void page_command(struct buf *out, const struct man *m, size_t i)
{
	const struct command *c = commands[i];
	auto_free char *name = page_command_name(i), *part = mem_printf("%s.mdoc", name);
	bool files = c->group && strcmp(c->group, "fs") == 0;
	auto_free char *group = files ? mem_strdup("version files") : mem_printf("commands for %ss", c->group ? c->group : "");
	mdoc_head(out, m->date, name, "1", c->group ? group : c->summary);
	buf_str(out, ".Sh SYNOPSIS\n");
	for (size_t k = i; k < command_count; k++) {
		if (together(i, k))
			put_call(out, "Nm", commands[k]);
	}
	buf_str(out, ".Sh DESCRIPTION\n");
	if (c->group) {
		(void)page_part(out, m, part, true, NULL);
		put_group(out, i);
	} else {
		put_about(out, c);
		(void)page_part(out, m, part, true, NULL);
		buf_str(out, c->options ? ".Sh OPTIONS\n" : "");
		mdoc_options(out, c->options);
	}
	put_globals(out);
	buf_str(out, ".Sh EXIT STATUS\n0 when it is done, 1 when it failed, 2 for wrong usage.\n");
	if (c->command_after >= 0)
		buf_str(out, "When the remote command ran, the exit status is its own.\n");
	put_examples(out, i);
	buf_str(out, ".Sh SEE ALSO\n.Xr sbx 1 ,\n.Xr sbx.yaml 5 ,\n.Xr sbxd 8\n");
}
