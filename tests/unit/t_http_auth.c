/* link: daemon/http/?*.c shared/net/?*.c shared/contract/?*.c shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c | -luv -lmicrohttpd -lwslay -lcrypto -lpthread -lyaml */
/* Who may call what: where credentials are looked for, what the local socket is worth, whose operations there are, and admit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/http/internal.h"
#include "shared/base/mem.h"
#include "tests/unit/contract_of.h"

/* clang-format off */
static const char doc[] = DOC_HEAD
	"security: [{key: []}, {tok: []}]\n"
	"x-sbx-faults: {shape: {error: $code, message: $message}}\n"
	"paths:\n"
	"  /teams: {get: {operationId: teams, x-sbx-teams: true, parameters: [{name: n, in: query, schema: {type: integer}}]}}\n"
	"  /plain: {get: {operationId: plain}}\n"
	"  /open: {get: {operationId: open, security: []}}\n"
	"  /local: {get: {operationId: local, x-sbx-local: true, x-sbx-teams: true}}\n"
	"  /host: {get: {operationId: host, security: [{host: []}], x-sbx-teams: true}}\n"
	"  /person: {get: {operationId: person, security: [{tok: []}], x-sbx-teams: true}}\n"
	"  /both: {get: {operationId: both, security: [{org: [], ask: []}, {tok: []}], x-sbx-teams: true}}\n"
	"  /ws: {get: {operationId: ws, x-sbx-teams: true, responses: {'101': {description: d}}}}\n"
	"  /refused: {post: {operationId: refused, x-sbx-teams: true, requestBody: {content: {application/json: {}}}}}\n"
	"  /none: {get: {operationId: none, x-sbx-teams: true}}\n"
	"components:\n"
	"  securitySchemes:\n"
	"    key: {type: apiKey, in: header, name: X-My-Key}\n"
	"    tok: {type: http, scheme: bearer}\n"
	"    host: {type: apiKey, in: header, name: X-Host-Token}\n"
	"    org: {type: apiKey, in: header, name: X-Org, x-sbx-routing: true}\n"
	"    ask: {type: apiKey, in: query, name: ask}\n";
/* clang-format on */

struct world {
	uv_loop_t loop;
	struct built b;
	struct http_server *server;
	http_handler *handlers[16];
	struct http_dialect dialect;
	/* of the last request */
	unsigned asked, admitted, handled;
	char where[32], value[64];
	struct identity who;
};

static int authenticate(void *arg, const char *where, const char *value, struct identity *who, struct err *err)
{
	static const struct {
		const char *value;
		struct identity who;
	} all[] = {
		{ "op", { .kind = IDENTITY_KEY, .team = TEAM_LOCAL } },
		{ "t3", { .kind = IDENTITY_KEY, .team = 3 } },
		{ "u3", { .kind = IDENTITY_USER, .team = 3, .user = 4, .role = ROLE_OWNER, .admin = true } },
		{ "h0", { .kind = IDENTITY_HOST, .team = TEAM_LOCAL, .host = 5 } },
	};
	struct world *w = arg;
	w->asked++;
	assert_int_equal(!where, !value);
	snprintf(w->where, sizeof(w->where), "%s", where ? where : "-");
	snprintf(w->value, sizeof(w->value), "%s", value ? value : "-");
	for (size_t i = 0; value && i < ARRAY_LEN(all); i++) {
		if (strcmp(all[i].value, value) != 0)
			continue;
		*who = all[i].who;
		return 0;
	}
	return err_set(err, ERR_UNAUTHORIZED, "who is that?");
}

static void handle(struct http_req *r)
{
	struct world *w = http_app(r);
	w->handled++;
	w->who = *http_identity(r);
	assert_int_equal(http_team(r), w->who.team);
	http_reply_empty(r, 204);
}

