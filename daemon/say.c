#include "daemon/say.h"

#include <stdio.h>

#include "shared/base/buf.h"

/* One field of a line: no tab, no newline. */
static void put_field(struct buf *out, const char *text)
{
	buf_ch(out, '\t');
	for (; *text; text++)
		buf_ch(out, (unsigned char)*text < 0x20 ? ' ' : *text);
}

static void put_line(struct buf *line)
{
	buf_ch(line, '\n');
	if (!buf_failed(line) && fwrite(line->p, 1, line->len, stdout) == line->len)
		fflush(stdout);
}

void say_progress(void *arg, const char *phase, const char *text)
{
	(void)arg;
	auto_buf line = BUF_INIT;
	buf_str(&line, phase);
	put_field(&line, text ? text : "");
	put_line(&line);
}

int say_error(const struct err *err)
{
	auto_buf line = BUF_INIT;
	buf_str(&line, "error");
	put_field(&line, err_name(err->code));
	put_field(&line, err->msg);
	put_field(&line, err->hint);
	put_line(&line);
	return 1;
}
