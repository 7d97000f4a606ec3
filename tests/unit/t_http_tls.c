/* link: tests/unit/http_?*.c tests/unit/tls_fixture.c daemon/http/?*.c daemon/net/?*.c shared/net/?*.c shared/contract/?*.c | -luv -lmicrohttpd -lwslay -lssl -lcrypto -lpthread */
/* HTTP through a TLS pipe: the server adopts the plain end, and curl comes with the control plane's certificate. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/util.h"
#include "tests/unit/http_fixture.h"
#include "tests/unit/oracle.h"
#include "tests/unit/tls_fixture.h"

static const struct identity control = { .kind = IDENTITY_LOCAL, .role = ROLE_OWNER, .admin = true, .name = "control plane" };

struct both {
	struct fx *http;
	struct tls_world *tls;
	void *dir;
};

static int setup(void **state)
{
	struct both *b = mem_zalloc(sizeof(*b));
	b->tls = tls_world_new(); /* counts descriptors: the outer of the two */
	b->http = fx_start(30000, 90000, 2000);
	if (oracle_dir(&b->dir))
		return -1;
	oracle_write(b->dir, "ca.pem", b->tls->root.cert.p, b->tls->root.cert.len);
	oracle_write(b->dir, "control.pem", b->tls->control.cert.p, b->tls->control.cert.len);
	oracle_write(b->dir, "control.key", b->tls->control.key.p, b->tls->control.key.len);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct both *b = *state;
	fx_stop(b->http);
	tls_world_free(b->tls);
	oracle_dir_end(&b->dir);
	free(b);
	return 0;
}

/* What curl says for these arguments ($at: the operations' address); its exit code. */
static int curl(struct both *b, const char *arguments, struct buf *said)
{
	auto_buf script = BUF_INIT;
	buf_fmt(&script, "at=https://%s/t/v1\n", b->tls->address);
	buf_str(&script, "exec curl -sS --max-time 15 --cacert ca.pem --cert control.pem --key control.key ");
	buf_fmt(&script, "%s 2>&1\n", arguments);
	oracle_write(b->dir, "script", script.p, script.len);
	char shell[] = "sh", file[] = "script", *argv[] = { shell, file, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addchdir_np(&fa, b->dir);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&fa, 1, "said", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	pid_t pid;
	assert_int_equal(posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&fa);
	b->tls->s = (struct tls_end){ .plain = -1 };
	tls_until(b->tls, &b->tls->s.ready);
	int fd = b->tls->s.plain, status = 0;
	b->tls->s.plain = -1;
	assert_int_equal(fx_adopt(b->http, fd, &control), 0);
	while (waitpid(pid, &status, WNOHANG) != pid)
		tls_for(b->tls, 2);
	tls_until(b->tls, &b->tls->s.ended);
	oracle_read(b->dir, "said", said);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void t_requests(void **state)
{
	auto_buf said = BUF_INIT;
	assert_int_equal(curl(*state, "$at/operator $at/items/x", &said), 0); /* on one connection */
	assert_non_null(strstr(said.p, "\"account\":0"));
	assert_non_null(strstr(said.p, "}x"));
	assert_int_equal(curl(*state, "-o /dev/null -w '%{http_code}' $at/local", &said), 0);
	assert_string_equal(said.p, "403");
	assert_int_equal(curl(*state, "-d '{\"name\":\"n\"}' -H 'Content-Type: application/json' $at/echo", &said), 0);
	assert_string_equal(said.p, "{\"name\":\"n\"}");
	/* by another name than its address, as its certificate is the host's whatever it is called */
	assert_int_equal(curl(*state, "-H 'Host: node-1.example' $at/operator", &said), 0);
	assert_non_null(strstr(said.p, "\"account\":0"));
}

static void t_streams(void **state)
{
	auto_buf said = BUF_INIT;
	assert_int_equal(curl(*state, "\"$at/stream?n=20000000\" -o down -w '%{size_download}'", &said), 0);
	assert_string_equal(said.p, "20000000");
	assert_int_equal(curl(*state, "-T down -H 'Content-Type: application/octet-stream' $at/upload", &said), 0);
	assert_string_equal(said.p, "20000000");
	/* cut in the middle, which must not look like an end */
	assert_int_equal(curl(*state, "\"$at/stream?n=300000&mode=abort\" -o down", &said), 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(t_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(t_streams, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
