#include "daemon/args.h"

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/password.h"
#include "daemon/core/pool.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

const char daemon_usage[] =
	"Usage: sbxd [--home DIR] [--cache DIR] [--listen HOST:PORT]... [--proxy HOST:PORT]...\n"
	"\n"
	"The sbx daemon: runs microVMs and serves the API on HOME/sbxd.sock. `sbx` starts it when it is needed.\n"
	"\n"
	"  --home DIR          state (env: SBX_HOME)\n"
	"  --cache DIR         images and templates (env: SBX_CACHE)\n"
	"  --listen HOST:PORT  serve TCP as well, with API keys; port 0 takes a free one\n"
	"  --pool N            VMs that wait for a create, for each shape in use; 0 for none (env: SBX_POOL; default: 2)\n"
	"  --proxy HOST:PORT   serve HTTP to sandboxes by host name: 3000-demo.localhost is port 3000 of demo\n"
	"  --password-cost N   how much work a password is: bcrypt's cost, each step twice the one before\n"
	"                      (env: SBX_PASSWORD_COST; default: 12)\n"
	"  --notify-private    channels may deliver to this machine and its networks; otherwise to public addresses only\n"
	"  --notify-origin SERVICE=URL\n"
	"                      reach discord, slack, teams, googlechat or telegram there\n"
	"  --role host         carry sandboxes for a control plane, another sbxd:\n"
	"  --control URL       its API: https, or http on this machine (env: SBX_CONTROL; then known)\n"
	"  --token TOKEN       of `sbx host add` there, to register with, once (env: SBX_HOST_TOKEN)\n"
	"  --address IP:PORT   where it reaches this host; port 0 takes a free one (default: this machine only)\n"
	"  --heartbeat SECONDS how often to tell it that this host is there (default: 30)\n"
	"  --host-lost SECONDS as a control plane: without heartbeats for so long a host is unreachable\n"
	"                      (env: SBX_HOST_LOST; default: 90)\n"
	"  --ready-fd N        write \"ready\" to this descriptor when it serves\n"
	"  --operations        print every operation of every API, and whether it has a handler\n"
	"  --version, --help\n"
	"\n"
	"Environment, for people to log in through GitHub (see sbxd(8)):\n"
	"  SBX_GITHUB_CLIENT_ID, SBX_GITHUB_CLIENT_SECRET, SBX_PUBLIC_URL, SBX_OAUTH_REDIRECT_URL\n"
	"\n"
	"Example: sbxd --listen 127.0.0.1:8080\n";

enum option_id {
	OPT_HOME = 256,
	OPT_CACHE,
	OPT_LISTEN,
	OPT_PROXY,
	OPT_POOL,
	OPT_READY,
	OPT_BUILD,
	OPT_VCPUS,
	OPT_MEMORY,
	OPT_IMPORT,
	OPT_PULL,
	OPT_PASSWORD_COST,
	OPT_ROLE,
	OPT_CONTROL,
	OPT_TOKEN,
	OPT_ADDRESS,
	OPT_HEARTBEAT,
	OPT_HOST_LOST,
	OPT_NOTIFY_PRIVATE,
	OPT_NOTIFY_ORIGIN,
	OPT_VERSION,
	OPT_OPERATIONS
};

static const struct option options[] = {
	{ "home", required_argument, NULL, OPT_HOME },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "pool", required_argument, NULL, OPT_POOL },
	{ "proxy", required_argument, NULL, OPT_PROXY },
	{ "ready-fd", required_argument, NULL, OPT_READY },
	{ "build", required_argument, NULL, OPT_BUILD },
	{ "vcpus", required_argument, NULL, OPT_VCPUS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "import", required_argument, NULL, OPT_IMPORT },
	{ "pull", required_argument, NULL, OPT_PULL },
	{ "password-cost", required_argument, NULL, OPT_PASSWORD_COST },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "token", required_argument, NULL, OPT_TOKEN },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "heartbeat", required_argument, NULL, OPT_HEARTBEAT },
	{ "host-lost", required_argument, NULL, OPT_HOST_LOST },
	{ "notify-private", no_argument, NULL, OPT_NOTIFY_PRIVATE },
	{ "notify-origin", required_argument, NULL, OPT_NOTIFY_ORIGIN },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "operations", no_argument, NULL, OPT_OPERATIONS },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int take_pool(struct daemon_args *args, const char *value, struct err *err)
{
	int64_t n = 0;
	if (parse_int(value, "--pool", 0, POOL_SIZE_MAX, &n, err))
		return -1;
	args->pool_size = (unsigned)n;
	return 0;
}

