#include "daemon/proxy/head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

struct span {
	const char *p;
	size_t n;
};

static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

/* Up to the next c, which is taken as well. False when there is none. */
static bool cut(struct span *rest, char c, struct span *out)
{
	const char *at = memchr(rest->p, c, rest->n);
	if (!at)
		return false;
	*out = (struct span){ rest->p, (size_t)(at - rest->p) };
	rest->p = at + 1;
	rest->n -= out->n + 1;
	return true;
}

/* METHOD SP TARGET SP HTTP/1.x */
static bool is_request_line(struct span line)
{
	struct span method, target;
	if (!cut(&line, ' ', &method) || !is_token(method) || !cut(&line, ' ', &target) || target.n == 0)
		return false;
	for (size_t i = 0; i < target.n; i++)
		if ((unsigned char)target.p[i] <= ' ' || target.p[i] == 0x7f)
			return false;
	return line.n == 8 && memcmp(line.p, "HTTP/1.", 7) == 0 && (line.p[7] == '0' || line.p[7] == '1');
}

static struct span trim(struct span s)
{
	while (s.n > 0 && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* One header line; *host is set by a Host, of which there may be one. A folded line has no token before its colon. */
static bool read_line(struct span line, struct span *host)
{
	struct span name;
	if (!cut(&line, ':', &name) || !is_token(name))
		return false;
	for (size_t i = 0; i < line.n; i++)
		if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
			return false;
	if (name.n != 4 || strncasecmp(name.p, "host", 4) != 0)
		return true;
	bool first = !host->p;
	*host = trim(line);
	return first;
}

/* PORT-SANDBOX.suffix[:port] */
static bool read_host(struct span host, const char *suffix, struct head_target *out)
{
	char text[128];
	int64_t port;
	if (host.n >= sizeof(text))
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		if (c == '\0')
			return false;
		text[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	text[host.n] = '\0';
	char *colon = strchr(text, ':');
	if (colon && (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon) > 6))
		return false;
	if (colon)
		*colon = '\0';
	size_t n = strlen(text), tail = strlen(suffix);
	if (n < tail + 2 || strcmp(text + n - tail, suffix) != 0 || text[n - tail - 1] != '.')
		return false;
	text[n - tail - 1] = '\0';
	char *dash = strchr(text, '-');
	if (!dash || text[0] == '0')
		return false;
	*dash = '\0';
	if (!name_valid(dash + 1) || parse_int(text, "port", 1, 65535, &port, NULL))
		return false;
	out->port = (uint16_t)port;
	memcpy(out->sandbox, dash + 1, strlen(dash + 1) + 1);
	return true;
}

enum head_result head_parse(const char *p, size_t n, const char *suffix, struct head_target *out)
{
	const char *end = memmem(p, n < HEAD_MAX ? n : HEAD_MAX, "\r\n\r\n", 4);
	if (!end)
		return n < HEAD_MAX ? HEAD_MORE : HEAD_LARGE;
	struct span rest = { p, (size_t)(end - p) + 2 }, host = { NULL, 0 }, line;
	for (bool first = true; rest.n > 0; first = false) {
		if (!cut(&rest, '\n', &line) || line.n == 0 || line.p[line.n - 1] != '\r')
			return HEAD_BAD;
		line.n--;
		if (first ? !is_request_line(line) : !read_line(line, &host))
			return HEAD_BAD;
	}
	if (!host.p)
		return HEAD_BAD;
	return read_host(host, suffix, out) ? HEAD_OK : HEAD_FOREIGN;
}
