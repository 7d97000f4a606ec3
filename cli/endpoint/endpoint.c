#include "cli/endpoint/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/endpoint/start.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/sock.h"

#define CONNECT_SECONDS 10

static int bad_address(const char *text, struct err *err)
{
	err_set(err, ERR_USAGE, "'%s' is no endpoint", text);
	return err_hint(err, "write unix:PATH or http://HOST:PORT");
}

static int parse_http(const char *text, struct endpoint *out, struct err *err)
{
	const char *host = text + strlen("http://");
	size_t len = strcspn(host, "/");
	if (host[len] == '/' && host[len + 1] != '\0')
		return bad_address(text, err);
	auto_free char *address = mem_strndup(host, len);
	char *colon = strrchr(address, ':');
	const char *port = "80";
	if (colon && !strchr(colon, ']')) {
		*colon = '\0';
		port = colon + 1;
	}
	char *name = address;
	size_t n = strlen(name);
	if (n > 1 && name[0] == '[' && name[n - 1] == ']') {
		name[n - 1] = '\0';
		name++;
	}
	int64_t number;
	if (*name == '\0' || parse_int(port, "port", 1, 65535, &number, NULL))
		return bad_address(text, err);
	out->tcp = true;
	out->host = mem_strdup(name);
	out->port = mem_strdup(port);
	out->authority = mem_printf(strchr(name, ':') ? "[%s]:%s" : "%s:%s", name, port);
	out->shown = mem_strdup(text);
	return 0;
}

int endpoint_resolve(const char *host, const char *api_key, struct endpoint *out, struct err *err)
{
	*out = (struct endpoint){ .api_key = api_key ? api_key : getenv("SBX_API_KEY"), .base_path = mem_strdup("") };
	if (out->api_key && out->api_key[strcspn(out->api_key, "\r\n")] != '\0')
		return err_set(err, ERR_USAGE, "the API key holds a line break");
	if (out->api_key && *out->api_key == '\0')
		out->api_key = NULL;
	const char *text = host ? host : getenv("SBX_HOST");
	if (text && str_starts(text, "http://"))
		return parse_http(text, out, err);
	if (text && *text) {
		if (!str_starts(text, "unix:") || text[5] == '\0')
			return bad_address(text, err);
		out->path = mem_strdup(text + 5);
		out->authority = mem_strdup("sbx");
		out->shown = mem_strdup(text);
		return 0;
	}
	out->home = fs_sbx_home(err);
	if (!out->home)
		return -1;
	out->managed = true;
	out->authority = mem_strdup("sbx");
	out->path = fs_join(out->home, "sbxd.sock");
	out->shown = mem_printf("unix:%s", out->path);
	return 0;
}

void endpoint_free(struct endpoint *ep)
{
	free(ep->home);
	free(ep->path);
	free(ep->host);
	free(ep->port);
	free(ep->authority);
	free(ep->base_path);
	free(ep->shown);
	*ep = (struct endpoint){ 0 };
}

static int refused(const struct endpoint *ep, int sys, struct err *err)
{
	err_set(err, ERR_UNAVAILABLE, "cannot reach the daemon at '%s': %s", ep->shown, strerror(sys));
	if (err)
		err->sys = sys;
	return ep->managed ? -1 : err_hint(err, "start the daemon there: sbx up");
}

/* connect(2) gets a time limit from SO_SNDTIMEO; afterwards the descriptor is non-blocking and it has no effect. */
static int finish_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct timeval limit = { .tv_sec = CONNECT_SECONDS };
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -1;
	while (connect(fd, addr, len)) {
		if (errno == EAGAIN || errno == EINPROGRESS)
			errno = ETIMEDOUT;
		if (errno != EINTR)
			return -1;
	}
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -1 : 0;
}

static int connect_unix(const struct endpoint *ep, struct err *err)
{
	auto_fd int dir = -1;
	struct sockaddr_un addr;
	struct err why = ERR_INIT;
	if (sock_address(ep->path, &addr, &dir, &why))
		return refused(ep, why.sys ? why.sys : EINVAL, err);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refused(ep, errno, err);
	if (finish_connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int sys = errno;
		close(fd);
		return refused(ep, sys, err);
	}
	return fd;
}

static int connect_tcp(const struct endpoint *ep, struct err *err)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	int rc = getaddrinfo(ep->host, ep->port, &want, &list);
	if (rc)
		return err_set(err, ERR_UNAVAILABLE, "cannot find host '%s': %s", ep->host, gai_strerror(rc));
	int fd = -1, sys = 0;
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && finish_connect(fd, a->ai_addr, a->ai_addrlen)) {
			sys = errno;
			close(fd);
			fd = -1;
		} else if (fd < 0) {
			sys = errno;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		return refused(ep, sys, err);
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* only for speed */
	return fd;
}

int endpoint_connect(const struct endpoint *ep, struct err *err)
{
	return ep->tcp ? connect_tcp(ep, err) : connect_unix(ep, err);
}

static bool nobody_listens(const struct err *err)
{
	return err->sys == ENOENT || err->sys == ECONNREFUSED;
}

int endpoint_connect_or_start(const struct endpoint *ep, struct err *err)
{
	struct err why = ERR_INIT;
	int fd = endpoint_connect(ep, &why);
	if (fd >= 0 || !ep->managed || !nobody_listens(&why)) {
		if (fd < 0 && err)
			*err = why;
		return fd;
	}
	auto_fd int lock = start_lock(ep->home, err);
	if (lock < 0)
		return -1;
	/* whoever held the lock before us may have started it */
	fd = endpoint_connect(ep, &why);
	if (fd >= 0)
		return fd;
	if (!nobody_listens(&why)) {
		if (err)
			*err = why;
		return -1;
	}
	return start_daemon(ep->home, err) ? -1 : endpoint_connect(ep, err);
}
