#include "cli/live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/pages.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/label.h"

#define LIMIT_MS 300
#define ANSWER_MAX ((size_t)1 << 20)

struct ask {
	struct cli *cli;
	struct client c;
	const char *typed;
	struct buf *out;
};

/* Lines and columns are ours: a name that would break them is left out. */
static bool plain(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	}
	return true;
}

static void emit(struct buf *out, const char *name, const char *about)
{
	if (*name && plain(name))
		buf_fmt(out, "%s\t%s\n", name, plain(about) ? about : "");
}

/* By name where it has one; its id as well when a person begins to type that. */
static void emit_named(const struct ask *a, const js *item, const char *about)
{
	const char *id = js_str(js_get(item, "id"), ""), *name = js_str(js_get(item, "name"), "");
	emit(a->out, *name ? name : id, about);
	if (*name && *a->typed && str_starts(id, a->typed))
		emit(a->out, id, about);
}

static int emit_sandbox(void *arg, const js *sandbox)
{
	emit_named(arg, sandbox, js_str(js_get(sandbox, "state"), ""));
	return 0;
}

static int emit_alive(void *arg, const js *sandbox)
{
	const char *state = js_str(js_get(sandbox, "state"), "");
	return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 ? emit_sandbox(arg, sandbox) : 0;
}

static int emit_side(void *arg, const js *sandbox)
{
	const struct ask *a = arg;
	auto_free char *side = mem_printf("%s:", js_str(js_get(sandbox, "name"), js_str(js_get(sandbox, "id"), "")));
	emit(a->out, side, js_str(js_get(sandbox, "state"), ""));
	return 0;
}

/* SANDBOX:PATH: what is in the folder of the path. */
static void emit_files(struct ask *a)
{
	auto_free char *sandbox = mem_strndup(a->typed, strcspn(a->typed, ":"));
	const char *path = a->typed + strlen(sandbox) + 1, *slash = strrchr(path, '/');
	if (!slash)
		return;
	auto_free char *folder = mem_strndup(path, (size_t)(slash - path) + 1);
	struct call call = { .op = SBX_OP_LIST_FILES, .path = { sandbox }, .query = { { "path", folder } } };
	auto_js *v = client_json(&a->c, &call, NULL);
	js_each (file, js_get(v, "entries")) {
		const char *type = js_str(js_get(file, "type"), "");
		auto_free char *word = mem_printf(
			"%s:%s%s%s", sandbox, folder, js_str(js_get(file, "name"), ""), strcmp(type, "directory") == 0 ? "/" : "");
		emit(a->out, word, type);
	}
}

static void emit_list(struct ask *a, enum sbx_op op, const char *member, const char *about)
{
	struct call call = { .op = op };
	auto_js *v = client_json(&a->c, &call, NULL);
	js_each (item, js_get(v, member))
		emit_named(a, item, js_str(js_get(item, about), ""));
}

/* By slug, which needs no quotes; the name tells which it is. */
static void emit_teams(struct ask *a)
{
	const struct call call = { .op = SBX_OP_LIST_TEAMS };
	auto_js *v = client_json(&a->c, &call, NULL);
	js_each (team, js_get(v, "teams")) {
		const char *name = js_str(js_get(team, "name"), "");
		bool quotes = strpbrk(name, " '") != NULL;
		emit(a->out, quotes ? js_str(js_get(team, "slug"), "") : name, quotes ? name : js_str(js_get(team, "role"), ""));
	}
}

static void emit_members(struct ask *a)
{
	const struct call account = { .op = SBX_OP_GET_ACCOUNT };
	auto_js *me = client_json(&a->c, &account, NULL);
	const struct call call = { .op = SBX_OP_LIST_MEMBERS, .path = { js_str(js_get(js_get(me, "team"), "id"), "local") } };
	auto_js *v = me ? client_json(&a->c, &call, NULL) : NULL;
	js_each (member, js_get(v, "members"))
		emit(a->out, js_str(js_get(member, "email"), js_str(js_get(member, "id"), "")), js_str(js_get(member, "name"), ""));
}

/* Of the local store: no daemon is asked. */
static void emit_labels(struct ask *a)
{
	struct err err = ERR_INIT;
	struct label_list labels;
	auto_free char *home = fs_sbx_home(&err);
	auto_free char *path = home ? fs_join(home, "store") : NULL;
	struct store *s = path ? store_open(path, false, &err) : NULL;
	if (!s)
		return;
	if (label_list(s, &labels, &err) == 0) {
		for (size_t i = 0; i < labels.n; i++) {
			char hex[HASH_HEX + 1];
			emit(a->out, labels.v[i].name, hash_hex(&labels.v[i].head, hex));
		}
		label_list_free(&labels);
	}
	store_close(s);
}

