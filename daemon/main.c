/*
 * sbxd: the daemon. Reads its arguments, holds the loop, and wires core, http and the APIs together.
 *
 *   sbxd [--home DIR] [--cache DIR] [--listen ADDRESS]... [--proxy ADDRESS]... [--ready-fd N]
 *   sbxd --build IMAGE --vcpus N --memory MIB --cache DIR      (the builder: a child of the daemon, see core/builder.h)
 *   sbxd --import SCRATCH --home DIR --cache DIR; --pull       (the importer, another one, see core/importer.h)
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/api/auth.h"
#include "daemon/api/dialects.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/args.h"
#include "daemon/build_main.h"
#include "daemon/core/core.h"
#include "daemon/hosts/carriers.h"
#include "daemon/hosts/member.h"
#include "daemon/http/http.h"
#include "daemon/import_main.h"
#include "daemon/oauth/oauth.h"
#include "daemon/proxy/proxy.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/version.h"

/* A TCP address that is listened on: by the API, or by a proxy. */
struct listener {
	char *address, *suffix;
	struct proxy *proxy; /* NULL: the API's */
};

struct daemon {
	uv_loop_t loop;
	uv_signal_t signals[2];
	struct core *core;
	struct http_server *server;
	struct oauth *oauth;
	struct carriers *carriers;
	struct member *member; /* of a control plane; or NULL */
	struct api api;
	struct listener *listeners;
	size_t listener_count;
	int ready_fd;
	bool only_host; /* it was asked to be one: else it goes on without a control plane */
	bool going, failed;
};

/* ---- the daemon's own affairs, for the API ---- */

static int add_listener(void *arg, const struct api_listener *wanted, int *port, struct err *err)
{
	struct daemon *d = arg;
	struct proxy *proxy = NULL;
	if (wanted->suffix)
		proxy = proxy_new(d->core, wanted->address, wanted->suffix, port, err);
	if (wanted->suffix ? !proxy : http_listen_tcp(d->server, wanted->address, port, err))
		return -1;
	const char *colon = strrchr(wanted->address, ':');
	size_t host = colon ? (size_t)(colon - wanted->address) : strlen(wanted->address);
	d->listeners = mem_grow(d->listeners, d->listener_count + 1, sizeof(*d->listeners));
	struct listener *l = &d->listeners[d->listener_count++];
	*l = (struct listener){ .address = mem_printf("%.*s:%d", (int)host, wanted->address, *port),
		.suffix = wanted->suffix ? mem_strdup(wanted->suffix) : NULL,
		.proxy = proxy };
	log_info("sbxd", "listening on %s%s", l->address, proxy ? " as a proxy" : "");
	return 0;
}

static bool get_listener(void *arg, size_t i, struct api_listener *out)
{
	const struct daemon *d = arg;
	if (i >= d->listener_count)
		return false;
	*out = (struct api_listener){ d->listeners[i].address, d->listeners[i].suffix };
	return true;
}

static void free_listeners(struct daemon *d)
{
	for (size_t i = 0; i < d->listener_count; i++) {
		proxy_free(d->listeners[i].proxy);
		free(d->listeners[i].address);
		free(d->listeners[i].suffix);
	}
	free(d->listeners);
	d->listeners = NULL;
	d->listener_count = 0;
}

static int authenticate(void *arg, const char *where, const char *value, struct identity *who, struct err *err)
{
	struct api *api = arg;
	return auth_check(api->core, where, value, who, err);
}

/* The server first, since its requests hold on to core; then core; then the loop runs dry. */
static void on_server_closed(void *arg)
{
	struct daemon *d = arg;
	d->server = NULL;
	free_listeners(d);
	oauth_close(d->oauth);
	core_close(d->core);
	carriers_close(d->carriers);
	d->core = NULL;
	for (size_t i = 0; i < ARRAY_LEN(d->signals); i++)
		uv_close((uv_handle_t *)&d->signals[i], NULL);
}

static void go_down(void *arg)
{
	struct daemon *d = arg;
	if (d->going)
		return;
	d->going = true;
	log_info("sbxd", "going down; VMs that run go on");
	member_close(d->member);
	d->member = NULL;
	http_server_close(d->server, on_server_closed, d);
}

static void on_signal(uv_signal_t *handle, int signo)
{
	(void)signo;
	go_down(handle->data);
}

/* Tell who started us, in one line: "ready", or what went wrong and what to do. */
static void say_ready(struct daemon *d, const struct err *err)
{
	if (d->ready_fd < 0)
		return;
	auto_free char *text = err ? mem_printf("%s\n%s\n", err->msg, err->hint) : mem_strdup("ready\n");
	struct err ignored = ERR_INIT;
	if (fs_write_all(d->ready_fd, text, strlen(text), &ignored))
		log_warn("sbxd", "nobody waits for our start: %s", ignored.msg);
	close(d->ready_fd);
	d->ready_fd = -1;
}

static void say_failed(struct daemon *d, const struct err *err)
{
	say_ready(d, err);
	log_error("sbxd", "%s", err->msg);
	if (err->hint[0])
		log_error("sbxd", "%s", err->hint);
	d->failed = true;
}

/* ---- as a host of a control plane ---- */

static void on_member_ready(void *arg)
{
	say_ready(arg, NULL);
}

