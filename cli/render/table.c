#include "cli/render/table.h"

#include <stdlib.h>

#include "cli/render/text.h"
#include "shared/base/mem.h"

#define GAP 2

void table_init(struct table *t, const char *const *headers, size_t columns)
{
	*t = (struct table){ .columns = columns };
	for (size_t i = 0; i < columns; i++)
		table_cell(t, headers[i]);
}

void table_cell(struct table *t, const char *text)
{
	struct buf safe = BUF_INIT;
	text_safe(&safe, text ? text : "");
	if ((t->count & (t->count - 1)) == 0)
		t->cells = mem_grow(t->cells, t->count ? t->count * 2 : 1, sizeof(*t->cells));
	char *cell = buf_take(&safe, NULL);
	t->cells[t->count++] = cell ? cell : mem_strdup("?");
}

void table_print(const struct table *t, struct buf *out)
{
	size_t *widths = mem_array(t->columns, sizeof(*widths));
	for (size_t i = 0; i < t->count; i++) {
		size_t w = text_width(t->cells[i]);
		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->count; i++) {
		size_t column = i % t->columns;
		buf_str(out, t->cells[i]);
		if (column + 1 == t->columns)
			buf_ch(out, '\n');
		else
			buf_fmt(out, "%*s", (int)(widths[column] - text_width(t->cells[i]) + GAP), "");
	}
	free(widths);
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ 0 };
}
