#include "cli/api/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli/api/answer.h"
#include "cli/endpoint/ws.h"

#define QUEUE_MAX ((size_t)1 << 20) /* unsent: no more is read from standard input */
#define NORMAL_CLOSE 1000

struct channel {
	struct ws ws;
	struct cli *cli;
	struct answer_stream lines;
	struct buf typed; /* of standard input, up to the line end that is still to come */
	bool input;	  /* standard input is open and wanted */
	bool closed;
};

static void send_text(struct channel *ch, const char *text, size_t n)
{
	ws_queue(&ch->ws, WS_TEXT, (struct ws_piece){ "", 0 }, (struct ws_piece){ text, n });
}

static int read_input(struct channel *ch, struct err *err)
{
	char block[16384];
	ssize_t n = read(STDIN_FILENO, block, sizeof(block));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return err_sys(err, errno, "cannot read standard input");
	buf_add(&ch->typed, block, (size_t)n);
	const char *nl;
	while ((nl = memchr(ch->typed.p, '\n', ch->typed.len))) {
		send_text(ch, ch->typed.p, (size_t)(nl - ch->typed.p));
		buf_drop(&ch->typed, (size_t)(nl - ch->typed.p) + 1);
	}
	if (n == 0) {
		ch->input = false;
		if (ch->typed.len > 0)
			send_text(ch, ch->typed.p, ch->typed.len);
	}
	return buf_failed(&ch->typed) ? err_set(err, ERR_LIMIT, "a line of standard input is too long") : 0;
}

/* The reason in a close message, after its two bytes of code (RFC 6455 5.5.1). */
static int closed(struct channel *ch, const struct ws_msg *msg, struct err *err)
{
	int code = msg->len >= 2 ? msg->data[0] << 8 | msg->data[1] : NORMAL_CLOSE;
	ch->closed = true;
	if (code == NORMAL_CLOSE || code == NORMAL_CLOSE + 1)
		return 0;
	return err_set(err, ERR_PROTOCOL, "the server closed with code %d%s%.*s", code, msg->len > 2 ? ": " : "",
		msg->len > 2 ? (int)msg->len - 2 : 0, msg->len > 2 ? (const char *)msg->data + 2 : "");
}

static int take_messages(struct channel *ch, struct err *err)
{
	struct ws_msg msg;
	int rc;
	while (!ch->closed && (rc = ws_next(&ch->ws, &msg, err)) != 0) {
		if (rc < 0)
			return -1;
		if (msg.op == WS_CLOSE)
			rc = closed(ch, &msg, err);
		else if (msg.op == WS_TEXT)
			rc = answer_stream_add(&ch->lines, (const char *)msg.data, msg.len, err) ||
				answer_stream_add(&ch->lines, "\n", 1, err);
		else
			rc = (buf_add(&ch->cli->out, msg.data, msg.len), cli_flush(ch->cli, err));
		if (rc)
			return -1;
	}
	return 0;
}

static int turn(struct channel *ch, int cancel_fd, struct err *err)
{
	struct pollfd p[3] = { { .fd = ch->ws.fd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN },
		{ .fd = -1, .events = POLLIN } };
	if (ws_queued(&ch->ws) > 0)
		p[0].events |= POLLOUT;
	if (ch->input && ws_queued(&ch->ws) < QUEUE_MAX)
		p[2].fd = STDIN_FILENO;
	if (poll(p, 3, -1) < 0)
		return errno == EINTR ? 0 : err_sys(err, errno, "cannot wait");
	if (p[1].revents) {
		err_set(err, ERR_IO, "interrupted");
		err->sys = EINTR;
		return -1;
	}
	if (p[2].revents && read_input(ch, err))
		return -1;
	if (p[0].revents & ~POLLOUT) {
		int rc = ws_fill(&ch->ws, err);
		if (rc < 0 || take_messages(ch, err))
			return -1;
		ch->closed = ch->closed || rc == 0;
	}
	return ws_flush(&ch->ws, err);
}

int channel_run(struct cli *cli, struct client *c, const struct request *rq, const struct call_options *o, struct err *err)
{
	struct channel ch = { .cli = cli, .input = o->stdin_too, .typed = BUF_INIT };
	int rc = ws_open_request(&ch.ws, c, rq, err);
	answer_stream_init(&ch.lines, cli, false);
	for (size_t i = 0; i < o->sends.n && rc == 0; i++)
		send_text(&ch, o->sends.v[i], strlen(o->sends.v[i]));
	if (rc == 0)
		rc = ws_flush(&ch.ws, err) || take_messages(&ch, err) ? -1 : 0;
	while (rc == 0 && !ch.closed)
		rc = turn(&ch, c->cancel_fd, err);
	answer_stream_free(&ch.lines);
	buf_free(&ch.typed);
	ws_free(&ch.ws);
	return rc;
}