static void on_member_over(void *arg, const struct err *why)
{
	struct daemon *d = arg;
	if (d->only_host) {
		say_failed(d, why);
		go_down(d);
		return;
	}
	log_warn("sbxd", "carries nothing for a control plane any more: %s", why->msg);
	member_close(d->member);
	d->member = NULL;
}

static int start_member(struct daemon *d, const struct daemon_args *args, struct err *err)
{
	static const struct member_ops ops = { .on_ready = on_member_ready, .on_over = on_member_over };
	const struct member_config config = {
		.control = args->control, .token = args->token, .address = args->address, .beat_ms = args->beat_ms
	};
	if (!args->host && !member_registered(args->home))
		return 0;
	d->only_host = args->host;
	d->member = member_new(&config, d->core, d->server, &ops, d, err);
	if (d->member || d->only_host)
		return d->member ? 0 : -1;
	log_warn("sbxd", "carries nothing for its control plane: %s", err->msg);
	err_clear(err);
	return 0;
}

/* ---- start ---- */

static int start_serving(struct daemon *d, const struct daemon_args *args, struct err *err)
{
	struct http_config config = {
		.dialects = api_dialects, .dialect_count = DIALECT_COUNT, .authenticate = authenticate, .arg = &d->api
	};
	d->server = http_server_new(&d->loop, &config, err);
	if (!d->server)
		return -1;
	d->oauth = oauth_new(&d->loop, &args->oauth);
	d->api = (struct api){ .core = d->core,
		.server = d->server,
		.oauth = d->oauth,
		.listen = add_listener,
		.listener = get_listener,
		.shutdown = go_down,
		.arg = d };
	auto_free char *path = fs_join(args->home, "sbxd.sock");
	if (http_listen_unix(d->server, path, err))
		return -1;
	for (size_t i = 0; i < args->listen_count; i++) {
		struct api_listener wanted = { args->listen[i].address, args->listen[i].proxy ? PROXY_SUFFIX : NULL };
		int port;
		if (add_listener(d, &wanted, &port, err))
			return -1;
	}
	return 0;
}

static int start(struct daemon *d, const struct daemon_args *args, struct err *err)
{
	struct core_config config = { .loop = &d->loop,
		.home = args->home,
		.cache = args->cache,
		.program = args->program,
		.pool_size = args->pool_size,
		.notify = &args->notify,
		.host_lost_ms = args->host_lost_ms,
		.password_cost = args->password_cost };
	d->core = core_new(&config, err);
	if (!d->core)
		return -1;
	static const int signals[] = { SIGTERM, SIGINT };
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		int rc = uv_signal_init(&d->loop, &d->signals[i]);
		d->signals[i].data = d;
		if (rc == 0)
			rc = uv_signal_start(&d->signals[i], on_signal, signals[i]);
		if (rc < 0)
			return err_sys(err, -rc, "cannot watch signals");
	}
	d->carriers = carriers_new(&d->loop, d->core);
	core_carry(d->core, carriers_port(d->carriers));
	return start_serving(d, args, err) || start_member(d, args, err) ? -1 : 0;
}

/* A VM costs a few descriptors; the usual soft limit of 1024 would end at some 200 of them. */
static void raise_limits(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			log_warn("sbxd", "cannot raise the limit of open files above 1024");
	}
}

static int serve(const struct daemon_args *args)
{
	struct daemon d = { .ready_fd = args->ready_fd };
	struct err err = ERR_INIT;
	int rc = uv_loop_init(&d.loop);
	if (rc < 0) {
		fprintf(stderr, "sbxd: cannot make an event loop: %s\n", uv_strerror(rc));
		return 1;
	}
	raise_limits();
	umask(077);
	rc = start(&d, args, &err);
	if (rc) {
		say_failed(&d, &err);
		return err.code == ERR_USAGE ? 2 : 1;
	}
	if (!d.only_host)
		say_ready(&d, NULL);
	log_info("sbxd", "version %s serves '%s'", sbx_version, args->home);
	uv_run(&d.loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&d.loop) != 0)
		log_warn("sbxd", "some handles were still open at the end");
	return d.failed;
}

static int print_operations(void)
{
	auto_buf out = BUF_INIT;
	api_list_operations(&out);
	return buf_failed(&out) || fputs(out.p, stdout) < 0;
}

int main(int argc, char **argv)
{
	struct daemon_args args;
	struct err err = ERR_INIT;
	log_init_from_env();
	signal(SIGPIPE, SIG_IGN);
	switch (daemon_args_parse(&args, argc, argv, &err)) {
	case DAEMON_HELP:
		return fputs(daemon_usage, stdout) < 0;
	case DAEMON_VERSION:
		return printf("sbxd %s\n", sbx_version) < 0;
	case DAEMON_OPERATIONS:
		return print_operations();
	case DAEMON_USAGE:
		fprintf(stderr, "sbxd: %s\n%s%s", err.msg, err.hint, err.hint[0] ? "\n" : "");
		daemon_args_free(&args);
		return 2;
	case DAEMON_FAILED:
		fprintf(stderr, "sbxd: %s\n", err.msg);
		daemon_args_free(&args);
		return 1;
	case DAEMON_BUILD:
	case DAEMON_SERVE:
		break;
	}
	int rc = args.scratch ? import_main(&args) : args.image ? build_main(&args) : serve(&args);
	daemon_args_free(&args);
	return rc;
}
