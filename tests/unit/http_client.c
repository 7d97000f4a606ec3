#include "tests/unit/http_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/base/mem.h"

static int with_timeout(int fd)
{
	struct timeval limit = { .tv_sec = 5 };
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

int fx_unix(struct fx *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	memcpy(a.sun_path, f->sock, strlen(f->sock) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return with_timeout(fd);
}

int fx_tcp(struct fx *f)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return with_timeout(fd);
}

void fx_send(int fd, const void *data, size_t n)
{
	const char *p = data;
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			return; /* the server had enough; the answer tells why */
		p += k;
		n -= (size_t)k;
	}
}

void fx_puts(int fd, const char *text)
{
	fx_send(fd, text, strlen(text));
}

static bool read_exact(int fd, void *out, size_t n)
{
	char *p = out;
	while (n > 0) {
		ssize_t k = recv(fd, p, n, 0);
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool read_line(int fd, char *out, size_t size)
{
	size_t n = 0;
	while (n + 1 < size && read_exact(fd, out + n, 1)) {
		if (out[n++] == '\n') {
			out[n] = '\0';
			return true;
		}
	}
	return false;
}

static bool read_body(int fd, struct buf *out, size_t n)
{
	char *p = buf_reserve(out, n);
	if (!p || !read_exact(fd, p, n))
		return false;
	buf_commit(out, n);
	return true;
}

static bool read_chunks(int fd, struct buf *out)
{
	char line[64];
	while (read_line(fd, line, sizeof(line))) {
		size_t n = strtoul(line, NULL, 16);
		if (n > 0 && !read_body(fd, out, n))
			return false;
		if (!read_line(fd, line, sizeof(line)))
			return false;
		if (n == 0)
			return true;
	}
	return false;
}

const char *fx_header(const struct fx_reply *r, const char *name)
{
	static char value[512];
	size_t n = strlen(name);
	for (const char *p = strchr(r->head, '\n'); p && p[1]; p = strchr(p + 1, '\n')) {
		if (strncasecmp(p + 1, name, n) == 0 && p[1 + n] == ':') {
			p += n + 2;
			p += strspn(p, " ");
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, "\r\n"), p);
			return value;
		}
	}
	return NULL;
}

void fx_read(int fd, struct fx_reply *out, bool no_body)
{
	size_t n = 0;
	out->status = 0;
	out->broken = false;
	buf_init(&out->body);
	do {
		if (!read_line(fd, out->head + n, sizeof(out->head) - n)) {
			out->broken = true;
			return;
		}
		n += strlen(out->head + n);
	} while (n < 4 || strcmp(out->head + n - 4, "\r\n\r\n") != 0);
	assert_memory_equal(out->head, "HTTP/1.1 ", 9);
	out->status = (int)strtol(out->head + 9, NULL, 10);
	const char *length = fx_header(out, "Content-Length");
	if (no_body || out->status == 204 || out->status < 200)
		return;
	if (length)
		out->broken = !read_body(fd, &out->body, strtoul(length, NULL, 10));
	else if (fx_header(out, "Transfer-Encoding"))
		out->broken = !read_chunks(fd, &out->body);
}

void fx_ask(int fd, const char *request, struct fx_reply *out)
{
	fx_puts(fd, request);
	fx_read(fd, out, strncmp(request, "HEAD", 4) == 0);
}

bool fx_eof(int fd)
{
	char c[256];
	ssize_t n;
	do {
		n = recv(fd, c, sizeof(c), 0);
	} while (n > 0);
	return n == 0 || errno == ECONNRESET;
}

bool fx_wait(atomic_int *counter, int value)
{
	for (int i = 0; i < 3000 && atomic_load(counter) < value; i++)
		usleep(1000);
	return atomic_load(counter) == value;
}

/* ---- WebSocket ---- */

int fx_ws(struct fx *f, const char *op, const void *extra, size_t extra_len)
{
	int fd = fx_unix(f);
	struct fx_reply r;
	auto_buf b = BUF_INIT;
	buf_fmt(&b, "GET /t/v1/%s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", op);
	buf_str(&b, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	buf_add(&b, extra, extra_len);
	fx_send(fd, b.p, b.len);
	fx_read(fd, &r, true);
	assert_int_equal(r.status, 101);
	/* the example of RFC 6455 1.3 */
	assert_string_equal(fx_header(&r, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	return fd;
}

size_t fx_frame(uint8_t *out, bool fin, int opcode, const void *data, size_t n)
{
	static const uint8_t mask[4] = { 0x12, 0x34, 0x56, 0x78 };
	size_t at = 2;
	out[0] = (uint8_t)((fin ? 0x80 : 0) | opcode);
	if (n < 126) {
		out[1] = (uint8_t)(0x80 | n);
	} else if (n < 65536) {
		out[1] = 0x80 | 126;
		out[2] = (uint8_t)(n >> 8);
		out[3] = (uint8_t)n;
		at = 4;
	} else {
		out[1] = 0x80 | 127;
		for (int i = 0; i < 8; i++)
			out[2 + i] = (uint8_t)((uint64_t)n >> (56 - 8 * i));
		at = 10;
	}
	memcpy(out + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < n; i++)
		out[at + i] = ((const uint8_t *)data)[i] ^ mask[i % 4];
	return at + n;
}

void fx_ws_send(int fd, bool fin, int opcode, const void *data, size_t n)
{
	auto_free uint8_t *frame = mem_array(n + 14, 1);
	fx_send(fd, frame, fx_frame(frame, fin, opcode, data, n));
}

int fx_ws_read(int fd, struct buf *out)
{
	uint8_t h[10];
	buf_clear(out);
	if (!read_exact(fd, h, 2))
		return -1;
	assert_int_equal(h[1] & 0x80, 0); /* a server does not mask */
	uint64_t n = h[1];
	size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
	if (more > 0) {
		if (!read_exact(fd, h + 2, more))
			return -1;
		n = 0;
		for (size_t i = 0; i < more; i++)
			n = n << 8 | h[2 + i];
	}
	if (!read_body(fd, out, n))
		return -1;
	return h[0] & 0x0f;
}

void fx_ws_expect_close(int fd, int code)
{
	auto_buf b = BUF_INIT;
	int op;
	do {
		op = fx_ws_read(fd, &b);
	} while (op == 9);
	assert_int_equal(op, 8);
	assert_true(b.len >= 2);
	assert_int_equal((uint8_t)b.p[0] << 8 | (uint8_t)b.p[1], code);
}
