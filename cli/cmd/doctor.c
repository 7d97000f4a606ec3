#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/create.h"
#include "cli/render/text.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/base/version.h"

#define DISK_FAIL ((int64_t)200 << 20)
#define DISK_WARN ((int64_t)2 << 30)

struct options {
	bool quick;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.name = "quick",
		.help = "leave out the round trip with a real VM",
		.off = offsetof(struct options, quick) },
	{ .kind = OPT_END },
};

enum verdict { OK, WARN, FAIL };
static const char *const verdicts[] = { "ok", "warn", "fail" };

struct doctor {
	struct cli *cli;
	struct buf doc; /* JSON of all checks */
	struct jw w;
	bool failed;
};

/* Tell one finding. mend: what to do about it, "" when nothing is to be done. */
static void tell(struct doctor *d, enum verdict verdict, const char *what, const char *detail, const char *mend)
{
	d->failed |= verdict == FAIL;
	jw_obj(&d->w);
	jw_kstr(&d->w, "check", what);
	jw_kstr(&d->w, "status", verdicts[verdict]);
	jw_kstr(&d->w, "detail", detail);
	if (*mend)
		jw_kstr(&d->w, "mend", mend);
	jw_obj_end(&d->w);
	if (d->cli->format != FORMAT_TABLE)
		return;
	struct buf *out = &d->cli->out;
	buf_fmt(out, "%-4s  %s: ", verdicts[verdict], what);
	text_safe(out, detail);
	buf_ch(out, '\n');
	if (*mend) {
		buf_str(out, "      ");
		text_safe(out, mend);
		buf_ch(out, '\n');
	}
}

static void tell_err(struct doctor *d, const char *what, const struct err *err)
{
	tell(d, FAIL, what, err->msg, err->hint);
}

/* ---- programs ---- */

/* First executable of that name in a list of folders; allocated, NULL when there is none. */
static char *find_in(const char *folders, const char *name)
{
	auto_free char *copy = mem_strdup(folders);
	char *rest = copy, *folder;
	while ((folder = strsep(&rest, ":"))) {
		char *path = fs_join(*folder ? folder : ".", name);
		struct stat st;
		if (access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
			return path;
		free(path);
	}
	return NULL;
}

static void check_programs(struct doctor *d)
{
	static const struct {
		const char *name, *package;
	} programs[] = {
		{ "qemu-system-x86_64", "qemu-system-x86" },
		{ "mke2fs", "e2fsprogs" },
		{ "apt-get", "apt" },
		{ "dpkg-deb", "dpkg" },
		{ "busybox", "busybox-static" },
		{ "mmdebstrap", "mmdebstrap" },
	};
	const char *path = getenv("PATH");
	auto_free char *folders = mem_printf("%s:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", path ? path : "");
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		auto_free char *found = find_in(folders, programs[i].name);
		auto_free char *mend = mem_printf("apt-get install %s", programs[i].package);
		tell(d, found ? OK : FAIL, programs[i].name, found ? found : "not found", found ? "" : mend);
	}
}

/* Another `sbx` that a shell finds before ours would speak to our daemon. */
static void check_shadow(struct doctor *d)
{
	const char *path = getenv("PATH");
	auto_free char *first = find_in(path ? path : "", "sbx");
	struct stat ours, theirs;
	if (!first) {
		tell(d, OK, "command", "no 'sbx' on PATH: this one was run by its path", "");
		return;
	}
	if (stat("/proc/self/exe", &ours) || stat(first, &theirs)) {
		tell(d, WARN, "command", strerror(errno), "");
		return;
	}
	bool same = ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
	auto_free char *detail = mem_printf(same ? "%s" : "a shell finds another one first: %s", first);
	auto_free char *mend = mem_printf("remove %s, or put the folder of this one in front of PATH", first);
	tell(d, same ? OK : WARN, "command", detail, same ? "" : mend);
}

/* ---- disk ---- */

