#include "daemon/netd/allow.h"

#include <stddef.h>
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/net/egress.h"

struct pin {
	uint32_t addr;
	uint16_t port; /* 0: all */
	int64_t until_ms;
};

struct allow {
	struct egress rules;
	struct pin pins[ALLOW_PINS_MAX];
	size_t count;
};

struct allow *allow_new(const char *rules, struct err *err)
{
	struct allow *a = mem_zalloc(sizeof(*a));
	if (egress_parse(rules, &a->rules, err) == 0)
		return a;
	free(a);
	return NULL;
}

void allow_free(struct allow *a)
{
	if (!a)
		return;
	egress_release(&a->rules);
	free(a);
}

bool allow_name(const struct allow *a, const char *name)
{
	for (size_t i = 0; i < a->rules.count; i++)
		if (egress_rule_has(&a->rules.rules[i], name))
			return true;
	return false;
}

/* Where to keep a pin of addr and port: its own place, a new one, or that of the pin which ends first. */
static struct pin *place(struct allow *a, uint32_t addr, uint16_t port)
{
	struct pin *first = &a->pins[0];
	for (size_t i = 0; i < a->count; i++) {
		struct pin *p = &a->pins[i];
		if (p->addr == addr && p->port == port)
			return p;
		if (p->until_ms < first->until_ms)
			first = p;
	}
	if (a->count == ALLOW_PINS_MAX)
		*first = (struct pin){ 0 };
	else
		first = &a->pins[a->count++];
	first->addr = addr;
	first->port = port;
	return first;
}

void allow_pin(struct allow *a, const char *name, uint32_t addr, uint32_t ttl_s, int64_t now_ms)
{
	int64_t ttl = ttl_s < ALLOW_TTL_MIN_S ? ALLOW_TTL_MIN_S : ttl_s > ALLOW_TTL_MAX_S ? ALLOW_TTL_MAX_S : (int64_t)ttl_s;
	for (size_t i = 0; i < a->rules.count; i++) {
		if (!egress_rule_has(&a->rules.rules[i], name))
			continue;
		struct pin *p = place(a, addr, a->rules.rules[i].port);
		if (p->until_ms < now_ms + ttl * 1000)
			p->until_ms = now_ms + ttl * 1000;
	}
}

/* A rule without a port is for every packet, one with a port for packets that have it. */
static bool is_port(uint16_t rule, uint16_t port)
{
	return rule == 0 || rule == port;
}

static bool by_network(const struct egress *e, uint32_t addr, uint16_t port)
{
	for (size_t i = 0; i < e->count; i++) {
		const struct egress_rule *rule = &e->rules[i];
		if (!rule->name && (addr & rule->mask) == rule->net && is_port(rule->port, port))
			return true;
	}
	return false;
}

bool allow_packet(struct allow *a, uint32_t addr, uint16_t port, bool begins, bool udp, int64_t now_ms)
{
	if (!begins || by_network(&a->rules, addr, port))
		return true;
	for (size_t i = 0; i < a->count; i++) {
		struct pin *p = &a->pins[i];
		if (p->addr != addr || !is_port(p->port, port) || p->until_ms <= now_ms)
			continue;
		if (udp && p->until_ms < now_ms + ALLOW_UDP_KEEP_MS)
			p->until_ms = now_ms + ALLOW_UDP_KEEP_MS;
		return true;
	}
	return false;
}
