/*
 * status: one line on a terminal's standard error that is rewritten while something takes long, and erased at the end.
 * Silent when standard error is no terminal.
 */
#ifndef SBX_CLI_STATUS_H
#define SBX_CLI_STATUS_H

#include <stdbool.h>
#include <stdint.h>

struct status {
	bool tty;
	bool shown;
	int64_t last_ms; /* when it was last written */
};

void status_init(struct status *s);
/* Write the line anew, cut to the terminal's width; control characters are replaced. */
void status_set(struct status *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As status_set, but at most five times a second. */
void status_tick(struct status *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void status_clear(struct status *s);

#endif
