/* link: tests/unit/tls_fixture.c daemon/net/?*.c shared/net/ca.c shared/net/http1.c shared/net/tcp.c | -luv -lssl -lcrypto -lpthread */
/* tls_pipe: who may come to whom, connections that come to nothing, and OpenSSL's own programs at the other end. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"
#include "tests/unit/oracle.h"
#include "tests/unit/tls_fixture.h"

/* ---- who is who ---- */

static void t_wrong_authority(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem other = CA_PEM_INIT;
	ca_free(ca_new(&other, NULL));
	tls_come_as(w, other.cert.p, &w->control);
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_broken(w, &w->c, ERR_FORBIDDEN, "is not trusted");
	tls_broken(w, &w->s, ERR_FORBIDDEN, "does not take our certificate");
	assert_false(w->c.ready || w->s.ready);
}

static void t_wrong_client_authority(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem made = CA_PEM_INIT;
	auto_ca_pem pair = CA_PEM_INIT;
	struct ca *other = ca_new(&made, NULL);
	assert_int_equal(ca_issue_control(other, 60, &pair, NULL), 0);
	ca_free(other);
	tls_come_as(w, w->root.cert.p, &pair);
	tls_start(w, &w->c, NULL, TLS_HOST);
	/* it may be writing when it hears */
	tls_say(w, w->c.plain, "too early", 9);
	tls_broken(w, &w->s, ERR_FORBIDDEN, "is not trusted");
	tls_broken(w, &w->c, ERR_FORBIDDEN, "does not take our certificate");
	assert_false(w->s.ready);
}

static void t_wrong_name(void **state)
{
	struct tls_world *w = *state;
	tls_start(w, &w->c, NULL, "host-8");
	tls_broken(w, &w->c, ERR_FORBIDDEN, "is not 'host-8': its certificate is for 'host-7'");
	tls_until(w, &w->s.ended);
	assert_true(w->s.broken);
	assert_false(w->c.ready || w->s.ready);
}

static void t_wrong_client_name(void **state)
{
	struct tls_world *w = *state;
	w->client_name = "somebody-else";
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_broken(w, &w->s, ERR_FORBIDDEN, "is not 'somebody-else': its certificate is for 'sbx-control'");
	tls_until(w, &w->c.ended);
	assert_true(w->c.broken);
	assert_false(w->s.ready);
}

/* A host that calls itself as the control plane is called has a certificate to serve with all the same. */
static void t_wrong_purpose(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem pair = CA_PEM_INIT;
	assert_int_equal(ca_issue_host(w->ca, CA_CONTROL_NAME, w->address, 60, &pair, NULL), 0);
	tls_come_as(w, w->root.cert.p, &pair);
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_broken(w, &w->s, ERR_FORBIDDEN, "purpose");
	tls_until(w, &w->c.ended);
	/* and the other way round */
	struct tls_end end = { .plain = -1 };
	close(w->s.plain);
	w->s = (struct tls_end){ .plain = -1 };
	tls_serve_as(w, w->root.cert.p, &w->control);
	tls_come_as(w, w->root.cert.p, &w->control);
	tls_start(w, &end, NULL, CA_CONTROL_NAME);
	tls_broken(w, &end, ERR_FORBIDDEN, "purpose");
	close(end.plain);
}

static void t_expired(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem pair = CA_PEM_INIT;
	assert_int_equal(ca_issue_host(w->ca, TLS_HOST, w->address, -60, &pair, NULL), 0);
	tls_serve_as(w, w->root.cert.p, &pair);
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_broken(w, &w->c, ERR_FORBIDDEN, "certificate has expired");
	assert_non_null(strstr(w->c.why.hint, "clock"));
	tls_broken(w, &w->s, ERR_FORBIDDEN, "does not take our certificate");
}

static void t_expired_client(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem pair = CA_PEM_INIT;
	assert_int_equal(ca_issue_control(w->ca, -60, &pair, NULL), 0);
	tls_come_as(w, w->root.cert.p, &pair);
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_broken(w, &w->s, ERR_FORBIDDEN, "certificate has expired");
	tls_broken(w, &w->c, ERR_FORBIDDEN, "does not take our certificate");
}

