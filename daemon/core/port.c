#include "daemon/core/port.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/accept.h"
#include "daemon/core/internal.h"
#include "daemon/core/relay.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/net/tcp.h"

struct port {
	struct port *next;
	struct sandbox *sb;
	char *bind;
	uint16_t host_port, guest_port;
	struct acceptor *acceptor; /* NULL: not open */
	char *failed;		   /* why */
	struct connection *connections;
};

struct connection {
	struct connection *next, **prev; /* prev: what points at us */
	struct port *port;
	struct relay *relay;
};

/* ---- connections ---- */

static void forget(struct connection *c)
{
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	acceptor_done(c->port->acceptor);
	free(c);
}

static void on_relay_end(void *arg)
{
	forget(arg);
}

static char *on_refused(void *arg, const struct err *err)
{
	const struct port *p = ((const struct connection *)arg)->port;
	log_debug("core", "%s: port %u: %s", p->sb->row.id, (unsigned)p->host_port, err->msg);
	return NULL;
}

static const struct relay_ops relay_ops = { .on_refused = on_refused, .on_end = on_relay_end };

static void on_accept(void *arg, int fd)
{
	struct port *p = arg;
	struct connection *c = mem_zalloc(sizeof(*c));
	const struct relay_client client = { .fd = fd, .first = "" };
	*c = (struct connection){ .next = p->connections, .prev = &p->connections, .port = p };
	if (c->next)
		c->next->prev = &c->next;
	p->connections = c;
	c->relay = relay_start(p->sb, p->guest_port, &client, &relay_ops, c);
}

/* ---- listeners ---- */

static void close_port(struct port *p)
{
	for (struct connection *c = p->connections, *next; c; c = next) {
		next = c->next;
		relay_cut(c->relay);
		free(c);
	}
	p->connections = NULL;
	acceptor_free(p->acceptor);
	p->acceptor = NULL;
	free(mem_steal(&p->failed));
}

/* On its number, or on a free one when that is 0 so far. */
static int open_port(struct port *p, bool anywhere, struct err *err)
{
	int port = 0;
	free(mem_steal(&p->failed));
	auto_free char *address = tcp_address(p->bind, p->host_port);
	int fd = tcp_listen(address, anywhere ? TCP_ANYWHERE : TCP_LOOPBACK, &port, err);
	if (fd < 0)
		return -1;
	p->acceptor = acceptor_new(p->sb->core->config.loop, fd, PORT_CONNECTIONS_MAX, on_accept, p, err);
	if (!p->acceptor)
		return -1;
	p->host_port = (uint16_t)port;
	return 0;
}

/* Also while it is away but comes back for who connects. */
static bool should_listen(const struct sandbox *sb)
{
	return sandbox_state_is_up(sb->state) || (sb->state == SANDBOX_PAUSED && sb->row.idled);
}

void ports_update(struct sandbox *sb)
{
	/* that a port may be off loopback was decided when it was added */
	bool want = should_listen(sb);
	for (struct port *p = sb->ports; p; p = p->next) {
		struct err err = ERR_INIT;
		if (!want) {
			close_port(p);
		} else if (!p->acceptor && open_port(p, true, &err)) {
			log_warn("core", "%s: port %u: %s", sb->row.id, (unsigned)p->host_port, err.msg);
			if (sb->log)
				eventlog_add(sb->log, "port-failed", "%s", err.msg);
			p->failed = mem_strdup(err.msg);
		}
	}
}

/* ---- the list ---- */

static struct port *new_port(struct sandbox *sb, const struct db_port *row)
{
	struct port *p = mem_zalloc(sizeof(*p));
	*p = (struct port){ .sb = sb,
		.bind = mem_strdup(row->bind),
		.host_port = (uint16_t)row->host_port,
		.guest_port = (uint16_t)row->guest_port };
	struct port **at = &sb->ports;
	while (*at)
		at = &(*at)->next;
	*at = p;
	return p;
}

static void free_port(struct port *p)
{
	struct port **at = &p->sb->ports;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	close_port(p);
	free(p->bind);
	free(p);
}

void ports_free(struct sandbox *sb)
{
	while (sb->ports)
		free_port(sb->ports);
}

static int load_one(void *arg, const struct db_port *row)
{
	struct sandbox *sb = sandbox_find(arg, TEAM_ANY, row->sandbox, NULL);
	if (sb)
		new_port(sb, row);
	return 0;
}