/* A folder that is not there yet is judged by the nearest one that is. */
static int free_space(const char *folder, int64_t *out)
{
	auto_free char *path = mem_strdup(folder);
	struct statvfs vfs;
	while (statvfs(path, &vfs)) {
		char *slash = strrchr(path, '/');
		if (errno != ENOENT || !slash || slash == path)
			return -1;
		*slash = '\0';
	}
	*out = (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize;
	return 0;
}

static void check_disk(struct doctor *d, const char *what, const char *variable, const char *folder)
{
	int64_t space;
	if (free_space(folder, &space)) {
		tell(d, FAIL, what, strerror(errno), "");
		return;
	}
	auto_buf detail = BUF_INIT;
	text_size(&detail, space);
	buf_fmt(&detail, " free in %s", folder);
	auto_free char *mend = mem_printf("make room there, or set %s to a folder elsewhere", variable);
	enum verdict v = space < DISK_FAIL ? FAIL : space < DISK_WARN ? WARN : OK;
	tell(d, v, what, detail.p, v == OK ? "" : mend);
}

static void check_disks(struct doctor *d)
{
	struct err err = ERR_INIT;
	auto_free char *home = fs_sbx_home(&err);
	auto_free char *cache = fs_sbx_cache(&err);
	if (home && cache) {
		check_disk(d, "home", "SBX_HOME", home);
		check_disk(d, "cache", "SBX_CACHE", cache);
	} else {
		tell_err(d, "home", &err);
	}
}

/* ---- daemon ---- */

static bool check_daemon(struct doctor *d, struct client *c)
{
	struct err err = ERR_INIT;
	struct call call = { .op = SBX_OP_GET_VERSION };
	c->no_start = true;
	auto_js *running = client_json(c, &call, &err);
	c->no_start = false;
	/* whether it can be started is what the person wants to know */
	auto_js *v = running ? NULL : client_json(c, &call, &err);
	const js *answer = running ? running : v;
	if (!answer) {
		tell_err(d, "daemon", &err);
		return false;
	}
	const char *version = js_str(js_get(answer, "version"), "?");
	bool same = strcmp(version, sbx_version) == 0;
	auto_free char *detail = mem_printf("%s, version %s%s%s", running ? "runs" : "was not running and has been started",
		version, same ? "" : "; this command is ", same ? "" : sbx_version);
	tell(d, same ? OK : WARN, "daemon", detail,
		same ? "" : "run 'sbx down --keep': the next command starts the new one, sandboxes run on");
	return true;
}

/* One line when all is well, else one for each layer that is missing. */
static void check_isolation(struct doctor *d, const js *layers)
{
	auto_buf on = BUF_INIT;
	js_each (it, layers) {
		const char *layer = js_str(js_get(it, "layer"), "?");
		if (js_bool(js_get(it, "on"), false)) {
			buf_fmt(&on, "%s%s", on.len ? ", " : "", layer);
			continue;
		}
		auto_free char *detail = mem_printf("VMs have no %s of their own: %s", layer, js_str(js_get(it, "reason"), "?"));
		tell(d, WARN, "isolation", detail, js_str(js_get(it, "mend"), ""));
	}
	if (on.len) {
		auto_free char *detail = mem_printf("a VM has its own %s", on.p);
		tell(d, OK, "isolation", detail, "");
	}
}

/* The daemon's own state is its operator's to see: that is who can reach its socket, whatever team he is logged in to. */
static js *ask_system(struct client *c, struct err *err)
{
	const struct call call = { .op = SBX_OP_GET_SYSTEM };
	struct endpoint bare = *c->ep;
	struct client own;
	if (bare.kind != ENDPOINT_UNIX || !bare.api_key)
		return client_json(c, &call, err);
	bare.api_key = NULL;
	client_init(&own, &bare);
	js *v = client_json(&own, &call, err);
	client_close(&own);
	return v;
}

static void check_system(struct doctor *d, struct client *c)
{
	struct err err = ERR_INIT;
	auto_js *v = ask_system(c, &err);
	if (!v && err.code == ERR_FORBIDDEN) {
		tell(d, WARN, "acceleration", "not known: the daemon tells its operator alone",
			"have the operator run: sbx doctor");
		return;
	}
	if (!v) {
		tell_err(d, "acceleration", &err);
		return;
	}
	check_isolation(d, js_get(v, "isolation"));
	const char *how = js_str(js_get(v, "acceleration"), NULL);
	const char *why = js_str(js_get(v, "accelerationReason"), "");
	auto_free char *detail = mem_printf("%s%s%s", how ? how : "not known before the first VM", *why ? ": " : "", why);
	bool slow = how && strcmp(how, "kvm") != 0;
	tell(d, slow ? WARN : OK, "acceleration", detail,
		slow ? "VMs work, but slower; hardware help needs a usable /dev/kvm" : "");
}

/* ---- a real VM ---- */

static int run_true(struct client *c, const char *id, struct err *err)
{
	auto_buf body = BUF_INIT;
	buf_str(&body, "{\"command\":[\"true\"],\"timeoutSeconds\":30}");
	struct call call = { .op = SBX_OP_EXEC_COMMAND, .path = { id }, .json = &body };
	auto_js *v = client_json(c, &call, err);
	if (!v)
		return -1;
	double code = js_num(js_get(v, "exitCode"), -1);
	return code == 0 ? 0 : err_set(err, ERR_INTERNAL, "'true' ended with code %.0f", code); /* NOLINT: whole numbers */
}

/* 0, -1 with err; *interrupted as in create_sandbox. */
static int round_trip(struct doctor *d, struct client *c, int sig_fd, int *interrupted, struct err *err)
{
	struct create_options o = { 0 };
	int64_t t0 = clock_mono_us();
	auto_js *sandbox = create_sandbox(d->cli, c, &o, sig_fd, interrupted, err);
	if (!sandbox)
		return -1;
	int64_t t1 = clock_mono_us();
	const char *id = js_str(js_get(sandbox, "id"), "");
	int rc = run_true(c, id, err);
	int64_t t2 = clock_mono_us();
	struct err rm_err = ERR_INIT;
	struct call call = { .op = SBX_OP_DELETE_SANDBOX, .path = { id } };
	if (client_call(c, &call, NULL, rc ? &rm_err : err))
		rc = -1;
	if (rc)
		return -1;
	int64_t t3 = clock_mono_us();
	auto_free char *detail = mem_printf("created in %.0f ms, ran a command in %.0f ms, removed in %.0f ms",
		(double)(t1 - t0) / 1000, (double)(t2 - t1) / 1000, (double)(t3 - t2) / 1000);
	tell(d, OK, "microVM", detail, "");
	return 0;
}

static int check_vm(struct doctor *d, struct client *c)
{
	struct err err = ERR_INIT;
	int interrupted = 0;
	auto_fd int sig_fd = cli_signal_fd(&err);
	if (sig_fd < 0 || round_trip(d, c, sig_fd, &interrupted, &err)) {
		if (!interrupted)
			tell_err(d, "microVM", &err);
	}
	return interrupted;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	(void)args;
	struct client c;
	if (cli_client(cli, &c, err))
		return -1;
	struct doctor d = { .cli = cli, .doc = BUF_INIT };
	jw_init(&d.w, &d.doc);
	jw_arr(&d.w);
	check_programs(&d);
	check_shadow(&d);
	check_disks(&d);
	int interrupted = 0;
	if (check_daemon(&d, &c)) {
		/* after the VM, as the first one finds it out */
		interrupted = o->quick ? 0 : check_vm(&d, &c);
		check_system(&d, &c);
	}
	jw_arr_end(&d.w);
	client_close(&c);
	auto_js *doc = js_parse(d.doc.p, d.doc.len, JS_LIMITS_DEFAULT, err);
	buf_free(&d.doc);
	if (!doc)
		return -1;
	cli_document(cli, doc);
	return interrupted ? interrupted : d.failed;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "Check that everything works, and say how to mend what does not",
	.usage = "[--quick]",
	.about = "Starts the daemon if need be and takes a VM through its whole life. Exit code 1 when a check fails.",
	.example = "  sbx doctor\n  sbx doctor -o json",
	.options = options,
	.options_size = sizeof(struct options),
	.command_after = NO_COMMAND,
	.run = run,
};