static void t_no_client_certificate(void **state)
{
	struct tls_world *w = *state;
	tls_come_as(w, w->root.cert.p, NULL);
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_broken(w, &w->s, ERR_FORBIDDEN, "has no certificate");
	tls_broken(w, &w->c, ERR_FORBIDDEN, "does not take our certificate");
	assert_false(w->s.ready);
}

/* Not asked for: a server without an authority. */
static void t_anybody(void **state)
{
	struct tls_world *w = *state;
	char got[2];
	tls_serve_as(w, NULL, &w->host);
	tls_come_as(w, w->root.cert.p, NULL);
	w->client_name = NULL;
	tls_join(w);
	assert_string_equal(w->s.peer.cn, "");
	tls_say(w, w->c.plain, "hi", 2);
	assert_int_equal(tls_hear(w, w->s.plain, got, 2), 2);
}

/* Without a name it is the address that has to be right. */
static void t_address(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem pair = CA_PEM_INIT;
	struct tls_end end = { .plain = -1 };
	w->accept = &end;
	tls_start(w, &w->c, NULL, NULL);
	tls_until(w, &w->c.ready);
	tls_until(w, &end.ready);
	tls_pipe_cut(end.pipe);
	close(end.plain);
	close(w->c.plain);
	tls_until(w, &w->c.ended);
	w->accept = &w->s;
	w->c = (struct tls_end){ .plain = -1 };
	assert_int_equal(ca_issue_host(w->ca, TLS_HOST, "10.0.0.1:1", 60, &pair, NULL), 0);
	tls_serve_as(w, w->root.cert.p, &pair);
	tls_start(w, &w->c, NULL, NULL);
	tls_broken(w, &w->c, ERR_FORBIDDEN, "IP address mismatch");
}

