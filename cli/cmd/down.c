#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/cli.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define END_MS 60000

struct options {
	bool yes, keep;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'y',
		.name = "yes",
		.help = "remove running sandboxes without asking",
		.off = offsetof(struct options, yes) },
	{ .kind = OPT_BOOL,
		.name = "keep",
		.help = "let them run on; the next daemon takes them over",
		.off = offsetof(struct options, keep) },
	{ .kind = OPT_END },
};

static int confirm(const struct options *o, double running, struct err *err)
{
	if (o->yes || o->keep || running < 1)
		return 1;
	auto_free char *question = mem_printf("end and remove %.0f running sandbox%s", running, running < 2 ? "" : "es");
	return cli_confirm(question, "try: sbx down --yes, or --keep to let them run on", err);
}

/* ifIdle guards against a sandbox that was made while nobody was asked. */
static int shut_down(struct client *c, const struct options *o, bool asked, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "sandboxes", o->keep ? "keep" : "delete");
	jw_kbool(&w, "ifIdle", !asked && !o->keep);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_SHUTDOWN_SYSTEM, .json = &body };
	return client_call(c, &call, NULL, err);
}

static int wait_end(int pid_fd, int pid, struct err *err)
{
	struct pollfd p = { .fd = pid_fd, .events = POLLIN };
	int rc;
	do {
		rc = poll(&p, 1, END_MS);
	} while (rc < 0 && errno == EINTR);
	if (rc == 1)
		return 0;
	err_set(err, ERR_TIMEOUT, "the daemon (process %d) has not ended within %d s", pid, END_MS / 1000);
	return err_hint(err, "try: kill %d", pid);
}

static int stop(struct cli *cli, struct client *c, const struct options *o, const js *system, struct err *err)
{
	int64_t pid = 0;
	double running = js_num(js_get(system, "running"), 0);
	int yes = confirm(o, running, err);
	if (yes <= 0)
		return yes < 0 ? -1 : 1;
	/* taken before the end, so that it cannot be another process of the same number; a socket file is of this machine */
	auto_fd int pid_fd = -1;
	if (cli->endpoint.kind == ENDPOINT_UNIX && js_int(js_get(system, "pid"), &pid) == 0 && pid > 1)
		pid_fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (shut_down(c, o, o->yes || running > 0, err))
		return -1;
	client_close(c);
	return pid_fd >= 0 ? wait_end(pid_fd, (int)pid, err) : 0;
}

/* Are there VMs that no daemon looks after? */
static bool left_behind(const char *home)
{
	auto_free char *path = fs_join(home, "vms");
	DIR *d = opendir(path);
	const struct dirent *e = NULL;
	while (d && (e = readdir(d)) && e->d_name[0] == '.')
		;
	if (d)
		closedir(d);
	return e != NULL;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)args;
	if (o->yes && o->keep)
		return err_set(err, ERR_USAGE, "--yes and --keep exclude each other");
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	c.no_start = true;
	struct call call = { .op = SBX_OP_GET_SYSTEM };
	auto_js *system = client_json(&c, &call, err);
	bool none = !system && cli->endpoint.managed && (err->sys == ENOENT || err->sys == ECONNREFUSED);
	if (none && !o->keep && left_behind(cli->endpoint.home)) { /* by a daemon that was killed: only a daemon can end them */
		c.no_start = none = false;
		system = client_json(&c, &call, err);
	}
	if (none)
		cli_warn(cli, "the daemon does not run");
	int rc = none ? 0 : system ? stop(cli, &c, o, system, err) : -1;
	client_close(&c);
	return rc;
}

const struct command cmd_down = {
	.name = "down",
	.summary = "End the daemon and the sandboxes",
	.usage = "[--yes | --keep]",
	.about = "Asks before it ends running sandboxes.",
	.example = "  sbx down\n  sbx down --yes\n  sbx down --keep",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
