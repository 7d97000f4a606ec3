#include "daemon/build_main.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "daemon/image/image.h"
#include "daemon/vm/template.h"
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

static void on_progress(void *arg, const char *phase, const char *text)
{
	(void)arg;
	auto_buf line = BUF_INIT;
	buf_str(&line, phase);
	put_field(&line, text ? text : "");
	put_line(&line);
}

static int fail(const struct err *err)
{
	auto_buf line = BUF_INIT;
	buf_str(&line, "error");
	put_field(&line, err_name(err->code));
	put_field(&line, err->msg);
	put_field(&line, err->hint);
	put_line(&line);
	return 1;
}

int build_main(const struct daemon_args *args)
{
	struct err err = ERR_INIT;
	struct image image = { 0 };
	struct template tmpl = { 0 };
	/* Not to be outlived: the daemon undoes what waits for us. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		return 1;
	/* What is there is taken as it is: a new shape of it needs no network. */
	int found = image_find(args->cache, args->image, &image, &err);
	if (found < 0)
		return fail(&err);
	if (!found && image_build(args->cache, args->image, on_progress, NULL, &image, &err))
		return fail(&err);
	unsigned memory_mb = args->memory_mb ? args->memory_mb : image.memory_mb;
	int rc = template_build(args->cache, &image, args->vcpus, memory_mb, on_progress, NULL, &tmpl, &err);
	if (rc == 0)
		template_free(&tmpl);
	image_free(&image);
	return rc ? fail(&err) : 0;
}
