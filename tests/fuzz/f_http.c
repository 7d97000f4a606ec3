/* link: tests/unit/http_?*.c daemon/http/?*.c shared/net/?*.c shared/contract/?*.c | -luv -lmicrohttpd -lwslay -lcrypto -lpthread -lcmocka */
/*
 * Hostile clients: the bytes of one connection, as they are or as frames after a good WebSocket handshake (first byte odd), and
 * the small parsers on their own.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/http/internal.h"
#include "shared/base/mem.h"
#include "tests/unit/http_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char handshake[] =
	"GET /t/v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void small_parsers(const uint8_t *data, size_t size)
{
	auto_free char *s = mem_try(size + 1);
	char accept[WS_ACCEPT_LEN + 1];
	if (!s)
		return;
	memcpy(s, data, size);
	s[size] = '\0';
	check_host(s);
	check_origin(s, "localhost");
	check_bearer(s);
	check_token(s, "upgrade");
	check_media(s, "application/json");
	check_ws_key(s, accept);
	check_decode(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fx *server; /* made once: starting one costs more than a conversation */
	if (!server)
		server = fx_inline();
	if (size == 0)
		return 0;
	small_parsers(data + 1, size - 1);
	auto_buf bytes = BUF_INIT;
	if (data[0] & 1)
		buf_add(&bytes, handshake, sizeof(handshake) - 1);
	buf_add(&bytes, data + 1, size - 1);
	fx_converse(server, bytes.p, bytes.len);
	return 0;
}