static int take_role(struct daemon_args *args, const char *value, struct err *err)
{
	args->host = !strcmp(value, "host");
	if (args->host || !strcmp(value, "control"))
		return 0;
	err_set(err, ERR_USAGE, "'--role %s' is none", value);
	return err_hint(err, "it is control (which every daemon is that has hosts), or host");
}

static int take_seconds(const char *name, const char *value, int64_t *out_ms, struct err *err)
{
	int64_t n = 0;
	if (parse_int(value, name, 1, 86400, &n, err))
		return -1;
	*out_ms = n * 1000;
	return 0;
}

/* Those of hosts and of what has some. */
static int take_hosting(struct daemon_args *args, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPT_ROLE:
		return take_role(args, value, err);
	case OPT_HEARTBEAT:
		return take_seconds("--heartbeat", value, &args->beat_ms, err);
	case OPT_HOST_LOST:
		return take_seconds("--host-lost", value, &args->host_lost_ms, err);
	case OPT_CONTROL:
		args->control = value;
		return 0;
	case OPT_TOKEN:
		free(args->token);
		args->token = mem_strdup(value);
		return 0;
	case OPT_ADDRESS:
		args->address = value;
		return 0;
	default:
		err_set(err, ERR_USAGE, "wrong option");
		return err_hint(err, "see: sbxd --help");
	}
}

/* SERVICE=URL */
static int take_origin(struct notify_origins *o, const char *value, struct err *err)
{
	const struct {
		const char *name, **url;
	} all[] = { { "discord", &o->discord }, { "slack", &o->slack }, { "teams", &o->teams }, { "googlechat", &o->googlechat },
		{ "telegram", &o->telegram } };
	const char *equals = strchr(value, '=');
	size_t n = equals ? (size_t)(equals - value) : 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strlen(all[i].name) != n || strncmp(all[i].name, value, n) != 0)
			continue;
		*all[i].url = equals + 1;
		return 0;
	}
	err_set(err, ERR_USAGE, "'--notify-origin %s' names no service", value);
	return err_hint(err, "it is discord, slack, teams, googlechat or telegram, and '=' and a URL");
}

static int take(struct daemon_args *args, int id, const char *value, struct err *err)
{
	int64_t n = 0;
	switch (id) {
	case OPT_HOME:
		free(args->home);
		args->home = mem_strdup(value);
		return 0;
	case OPT_CACHE:
		free(args->cache);
		args->cache = mem_strdup(value);
		return 0;
	case OPT_LISTEN:
	case OPT_PROXY:
		args->listen = mem_grow(args->listen, args->listen_count + 1, sizeof(*args->listen));
		args->listen[args->listen_count++] = (struct listen_arg){ value, id == OPT_PROXY };
		return 0;
	case OPT_READY:
		if (parse_int(value, "--ready-fd", 3, INT_MAX, &n, err))
			return -1;
		args->ready_fd = (int)n;
		return 0;
	case OPT_POOL:
		return take_pool(args, value, err);
	case OPT_PASSWORD_COST:
		if (parse_int(value, "--password-cost", PASSWORD_COST_MIN, PASSWORD_COST_MAX, &n, err))
			return -1;
		args->password_cost = (unsigned)n;
		return 0;
	case OPT_NOTIFY_PRIVATE:
		args->notify.allow_private = true;
		return 0;
	case OPT_NOTIFY_ORIGIN:
		return take_origin(&args->notify.origins, value, err);
	case OPT_BUILD:
		args->image = value;
		return 0;
	case OPT_IMPORT:
	case OPT_PULL:
		args->scratch = value;
		args->pull = id == OPT_PULL;
		return 0;
	case OPT_VCPUS:
		if (parse_int(value, "--vcpus", 1, 16, &n, err))
			return -1;
		args->vcpus = (unsigned)n;
		return 0;
	case OPT_MEMORY:
		if (parse_int(value, "--memory", 128, 16384, &n, err))
			return -1;
		args->memory_mb = (unsigned)n;
		return 0;
	default:
		return take_hosting(args, id, value, err);
	}
}

