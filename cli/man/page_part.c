#include <stdlib.h>
#include <string.h>

#include "cli/api/api.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/man/mdoc.h"
#include "cli/man/page.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define PART_MAX ((size_t)1 << 20)
#define PAGES_MAX 256

static void put_commands(struct buf *out)
{
	buf_str(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < command_count; i++) {
		auto_free char *page = page_command_name(i);
		if (commands[i]->hidden)
			continue;
		buf_fmt(out, ".It Ic sbx%s%s %s\n", commands[i]->group ? " " : "", commands[i]->group ? commands[i]->group : "",
			commands[i]->name);
		auto_free char *summary = mem_printf("%s.", commands[i]->summary);
		mdoc_text(out, summary);
		buf_fmt(out, "See\n.Xr %s 1 .\n", page);
	}
	buf_str(out, ".El\n");
}

static void put_contracts(struct buf *out)
{
	buf_str(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; api_at(i); i++) {
		buf_fmt(out, ".It Ic sbx %s\n", api_at(i)->name);
		mdoc_text(out, api_at(i)->description);
		buf_fmt(out, "See\n.Xr sbx-%s 1 .\n", api_at(i)->name);
	}
	buf_str(out, ".El\n");
}

/* All pages but those of nouns, which their contracts' pages name. */
static void put_see(struct buf *out)
{
	char *own[PAGES_MAX];
	const char *names[PAGES_MAX];
	size_t n = 0;
	for (size_t i = 0; i < command_count && n < PAGES_MAX - 3; i++) {
		if (!command_is_first(i))
			continue;
		auto_free char *name = page_command_name(i);
		own[n++] = mem_printf("%s(1)", name);
	}
	for (size_t i = 0; api_at(i) && n < PAGES_MAX - 3; i++)
		own[n++] = mem_printf("sbx-%s(1)", api_at(i)->name);
	own[n++] = mem_strdup("sbx.yaml(5)");
	own[n++] = mem_strdup("sbx-store(5)");
	own[n++] = mem_strdup("sbxd(8)");
	for (size_t i = 0; i < n; i++)
		names[i] = own[i];
	mdoc_see(out, names, n, "");
	for (size_t i = 0; i < n; i++)
		free(own[i]);
}

static void put_line(struct buf *out, const struct man *m, const char *line, size_t n)
{
	auto_free char *text = mem_strndup(line, n);
	if (strcmp(text, "@date") == 0)
		buf_fmt(out, ".Dd %s\n", m->date);
	else if (strcmp(text, "@commands") == 0)
		put_commands(out);
	else if (strcmp(text, "@contracts") == 0)
		put_contracts(out);
	else if (strcmp(text, "@options") == 0)
		mdoc_options(out, global_options);
	else if (strcmp(text, "@see") == 0)
		put_see(out);
	else
		buf_fmt(out, "%s\n", text);
}

int page_part(struct buf *out, const struct man *m, const char *file, bool optional, struct err *err)
{
	auto_free char *path = fs_join(m->folder, file);
	auto_buf text = BUF_INIT;
	if (optional && !fs_exists(path))
		return 0;
	if (fs_read(path, PART_MAX, &text, err))
		return -1;
	for (const char *line = text.p; *line;) {
		size_t n = strcspn(line, "\n");
		put_line(out, m, line, n);
		line += n + (line[n] == '\n');
	}
	return 0;
}
