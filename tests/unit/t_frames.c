/* link: daemon/netd/frames.c */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/netd/frames.h"
#include "shared/base/mem.h"

/* Both ends and what has arrived. */
struct world {
	struct frames frames;
	int peer;
	unsigned count;
	size_t bytes;
	uint8_t last;
};

static int setup(void **state)
{
	int ends[2];
	struct world *w = mem_zalloc(sizeof(*w));
	*state = w;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
		return -1;
	frames_init(&w->frames, ends[0]);
	w->peer = ends[1];
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	close(w->frames.fd);
	if (w->peer >= 0)
		close(w->peer);
	frames_free(&w->frames);
	free(w);
	return 0;
}

static void count(void *arg, const uint8_t *frame, size_t n)
{
	struct world *w = arg;
	w->count++;
	w->bytes += n;
	w->last = n ? frame[n - 1] : 0;
}

static void put(struct world *w, const void *data, size_t n)
{
	assert_int_equal(write(w->peer, data, n), n);
}

static void frames_come_in_pieces(void **state)
{
	static const char stream[] = "\0\0\0\3abc\0\0\0\0\0\0\0\1x";
	struct world *w = *state;
	struct err err = ERR_INIT;
	assert_int_equal(frames_read(&w->frames, count, w, &err), 1);
	for (size_t i = 0; i < sizeof(stream) - 1; i++) {
		put(w, stream + i, 1);
		assert_int_equal(frames_read(&w->frames, count, w, &err), 1);
	}
	assert_int_equal(w->count, 3);
	assert_int_equal(w->bytes, 4);
	assert_int_equal(w->last, 'x');
	/* all at once, and a piece of the next */
	put(w, stream, sizeof(stream) - 1);
	put(w, stream, 6);
	assert_int_equal(frames_read(&w->frames, count, w, &err), 1);
	assert_int_equal(w->count, 6);
	put(w, stream + 6, 1);
	assert_int_equal(frames_read(&w->frames, count, w, &err), 1);
	assert_int_equal(w->count, 7);
	assert_int_equal(w->last, 'c');
	close(w->peer);
	w->peer = -1;
	assert_int_equal(frames_read(&w->frames, count, w, &err), 0);
}

static void longest_and_too_long(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	const uint8_t head[] = { 0, FRAMES_MAX >> 16, FRAMES_MAX >> 8 & 255, FRAMES_MAX & 255 };
	static uint8_t body[FRAMES_MAX];
	put(w, "\0\0\0\1x", 5);
	put(w, head, 4);
	body[FRAMES_MAX - 1] = 'z';
	put(w, body, FRAMES_MAX);
	for (int i = 0; i < 5; i++)
		assert_int_equal(frames_read(&w->frames, count, w, &err), 1);
	assert_int_equal(w->bytes, 1 + FRAMES_MAX);
	assert_int_equal(w->last, 'z');
	const uint8_t more[] = { head[0], head[1], head[2], head[3] + 1 };
	put(w, more, 4);
	assert_int_equal(frames_read(&w->frames, count, w, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
}

/* A peer that does not read costs no more than the queue; what does arrive is whole and in order. */
static void full_queue_drops(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	uint8_t frame[1400] = { 0 };
	const unsigned sent = 3000;
	for (unsigned i = 0; i < sent; i++) {
		memcpy(frame, &i, sizeof(i));
		frames_send(&w->frames, frame, sizeof(frame));
		assert_int_equal(frames_flush(&w->frames, &err), 0);
		assert_true(w->frames.out.len <= FRAMES_QUEUE);
	}
	assert_true(w->frames.dropped > 0);
	assert_true(frames_pending(&w->frames));
	struct frames *back = mem_zalloc(sizeof(*back));
	frames_init(back, w->peer);
	while (frames_pending(&w->frames)) {
		assert_int_equal(frames_read(back, count, w, &err), 1);
		assert_int_equal(frames_flush(&w->frames, &err), 0);
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(frames_read(back, count, w, &err), 1);
	assert_int_equal(w->count + w->frames.dropped, sent);
	assert_int_equal(w->bytes, w->count * sizeof(frame));
	assert_int_equal(back->have, 0);
	frames_free(back);
	free(back);
	close(w->peer);
	w->peer = -1;
	frames_send(&w->frames, frame, sizeof(frame));
	assert_int_equal(frames_flush(&w->frames, &err), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = { TEST(frames_come_in_pieces), TEST(longest_and_too_long), TEST(full_queue_drops) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
