#include "daemon/netd/dns.h"

#include <stdbool.h>
#include <string.h>

#include "daemon/netd/bytes.h"

enum { HEADER = 12, FLAGS = 2, QDCOUNT = 4, ANCOUNT = 6, NSCOUNT = 8, JUMPS_MAX = 32, QNAME_MAX = 255 };
enum { QR = 0x8000, OPCODE = 0x7800, RD = 0x0100, RA = 0x0080 };
enum { TYPE_A = 1, TYPE_CNAME = 5, CLASS_IN = 1 };

static char plain(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? (char)c : '?';
}

/* Append one label of len bytes to the name of *n characters; false when that gets too long. */
static bool add_label(char name[DNS_NAME_MAX], size_t *n, const uint8_t *label, size_t len)
{
	if (*n + (*n > 0) + len >= QNAME_MAX)
		return false;
	if (*n > 0)
		name[(*n)++] = '.';
	for (size_t i = 0; i < len; i++)
		name[(*n)++] = plain(label[i]);
	return true;
}

/* The name at `at`. Returns where the bytes behind it begin, 0 when it is malformed. pointers: may it be compressed? A pointer
 * leads backwards only, so that there is an end. */
static size_t read_name(const uint8_t *msg, size_t n, size_t at, bool pointers, char name[DNS_NAME_MAX])
{
	size_t end = 0, len = 0, limit = at;
	for (int jumps = 0; at < n;) {
		unsigned c = msg[at];
		if (c == 0) {
			name[len] = '\0';
			return end ? end : at + 1;
		}
		if (c < 64) {
			if (at + 1 + c > n || !add_label(name, &len, msg + at + 1, c))
				return 0;
			at += 1 + c;
			continue;
		}
		if (c < 0xc0 || !pointers || at + 2 > n || ++jumps > JUMPS_MAX)
			return 0;
		size_t to = get16(msg + at) & 0x3fff;
		if (!end)
			end = at + 2;
		if (to < HEADER || to >= limit)
			return 0;
		at = limit = to;
	}
	return 0;
}

int dns_query(const uint8_t *msg, size_t n, struct dns_question *out)
{
	if (n < HEADER || get16(msg + FLAGS) & (QR | OPCODE) || get16(msg + QDCOUNT) != 1 || get16(msg + ANCOUNT) ||
		get16(msg + NSCOUNT))
		return -1;
	size_t end = read_name(msg, n, HEADER, false, out->name);
	if (end == 0 || end + 4 > n || end + 4 > DNS_QUERY_MAX)
		return -1;
	out->id = (uint16_t)get16(msg);
	out->len = end + 4 - HEADER;
	memcpy(out->bytes, msg + HEADER, out->len);
	return 0;
}

static size_t put_message(const struct dns_question *q, unsigned id, unsigned flags, uint8_t out[DNS_QUERY_MAX])
{
	memset(out, 0, HEADER);
	put16(out, id);
	put16(out + FLAGS, flags);
	put16(out + QDCOUNT, 1);
	memcpy(out + HEADER, q->bytes, q->len);
	return HEADER + q->len;
}

size_t dns_ask(const struct dns_question *q, uint16_t id, uint8_t out[DNS_QUERY_MAX])
{
	return put_message(q, id, RD, out);
}

size_t dns_refuse(const struct dns_question *q, unsigned rcode, uint8_t out[DNS_QUERY_MAX])
{
	return put_message(q, q->id, QR | RD | RA | rcode, out);
}

/* The record at *at, which moves behind it; `wanted` follows a CNAME. */
static int read_record(const uint8_t *msg, size_t n, size_t *at, char wanted[DNS_NAME_MAX], dns_address *fn, void *arg)
{
	char owner[DNS_NAME_MAX];
	size_t p = read_name(msg, n, *at, true, owner);
	if (p == 0 || p + 10 > n)
		return -1;
	unsigned type = get16(msg + p), class = get16(msg + p + 2), len = get16(msg + p + 8);
	uint32_t ttl = get32(msg + p + 4);
	size_t data = p + 10;
	if (data + len > n)
		return -1;
	*at = data + len;
	if (class != CLASS_IN || strcmp(owner, wanted) != 0)
		return 0;
	if (type == TYPE_CNAME && read_name(msg, n, data, true, wanted) != data + len)
		return -1;
	if (type == TYPE_A && len != 4)
		return -1;
	if (type == TYPE_A)
		fn(arg, get32(msg + data), ttl > INT32_MAX ? 0 : ttl); /* RFC 2181, 8 */
	return 0;
}

int dns_answer(const uint8_t *msg, size_t n, const struct dns_question *q, uint16_t id, dns_address *fn, void *arg)
{
	char name[DNS_NAME_MAX];
	if (n < HEADER || get16(msg) != id || !(get16(msg + FLAGS) & QR) || get16(msg + QDCOUNT) != 1)
		return -1;
	size_t at = read_name(msg, n, HEADER, false, name);
	if (at == 0 || at + 4 > n || at + 4 - HEADER != q->len || strcmp(name, q->name) != 0 ||
		memcmp(msg + at, q->bytes + q->len - 4, 4) != 0)
		return -1;
	at += 4;
	for (unsigned i = get16(msg + ANCOUNT); i > 0; i--)
		if (read_record(msg, n, &at, name, fn, arg))
			return -1;
	return 0;
}
