/* link: daemon/net/ask.c shared/net/http1.c | -luv */
/*
 * What a host answers to a call, in pieces. First byte: what was asked for (a HEAD, an upgrade), whether the connection stays, and
 * the size of the pieces.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/net/ask.h"

enum { ANSWER_MAX = 1000 };

struct call {
	bool upgrade, head, answered;
	size_t size;
};

static void on_answer(void *arg, struct ask_answer *a)
{
	struct call *c = arg;
	if (c->answered || (a->status == 0) != (a->err != NULL) || a->n > ANSWER_MAX || a->body[a->n] != '\0')
		abort();
	if ((a->fd >= 0) != (a->status == 101) || (a->fd >= 0 && !c->upgrade) || (a->fd < 0 && a->early->len))
		abort();
	if ((c->head && a->n) || strlen(a->type) > c->size || a->n + a->early->len > c->size)
		abort();
	if (a->err && a->err->code != ERR_UNAVAILABLE && a->err->code != ERR_PROTOCOL)
		abort();
	if (a->fd >= 0)
		close(a->fd);
	c->answered = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uv_loop_t loop;
	static bool ready;
	char request[256];
	int pair[2];
	if (size == 0)
		return 0;
	if (!ready && uv_loop_init(&loop) != 0)
		abort();
	ready = true;
	struct call c = { .head = data[0] & 1, .upgrade = data[0] & 2, .size = size };
	size_t step = (data[0] >> 3) * 40u + 1;
	const struct ask_spec spec = {
		.method = c.head ? "HEAD" : "GET", .path = "/", .upgrade = c.upgrade ? "x" : NULL, .answer_max = ANSWER_MAX
	};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		abort();
	struct ask *a = ask_start(&loop, pair[0], &spec, on_answer, &c, NULL);
	if (!a)
		abort();
	uv_run(&loop, UV_RUN_NOWAIT);
	if (recv(pair[1], request, sizeof(request), 0) <= 0)
		abort();
	for (size_t at = 1; at < size && !c.answered; at += step) {
		(void)send(pair[1], data + at, size - at < step ? size - at : step, MSG_NOSIGNAL);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	if (!c.answered && (data[0] & 4))
		ask_cancel(a);
	close(pair[1]);
	uv_run(&loop, UV_RUN_DEFAULT);
	if (!c.answered && !(data[0] & 4))
		abort();
	return 0;
}
