/*
 * sbxman: writes the manual. A program of the build: sbxman PARTS OUT DATE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api/api.h"
#include "cli/commands.h"
#include "cli/man/mdoc.h"
#include "cli/man/page.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

/* Whole or not at all is not needed here: make runs us again when we failed. */
static int save(const char *out, const char *name, char section, const struct buf *text, struct err *err)
{
	auto_free char *folder = mem_printf("%s/man%c", out, section), *path = mem_printf("%s/%s.%c", folder, name, section);
	auto_buf page = BUF_INIT;
	mdoc_finish(&page, text->p);
	if (buf_failed(text) || buf_failed(&page))
		return err_set(err, ERR_LIMIT, "out of memory");
	if (fs_mkdirs(folder, 0755, err))
		return -1;
	FILE *f = fopen(path, "we");
	bool ok = f && fwrite(page.p, 1, page.len, f) == page.len;
	if (f && fclose(f))
		ok = false;
	return ok ? 0 : err_set(err, ERR_IO, "cannot write '%s'", path);
}

static int save_part(const struct man *m, const char *out, const char *name, char section, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *file = mem_printf("%s.%c.mdoc", name, section);
	return page_part(&text, m, file, false, err) || save(out, name, section, &text, err) ? -1 : 0;
}

static int save_commands(const struct man *m, const char *out, struct err *err)
{
	for (size_t i = 0; i < command_count; i++) {
		auto_buf text = BUF_INIT;
		auto_free char *name = page_command_name(i);
		if (!command_is_first(i))
			continue;
		page_command(&text, m, i);
		if (save(out, name, '1', &text, err))
			return -1;
	}
	return 0;
}

static int save_contract(const struct man *m, const char *out, const struct contract *c, struct err *err)
{
	auto_buf whole = BUF_INIT;
	auto_free char *whole_name = mem_printf("sbx-%s", c->name);
	page_contract(&whole, m, c);
	if (save(out, whole_name, '1', &whole, err))
		return -1;
	for (size_t i = 0; api_noun(c, i) != CT_NONE; i++) {
		auto_buf text = BUF_INIT;
		auto_free char *name = page_noun_name(c, api_noun(c, i));
		page_noun(&text, m, c, api_noun(c, i));
		if (save(out, name, '1', &text, err))
			return -1;
	}
	return 0;
}

static int save_all(const struct man *m, const char *out, struct err *err)
{
	if (save_part(m, out, "sbx", '1', err) || save_part(m, out, "sbxd", '8', err) || save_part(m, out, "sbx.yaml", '5', err) ||
		save_part(m, out, "sbx-store", '5', err) || save_commands(m, out, err))
		return -1;
	for (size_t i = 0; api_at(i); i++) {
		if (save_contract(m, out, api_at(i), err))
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	if (argc != 4) {
		(void)fputs("usage: sbxman PARTS OUT DATE\n", stderr);
		return 2;
	}
	if (save_all(&(struct man){ .folder = argv[1], .date = argv[3] }, argv[2], &err) == 0)
		return 0;
	(void)fprintf(stderr, "sbxman: %s\n", err.msg);
	return 1;
}
