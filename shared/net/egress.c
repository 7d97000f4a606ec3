#include "shared/net/egress.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of 1 to 63 characters with dots between; the last one is no number, which would be an address. */
static bool is_name(const char *s)
{
	size_t label = 0, n = strlen(s);
	const char *last = strrchr(s, '.');
	if (n == 0 || n > EGRESS_NAME_MAX || strspn(last ? last + 1 : s, "0123456789") == strlen(last ? last + 1 : s))
		return false;
	for (; *s; s++) {
		if (*s == '.' ? label == 0 : !is_name_char(*s) || label == 63)
			return false;
		label = *s == '.' ? 0 : label + 1;
	}
	return label > 0;
}

static int parse_net(char *host, struct egress_rule *rule, struct err *err)
{
	char *slash = strchr(host, '/');
	int64_t bits = 32;
	struct in_addr in;
	if (slash)
		*slash = '\0';
	if (inet_pton(AF_INET, host, &in) != 1)
		return err_set(err, ERR_INVALID, "'%s' is no IPv4 address", host);
	if (slash && parse_int(slash + 1, "network length", 0, 32, &bits, err))
		return -1;
	rule->net = ntohl(in.s_addr);
	rule->mask = bits ? UINT32_MAX << (32 - bits) : 0;
	if (rule->net & ~rule->mask)
		return err_set(err, ERR_INVALID, "'%s/%s' has address bits behind its length", host, slash + 1);
	return 0;
}

static int parse_host(char *host, struct egress_rule *rule, struct err *err)
{
	if (host[0] && strspn(host, "0123456789./") == strlen(host))
		return parse_net(host, rule, err);
	for (char *c = host; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	rule->below = str_starts(host, "*.");
	const char *name = rule->below ? host + 2 : host;
	if (!is_name(name))
		return err_set(err, ERR_INVALID, "'%s' is no host name, IPv4 address or network", host);
	rule->name = mem_strdup(name);
	return 0;
}

static int parse_rule(char *text, struct egress_rule *rule, struct err *err)
{
	char *colon = strchr(text, ':');
	int64_t port = 0;
	*rule = (struct egress_rule){ 0 };
	if (colon && (strchr(colon + 1, ':') || text[0] == '['))
		return err_set(err, ERR_INVALID, "'%s': sandboxes have no IPv6", text);
	if (colon) {
		*colon = '\0';
		if (parse_int(colon + 1, "port", 1, 65535, &port, err))
			return -1;
	}
	rule->port = (uint16_t)port;
	return parse_host(text, rule, err);
}

static int parse_all(char *text, struct egress *out, struct err *err)
{
	for (char *next = text; next;) {
		char *comma = strchr(next, ',');
		if (comma)
			*comma = '\0';
		if (out->count == EGRESS_RULES_MAX)
			return err_set(err, ERR_INVALID, "more than %d destinations", EGRESS_RULES_MAX);
		if (parse_rule(next, &out->rules[out->count], err))
			return -1;
		out->count++;
		next = comma ? comma + 1 : NULL;
	}
	return 0;
}

int egress_parse(const char *text, struct egress *out, struct err *err)
{
	*out = (struct egress){ .count = 0 };
	if (strlen(text) > EGRESS_TEXT_MAX)
		return err_set(err, ERR_INVALID, "the list of destinations is longer than %d characters", EGRESS_TEXT_MAX);
	auto_free char *copy = mem_strdup(text);
	if (parse_all(copy, out, err) == 0)
		return 0;
	egress_release(out);
	return err_hint(err, "write it as: allow:api.example.com,*.example.org:443,10.1.0.0/16");
}

void egress_release(struct egress *e)
{
	for (size_t i = 0; i < e->count; i++)
		free(e->rules[i].name);
	e->count = 0;
}

bool egress_rule_has(const struct egress_rule *rule, const char *name)
{
	if (!rule->name)
		return false;
	if (!rule->below)
		return strcmp(rule->name, name) == 0;
	size_t n = strlen(name), below = strlen(rule->name);
	return n > below + 1 && name[n - below - 1] == '.' && strcmp(name + n - below, rule->name) == 0;
}
