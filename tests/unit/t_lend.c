/* link: tests/unit/carry_kit.c daemon/core/[a-z]*.c daemon/vm/[a-z]*.c daemon/image/[a-z]*.c daemon/notify/[a-z]*.c daemon/net/[a-z]*.c daemon/db/[a-z]*.c shared/wire/[a-z]*.c shared/net/[a-z]*.c shared/store/[a-z]*.c | -luv -lsqlite3 -lssl -lcrypto -lcrypt -llz4 -lzstd -lpthread -l:libarchive.a -l:libz.a -l:libzstd.a -l:liblzma.a -l:libbz2.a -l:libnettle.a -l:libext2fs.a -l:libcom_err.a */
/* An agent that is lent: whose it is meanwhile, and who has it when. Its VM is a process that does nothing, and a socket. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon/core/lend.h"
#include "daemon/vm/vm.h"
#include "tests/unit/carry_box.h"

struct lent {
	struct carry_kit *k;
	struct sandbox *sb;
	pid_t pid;
	int listener, own, agent, client; /* own: the far end of the sandbox's own link; client: of whoever borrows */
};

/* A sandbox of this host's that runs. */
static void setup_lent(struct lent *l, struct carry_kit *k)
{
	char *none[] = { NULL };
	struct err err = ERR_INIT;
	*l = (struct lent){ .k = k, .own = -1, .agent = -1, .client = -1 };
	const struct db_sandbox row = { .id = (char *)(uintptr_t) "aaaaaaaaaaaa",
		.image = (char *)(uintptr_t) "base",
		.state = (char *)(uintptr_t) "running",
		.env = none,
		.labels = none,
		.layers = none,
		.host = HOST_CONTROL };
	struct db_sandbox copy = { .id = mem_strdup(row.id), .image = mem_strdup("base"), .state = mem_strdup("running") };
	copy.env = copy_list(NULL);
	copy.labels = copy_list(NULL);
	copy.layers = copy_list(NULL);
	copy.host = HOST_CONTROL;
	assert_int_equal(db_sandbox_insert(k->core->db, &row, &err), 0);
	l->sb = sandbox_load(k->core, &copy, SANDBOX_RUNNING);
	assert_int_equal(fs_mkdirs(l->sb->dir, 0700, &err), 0);
	auto_free char *log = fs_join(l->sb->dir, "events.log");
	l->sb->log = eventlog_new(log);
	l->pid = fork();
	assert_true(l->pid >= 0);
	if (l->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	l->sb->vm = vm_adopt(&k->loop, l->sb->dir, l->pid, proc_start_time(l->pid), sandbox_vm_ended, l->sb, &err);
	assert_non_null(l->sb->vm);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_free char *path = vm_agent_socket(l->sb->dir);
	str_copy(at.sun_path, sizeof(at.sun_path), path);
	l->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(l->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(l->listener, 4), 0);
}

static void teardown_lent(struct lent *l)
{
	sandbox_unload(l->sb);
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	const int fds[] = { l->listener, l->own, l->agent, l->client };
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	carry_kit_turn(l->k);
}

/* Somebody connects to the agent: within a second, or -1. */
static int accepted(struct lent *l)
{
	for (int64_t end = clock_mono_ms() + 1000; clock_mono_ms() < end; uv_sleep(2)) {
		int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			return fd;
		carry_kit_turn(l->k);
	}
	return -1;
}

/* The next n bytes that come, as text. */
static void comes(struct lent *l, int fd, const char *want)
{
	char got[64] = "";
	size_t n = 0;
	for (int64_t end = clock_mono_ms() + 1000; n < strlen(want) && clock_mono_ms() < end;) {
		carry_kit_turn(l->k);
		ssize_t r = read(fd, got + n, strlen(want) - n);
		n += r > 0 ? (size_t)r : 0;
	}
	assert_string_equal(got, want);
}

static bool ended(struct lent *l, int fd)
{
	char bytes[256];
	for (int64_t end = clock_mono_ms() + 1000; clock_mono_ms() < end; uv_sleep(2)) {
		ssize_t n = 1;
		carry_kit_turn(l->k);
		while (n > 0)
			n = read(fd, bytes, sizeof(bytes));
		if (n == 0)
			return true;
	}
	return false;
}

static void own_link(struct lent *l)
{
	struct err err = ERR_INIT;
	assert_int_equal(sandbox_open_link(l->sb, false, &err), 0);
	l->own = accepted(l);
	assert_true(l->own >= 0);
}

static void borrow(struct lent *l, const char *early)
{
	struct err err = ERR_INIT;
	int ends[2];
	int fd = lend_connect(l->sb, &err);
	assert_true(fd >= 0);
	l->agent = accepted(l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	l->client = ends[0];
	lend_begin(l->sb, fd, ends[1], early, strlen(early));
}

static void t_lend(void **state)
{
	struct lent l;
	struct err err = ERR_INIT;
	setup_lent(&l, *state);
	own_link(&l);
	assert_int_equal(sandbox_usable(l.sb, NULL), 0);
	borrow(&l, "hello");
	assert_true(ended(&l, l.own));
	assert_int_equal(sandbox_usable(l.sb, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	comes(&l, l.agent, "hello");
	assert_int_equal(write(l.agent, "back", 4), 4);
	comes(&l, l.client, "back");
	assert_int_equal(write(l.client, "and on", 6), 6);
	comes(&l, l.agent, "and on");
	/* who asks anew gets it anew */
	int agent = l.agent, client = l.client;
	borrow(&l, "");
	assert_true(ended(&l, client));
	assert_true(ended(&l, agent));
	close(agent);
	close(client);
	/* he leaves: it is ours again */
	close(l.client);
	l.client = -1;
	assert_true(ended(&l, l.agent));
	close(l.agent);
	l.agent = -1;
	close(l.own);
	l.own = accepted(&l);
	assert_true(l.own >= 0);
	assert_int_equal(sandbox_usable(l.sb, NULL), 0);
	teardown_lent(&l);
}

static void t_refused(void **state)
{
	struct lent l;
	setup_lent(&l, *state);
	for (enum sandbox_state s = SANDBOX_CREATING; s < SANDBOX_STATES; s++) {
		struct err err = ERR_INIT;
		if (s == SANDBOX_RUNNING)
			continue;
		l.sb->state = s;
		assert_int_equal(lend_connect(l.sb, &err), -1);
		assert_int_equal(err.code, ERR_STATE);
	}
	l.sb->state = SANDBOX_RUNNING;
	struct err err = ERR_INIT;
	auto_free char *path = vm_agent_socket(l.sb->dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(lend_connect(l.sb, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	lend_end(l.sb); /* nothing is lent */
	teardown_lent(&l);
}

/* Between the two it was paused, and is being resumed: its launch keeps its link. */
static void t_too_late(void **state)
{
	struct lent l;
	struct err err = ERR_INIT;
	int ends[2];
	setup_lent(&l, *state);
	int fd = lend_connect(l.sb, &err);
	l.agent = accepted(&l);
	own_link(&l);
	l.sb->state = SANDBOX_RESUMING;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	l.client = ends[0];
	lend_begin(l.sb, fd, ends[1], "x", 1);
	assert_true(ended(&l, l.client));
	assert_true(ended(&l, l.agent));
	assert_non_null(l.sb->link);
	assert_null(l.sb->lent);
	teardown_lent(&l);
}

static void on_stop(void *arg, struct sandbox *sb, const struct err *err)
{
	struct told *t = arg;
	(void)sb;
	tell(t, err);
}

/* A stop asks the guest, which nobody else can then. */
static void t_stop(void **state)
{
	struct lent l;
	struct err err = ERR_INIT;
	struct told stopped = { 0 };
	setup_lent(&l, *state);
	borrow(&l, "");
	assert_int_equal(sandbox_stop(l.sb, false, on_stop, &stopped, &err), 0);
	assert_true(ended(&l, l.client));
	assert_true(ended(&l, l.agent));
	l.own = accepted(&l);
	assert_true(l.own >= 0);
	carry_kit_turn(l.k);
	assert_int_equal(stopped.n, 0);
	assert_int_equal(sandbox_state(l.sb), SANDBOX_STOPPING);
	assert_non_null(l.sb->configure);
	teardown_lent(&l);
	told(&stopped, ERR_UNAVAILABLE);
}

/* The sandbox is unloaded, or removed, while it is lent. */
static void t_unload(void **state)
{
	struct lent l;
	setup_lent(&l, *state);
	borrow(&l, "bye");
	int client = l.client, agent = l.agent;
	l.client = l.agent = -1;
	struct carry_kit *k = l.k;
	teardown_lent(&l);
	l.k = k;
	assert_true(ended(&l, client));
	assert_true(ended(&l, agent));
	close(client);
	close(agent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CARRY_TEST(t_lend),
		CARRY_TEST(t_refused),
		CARRY_TEST(t_too_late),
		CARRY_TEST(t_stop),
		CARRY_TEST(t_unload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
