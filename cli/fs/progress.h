/*
 * progress: a line on the terminal for what takes over a second; nothing in a pipe.
 */
#ifndef SBX_CLI_FS_PROGRESS_H
#define SBX_CLI_FS_PROGRESS_H

#include "cli/term/status.h"
#include "shared/store/work.h"

struct progress {
	struct status status;
	const char *what; /* "pushing" */
	int64_t begun_ms;
};

void progress_init(struct progress *p, const char *what);
/* "pushing: 1200 files, 30 MiB (2 MiB new)"; for struct work_options, arg is the progress. */
void progress_work(void *arg, const struct work_progress *w);
/* "fetching: 812 objects, 30 MiB"; what is 0 is left out. */
void progress_count(struct progress *p, const char *noun, uint64_t n, uint64_t bytes);
void progress_end(struct progress *p);

#endif
