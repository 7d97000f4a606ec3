#include "daemon/netd/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/netd/bytes.h"
#include "daemon/netd/dns.h"
#include "daemon/netd/filter.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Offsets in a frame: Ethernet (14), IPv4 without options (20), UDP (8). */
enum { AT_TYPE = 12, AT_IP = 14, AT_IP_LEN = 16, AT_TTL = 22, AT_PROTO = 23, AT_IP_SUM = 24, AT_SRC = 26, AT_DST = 30 };
enum { AT_UDP = 34, AT_UDP_DST = 36, AT_UDP_LEN = 38, AT_DATA = 42 };
enum { DNS_PORT = 53, ANSWER_MAX = RESOLVE_FRAME_MAX - AT_DATA, ADDRESSES_MAX = 64, CONFIG_MAX = 65536 };

struct question {
	int fd; /* -1: free */
	int64_t asked_ms;
	uint16_t id;		 /* that we asked with */
	uint8_t mac[6], port[2]; /* of the guest, as in its frame */
	struct dns_question q;
};

struct resolve {
	struct allow *allow;
	resolve_send *send;
	void *arg;
	struct question questions[RESOLVE_MAX];
};

struct resolve *resolve_new(struct allow *allow, resolve_send *send, void *arg)
{
	struct resolve *r = mem_zalloc(sizeof(*r));
	r->allow = allow;
	r->send = send;
	r->arg = arg;
	for (size_t i = 0; i < RESOLVE_MAX; i++)
		r->questions[i].fd = -1;
	return r;
}

static void drop(struct question *q)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < RESOLVE_MAX; i++)
		drop(&r->questions[i]);
	free(r);
}

/* ---- to the guest ---- */

/* RFC 1071, of the IP header */
static unsigned checksum(const uint8_t *p)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < 20; i += 2)
		sum += get16(p + i);
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void reply(const struct resolve *r, const struct question *q, const uint8_t *msg, size_t n)
{
	/* the name server's Ethernet address as libslirp makes it: 52:55 and the IP address */
	static const uint8_t server[] = { 0x52, 0x55, 10, 0, 2, 3 };
	uint8_t f[RESOLVE_FRAME_MAX] = { 0 };
	memcpy(f, q->mac, 6);
	memcpy(f + 6, server, 6);
	put16(f + AT_TYPE, 0x0800);
	f[AT_IP] = 0x45;
	put16(f + AT_IP_LEN, (unsigned)(AT_DATA - AT_IP + n));
	f[AT_TTL] = 64;
	f[AT_PROTO] = PROTO_UDP;
	put32(f + AT_SRC, NET_DNS);
	put32(f + AT_DST, NET_GUEST);
	put16(f + AT_IP_SUM, checksum(f + AT_IP));
	put16(f + AT_UDP, DNS_PORT);
	memcpy(f + AT_UDP_DST, q->port, 2);
	put16(f + AT_UDP_LEN, (unsigned)(AT_DATA - AT_UDP + n)); /* no checksum: it is optional in IPv4 */
	memcpy(f + AT_DATA, msg, n);
	r->send(r->arg, f, AT_DATA + n);
}

static void refuse(const struct resolve *r, const struct question *q, unsigned rcode)
{
	uint8_t msg[DNS_QUERY_MAX];
	reply(r, q, msg, dns_refuse(&q->q, rcode, msg));
}

/* ---- to the host's resolver ---- */

/* The first IPv4 name server of /etc/resolv.conf, read anew: it changes when a laptop moves. False when there is none. */
static bool find_server(struct sockaddr_in *out)
{
	auto_fd int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	auto_free char *text = mem_zalloc(CONFIG_MAX);
	ssize_t n = fd < 0 ? -1 : read(fd, text, CONFIG_MAX - 1);
	*out = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
	for (char *line = text, *next; n > 0 && line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (strncmp(line, "nameserver", 10) != 0)
			continue;
		char *ip = line + 10 + strspn(line + 10, " \t");
		ip[strcspn(ip, " \t\r#;")] = '\0';
		if (inet_pton(AF_INET, ip, &out->sin_addr) == 1)
			return true;
	}
	return false;
}

