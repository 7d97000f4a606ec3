#include "cli/help.h"

#include <string.h>

#include "cli/api/api.h"

static const char *const formats[] = { "table", "json", "yaml", NULL };

const struct opt global_options[] = {
	{ .kind = OPT_ENUM,
		.letter = 'o',
		.name = "output",
		.arg = "FORMAT",
		.help = "table, json or yaml (default table)",
		.off = offsetof(struct globals, output),
		.choices = formats,
		.env = "SBX_OUTPUT" },
	{ .kind = OPT_STR,
		.name = "host",
		.arg = "ENDPOINT",
		.help = "unix:PATH, http(s)://HOST:PORT or ssh://USER@HOST",
		.off = offsetof(struct globals, host),
		.env = "SBX_HOST" },
	{ .kind = OPT_STR,
		.name = "context",
		.arg = "NAME",
		.help = "endpoint from the configuration, see 'sbx context'",
		.off = offsetof(struct globals, context),
		.env = "SBX_CONTEXT" },
	{ .kind = OPT_STR,
		.name = "api-key",
		.arg = "KEY",
		.help = "key for an http:// or https:// endpoint",
		.off = offsetof(struct globals, api_key),
		.env = "SBX_API_KEY" },
	{ .kind = OPT_BOOL, .letter = 'h', .name = "help", .help = "show this help", .off = offsetof(struct globals, help) },
	{ .kind = OPT_END },
};

static void name_of(struct buf *out, const struct command *c)
{
	if (c->group)
		buf_fmt(out, "%s ", c->group);
	buf_str(out, c->name);
}

static void row(struct buf *out, const char *left, const char *right)
{
	buf_fmt(out, "  %-16s  %s\n", left, right);
}

void help_all(struct buf *out, const struct command *const *table, size_t n)
{
	buf_str(out,
		"Linux microVMs in a fraction of a second.\n\n"
		"Quick start:\n"
		"  sbx run -- uname -a\n"
		"  sbx create --name demo && sbx exec demo -- ls /\n"
		"  sbx pty demo\n\n"
		"Usage:\n  sbx [options] COMMAND [arguments]\n\nCommands:\n");
	for (size_t i = 0; i < n; i++) {
		auto_buf name = BUF_INIT;
		if (table[i]->hidden)
			continue;
		name_of(&name, table[i]);
		row(out, name.p, table[i]->summary);
	}
	buf_str(out, "\nThe APIs of other systems, which the daemon speaks too:\n");
	for (size_t i = 0; api_at(i); i++)
		row(out, api_at(i)->name, api_at(i)->description);
	row(out, "help [COMMAND]", "Show help");
	buf_str(out,
		"\nExit codes: 0 done, 1 failed, 2 wrong usage; exec, run and pty return the command's own.\n"
		"Use \"sbx COMMAND --help\" for the options of a command.\n");
}

void help_group(struct buf *out, const struct command *const *table, size_t n, const char *group)
{
	auto_buf examples = BUF_INIT;
	buf_fmt(out, "Usage:\n  sbx %s COMMAND [arguments]\n\nCommands:\n", group);
	for (size_t i = 0; i < n; i++) {
		if (!table[i]->group || strcmp(table[i]->group, group) != 0)
			continue;
		row(out, table[i]->name, table[i]->summary);
		buf_fmt(&examples, "%s\n", table[i]->example);
	}
	buf_fmt(out, "\nExamples:\n%s", examples.p);
	buf_fmt(out, "\nUse \"sbx %s COMMAND --help\" for the options of a command.\n", group);
}

void help_options(struct buf *out, const struct opt *table)
{
	for (const struct opt *o = table; o && o->kind != OPT_END; o++) {
		auto_buf left = BUF_INIT;
		if (o->letter)
			buf_fmt(&left, "-%c, ", o->letter);
		else
			buf_str(&left, "    ");
		buf_fmt(&left, "--%s", o->name);
		if (o->arg)
			buf_fmt(&left, o->kind == OPT_MAYBE ? "[=%s]" : " %s", o->arg);
		buf_fmt(out, "  %-24s  %s", left.p, o->help);
		if (o->env)
			buf_fmt(out, " (env: %s)", o->env);
		buf_ch(out, '\n');
	}
}

void help_command(struct buf *out, const struct command *c)
{
	buf_fmt(out, "%s.\n", c->summary);
	if (c->about)
		buf_fmt(out, "\n%s\n", c->about);
	buf_str(out, "\nUsage:\n  sbx ");
	name_of(out, c);
	buf_fmt(out, "%s%s\n", *c->usage ? " " : "", c->usage);
	if (c->alias)
		buf_fmt(out, "\nAlias: %s\n", c->alias);
	if (c->options) {
		buf_str(out, "\nOptions:\n");
		help_options(out, c->options);
	}
	buf_str(out, "\nGlobal options:\n");
	help_options(out, global_options);
	buf_str(out, "\nEnvironment:\n  SBX_HOME, SBX_CACHE, SBX_CONFIG, SBX_HOST, SBX_CONTEXT, SBX_API_KEY, SBX_OUTPUT\n");
	buf_fmt(out, "\nExamples:\n%s\n", c->example);
}

void help_usage(const struct command *c, struct err *err)
{
	auto_buf name = BUF_INIT;
	name_of(&name, c);
	err_hint(err, "usage: sbx %s%s%s", name.p, *c->usage ? " " : "", c->usage);
}
