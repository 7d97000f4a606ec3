/* agent exec: from an OPEN EXEC record to a running command. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/spawn.h"
#include "daemon/guest/text.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define TTY_GROUP 5
#define SIDE_MAX 4096 /* columns, rows */

/* A NULL-terminated list of strings of its own. */
struct strings {
	char **v;
	size_t n;
};

static void add(struct strings *s, char *text)
{
	s->v = mem_grow(s->v, s->n + 2, sizeof(*s->v));
	s->v[s->n++] = text;
	s->v[s->n] = NULL;
}

static void strings_free(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
}

/* What a command's child needs until its exec. */
struct exec_plan {
	struct spawn_command c;
	struct strings argv, env, paths;
	char **script_argv;
	char *cwd;
};

const char *exec_plan_folder(const struct exec_plan *plan)
{
	return plan->c.cwd;
}

void exec_plan_free(struct exec_plan *plan)
{
	if (!plan)
		return;
	strings_free(&plan->argv);
	strings_free(&plan->env);
	strings_free(&plan->paths);
	free(plan->script_argv);
	free(plan->cwd);
	free(plan);
}

/* Set NAME=VALUE, replacing an earlier one. Text without '=' is dropped. Takes the text. */
static void env_put(struct strings *env, char *text)
{
	const char *eq = strchr(text, '=');
	size_t name = eq ? (size_t)(eq - text) + 1 : 0;

	if (name < 2) {
		free(text);
		return;
	}
	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], text, name))
			continue;
		free(env->v[i]);
		env->v[i] = text;
		return;
	}
	add(env, text);
}

static const char *env_get(const struct strings *env, const char *name, const char *def)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < env->n; i++)
		if (!strncmp(env->v[i], name, n) && env->v[i][n] == '=')
			return env->v[i] + n + 1;
	return def;
}

static void make_env(const struct agent *a, struct rec r, const struct user *u, bool tty, struct strings *env)
{
	struct wire_field f;
	size_t at = 0;

	add(env, mem_strdup("PATH=" AGENT_PATH));
	add(env, mem_printf("HOME=%s", u->home));
	add(env, mem_printf("USER=%s", u->name));
	add(env, mem_printf("LOGNAME=%s", u->name));
	add(env, mem_printf("SHELL=%s", u->shell[0] ? u->shell : "/bin/sh"));
	if (tty)
		add(env, mem_strdup("TERM=xterm-256color"));
	if (a->sandbox_id)
		add(env, mem_printf("SBX_SANDBOX_ID=%s", a->sandbox_id));
	for (char **e = a->env; e && *e; e++)
		env_put(env, mem_strdup(*e));
	while (wire_rec_next(r.p, r.n, &at, &f) > 0)
		if (f.tag == WT_ENV)
			env_put(env, mem_strndup((const char *)f.p, f.n));
}

static void make_argv(struct rec r, struct strings *argv)
{
	struct wire_field f;
	size_t at = 0;

	while (wire_rec_next(r.p, r.n, &at, &f) > 0)
		if (f.tag == WT_ARG)
			add(argv, mem_strndup((const char *)f.p, f.n));
}

/* Where the command may be: itself when it has a slash, else in every folder of PATH. */
static void make_paths(const char *command, const char *path, struct strings *paths)
{
	if (strchr(command, '/')) {
		add(paths, mem_strdup(command));
		return;
	}
	for (;;) {
		size_t n = strcspn(path, ":");

		add(paths, n ? mem_printf("%.*s/%s", (int)n, path, command) : mem_strdup(command));
		if (!path[n])
			return;
		path += n + 1;
	}
}

/* { "/bin/sh", (path, filled in later), argv[1]... }, pointing into argv. Caller frees the list only. */
static char **make_script_argv(const struct strings *argv)
{
	static char shell[] = "/bin/sh";
	char **v = mem_array(argv->n + 2, sizeof(*v));

	v[0] = shell;
	for (size_t i = 1; i < argv->n; i++)
		v[i + 1] = argv->v[i];
	return v;
}

