#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/mem.h"

int outfile_open(struct outfile *o, const char *name, struct err *err)
{
	struct stat st;
	*o = (struct outfile){ .name = name, .fd = -1 };
	if (strcmp(name, "-") == 0) {
		if (isatty(STDOUT_FILENO)) {
			err_set(err, ERR_USAGE, "an archive is nothing for a terminal");
			return err_hint(err, "name a file, or redirect the output");
		}
		o->fd = STDOUT_FILENO;
		return 0;
	}
	bool special = stat(name, &st) == 0 && !S_ISREG(st.st_mode);
	if (special) {
		o->fd = open(name, O_WRONLY | O_CLOEXEC);
	} else {
		o->temp = mem_printf("%s.XXXXXX", name);
		o->fd = mkostemp(o->temp, O_CLOEXEC);
	}
	if (o->fd >= 0)
		return 0;
	int e = errno;
	free(o->temp);
	o->temp = NULL;
	return err_sys(err, e, "cannot write '%s'", name);
}

int outfile_close(struct outfile *o, int rc, struct err *err)
{
	if (o->fd > STDERR_FILENO && close(o->fd) && rc == 0)
		rc = err_sys(err, errno, "cannot write '%s'", o->name);
	if (!o->temp)
		return rc;
	mode_t mask = umask(0);
	umask(mask);
	if (rc == 0 && (chmod(o->temp, 0666 & ~mask) || rename(o->temp, o->name)))
		rc = err_sys(err, errno, "cannot write '%s'", o->name);
	if (rc)
		unlink(o->temp);
	free(o->temp);
	o->temp = NULL;
	return rc;
}