int ports_load(struct core *core, struct err *err)
{
	return db_port_each(core->db, load_one, core, err);
}

static struct port *find(const struct sandbox *sb, uint16_t host_port)
{
	struct port *p = sb->ports;
	while (p && p->host_port != host_port)
		p = p->next;
	return p;
}

static void describe(const struct port *p, struct port_info *out)
{
	*out = (struct port_info){
		.bind = p->bind,
		.host_port = p->host_port,
		.guest_port = p->guest_port,
		.state = p->failed ? PORT_FAILED : PORT_CLOSED,
		.reason = p->failed,
		.connections = acceptor_count(p->acceptor),
	};
	if (p->acceptor)
		out->state = PORT_OPEN;
}

bool port_at(const struct sandbox *sb, size_t i, struct port_info *out)
{
	const struct port *p = sb->ports;
	while (p && i-- > 0)
		p = p->next;
	if (p)
		describe(p, out);
	return p != NULL;
}

char *port_address(const struct port_info *p)
{
	return tcp_address(p->bind, p->host_port);
}

/* ---- adding and removing ---- */

static int check_spec(const struct sandbox *sb, const struct port_spec *spec, const char *bind, struct err *err)
{
	size_t n = 0;
	for (const struct port *p = sb->ports; p; p = p->next)
		n++;
	if (n >= PORTS_MAX)
		return err_set(err, ERR_LIMIT, "sandbox '%s' has %d ports already", sb->row.id, PORTS_MAX);
	if (!should_listen(sb))
		return err_set(err, ERR_STATE, "sandbox '%s' is %s", sb->row.id, sandbox_state_name(sb->state));
	int loopback = tcp_is_loopback(bind);
	if (loopback < 0)
		return err_set(err, ERR_INVALID, "'%s' is no IP address to listen on", bind);
	if (!loopback && !spec->anywhere) {
		err_set(err, ERR_FORBIDDEN, "'%s' is not on loopback", bind);
		return err_hint(err, "only the daemon's own user may open a port to others, with: sbx port add --bind");
	}
	return 0;
}

/* The same mapping, which failed: try again. */
static int retry(struct port *p, const struct port_spec *spec, const char *bind, struct err *err)
{
	if (p->acceptor || p->guest_port != spec->guest_port || strcmp(p->bind, bind) != 0) {
		err_set(err, ERR_CONFLICT, "port %u leads to port %u of this sandbox already", (unsigned)p->host_port,
			(unsigned)p->guest_port);
		return err_hint(err, "remove it with: sbx port rm %s %u", p->sb->row.id, (unsigned)p->host_port);
	}
	if (!open_port(p, true, err))
		return 0;
	p->failed = mem_strdup(err && err->msg[0] ? err->msg : "it cannot be opened");
	return -1;
}

int port_add(struct sandbox *sb, const struct port_spec *spec, struct port_info *out, struct err *err)
{
	const char *bind = spec->bind ? spec->bind : "127.0.0.1";
	if (check_spec(sb, spec, bind, err))
		return -1;
	struct port *p = spec->host_port ? find(sb, spec->host_port) : NULL;
	if (p) {
		if (retry(p, spec, bind, err))
			return -1;
		describe(p, out);
		return 0;
	}
	auto_free char *address = mem_strdup(bind);
	struct db_port row = {
		.sandbox = sb->row.id, .bind = address, .host_port = spec->host_port, .guest_port = spec->guest_port
	};
	p = new_port(sb, &row);
	int rc = open_port(p, spec->anywhere, err);
	row.host_port = p->host_port;
	if (rc == 0)
		rc = db_port_insert(sb->core->db, &row, err);
	if (rc) {
		free_port(p);
		return -1;
	}
	if (sb->log) /* not yet while it is being created */
		eventlog_add(sb->log, "port", "%s:%u leads to port %u", bind, (unsigned)p->host_port, (unsigned)p->guest_port);
	describe(p, out);
	return 0;
}

int port_remove(struct sandbox *sb, uint16_t host_port, struct err *err)
{
	struct port *p = find(sb, host_port);
	if (!p) {
		err_set(err, ERR_NOT_FOUND, "sandbox '%s' has no port %u", sb->row.id, (unsigned)host_port);
		return err_hint(err, "list them with: sbx port ls %s", sb->row.id);
	}
	if (db_port_delete(sb->core->db, sb->row.id, host_port, err))
		return -1;
	free_port(p);
	return 0;
}
