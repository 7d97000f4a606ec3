#include "cli/term/page.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/term/raw.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

#define UP "\033[%uF"
#define REST_OF_LINE "\033[K"
#define REST_OF_SCREEN "\033[J"
#define CLEAR "\033[H\033[2J"

int page_open(struct page *p, struct err *err)
{
	*p = (struct page){ .signal_fd = cli_signal_fd(err) };
	if (p->signal_fd < 0)
		return -1;
	p->keys = isatty(STDIN_FILENO) && raw_enter(STDIN_FILENO, NULL) == 0; /* without keys there still is Ctrl-C */
	return 0;
}

void page_close(struct page *p)
{
	if (p->keys)
		raw_leave();
	if (p->signal_fd >= 0)
		close(p->signal_fd);
	p->signal_fd = -1;
}

void page_size(unsigned *cols, unsigned *rows)
{
	if (term_size(STDOUT_FILENO, cols, rows) == 0)
		return;
	*cols = 80;
	*rows = 24;
}

/* Bytes of the first n at text that fit into so many columns: one a character, which is enough for what we show. */
static size_t fitting(const char *text, size_t n, unsigned cols)
{
	size_t at = 0;
	while (at < n && cols-- > 0) {
		size_t one = utf8_len(text + at, n - at);
		at += one ? one : 1;
	}
	return at;
}

int page_show(struct page *p, const struct buf *lines, struct err *err)
{
	auto_buf out = BUF_INIT;
	unsigned cols, rows, shown = 0;
	page_size(&cols, &rows);
	/* after another size nobody knows where the old lines are */
	if (p->shown && (cols != p->cols || rows != p->rows))
		buf_str(&out, CLEAR);
	else if (p->shown)
		buf_fmt(&out, UP, p->shown);
	const char *line = lines->p, *nl;
	while (shown + 1 < rows && (nl = strchr(line, '\n'))) {
		buf_add(&out, line, fitting(line, (size_t)(nl - line), cols));
		buf_str(&out, REST_OF_LINE "\r\n");
		line = nl + 1;
		shown++;
	}
	buf_str(&out, REST_OF_SCREEN);
	p->shown = shown;
	p->cols = cols;
	p->rows = rows;
	return buf_failed(&out) ? err_set(err, ERR_LIMIT, "out of memory") : fs_write_all(STDOUT_FILENO, out.p, out.len, err);
}

int page_wait(struct page *p, int fd, enum page_event *event, char *key, struct err *err)
{
	struct pollfd fds[] = {
		{ .fd = p->signal_fd, .events = POLLIN },
		{ .fd = p->keys ? STDIN_FILENO : -1, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	while (poll(fds, ARRAY_LEN(fds), -1) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "cannot wait");
	*event = PAGE_READY;
	if (fds[0].revents) {
		*event = PAGE_SIGNAL;
	} else if (fds[1].revents) {
		*event = PAGE_KEY;
		if (read(STDIN_FILENO, key, 1) != 1)
			*event = PAGE_SIGNAL; /* the terminal was hung up */
	}
	return 0;
}
