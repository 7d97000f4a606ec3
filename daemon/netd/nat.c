#include "daemon/netd/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>

#include "daemon/netd/filter.h"
#include "daemon/netd/frames.h"
#include "daemon/netd/hosts.h"
#include "daemon/netd/resolve.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct nat {
	Slirp *slirp;
	struct frames frames;
	struct hosts hosts;
	struct allow *allow;	 /* NULL: the world */
	struct resolve *resolve; /* with allow */
	struct pollfd *fds;	 /* [0] is the guest's socket, then resolve's, then libslirp's */
	size_t count, cap;
};

/* ---- what libslirp calls ---- */

static ssize_t send_packet(const void *packet, size_t n, void *opaque)
{
	struct nat *nat = opaque;
	frames_send(&nat->frames, packet, n);
	return (ssize_t)n;
}

static void guest_error(const char *msg, void *opaque)
{
	(void)opaque;
	log_debug("net", "%s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
	(void)opaque;
	return clock_mono_us() * 1000;
}

/* Only IPv6 router advertisements use timers, and IPv6 is off. */
static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	(void)cb;
	(void)cb_opaque;
	(void)opaque;
	return NULL;
}

static void timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void timer_mod(void *timer, int64_t expire_time, void *opaque)
{
	(void)timer;
	(void)expire_time;
	(void)opaque;
}

/* The poll set is made anew each round and there is one thread: nothing to register or to wake. */
static void ignore_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

static void ignore_notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = ignore_fd,
	.unregister_poll_fd = ignore_fd,
	.notify = ignore_notify,
};

/* ---- polling ---- */

static const struct {
	short sys;
	int slirp;
} events_map[] = {
	{ POLLIN, SLIRP_POLL_IN },
	{ POLLOUT, SLIRP_POLL_OUT },
	{ POLLPRI, SLIRP_POLL_PRI },
	{ POLLERR, SLIRP_POLL_ERR },
	{ POLLHUP, SLIRP_POLL_HUP },
};

static int add_fd(struct nat *nat, int fd, short events)
{
	if (nat->count == nat->cap) {
		nat->cap = nat->cap ? 2 * nat->cap : 16;
		nat->fds = mem_grow(nat->fds, nat->cap, sizeof(*nat->fds));
	}
	nat->fds[nat->count] = (struct pollfd){ .fd = fd, .events = events };
	return (int)nat->count++;
}

static int add_poll(int fd, int events, void *opaque)
{
	short want = 0;
	for (size_t i = 0; i < ARRAY_LEN(events_map); i++)
		if (events & events_map[i].slirp)
			want = (short)(want | events_map[i].sys);
	return add_fd(opaque, fd, want);
}

static int get_revents(int idx, void *opaque)
{
	const struct nat *nat = opaque;
	int events = 0;
	for (size_t i = 0; idx >= 0 && i < ARRAY_LEN(events_map); i++)
		if (nat->fds[idx].revents & events_map[i].sys)
			events |= events_map[i].slirp;
	return events;
}

/* ---- the guest ---- */

static void on_frame(void *arg, const uint8_t *frame, size_t n)
{
	struct nat *nat = arg;
	struct err err = ERR_INIT;
	if (hosts_refresh(&nat->hosts, &err)) {
		/* without the list nothing can be told from the host: the guest waits */
		log_debug("net", "%s", err.msg);
		return;
	}
	size_t skip = nat->allow ? FILTER_ALLOW_SKIP : 0;
	struct filter filter = { .rules = filter_default_rules + skip,
		.rule_count = filter_default_rule_count - skip,
		.hosts = nat->hosts.addr,
		.host_count = nat->hosts.count,
		.allow = nat->allow,
		.now_ms = clock_mono_ms() };
	enum filter_verdict verdict = filter_check(&filter, frame, n);
	if (verdict == FILTER_PASS && nat->resolve && resolve_take(nat->resolve, frame, n))
		return;
	if (verdict == FILTER_PASS) {
		slirp_input(nat->slirp, frame, (int)n);
	} else if (verdict == FILTER_DESTINATION) {
		uint8_t reply[FILTER_REPLY_LEN];
		size_t len = filter_reply(frame, reply);
		if (len > 0)
			frames_send(&nat->frames, reply, len);
	}
}

/* One wait and what follows from it. 1: go on; 0: the guest is gone; -1: err. */
static int turn(struct nat *nat, struct err *err)
{
	uint32_t wait_ms = INT32_MAX;
	nat->count = 0;
	add_fd(nat, nat->frames.fd, frames_pending(&nat->frames) ? POLLIN | POLLOUT : POLLIN);
	int asking[RESOLVE_MAX];
	size_t asked = nat->resolve ? resolve_fds(nat->resolve, asking) : 0;
	for (size_t i = 0; i < asked; i++)
		add_fd(nat, asking[i], POLLIN);
	slirp_pollfds_fill(nat->slirp, &wait_ms, add_poll, nat);
	int rc = poll(nat->fds, nat->count, wait_ms < INT32_MAX ? (int)wait_ms : -1);
	if (rc < 0 && errno != EINTR)
		return err_sys(err, errno, "cannot wait for events");
	slirp_pollfds_poll(nat->slirp, rc < 0, get_revents, nat);
	for (size_t i = 0; rc > 0 && i < asked; i++)
		if (nat->fds[1 + i].revents)
			resolve_read(nat->resolve, asking[i]);
	if (rc > 0 && nat->fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
		rc = frames_read(&nat->frames, on_frame, nat, err);
		if (rc <= 0)
			return rc;
	}
	return frames_flush(&nat->frames, err) ? -1 : 1;
}

static Slirp *start_slirp(struct nat *nat)
{
	const SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(NET_BASE),
		.vnetmask.s_addr = htonl(NET_MASK),
		.vhost.s_addr = htonl(NET_GATEWAY),
		.vdhcp_start.s_addr = htonl(NET_GUEST),
		.vnameserver.s_addr = htonl(NET_DNS),
		.disable_host_loopback = true,
		.disable_dhcp = true,
	};
	return slirp_new(&config, &callbacks, nat);
}

static void send_frame(void *arg, const uint8_t *frame, size_t n)
{
	struct nat *nat = arg;
	frames_send(&nat->frames, frame, n);
}

int nat_run(int fd, struct allow *allow, struct err *err)
{
	struct nat *nat = mem_zalloc(sizeof(*nat));
	frames_init(&nat->frames, fd);
	nat->allow = allow;
	nat->resolve = allow ? resolve_new(allow, send_frame, nat) : NULL;
	nat->slirp = start_slirp(nat);
	int rc = nat->slirp ? 1 : err_set(err, ERR_INTERNAL, "cannot start libslirp");
	while (rc > 0)
		rc = turn(nat, err);
	if (nat->slirp)
		slirp_cleanup(nat->slirp);
	resolve_free(nat->resolve);
	frames_free(&nat->frames);
	hosts_free(&nat->hosts);
	free(nat->fds);
	free(nat);
	return rc;
}
