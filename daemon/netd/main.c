/*
 * sbx-net: the network of one virtual machine. The daemon starts one for each sandbox with --net, with one end of a
 * socket pair whose other end is QEMU's `-netdev socket,fd=N`; it ends when QEMU does. It is a process of its own
 * because it holds a guest's hands: see filter.h for what it must not let through and jail.h for what it may do itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/netd/allow.h"
#include "daemon/netd/jail.h"
#include "daemon/netd/nat.h"
#include "shared/base/log.h"
#include "shared/base/util.h"
#include "shared/base/version.h"

static const char usage[] = "usage: sbx-net --fd N [--allow HOST[:PORT],...]\n\n"
			    "Gives one virtual machine user-mode networking. N is a connected Unix stream socket that\n"
			    "speaks QEMU's framing (-netdev socket,fd=). Started by sbxd; ends when the peer closes.\n"
			    "With --allow it reaches these destinations only: names, *.names, addresses, networks.\n";

static int check_socket(int fd, struct err *err)
{
	int domain = 0, type = 0;
	socklen_t n = sizeof(domain), m = sizeof(type);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m))
		return err_sys(err, errno, "descriptor %d is not a socket", fd);
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return err_set(err, ERR_USAGE, "descriptor %d is not a unix stream socket", fd);
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return err_sys(err, errno, "cannot prepare descriptor %d", fd);
	return 0;
}

static int serve(int64_t wanted, struct allow *allow, struct err *err)
{
	if (check_socket((int)wanted, err))
		return -1;
	int fd = jail_close_others((int)wanted, err);
	if (fd < 0 || jail_enter(err))
		return -1;
	return nat_run(fd, allow, err);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "fd", required_argument, NULL, 'f' }, { "allow", required_argument, NULL, 'a' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' }, { 0 } };
	struct err err = ERR_INIT;
	int64_t fd = -1;
	const char *rules = NULL;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
	for (int c = 0; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'h' || c == 'V')
			return puts(c == 'h' ? usage : sbx_version) < 0;
		if (c == 'a') {
			rules = optarg;
			continue;
		}
		if (c != 'f' || parse_int(optarg, "descriptor", 3, INT_MAX, &fd, &err)) {
			fprintf(stderr, "%s%s%s", err.msg, err.msg[0] ? "\n" : "", usage);
			return 2;
		}
	}
	if (fd < 0 || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	log_init_from_env();
	signal(SIGPIPE, SIG_IGN);
	struct allow *allow = rules ? allow_new(rules, &err) : NULL;
	int rc = rules && !allow ? -1 : serve(fd, allow, &err);
	if (rc)
		log_error("net", "%s", err.msg);
	allow_free(allow);
	return rc != 0;
}