static void t_renew(void **state)
{
	struct tls_world *w = *state;
	auto_ca_pem pair = CA_PEM_INIT;
	struct err err = ERR_INIT;
	struct tls_end c = { .plain = -1 }, s = { .plain = -1 };
	char hex[CA_HEX + 1], got[4];
	tls_join(w);
	assert_int_equal(ca_issue_host(w->ca, TLS_HOST, w->address, 60, &pair, NULL), 0);
	struct tls_pem pem = { w->root.cert.p, pair.cert.p, w->host.key.p };
	assert_int_equal(tls_ctx_renew(w->server, &pem, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	pem.key = pair.key.p;
	assert_int_equal(tls_ctx_renew(w->server, &pem, &err), 0);
	w->accept = &s;
	tls_start(w, &c, NULL, TLS_HOST);
	tls_until(w, &c.ready);
	tls_until(w, &s.ready);
	assert_int_equal(ca_fingerprint(pair.cert.p, hex, NULL), 0);
	assert_string_equal(c.peer.fingerprint, hex);
	assert_string_not_equal(w->c.peer.fingerprint, hex);
	/* the old one goes on */
	tls_say(w, w->c.plain, "old", 3);
	assert_int_equal(tls_hear(w, w->s.plain, got, 3), 3);
	tls_pipe_cut(c.pipe);
	tls_until(w, &s.ended);
	close(c.plain);
	close(s.plain);
}

static void t_bad_pem(void **state)
{
	struct tls_world *w = *state;
	struct err err = ERR_INIT;
	const char *root = w->root.cert.p, *cert = w->host.cert.p, *key = w->host.key.p;
	auto_free char *damaged = mem_printf("%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", root);
	const struct tls_pem pems[] = { { "", cert, key }, { root, "", key }, { root, cert, "" }, { key, cert, key },
		{ root, cert, w->control.key.p }, { damaged, cert, key } };
	for (size_t i = 0; i < ARRAY_LEN(pems); i++) {
		assert_null(tls_ctx_new(&pems[i], &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	/* two authorities, as while one takes the other's place */
	auto_ca_pem other = CA_PEM_INIT;
	ca_free(ca_new(&other, NULL));
	auto_free char *both = mem_printf("%s%s", other.cert.p, root);
	tls_come_as(w, both, &w->control);
	tls_join(w);
	tls_ctx_free(NULL);
}

/* ---- connections that come to nothing ---- */

static void t_refused(void **state)
{
	struct tls_world *w = *state;
	int port = 0;
	int fd = tcp_listen("127.0.0.1:0", TCP_LOOPBACK, &port, NULL);
	close(fd);
	auto_free char *address = tcp_address("127.0.0.1", port);
	tls_start(w, &w->c, address, TLS_HOST);
	tls_broken(w, &w->c, ERR_UNAVAILABLE, "connection refused");
	assert_non_null(strstr(w->c.why.msg, address));
}

static void t_names(void **state)
{
	struct tls_world *w = *state;
	auto_free char *address = mem_printf("localhost:%d", w->port);
	tls_start(w, &w->c, address, TLS_HOST); /* ::1 comes first in some places, and is refused */
	tls_until(w, &w->c.ready);
	struct tls_end c = { .plain = -1 };
	tls_start(w, &c, "no-such-host.invalid:443", TLS_HOST);
	tls_until(w, &c.ended);
	assert_true(c.why.code == ERR_UNAVAILABLE || c.why.code == ERR_TIMEOUT);
	close(c.plain);
}

static void t_bad_address(void **state)
{
	struct tls_world *w = *state;
	struct err err = ERR_INIT;
	int pair[2];
	char byte;
	const struct tls_pipe_spec spec = { .ctx = w->client, .peer = TLS_HOST };
	assert_int_equal(tls_pipe_pair(pair, &err), 0);
	assert_null(tls_pipe_connect(&w->loop, &spec, "nowhere", pair[0], &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(read(pair[1], &byte, 1), 0); /* it had taken the other */
	close(pair[1]);
}

/* Somebody listens and never says a word. */
static void t_silent_server(void **state)
{
	struct tls_world *w = *state;
	int port = 0, fd = tcp_listen("127.0.0.1:0", TCP_LOOPBACK, &port, NULL);
	auto_free char *address = tcp_address("127.0.0.1", port);
	w->limit_ms = 150;
	int64_t start = clock_mono_ms();
	tls_start(w, &w->c, address, TLS_HOST);
	tls_broken(w, &w->c, ERR_TIMEOUT, "took too long");
	assert_in_range(clock_mono_ms() - start, 140, 1500);
	close(fd);
}

static void t_cut(void **state)
{
	struct tls_world *w = *state;
	struct tls_end c = { .plain = -1 };
	char byte;
	tls_start(w, &c, NULL, TLS_HOST);
	tls_pipe_cut(c.pipe); /* while it dials */
	assert_int_equal(tls_hear(w, c.plain, &byte, 1), 0);
	close(c.plain);
	c = (struct tls_end){ .plain = -1 };
	tls_start(w, &c, "localhost:9", TLS_HOST);
	tls_for(w, 0);
	if (c.pipe)
		tls_pipe_cut(c.pipe); /* while it looks the name up, perhaps */
	close(c.plain);
	tls_for(w, 20);
	assert_false(c.ready);
	w->c.cut_when_ready = true; /* from inside its callback */
	tls_start(w, &w->c, NULL, TLS_HOST);
	tls_until(w, &w->c.ready);
	tls_until(w, &w->s.ended);
	assert_true(w->s.broken);
	assert_false(w->c.ended);
}

/* ---- OpenSSL's programs ---- */

struct program {
	pid_t pid;
	int in, out; /* pipes to and from it */
};

static void start_program(const char *dir, struct program *p, const char *words)
{
	auto_free char *text = mem_strdup(words);
	char *argv[32], *next = text, *save;
	size_t n = 0;
	for (; n + 1 < ARRAY_LEN(argv) && (argv[n] = strtok_r(next, " ", &save)); n++)
		next = NULL;
	argv[n] = NULL;
	int in[2], out[2];
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_t fa;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addchdir_np(&fa, dir);
	posix_spawn_file_actions_adddup2(&fa, in[0], 0);
	posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	posix_spawn_file_actions_addopen(&fa, 2, "stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(posix_spawnp(&p->pid, argv[0], &fa, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&fa);
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
	assert_int_equal(fcntl(p->out, F_SETFL, O_NONBLOCK), 0);
}

static void end_program(struct program *p)
{
	if (p->in >= 0)
		close(p->in);
	close(p->out);
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
}

/* What it says, until there is this text; the rest comes another time. */
static void hear_program(struct tls_world *w, struct program *p, struct buf *out, const char *text)
{
	while (!strstr(out->p, text)) {
		char block[4096];
		ssize_t n = read(p->out, block, sizeof(block));
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		if (n > 0)
			buf_add(out, block, (size_t)n);
		else
			tls_for(w, 5);
	}
}

static char *pem_dir(struct tls_world *w)
{
	void *dir = NULL;
	assert_int_equal(oracle_dir(&dir), 0);
	oracle_write(dir, "ca.pem", w->root.cert.p, w->root.cert.len);
	oracle_write(dir, "host.pem", w->host.cert.p, w->host.cert.len);
	oracle_write(dir, "host.key", w->host.key.p, w->host.key.len);
	oracle_write(dir, "control.pem", w->control.cert.p, w->control.cert.len);
	oracle_write(dir, "control.key", w->control.key.p, w->control.key.len);
	return dir;
}

static void t_s_client(void **state)
{
	struct tls_world *w = *state;
	auto_free char *dir = pem_dir(w);
	auto_free char *words =
		mem_printf("openssl s_client -quiet -no_ign_eof -connect %s -CAfile ca.pem -cert control.pem -key control.key"
			   " -verify_return_error -verify_ip 127.0.0.1",
			w->address);
	auto_buf said = BUF_INIT;
	struct program p;
	char got[16];
	start_program(dir, &p, words);
	tls_until(w, &w->s.ready);
	assert_string_equal(w->s.peer.cn, CA_CONTROL_NAME);
	assert_int_equal(write(p.in, "hello\n", 6), 6);
	assert_int_equal(tls_hear(w, w->s.plain, got, 6), 6);
	assert_memory_equal(got, "hello\n", 6);
	auto_free char *answer = mem_array(300001, 1);
	memset(answer, 'z', 300000);
	answer[299999] = '!';
	for (size_t at = 0; at < 300000;) {
		size_t n = 300000 - at < 10000 ? 300000 - at : 10000;
		tls_say(w, w->s.plain, answer + at, n);
		at += n;
	}
	hear_program(w, &p, &said, "!");
	assert_int_equal(said.len, 300000);
	shutdown(w->s.plain, SHUT_WR);
	tls_until(w, &w->s.ended); /* it ends, with or without a close_notify of its own */
	end_program(&p);
	fs_remove_tree(dir, NULL);
}

static void t_s_server(void **state)
{
	struct tls_world *w = *state;
	auto_free char *dir = pem_dir(w);
	auto_buf said = BUF_INIT;
	struct program p;
	char got[16];
	start_program(dir, &p,
		"openssl s_server -accept 127.0.0.1:0 -cert host.pem -key host.key -CAfile ca.pem -Verify 1 -verify_return_error "
		"-rev");
	hear_program(w, &p, &said, "\n");
	const char *port = strstr(said.p, "ACCEPT 127.0.0.1:");
	while (!port) {
		buf_clear(&said);
		hear_program(w, &p, &said, "\n");
		port = strstr(said.p, "ACCEPT 127.0.0.1:");
	}
	auto_free char *address = mem_printf("127.0.0.1:%d", (int)strtol(port + strlen("ACCEPT 127.0.0.1:"), NULL, 10));
	tls_start(w, &w->c, address, TLS_HOST);
	tls_until(w, &w->c.ready);
	tls_say(w, w->c.plain, "abcdef\n", 7);
	assert_int_equal(tls_hear(w, w->c.plain, got, 7), 7);
	assert_memory_equal(got, "fedcba\n", 7);
	shutdown(w->c.plain, SHUT_WR);
	assert_int_equal(tls_hear(w, w->c.plain, got, 1), 0);
	tls_until(w, &w->c.ended);
	end_program(&p);
	fs_remove_tree(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TLS_TEST(t_wrong_authority),
		TLS_TEST(t_wrong_client_authority),
		TLS_TEST(t_wrong_name),
		TLS_TEST(t_wrong_client_name),
		TLS_TEST(t_wrong_purpose),
		TLS_TEST(t_expired),
		TLS_TEST(t_expired_client),
		TLS_TEST(t_no_client_certificate),
		TLS_TEST(t_anybody),
		TLS_TEST(t_address),
		TLS_TEST(t_renew),
		TLS_TEST(t_bad_pem),
		TLS_TEST(t_refused),
		TLS_TEST(t_names),
		TLS_TEST(t_bad_address),
		TLS_TEST(t_silent_server),
		TLS_TEST(t_cut),
		TLS_TEST(t_s_client),
		TLS_TEST(t_s_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
