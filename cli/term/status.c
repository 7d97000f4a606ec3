#include "cli/term/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/term/raw.h"
#include "shared/base/util.h"

#define TICK_MS 200
#define ERASE "\r\033[K"

void status_init(struct status *s)
{
	*s = (struct status){ .tty = isatty(STDERR_FILENO) };
}

/* A status line is decoration: when it cannot be written, nothing is lost. */
static void put(const char *text, size_t n)
{
	if (write(STDERR_FILENO, text, n) < 0)
		return;
}

__attribute__((format(printf, 2, 0))) static void show(struct status *s, const char *fmt, va_list ap)
{
	char line[512] = ERASE;
	size_t head = strlen(ERASE);
	unsigned cols = 80, rows;
	(void)term_size(STDERR_FILENO, &cols, &rows); /* 80 when unknown */
	size_t room = cols < sizeof(line) - head - 1 ? cols : sizeof(line) - head - 1;
	int n = vsnprintf(line + head, room, fmt, ap);
	if (n < 0)
		return;
	size_t len = strlen(line + head);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[head + i] < 32 || line[head + i] == 127)
			line[head + i] = '?';
	put(line, head + len);
	s->shown = true;
	s->last_ms = clock_mono_ms();
}

void status_set(struct status *s, const char *fmt, ...)
{
	if (!s->tty)
		return;
	va_list ap;
	va_start(ap, fmt);
	show(s, fmt, ap);
	va_end(ap);
}

void status_tick(struct status *s, const char *fmt, ...)
{
	if (!s->tty || (s->shown && clock_mono_ms() - s->last_ms < TICK_MS))
		return;
	va_list ap;
	va_start(ap, fmt);
	show(s, fmt, ap);
	va_end(ap);
}

void status_clear(struct status *s)
{
	if (s->shown)
		put(ERASE, strlen(ERASE));
	s->shown = false;
}