static void ask(struct ask *a, enum arg_kind kind)
{
	static const struct list_filter all = { 0 }, running = { .state = "running" }, paused = { .state = "paused" },
					stopped = { .state = "stopped" };
	struct err err = ERR_INIT;
	if (kind == ARG_REF || kind == ARG_REF_FILE || kind == ARG_LABEL) {
		emit_labels(a);
		return;
	}
	if (cli_client(a->cli, &a->c, &err))
		return;
	a->c.no_start = true;
	a->c.timeout_ms = LIMIT_MS;
	int rc = 0;
	if (kind == ARG_COPY && strchr(a->typed, ':'))
		emit_files(a);
	else if (kind == ARG_COPY)
		rc = pages_each(&a->c, &all, emit_side, a, &err);
	else if (kind == ARG_SANDBOX)
		rc = pages_each(&a->c, &all, emit_sandbox, a, &err);
	else if (kind == ARG_SANDBOX_RUNNING)
		rc = pages_each(&a->c, &running, emit_sandbox, a, &err);
	else if (kind == ARG_SANDBOX_PAUSED)
		rc = pages_each(&a->c, &paused, emit_sandbox, a, &err);
	else if (kind == ARG_SANDBOX_STOPPED)
		rc = pages_each(&a->c, &stopped, emit_sandbox, a, &err);
	else if (kind == ARG_SANDBOX_ALIVE)
		rc = pages_each(&a->c, &all, emit_alive, a, &err);
	else if (kind == ARG_IMAGE)
		emit_list(a, SBX_OP_LIST_IMAGES, "images", "state");
	else if (kind == ARG_KEY)
		emit_list(a, SBX_OP_LIST_KEYS, "keys", "id");
	else if (kind == ARG_SNAPSHOT)
		emit_list(a, SBX_OP_LIST_SNAPSHOTS, "snapshots", "image");
	else if (kind == ARG_TEAM)
		emit_teams(a);
	else if (kind == ARG_MEMBER)
		emit_members(a);
	else if (kind == ARG_HOST)
		emit_list(a, SBX_OP_LIST_HOSTS, "hosts", "status");
	else if (kind == ARG_CHANNEL)
		emit_list(a, SBX_OP_LIST_CHANNELS, "channels", "provider");
	if (rc)
		buf_clear(a->out);
	client_close(&a->c);
}

/* The child: a group of its own, so that whatever an endpoint starts ends with it; silent and without input. */
static void child(struct cli *cli, enum arg_kind kind, const char *typed, int fd)
{
	auto_buf out = BUF_INIT;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (setpgid(0, 0) || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		return;
	struct ask a = { .cli = cli, .typed = typed, .out = &out };
	ask(&a, kind);
	(void)fs_write_all(fd, out.p, out.len, NULL); /* who asked sees fewer names */
}

/* Until its end or the limit, whole lines only. */
static void collect(int fd, struct buf *out)
{
	auto_buf got = BUF_INIT;
	int64_t end = clock_mono_ms() + LIMIT_MS;
	for (int64_t left = LIMIT_MS; left > 0 && got.len < ANSWER_MAX; left = end - clock_mono_ms()) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char part[4096];
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(fd, part, sizeof(part));
		if (n <= 0)
			break;
		buf_add(&got, part, (size_t)n);
	}
	const char *last = memrchr(got.p, '\n', got.len);
	if (last)
		buf_add(out, got.p, (size_t)(last - got.p) + 1);
}

/* Names that this machine's configuration knows. */
static void contexts(struct cli *cli, struct buf *out)
{
	struct err err = ERR_INIT;
	const struct config *config = cli_config(cli, &err);
	const struct config_context *c;
	emit(out, CONFIG_DEFAULT_CONTEXT, "the local daemon");
	for (size_t i = 0; config && (c = config_context_at(config, i)); i++)
		emit(out, c->name, c->endpoint);
}

void live_names(struct cli *cli, enum arg_kind kind, const char *typed, struct buf *out)
{
	if (kind == ARG_CONTEXT) {
		contexts(cli, out);
		return;
	}
	int fds[2];
	if (pipe2(fds, O_CLOEXEC))
		return;
	pid_t pid = fork();
	if (pid == 0) {
		child(cli, kind, typed, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	if (pid > 0) {
		(void)setpgid(pid, pid); /* the child does it, too: whoever is first */
		collect(fds[0], out);
		(void)kill(-pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(fds[0]);
}
