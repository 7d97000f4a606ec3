/*
 * page: a few lines on the terminal that are rewritten in place, and the keys and signals that come meanwhile.
 *
 * Every page is one write, so nothing flickers; lines are cut to the width and dropped below the height. What was shown last
 * stays on the screen at the end.
 */
#ifndef SBX_CLI_TERM_PAGE_H
#define SBX_CLI_TERM_PAGE_H

#include <stdbool.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

struct page {
	int signal_fd;	     /* the signals that end a command, blocked */
	bool keys;	     /* standard input is a terminal, and raw */
	unsigned shown;	     /* lines */
	unsigned cols, rows; /* when they were */
};

/* PAGE_KEY: *key is what was typed. */
enum page_event { PAGE_READY, PAGE_KEY, PAGE_SIGNAL };

/* Take standard input, if it is a terminal, and the signals. 0 or -1 with err; page_close in either case. */
int page_open(struct page *p, struct err *err);
void page_close(struct page *p);
/* The terminal's size now; 80 and 24 when it does not tell. */
void page_size(unsigned *cols, unsigned *rows);
/* Show these lines, each ended by a newline, instead of those before. */
int page_show(struct page *p, const struct buf *lines, struct err *err);
/* Wait until fd can be read, a key is typed or a signal comes. -1 with err. */
int page_wait(struct page *p, int fd, enum page_event *event, char *key, struct err *err);

#endif
