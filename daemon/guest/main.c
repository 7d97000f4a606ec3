/*
 * sbx-agent: PID 1 of a VM, or there a service of systemd (--guest), or (--fd, --connect, --listen) an ordinary process that
 * serves the same protocol on a socket, for tests and the bench. Under the name modprobe it loads a kernel module.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/modules.h"
#include "shared/base/util.h"
#include "shared/base/version.h"

static const char usage[] = "usage: sbx-agent --guest | --fd N | --connect SOCKET | --listen SOCKET | --version\n";

static int open_socket(const char *path, bool listening)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path, path, strlen(path));
	if (listening ? bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8)
		      : connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -1;
	return fd;
}

/* As an ordinary process. */
static int attach(struct agent *a, const char *how, const char *arg)
{
	int64_t n;
	int fd;

	/* descriptors 0 to 2 must be taken: children get theirs by dup2 */
	do
		fd = open("/dev/null", O_RDWR); /* lint: allow, it is to be inherited */
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!strcmp(how, "--listen")) {
		fd = open_socket(arg, true);
		return fd < 0 ? -1 : conn_listen(a, fd);
	}
	if (!strcmp(how, "--connect")) {
		fd = open_socket(arg, false);
		return fd < 0 ? -1 : conn_open(a, fd, true);
	}
	if (strcmp(how, "--fd") || parse_int(arg, "descriptor", 0, INT32_MAX, &n, NULL)) {
		errno = EINVAL;
		return -1;
	}
	if (fcntl((int)n, F_SETFD, FD_CLOEXEC) || fcntl((int)n, F_SETFL, O_RDWR | O_NONBLOCK))
		return -1;
	return conn_open(a, (int)n, true);
}

/* What runs when we end goes on: a service that is started again must not take the commands with it. */
static int serve_guest(bool init)
{
	struct agent a = { .guest = true, .init = init };
	int fd = init ? setup_guest() : setup_service();

	if (fd < 0 || loop_init(&a) || conn_open(&a, fd, false))
		return 1;
	if (!init)
		conn_begin_anew(&a);
	loop_run(&a);
	return init;
}

static int as_init(void)
{
	if (!setup_is_initramfs())
		return serve_guest(true);
	setup_initramfs();
	return 1;
}

int main(int argc, char **argv)
{
	struct agent a = { 0 };

	if (getpid() == 1) {
		int r = as_init();

		sleep(2); /* the kernel panics when PID 1 ends: let the console take the words before */
		return r;
	}
	if (modules_is_modprobe(argv[0]))
		return modules_modprobe(argc, argv);
	if (argc == 2 && !strcmp(argv[1], "--guest"))
		return serve_guest(false);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("sbx-agent %s\n", sbx_version);
		return 0;
	}
	if (argc != 3) {
		fputs(usage, stderr);
		return 2;
	}
	if (loop_init(&a) || attach(&a, argv[1], argv[2])) {
		fprintf(stderr, "sbx-agent: cannot use %s %s: %s\n", argv[1], argv[2], strerror(errno));
		return 1;
	}
	loop_run(&a);
	proc_kill_all(&a);
	return 0;
}
