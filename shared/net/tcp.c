#include "shared/net/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BACKLOG 511

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Fill in family and address of an IP literal. */
static bool parse_ip(const char *ip, union address *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, ip, &out->v6.sin6_addr) == 1) {
		out->v6.sin6_family = AF_INET6;
		return true;
	}
	memset(out, 0, sizeof(*out));
	out->v4.sin_family = AF_INET;
	return inet_pton(AF_INET, ip, &out->v4.sin_addr) == 1;
}

static int parse(const char *text, union address *out, struct err *err)
{
	const char *colon = strrchr(text, ':');
	int64_t port = 0;
	if (!colon)
		return err_set(err, ERR_USAGE, "'%s' is no listening address: the port is missing", text);
	if (parse_int(colon + 1, "port", 0, 65535, &port, err) != 0)
		return -1;
	auto_free char *host = mem_strndup(text, (size_t)(colon - text));
	size_t n = strlen(host);
	bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
	if (bracketed)
		host[n - 1] = '\0';
	const char *ip = bracketed ? host + 1 : n == 0 || strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
	if (!parse_ip(ip, out) || bracketed != (out->any.sa_family == AF_INET6)) {
		err_set(err, ERR_USAGE, "'%s' is no listening address", text);
		return err_hint(err, "write it as 127.0.0.1:8080, [::1]:8080 or :8080");
	}
	if (bracketed)
		out->v6.sin6_port = htons((uint16_t)port);
	else
		out->v4.sin_port = htons((uint16_t)port);
	return 0;
}

/* Letters, digits, hyphens and dots, as DNS has them (RFC 1123), and underscores, which private networks have too. */
static bool is_name(const char *s)
{
	size_t n = strlen(s);
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	return n > 0 && n <= 253 && strspn(s, good) == n && s[0] != '.' && s[0] != '-' && !strstr(s, "..");
}

int tcp_split(const char *address, char **host, int *port, struct err *err)
{
	const char *colon = strrchr(address, ':');
	int64_t number = 0;
	if (!colon)
		return err_set(err, ERR_INVALID, "'%s' is no address: the port is missing", address);
	if (parse_int(colon + 1, "port", 1, 65535, &number, err) != 0)
		return -1;
	size_t n = (size_t)(colon - address);
	bool bracketed = n > 2 && address[0] == '[' && colon[-1] == ']';
	auto_free char *text = bracketed ? mem_strndup(address + 1, n - 2) : mem_strndup(address, n);
	union address ip;
	bool good = parse_ip(text, &ip) ? bracketed == (ip.any.sa_family == AF_INET6) : !bracketed && is_name(text);
	if (!good) {
		err_set(err, ERR_INVALID, "'%s' is no address", address);
		return err_hint(err, "write it as host.example:443, 10.0.0.1:443 or [::1]:443");
	}
	*host = mem_steal(&text);
	*port = (int)number;
	return 0;
}

static bool is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
	return (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127;
}

int tcp_is_loopback(const char *ip)
{
	union address a;
	return parse_ip(ip, &a) ? is_loopback(&a) : -1;
}

char *tcp_address(const char *ip, int port)
{
	return mem_printf(strchr(ip, ':') ? "[%s]:%d" : "%s:%d", ip, port);
}

static int bind_to(int fd, const char *text, const union address *a, int *port, struct err *err)
{
	int one = 1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
		return err_sys(err, errno, "cannot prepare a socket");
	socklen_t len = a->any.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
	if (bind(fd, &a->any, len) != 0 || listen(fd, BACKLOG) != 0) {
		if (errno == EADDRINUSE)
			return err_set(err, ERR_CONFLICT, "'%s' is already in use", text);
		err_sys(err, errno, "cannot listen on '%s'", text);
		return errno == EACCES ? err_hint(err, "ports below 1024 are for root") : -1;
	}
	union address bound = { .v6 = { 0 } };
	len = sizeof(bound);
	if (getsockname(fd, &bound.any, &len) != 0)
		return err_sys(err, errno, "cannot find the port of '%s'", text);
	*port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
	return 0;
}

int tcp_listen(const char *address, enum tcp_scope scope, int *port, struct err *err)
{
	union address a = { .v6 = { 0 } };
	if (parse(address, &a, err) != 0)
		return -1;
	if (scope == TCP_LOOPBACK && !is_loopback(&a)) {
		err_set(err, ERR_FORBIDDEN, "'%s' is not on loopback", address);
		return err_hint(err, "listen on 127.0.0.1 and reach it through ssh");
	}
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "cannot make a socket");
	if (bind_to(fd, address, &a, port, err) == 0)
		return fd;
	close(fd);
	return -1;
}
