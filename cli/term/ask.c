#include "cli/term/ask.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/term/line.h"
#include "cli/term/raw.h"
#include "shared/base/fs.h"

#define ANSWER_MAX 4096

bool ask_possible(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static void say(const char *text)
{
	(void)fs_write_all(STDERR_FILENO, text, strlen(text), NULL); /* who does not see it, does not answer */
}

static int given_up(enum line_state state, struct err *err)
{
	if (state == LINE_END)
		return err_set(err, ERR_STATE, "nothing was typed");
	err_set(err, ERR_IO, "interrupted");
	if (err)
		err->sys = EINTR;
	return -1;
}

int ask_line(const char *question, struct buf *out, struct err *err)
{
	char bytes[ANSWER_MAX];
	say(question);
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	if (n <= 0)
		return given_up(n < 0 && errno == EINTR ? LINE_GIVEN_UP : LINE_END, err);
	if (line_feed(out, bytes, (size_t)n) == LINE_GIVEN_UP)
		return given_up(LINE_GIVEN_UP, err);
	while (out->len > 0 && strchr(" \t", out->p[out->len - 1]))
		out->p[--out->len] = '\0';
	buf_drop(out, strspn(out->p, " \t"));
	return 0;
}

/* Until the line is over; signals end it, too. */
static enum line_state read_secret(int signal_fd, struct buf *out)
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
	enum line_state state = LINE_MORE;
	while (state == LINE_MORE) {
		char bytes[256];
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return LINE_END;
		if (p[1].revents)
			return LINE_GIVEN_UP;
		if (!p[0].revents)
			continue;
		ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
		if (n <= 0 && errno != EINTR)
			return LINE_END;
		state = n > 0 ? line_feed(out, bytes, (size_t)n) : LINE_MORE;
	}
	return state;
}

int ask_secret(const char *question, struct buf *out, struct err *err)
{
	sigset_t before;
	if (sigprocmask(SIG_BLOCK, NULL, &before))
		return err_sys(err, errno, "cannot read the mask of signals");
	int signal_fd = cli_signal_fd(err);
	if (signal_fd < 0)
		return -1;
	enum line_state state = LINE_END;
	int rc = raw_enter(STDIN_FILENO, err);
	if (rc == 0) {
		say(question);
		state = read_secret(signal_fd, out);
		raw_leave();
		say("\n");
	}
	close(signal_fd);
	(void)sigprocmask(SIG_SETMASK, &before, NULL); /* what it was, which was fine */
	return rc ? rc : state == LINE_DONE ? 0 : given_up(state, err);
}
