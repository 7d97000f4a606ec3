#include "daemon/core/said.h"

#include <string.h>

#include "shared/base/mem.h"

void said_init(struct said *s, void (*on_line)(void *arg, const char *phase, const char *text), void *arg)
{
	*s = (struct said){ .on_line = on_line, .arg = arg, .line = BUF_INIT };
}

void said_free(struct said *s)
{
	buf_free(&s->line);
}

char *said_room(struct said *s)
{
	return buf_reserve(&s->line, SAID_LINE_MAX);
}

static void got_line(struct said *s, char *line)
{
	const char *fields[4] = { "", "", "", "" };
	for (size_t i = 0; i < ARRAY_LEN(fields) && line; i++)
		fields[i] = strsep(&line, "\t");
	if (strcmp(fields[0], "error") != 0) {
		s->on_line(s->arg, fields[0], fields[1]);
		return;
	}
	err_set(&s->failure, err_from_name(fields[1]), "%s", fields[2]);
	if (fields[3][0])
		err_hint(&s->failure, "%s", fields[3]);
}

void said_take(struct said *s, size_t n)
{
	char *nl;
	buf_commit(&s->line, n);
	while ((nl = memchr(s->line.p, '\n', s->line.len))) {
		*nl = '\0';
		size_t used = (size_t)(nl + 1 - s->line.p);
		got_line(s, s->line.p);
		buf_drop(&s->line, used);
	}
	if (s->line.len > SAID_LINE_MAX)
		buf_clear(&s->line);
}
