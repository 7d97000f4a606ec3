#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/endpoint/ssh.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define CHUNK ((size_t)64 * 1024)

struct options {
	bool hello;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL, .name = "hello", .help = "say first that the daemon is there", .off = offsetof(struct options, hello) },
	{ .kind = OPT_END },
};

/* Bytes on their way in one direction. */
struct lane {
	int from, to;
	size_t off, len;
	bool ended;
	char data[CHUNK];
};

static bool is_empty(const struct lane *l)
{
	return l->off == l->len;
}

static bool later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Read when there is room, write what is there. 0, or -1 when the taking side is broken. */
static int move(struct lane *l)
{
	if (is_empty(l) && !l->ended) {
		ssize_t n = read(l->from, l->data, CHUNK);
		l->ended = n == 0 || (n < 0 && !later(n));
		l->off = 0;
		l->len = n > 0 ? (size_t)n : 0;
	}
	if (is_empty(l))
		return 0;
	ssize_t n = write(l->to, l->data + l->off, l->len - l->off);
	l->off += n > 0 ? (size_t)n : 0;
	return n < 0 && !later(n) ? -1 : 0;
}

/* Nobody takes what it brings. */
static void lose(struct lane *l)
{
	l->ended = true;
	l->off = l->len = 0;
}

static short reads(const struct lane *l)
{
	return is_empty(l) && !l->ended ? POLLIN : 0;
}

static short writes(const struct lane *l)
{
	return is_empty(l) ? 0 : POLLOUT;
}

/* Until the daemon has ended its side, or nobody reads what it says. The end of the input is passed on and is not the end. */
static int join(struct lane *in, struct lane *out, struct err *err)
{
	bool passed = false;
	while (!out->ended || !is_empty(out)) {
		struct pollfd p[] = {
			{ .fd = reads(in) ? in->from : -1, .events = POLLIN },
			{ .fd = out->to, .events = writes(out) },
			{ .fd = reads(out) || writes(in) ? in->to : -1, .events = reads(out) | writes(in) },
		};
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return err_sys(err, errno, "cannot wait for input");
		if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL))
			return 0;
		/* a daemon that takes no more may still have said why */
		if (move(in))
			lose(in);
		if (move(out))
			return 0;
		if (in->ended && is_empty(in) && !passed) {
			passed = true;
			(void)shutdown(in->to, SHUT_WR); /* fails when it has gone, which reading tells */
		}
	}
	return 0;
}

static int set_blocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char hello[] = SSH_HELLO;
	const struct options *o = opts;
	(void)cli;
	(void)args;
	struct endpoint local;
	/* whatever the flags and variables say: it is for others to come to this machine's daemon */
	int fd = endpoint_local(&local, err) ? -1 : endpoint_connect_or_start(&local, err);
	endpoint_free(&local);
	if (fd < 0)
		return -1;
	int rc = o->hello ? fs_write_all(STDOUT_FILENO, hello, strlen(hello), err) : 0;
	struct lane *in = mem_zalloc(sizeof(*in)), *out = mem_zalloc(sizeof(*out));
	*in = (struct lane){ .from = STDIN_FILENO, .to = fd };
	*out = (struct lane){ .from = fd, .to = STDOUT_FILENO };
	if (rc == 0 && (set_blocking(STDIN_FILENO, false) || set_blocking(STDOUT_FILENO, false)))
		rc = err_sys(err, errno, "cannot use standard input and output");
	rc = rc ? rc : join(in, out, err);
	/* others may use the same ones after us */
	(void)set_blocking(STDIN_FILENO, true);
	(void)set_blocking(STDOUT_FILENO, true);
	free(in);
	free(out);
	close(fd);
	return rc;
}

const struct command cmd_dial_stdio = {
	.name = "dial-stdio",
	.summary = "Join standard input and output with the local daemon's socket",
	.usage = "[--hello]",
	.about = "This is what ssh:// endpoints run on the other machine. It starts the daemon when it does not run.",
	.example = "  printf 'GET /sbx/v1/version HTTP/1.0\\r\\nHost: sbx\\r\\n\\r\\n' | sbx dial-stdio",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.hidden = true,
	.config_optional = true,
	.run = run,
};
