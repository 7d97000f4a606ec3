#include "cli/endpoint/proxy.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/endpoint/tcp.h"
#include "shared/base/b64.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define HEAD_MAX ((size_t)8192)
#define ANSWER_MS 20000

static const char *variable(const char *lower, const char *upper)
{
	const char *v = getenv(lower);
	if (!v || !*v)
		v = getenv(upper);
	return v && *v ? v : NULL;
}

static bool same_host(const char *word, size_t n, const char *host)
{
	size_t len = strlen(host);
	while (n && *word == '.') {
		word++;
		n--;
	}
	if (n > 1 && word[0] == '[' && word[n - 1] == ']') {
		word++;
		n -= 2;
	}
	if (n == 0 || n > len || strncasecmp(host + (len - n), word, n) != 0)
		return false;
	return n == len || host[len - n - 1] == '.';
}

bool proxy_excluded(const char *list, const char *host, const char *port)
{
	for (const char *s = list; *s;) {
		s += strspn(s, ", \t");
		size_t n = strcspn(s, ", \t"), name = n;
		if (n == 1 && *s == '*')
			return true;
		/* one colon only, or one behind ']': a port */
		const char *colon = memrchr(s, ':', n);
		bool has_port = colon && (memchr(s, ':', n) == colon || colon[-1] == ']');
		if (has_port)
			name = (size_t)(colon - s);
		bool port_fits = !has_port || (strlen(port) == n - name - 1 && strncmp(colon + 1, port, n - name - 1) == 0);
		if (port_fits && same_host(s, name, host))
			return true;
		s += n;
	}
	return false;
}

static int bad_proxy(const char *why, struct err *err)
{
	err_set(err, ERR_USAGE, "HTTPS_PROXY cannot be used: %s", why);
	return err_hint(err, "write it as http://HOST:PORT, or name the host in NO_PROXY");
}

/* NAME:PASSWORD, percent-encoded, as the proxy wants it. */
static int set_credential(const char *text, size_t n, struct proxy *out, struct err *err)
{
	auto_free char *plain = mem_strndup(text, n);
	if (!url_decode(plain))
		return bad_proxy("a bad % escape in its name or password", err);
	auto_buf b64 = BUF_INIT;
	b64_encode(&b64, plain, strlen(plain));
	out->credential = mem_strdup(b64.p);
	return 0;
}

int proxy_find(const char *host, const char *port, struct proxy *out, struct err *err)
{
	*out = (struct proxy){ 0 };
	const char *text = variable("https_proxy", "HTTPS_PROXY");
	const char *none = variable("no_proxy", "NO_PROXY");
	if (!text || (none && proxy_excluded(none, host, port)))
		return 0;
	const char *rest = strstr(text, "://");
	if (rest && !str_starts(text, "http://"))
		return bad_proxy("only http:// proxies are supported", err);
	rest = rest ? rest + 3 : text;
	size_t len = strcspn(rest, "/");
	const char *at = memrchr(rest, '@', len);
	if (at && set_credential(rest, (size_t)(at - rest), out, err))
		return -1;
	auto_free char *address = at ? mem_strndup(at + 1, len - (size_t)(at + 1 - rest)) : mem_strndup(rest, len);
	char *name = address, *end = strchr(address, ']'), *colon = strchr(end ? end : address, ':');
	int64_t number;
	if (colon)
		*colon = '\0';
	if (*name == '[' && end) {
		name++;
		*end = '\0';
	}
	if (*name == '\0' || (colon && parse_int(colon + 1, "port", 1, 65535, &number, NULL)))
		return bad_proxy("it has no host or a bad port", err);
	out->host = mem_strdup(name);
	out->port = mem_strdup(colon ? colon + 1 : "80");
	return 0;
}

void proxy_free(struct proxy *p)
{
	free(p->host);
	free(p->port);
	free(p->credential);
	*p = (struct proxy){ 0 };
}

/* Read the head byte by byte, since what follows it belongs to the tunnel. */
static int read_head(int fd, struct buf *head, struct err *err)
{
	int64_t end = clock_mono_ms() + ANSWER_MS;
	while (!str_ends(head->p, "\r\n\r\n")) {
		char c;
		ssize_t n = recv(fd, &c, 1, 0);
		if (n == 1 && c != '\0' && head->len < HEAD_MAX) {
			buf_ch(head, c);
			continue;
		}
		if (n >= 0)
			return err_set(err, ERR_PROTOCOL, n ? "its answer is no HTTP" : "it closed the connection");
		int64_t left = end - clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (left <= 0 || (errno != EAGAIN && errno != EINTR))
			return err_sys(err, left <= 0 ? ETIMEDOUT : errno, "no answer");
		(void)poll(&p, 1, (int)left); /* recv tells */
	}
	return 0;
}

static int ask(int fd, const struct proxy *p, const char *host, const char *port, struct err *err)
{
	auto_buf req = BUF_INIT, head = BUF_INIT;
	bool v6 = strchr(host, ':');
	auto_free char *name = mem_printf("%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
	buf_fmt(&req, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", name, name);
	if (p->credential)
		buf_fmt(&req, "Proxy-Authorization: Basic %s\r\n", p->credential);
	buf_str(&req, "\r\n");
	/* a fresh connection takes so little at once */
	if (buf_failed(&req) || send(fd, req.p, req.len, MSG_NOSIGNAL) != (ssize_t)req.len)
		return err_set(err, ERR_UNAVAILABLE, "it does not take the request");
	if (read_head(fd, &head, err))
		return -1;
	if (!str_starts(head.p, "HTTP/1.") || head.len < 12)
		return err_set(err, ERR_PROTOCOL, "its answer is no HTTP");
	if (head.p[9] == '2')
		return 0;
	head.p[strcspn(head.p, "\r\n")] = '\0';
	err_set(err, ERR_UNAVAILABLE, "it refuses '%s': %s", host, head.p + 9);
	return err_hint(err, "see HTTPS_PROXY and NO_PROXY");
}

int proxy_connect(const struct proxy *p, const char *host, const char *port, struct err *err)
{
	if (!p->host)
		return tcp_connect(host, port, err);
	int fd = tcp_connect(p->host, p->port, err);
	if (fd >= 0 && ask(fd, p, host, port, err) == 0)
		return fd;
	err_prefix(err, "the proxy '%s'", p->host);
	if (fd >= 0)
		close(fd);
	return -1;
}