static bool admit(struct http_req *r)
{
	struct world *w = http_app(r);
	struct err err = ERR_INIT;
	w->admitted++;
	if (strcmp(ct_s(&w->b.c, w->b.c.ops[http_op(r)].id), "refused") != 0)
		return true;
	err_set(&err, ERR_CONFLICT, "not now");
	http_reply_err(r, &err);
	return false;
}

static void start(struct world *w, const char *text)
{
	struct err err = ERR_INIT;
	if (built_init(&w->b, text, &err))
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < w->b.c.op_count; i++)
		w->handlers[i] = strcmp(ct_s(&w->b.c, w->b.c.ops[i].id), "none") != 0 ? handle : NULL;
	w->dialect = (struct http_dialect){ &w->b.c, w->handlers, admit };
	struct http_config config = { .dialects = &w->dialect, .dialect_count = 1, .authenticate = authenticate, .arg = w };
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->server = http_server_new(&w->loop, &config, &err);
	assert_non_null(w->server);
}

static int setup(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	*state = w;
	start(w, doc);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	http_server_close(w->server, NULL, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	built_free(&w->b);
	free(w);
	return 0;
}

/* How it comes: as anybody, over the Unix socket, from a peer that is known. */
enum { TCP, UNIX, PEER };

/* The status of the answer; all of it goes to said. */
static int ask(struct world *w, int how, const char *request, struct buf *said)
{
	static const struct identity peer = { .kind = IDENTITY_HOST, .team = TEAM_LOCAL, .host = 9 };
	int pair[2], status = 0;
	auto_buf answer = BUF_INIT;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	w->asked = w->admitted = w->handled = 0;
	w->where[0] = w->value[0] = '\0';
	w->who = (struct identity){ .team = -7 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	if (how == UNIX) { /* as a listener does */
		w->server->arriving = mem_zalloc(sizeof(struct http_origin));
		*w->server->arriving = (struct http_origin){ true, http_operator };
		assert_int_equal(MHD_add_connection(w->server->mhd, pair[1], (struct sockaddr *)&addr, sizeof(addr)), MHD_YES);
	} else {
		assert_int_equal(http_adopt(w->server, pair[1], how == PEER ? &peer : NULL, NULL), 0);
	}
	assert_int_equal(send(pair[0], request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
	for (int i = 0; i < 100 && !strstr(answer.p, "\r\n\r\n"); i++) {
		char bytes[4096];
		ssize_t n;
		uv_run(&w->loop, UV_RUN_NOWAIT);
		while ((n = recv(pair[0], bytes, sizeof(bytes), 0)) > 0)
			buf_add(&answer, bytes, (size_t)n);
	}
	close(pair[0]);
	for (int i = 0; i < 1000 && w->server->connections > 0; i++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	if (sscanf(answer.p, "HTTP/1.1 %d", &status) != 1)
		fail_msg("no answer to %s: %s", request, answer.p);
	if (said)
		buf_str(said, answer.p);
	assert_true(w->asked <= 1 && w->admitted <= 1 && w->handled <= 1);
	return status;
}

static int get(struct world *w, int how, const char *path, const char *headers)
{
	auto_free char *request = mem_printf("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, headers);
	return ask(w, how, request, NULL);
}

/* Found in this place, and taken. */
static void found(struct world *w, const char *path, const char *headers, const char *where, const char *value)
{
	(void)get(w, TCP, path, headers);
	if (strcmp(w->where, where) != 0 || strcmp(w->value, value) != 0)
		fail_msg("%s %s: %s in %s", path, headers, w->value, w->where);
}

static void t_where(void **state)
{
	struct world *w = *state;
	found(w, "/teams", "", "-", "-");
	found(w, "/teams", "X-My-Key: a\r\n", "X-My-Key", "a");
	found(w, "/teams", "x-my-KEY: a\r\n", "X-My-Key", "a");
	found(w, "/teams", "Authorization: Bearer a\r\n", "Authorization", "a");
	found(w, "/teams", "Authorization: bearer   a\r\n", "Authorization", "a");
	found(w, "/teams", "X-API-Key: a\r\n", "X-API-Key", "a");
	/* in the order of the contract, then wherever else */
	found(w, "/teams", "Authorization: Bearer b\r\nX-API-Key: c\r\nX-My-Key: a\r\n", "X-My-Key", "a");
	found(w, "/teams", "Authorization: Bearer b\r\nX-API-Key: c\r\n", "Authorization", "b");
	found(w, "/teams", "Authorization: Bearer b\r\nX-My-Key:\r\n", "Authorization", "b"); /* empty is none */
	found(w, "/teams", "Authorization: Basic b\r\nX-API-Key: c\r\n", "X-API-Key", "c");
	found(w, "/teams", "Authorization: Bearer\r\nX-API-Key: c\r\n", "X-API-Key", "c");
	found(w, "/teams", "Authorization: Bearer \r\nX-API-Key:\r\n", "-", "-");
	found(w, "/person", "X-My-Key: a\r\n", "-", "-"); /* not of this operation */
	found(w, "/person", "X-API-Key: a\r\nAuthorization: Bearer b\r\n", "Authorization", "b");
	found(w, "/person", "X-API-Key: a\r\n", "X-API-Key", "a");
	/* a host's token counts where hosts speak, and nowhere else */
	found(w, "/host", "X-Host-Token: h\r\nX-API-Key: a\r\n", "X-Host-Token", "h");
	found(w, "/teams", "X-Host-Token: h\r\n", "-", "-");
	/* what only says where a request goes is no credential, nor is one in the address or a cookie */
	found(w, "/both?ask=q", "X-Org: o\r\n", "-", "-");
	found(w, "/both", "X-Org: o\r\nAuthorization: Bearer b\r\n", "Authorization", "b");
	found(w, "/teams", "Cookie: key=a; X-My-Key=a\r\n", "-", "-");
}

static void t_in_the_address(void **state)
{
	static const char upgrade[] = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
	struct world *w = *state;
	found(w, "/ws?apiKey=a", upgrade, "query", "a");
	found(w, "/ws?token=b", upgrade, "query", "b");
	found(w, "/ws?token=%62%2Bc", upgrade, "query", "b+c");
	found(w, "/ws?token=b&apiKey=a", upgrade, "query", "b");
	auto_free char *both = mem_printf("%sX-API-Key: k\r\n", upgrade);
	found(w, "/ws?token=b", both, "X-API-Key", "k");
	/* a page's own requests can send a header */
	found(w, "/ws?token=b", "", "-", "-");
	found(w, "/ws?token=b", "Upgrade: h2c\r\n", "-", "-");
	found(w, "/ws?Token=b", upgrade, "-", "-");
}

static void t_tcp_needs_one(void **state)
{
	struct world *w = *state;
	assert_int_equal(get(w, TCP, "/teams", ""), 401);
	assert_int_equal(w->asked, 1);
	assert_int_equal(w->handled + w->admitted, 0);
	assert_int_equal(get(w, TCP, "/teams", "X-My-Key: wrong\r\n"), 401);
	/* the first counts, whatever comes after */
	assert_int_equal(get(w, TCP, "/teams", "X-My-Key: wrong\r\nAuthorization: Bearer t3\r\n"), 401);
	assert_int_equal(w->handled + w->admitted, 0);
	assert_int_equal(get(w, TCP, "/teams", "X-My-Key: t3\r\n"), 204);
	assert_int_equal(w->who.team, 3);
	assert_int_equal(w->admitted, 1);
	/* who is nobody is told nothing of what else is wrong */
	assert_int_equal(get(w, TCP, "/teams?n=x", ""), 401);
	assert_int_equal(w->admitted, 0);
	assert_int_equal(get(w, TCP, "/teams?n=x", "X-My-Key: t3\r\n"), 400);
	assert_true(w->admitted == 1 && w->handled == 0);
}

static void t_local_socket(void **state)
{
	struct world *w = *state;
	assert_int_equal(get(w, UNIX, "/plain", ""), 204);
	assert_int_equal(w->asked, 0);
	assert_true(w->who.kind == IDENTITY_LOCAL && w->who.team == TEAM_LOCAL && w->who.role == ROLE_OWNER && w->who.admin);
	assert_string_equal(w->who.id, "local");
	/* who brings one is what it says, and no more */
	assert_int_equal(get(w, UNIX, "/teams", "X-My-Key: t3\r\n"), 204);
	assert_true(w->who.kind == IDENTITY_KEY && w->who.team == 3);
	assert_int_equal(get(w, UNIX, "/plain", "X-My-Key: t3\r\n"), 403);
	assert_int_equal(get(w, UNIX, "/teams", "X-API-Key: wrong\r\n"), 401);
	assert_int_equal(get(w, UNIX, "/local", "X-My-Key: t3\r\n"), 204);
	/* and is not there for other connections */
	assert_int_equal(get(w, TCP, "/local", "X-My-Key: op\r\n"), 403);
	assert_int_equal(get(w, TCP, "/local", "X-My-Key: t3\r\n"), 403);
	assert_int_equal(get(w, TCP, "/local", ""), 401);
	assert_int_equal(get(w, UNIX, "/local", ""), 204);
}

/* Whom the connection vouches for: he, unless the request says otherwise; never as the local socket. */
static void t_known_peer(void **state)
{
	struct world *w = *state;
	assert_int_equal(get(w, PEER, "/teams", ""), 204);
	assert_int_equal(w->asked, 0);
	assert_true(w->who.kind == IDENTITY_HOST && w->who.host == 9);
	assert_int_equal(get(w, PEER, "/plain", ""), 403);
	assert_int_equal(get(w, PEER, "/local", ""), 403);
	assert_int_equal(get(w, PEER, "/local", "X-My-Key: op\r\n"), 403);
	assert_int_equal(get(w, PEER, "/teams", "X-My-Key: t3\r\n"), 204);
	assert_int_equal(w->who.team, 3);
	assert_int_equal(get(w, PEER, "/teams", "X-My-Key: wrong\r\n"), 401);
	/* by whatever name, but not from a page */
	assert_int_equal(ask(w, PEER, "GET /teams HTTP/1.1\r\nHost: cp.example\r\n\r\n", NULL), 204);
	assert_int_equal(get(w, PEER, "/teams", "Origin: http://evil.example\r\n"), 403);
	/* the next one that comes is nobody again */
	assert_int_equal(get(w, TCP, "/teams", ""), 401);
}

static void t_whose(void **state)
{
	static const struct {
		const char *path, *headers;
		int status;
	} rows[] = { { "/plain", "X-My-Key: op\r\n", 204 }, { "/teams", "X-My-Key: op\r\n", 204 },
		{ "/plain", "X-My-Key: t3\r\n", 403 }, { "/plain", "Authorization: Bearer u3\r\n", 403 },
		{ "/teams", "Authorization: Bearer u3\r\n", 204 },
		/* a host is no operator, though it is nobody's */
		{ "/host", "X-Host-Token: h0\r\n", 204 }, { "/plain", "X-My-Key: h0\r\n", 403 } };
	struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(get(w, TCP, rows[i].path, rows[i].headers), rows[i].status);
		assert_int_equal(w->handled, rows[i].status == 204);
		assert_int_equal(w->admitted, rows[i].status == 204);
	}
}

static void t_open(void **state)
{
	struct world *w = *state;
	assert_int_equal(get(w, TCP, "/open", ""), 204);
	assert_int_equal(get(w, TCP, "/open", "X-My-Key: wrong\r\n"), 204);
	assert_int_equal(w->asked, 0);
	/* still not from other sites' pages */
	assert_int_equal(ask(w, TCP, "GET /open HTTP/1.1\r\nHost: evil.example\r\n\r\n", NULL), 403);
	assert_int_equal(get(w, TCP, "/open", "Origin: http://evil.example\r\n"), 403);
	assert_int_equal(w->handled + w->admitted, 0);
}

/* Asked before query and body are looked at, of those who may call it, and only where there is something to call. */
static void t_admit(void **state)
{
	struct world *w = *state;
	static const char post[] =
		"POST /refused HTTP/1.1\r\nHost: localhost\r\nX-My-Key: %s\r\nContent-Type: %s\r\nContent-Length: %s\r\n\r\n%s";
	auto_free char *good = mem_printf(post, "t3", "application/json", "2", "{}");
	auto_free char *bad = mem_printf(post, "t3", "text/plain", "2", "no");
	auto_free char *huge = mem_printf(post, "t3", "application/json", "99999999999", "");
	auto_free char *nobody = mem_printf(post, "x", "application/json", "2", "{}");
	auto_free char *query = mem_printf("POST /refused?unknown=%%zz HTTP/1.1\r\nHost: localhost\r\nX-My-Key: t3\r\n\r\n");
	auto_buf said = BUF_INIT;
	assert_int_equal(ask(w, TCP, good, &said), 409);
	assert_non_null(strstr(said.p, "\"error\":\"conflict\""));
	assert_int_equal(w->handled, 0);
	assert_int_equal(ask(w, TCP, bad, NULL), 409);
	assert_int_equal(ask(w, TCP, huge, NULL), 409);
	assert_int_equal(ask(w, TCP, query, NULL), 409);
	assert_int_equal(ask(w, TCP, nobody, NULL), 401);
	assert_int_equal(w->admitted, 0);
	assert_int_equal(get(w, TCP, "/none", "X-My-Key: t3\r\n"), 501);
	assert_int_equal(w->admitted, 0);
	assert_int_equal(get(w, TCP, "/nowhere", "X-My-Key: t3\r\n"), 404);
	assert_int_equal(w->asked + w->admitted, 0);
}

/* x-sbx-content-types: what stands where JSON is due is JSON, whatever it is called; else it is refused. */
static void t_content_types(void **state)
{
	static const char paths[] = "paths: {/p: {post: {security: [], operationId: p, requestBody: {content: {application/json: "
				    "{schema: {type: object}}}}}}}\n";
	static const struct {
		const char *type, *body;
		int strict, lax;
	} rows[] = { { "Content-Type: application/json\r\n", "{}", 204, 204 }, { "", "{}", 204, 204 },
		{ "Content-Type: text/plain\r\n", "{}", 415, 204 },
		{ "Content-Type: application/x-www-form-urlencoded\r\n", "{}", 415, 204 },
		{ "Content-Type: text/plain\r\n", "no", 415, 400 }, { "Content-Type: text/plain\r\n", "[]", 415, 400 } };
	(void)state;
	for (int lax = 0; lax < 2; lax++) {
		struct world *w = mem_zalloc(sizeof(*w));
		auto_free char *text =
			mem_printf(DOC_HEAD "x-sbx-content-types: %s\nsecurity: []\n%s", lax ? "ignore" : "refuse", paths);
		start(w, text);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			auto_free char *request = mem_printf(
				"POST /p HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 2\r\n\r\n%s", rows[i].type, rows[i].body);
			assert_int_equal(ask(w, TCP, request, NULL), lax ? rows[i].lax : rows[i].strict);
		}
		void *done = w;
		teardown(&done);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(t_where),
		TEST(t_in_the_address),
		TEST(t_tcp_needs_one),
		TEST(t_local_socket),
		TEST(t_known_peer),
		TEST(t_whose),
		TEST(t_open),
		TEST(t_admit),
		cmocka_unit_test(t_content_types),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