/* What a variable says, as if it were the option; the command line comes after it. */
static int take_env(struct daemon_args *args, const char *name, int id, struct err *err)
{
	const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): before any thread */
	if (!value || !*value || take(args, id, value, err) == 0)
		return 0;
	return err_prefix(err, "%s", name);
}

/* Absolute, since the daemon's working folder is not its user's. */
static char *absolute(char *path, struct err *err)
{
	if (!path || path[0] == '/')
		return path;
	auto_free char *relative = path;
	char *cwd = getcwd(NULL, 0);
	if (!cwd) {
		err_set(err, ERR_IO, "cannot tell the working folder; give absolute paths");
		return NULL;
	}
	char *joined = fs_join(cwd, relative);
	free(cwd);
	return joined;
}

static int fill_in(struct daemon_args *args, struct err *err)
{
	args->home = absolute(args->home ? args->home : fs_sbx_home(err), err);
	args->cache = absolute(args->cache ? args->cache : fs_sbx_cache(err), err);
	auto_free char *dir = fs_exe_dir(err);
	if (!args->home || !args->cache || !dir)
		return -1;
	args->program = fs_join(dir, "sbxd");
	return 0;
}

static char *get_variable(const char *name)
{
	return getenv(name); /* NOLINT(concurrency-mt-unsafe): before any thread */
}

static int read_logins(struct daemon_args *args, struct err *err)
{
	int rc = oauth_config_read(get_variable, &args->oauth, err);
	unsetenv(OAUTH_SECRET_VARIABLE); /* NOLINT(concurrency-mt-unsafe): not for our children */
	return rc;
}

static char *get_filled(const char *name)
{
	char *value = get_variable(name);
	return value && *value ? value : NULL;
}

static int read_hosting(struct daemon_args *args, struct err *err)
{
	const char *token = get_filled("SBX_HOST_TOKEN");
	if (args->host && !args->token && token)
		args->token = mem_strdup(token);
	unsetenv("SBX_HOST_TOKEN"); /* NOLINT(concurrency-mt-unsafe): not for our children */
	if (!args->host && (args->control || args->token || args->address || args->beat_ms)) {
		err_set(err, ERR_USAGE, "--control, --token, --address and --heartbeat are for a host");
		return err_hint(err, "add: --role host");
	}
	if (args->host && !args->control)
		args->control = get_filled("SBX_CONTROL");
	return 0;
}

enum daemon_mode daemon_args_parse(struct daemon_args *args, int argc, char **argv, struct err *err)
{
	*args = (struct daemon_args){ .ready_fd = -1, .vcpus = 1, .pool_size = POOL_SIZE_DEFAULT };
	if (take_env(args, "SBX_POOL", OPT_POOL, err) || take_env(args, "SBX_PASSWORD_COST", OPT_PASSWORD_COST, err) ||
		take_env(args, "SBX_HOST_LOST", OPT_HOST_LOST, err))
		return DAEMON_USAGE;
	opterr = 0;
	int id;
	while ((id = getopt_long(/* NOLINT(concurrency-mt-unsafe): before any thread */
			argc, argv, "h", options, NULL)) != -1) {
		if (id == 'h')
			return DAEMON_HELP;
		if (id == OPT_VERSION)
			return DAEMON_VERSION;
		if (id == OPT_OPERATIONS)
			return DAEMON_OPERATIONS;
		int rc = take(args, id, optarg, err);
		if (id == OPT_TOKEN) /* everybody can read the command lines of processes */
			explicit_bzero(optarg, strlen(optarg));
		if (rc)
			return DAEMON_USAGE;
	}
	if (optind < argc) {
		err_set(err, ERR_USAGE, "'%s' is not expected", argv[optind]);
		err_hint(err, "see: sbxd --help");
		return DAEMON_USAGE;
	}
	if (fill_in(args, err))
		return DAEMON_FAILED;
	if (args->image || args->scratch)
		return DAEMON_BUILD;
	return read_hosting(args, err) || read_logins(args, err) ? DAEMON_USAGE : DAEMON_SERVE;
}

void daemon_args_free(struct daemon_args *args)
{
	free(args->home);
	free(args->cache);
	free(args->program);
	free(args->listen);
	if (args->token)
		explicit_bzero(args->token, strlen(args->token));
	free(args->token);
	oauth_config_release(&args->oauth);
}