/* The descriptors of both ends: ours, the child's. All close-on-exec. */
struct ends {
	int ours[3], theirs[3], status[2];
};

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void close_ends(const struct ends *e)
{
	close_all(e->ours, 3);
	close_all(e->theirs, 3);
	close_all(e->status, 2);
}

static int set_nonblock(int fd)
{
	return fd < 0 ? 0 : fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* no_input: stdin is empty. */
static int open_pipes(struct ends *e, bool no_input)
{
	if (no_input && (e->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		return -1;
	for (int i = no_input; i < 3; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC))
			return -1;
		e->ours[i] = p[i == 0];
		e->theirs[i] = p[i != 0];
		if (set_nonblock(e->ours[i]))
			return -1;
	}
	return 0;
}

static int open_pty(struct ends *e, struct rec r, const struct user *u)
{
	struct winsize ws = { .ws_col = (unsigned short)wire_rec_get_u64(r.p, r.n, WT_COLS, 0),
		.ws_row = (unsigned short)wire_rec_get_u64(r.p, r.n, WT_ROWS, 0) };
	struct termios t;
	int unlock = 0, slave;

	if (!ws.ws_col || ws.ws_col > SIDE_MAX)
		ws.ws_col = 80;
	if (!ws.ws_row || ws.ws_row > SIDE_MAX)
		ws.ws_row = 24;
	e->ours[1] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (e->ours[1] < 0 || ioctl(e->ours[1], TIOCSPTLCK, &unlock))
		return -1;
	slave = ioctl(e->ours[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -1;
	for (int i = 0; i < 3; i++)
		e->theirs[i] = i ? fcntl(slave, F_DUPFD_CLOEXEC, 3) : slave;
	if (tcgetattr(slave, &t) == 0) {
		t.c_iflag |= IUTF8;
		tcsetattr(slave, TCSANOW, &t);
	}
	if (u->uid && geteuid() == 0 && fchown(slave, u->uid, TTY_GROUP))
		return -1;
	return ioctl(e->ours[1], TIOCSWINSZ, &ws);
}

static int open_ends(struct ends *e, const struct proc *p, struct rec r)
{
	bool no_input = p->session || wire_rec_get_u64(r.p, r.n, WT_NO_INPUT, 0);

	*e = (struct ends){ { -1, -1, -1 }, { -1, -1, -1 }, { -1, -1 } };
	if (p->tty ? open_pty(e, r, &p->plan->c.user) : open_pipes(e, no_input))
		return -1;
	if (pipe2(e->status, O_CLOEXEC))
		return -1;
	return set_nonblock(e->status[0]);
}

/* Make the child and watch it. -1 with errno; nothing is left then. */
static int launch(struct agent *a, struct proc *p, struct rec r)
{
	struct spawn_command *c = &p->plan->c;
	struct ends e;

	if (open_ends(&e, p, r) == 0) {
		memcpy(c->io.fds, e.theirs, sizeof(c->io.fds));
		c->io.status = e.status[1];
		p->pid = spawn_command(c);
	} else {
		p->pid = -1;
	}
	if (p->pid < 0) {
		int sys = errno;

		close_ends(&e);
		errno = sys;
		return -1;
	}
	close_all(e.theirs, 3);
	close(e.status[1]);
	if (proc_watch(a, p, e.ours, e.status[0]))
		proc_signal(p, SIGKILL); /* cannot happen short of no memory; it then ends by itself */
	return 0;
}

/* All strings of r are C strings (no NUL inside): otherwise a path or argument would silently be cut. */
static bool has_nul(struct rec r)
{
	struct wire_field f;
	size_t at = 0;

	while (wire_rec_next(r.p, r.n, &at, &f) > 0)
		if ((f.tag == WT_ARG || f.tag == WT_ENV || f.tag == WT_CWD || f.tag == WT_USER) && memchr(f.p, 0, f.n))
			return true;
	return false;
}

static void set_timeout(struct proc *p, struct rec r)
{
	uint64_t ms = wire_rec_get_u64(r.p, r.n, WT_TIMEOUT_MS, 0);

	if (!ms || ms > INT32_MAX * 1000ULL)
		return;
	p->kill_at = clock_mono_ms() + (int64_t)ms;
	p->kill_sig = SIGTERM;
}

static void command_json(const struct strings *argv, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	jw_arr(&w);
	for (size_t i = 0; i < argv->n; i++)
		jw_str(&w, argv->v[i]);
	jw_arr_end(&w);
}

static struct exec_plan *make_plan(const struct agent *a, struct rec r, bool tty, const struct user *u)
{
	struct exec_plan *plan = mem_zalloc(sizeof(*plan));
	struct spawn_command *c = &plan->c;

	c->io.reset_nice = a->guest;
	c->io.tty = tty;
	c->user = *u;
	make_argv(r, &plan->argv);
	make_env(a, r, u, tty, &plan->env);
	make_paths(plan->argv.v[0], env_get(&plan->env, "PATH", AGENT_PATH), &plan->paths);
	plan->script_argv = make_script_argv(&plan->argv);
	plan->cwd = wire_rec_get_str(r.p, r.n, WT_CWD);
	c->cwd_asked = plan->cwd && *plan->cwd;
	if (c->cwd_asked && plan->cwd[0] != '/') {
		char *full = mem_printf("%s/%s", u->home, plan->cwd);

		free(plan->cwd);
		plan->cwd = full;
	}
	c->cwd = c->cwd_asked ? plan->cwd : c->user.home;
	c->argv = plan->argv.v;
	c->env = plan->env.v;
	c->paths = plan->paths.v;
	c->script_argv = plan->script_argv;
	return plan;
}

static struct proc *start(struct agent *a, struct stream *s, struct rec r, struct session *session, const struct user *u)
{
	struct proc *p = proc_new(a, PROC_EXEC);
	char text[TEXT_ERRNO_MAX];

	if (!p) {
		stream_fail(a, s, EAGAIN, "too many processes");
		return NULL;
	}
	p->tty = session ? !session->pipes : wire_rec_get_u64(r.p, r.n, WT_TTY, 0);
	p->plan = make_plan(a, r, p->tty, u);
	p->command = mem_strdup(p->plan->argv.v[0]);
	if (session)
		command_json(&p->plan->argv, &session->command);
	p->session = session;
	if (launch(a, p, r)) {
		p->session = NULL; /* stays the caller's */
		stream_fail(a, s, errno, "cannot start a process: %s", text_errno(errno, text));
		proc_bury(a, p);
		return NULL;
	}
	set_timeout(p, r);
	proc_attach(p, s);
	return p;
}

struct proc *exec_start(struct agent *a, struct stream *s, struct rec r, struct session *session)
{
	auto_free char *spec = wire_rec_get_str(r.p, r.n, WT_USER);
	struct wire_field first;
	struct user u;
	int sys;

	if (!wire_rec_find(r.p, r.n, WT_ARG, &first) || !first.n) {
		stream_fail(a, s, EINVAL, "no command given");
		return NULL;
	}
	if (has_nul(r)) {
		stream_fail(a, s, EINVAL, "a string of the request contains a NUL byte");
		return NULL;
	}
	sys = user_resolve(spec, &u);
	if (sys) {
		stream_fail(a, s, sys, sys == ENOENT ? "no such user or group: '%s'" : "not a valid user: '%s'", spec ? spec : "");
		return NULL;
	}
	return start(a, s, r, session, &u);
}

void exec_open(struct agent *a, struct stream *s, struct rec r)
{
	struct wire_field f;

	if (wire_rec_find(r.p, r.n, WT_SESSION, &f))
		session_open(a, s, r);
	else
		exec_start(a, s, r, NULL);
}