static struct question *free_place(struct resolve *r)
{
	struct question *oldest = &r->questions[0];
	int64_t now = clock_mono_ms();
	for (size_t i = 0; i < RESOLVE_MAX; i++) {
		struct question *q = &r->questions[i];
		if (q->fd >= 0 && now - q->asked_ms > RESOLVE_WAIT_MS)
			drop(q);
		if (q->fd < 0)
			return q;
		if (q->asked_ms < oldest->asked_ms)
			oldest = q;
	}
	drop(oldest);
	return oldest;
}

static int ask(struct question *q)
{
	struct sockaddr_in server;
	uint8_t msg[DNS_QUERY_MAX];
	if (!find_server(&server))
		return -1;
	rand_bytes(&q->id, sizeof(q->id));
	q->asked_ms = clock_mono_ms();
	q->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return -1;
	size_t n = dns_ask(&q->q, q->id, msg);
	if (connect(q->fd, (struct sockaddr *)&server, sizeof(server)) == 0 && send(q->fd, msg, n, 0) == (ssize_t)n)
		return 0;
	drop(q);
	return -1;
}

int resolve_take(struct resolve *r, const uint8_t *frame, size_t n)
{
	static const uint8_t to[] = { 10, 0, 2, 3 };
	if (n < AT_DATA || get16(frame + AT_TYPE) != 0x0800 || frame[AT_PROTO] != PROTO_UDP || memcmp(frame + AT_DST, to, 4) != 0)
		return 0;
	/* the filter has seen to the IP length; the UDP one may be anything */
	size_t len = get16(frame + AT_UDP_LEN), ip_len = get16(frame + AT_IP_LEN);
	struct question question = { .fd = -1 };
	memcpy(question.mac, frame + 6, 6);
	memcpy(question.port, frame + AT_UDP, 2);
	if (len < AT_DATA - AT_UDP || len > ip_len - (AT_UDP - AT_IP) ||
		dns_query(frame + AT_DATA, len - (AT_DATA - AT_UDP), &question.q))
		return 1;
	if (!allow_name(r->allow, question.q.name)) {
		log_debug("net", "a name that is not allowed");
		refuse(r, &question, DNS_NXDOMAIN);
		return 1;
	}
	struct question *q = free_place(r);
	*q = question;
	if (ask(q))
		refuse(r, q, DNS_SERVFAIL);
	return 1;
}

/* ---- its answer ---- */

struct addresses {
	struct {
		uint32_t addr, ttl_s;
	} v[ADDRESSES_MAX];
	size_t n;
};

static void take_address(void *arg, uint32_t addr, uint32_t ttl_s)
{
	struct addresses *a = arg;
	if (a->n == ADDRESSES_MAX)
		return;
	a->v[a->n].addr = addr;
	a->v[a->n++].ttl_s = ttl_s;
}

static void answered(struct resolve *r, struct question *q, uint8_t *msg, size_t n)
{
	struct addresses found = { .n = 0 };
	if (dns_answer(msg, n, &q->q, q->id, take_address, &found))
		return; /* not the answer: it may still come */
	for (size_t i = 0; i < found.n; i++)
		allow_pin(r->allow, q->q.name, found.v[i].addr, found.v[i].ttl_s, clock_mono_ms());
	put16(msg, q->q.id);
	if (found.n > 0)
		msg[2] = (uint8_t)(msg[2] & ~2); /* cut short, but enough; the guest could not ask again over TCP */
	reply(r, q, msg, n);
	drop(q);
}

void resolve_read(struct resolve *r, int fd)
{
	uint8_t msg[ANSWER_MAX];
	for (size_t i = 0; i < RESOLVE_MAX; i++) {
		struct question *q = &r->questions[i];
		if (q->fd != fd)
			continue;
		ssize_t n = recv(fd, msg, sizeof(msg), 0);
		if (n > 0) {
			answered(r, q, msg, (size_t)n);
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			refuse(r, q, DNS_SERVFAIL); /* nobody is there */
			drop(q);
		}
		return;
	}
}

size_t resolve_fds(const struct resolve *r, int fds[RESOLVE_MAX])
{
	size_t n = 0;
	for (size_t i = 0; i < RESOLVE_MAX; i++)
		if (r->questions[i].fd >= 0)
			fds[n++] = r->questions[i].fd;
	return n;
}
