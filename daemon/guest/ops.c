/* agent ops: start file operations as children, and what all of them need. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/guest/op.h"
#include "daemon/guest/spawn.h"
#include "daemon/guest/text.h"
#include "shared/base/mem.h"

static const struct {
	const char *name;
	int (*fn)(struct op *o);
	bool input;
} ops[WIRE_OP_END] = {
	[WIRE_OP_READ] = { "reading the file", op_read, false },
	[WIRE_OP_WRITE] = { "writing the file", op_write, true },
	[WIRE_OP_LIST] = { "listing the folder", op_list, false },
	[WIRE_OP_STAT] = { "stat", op_stat, false },
	[WIRE_OP_MKDIR] = { "making the folder", op_mkdir, false },
	[WIRE_OP_REMOVE] = { "removing", op_remove, false },
	[WIRE_OP_TAR] = { "packing", op_tar, false },
	[WIRE_OP_UNTAR] = { "unpacking", op_untar, true },
	[WIRE_OP_WATCH] = { "watching", op_watch, false },
	[WIRE_OP_MOUNT] = { "mounting", op_mount, false },
	[WIRE_OP_CHANGES] = { "collecting changes", op_changes, false },
};

int op_error(struct op *o, int sys, const char *fmt, ...)
{
	va_list ap;

	if (o->failed)
		return -1;
	o->failed = true;
	o->sys = sys ? sys : EIO;
	va_start(ap, fmt);
	vsnprintf(o->msg, sizeof(o->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int op_fail(struct op *o, int sys, const char *path)
{
	char text[TEXT_ERRNO_MAX];

	return op_error(o, sys, "%s: '%s'", text_errno(sys, text), path);
}

int op_write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno != EINTR)
			return -1;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
	return 0;
}

void op_started(struct op *o)
{
	char c = SPAWN_OP_STARTED;
	bool again = o->started;

	o->started = true;
	/* if the agent does not hear it, it hears the result */
	if (again || op_write_all(o->status_fd, &c, 1))
		return;
}

int op_parents(struct op *o, const char *path, bool whole)
{
	auto_free char *p = mem_strdup(path);

	for (char *c = p + 1; *p && (*c || whole); c++) {
		char was = *c;

		if (was && was != '/')
			continue;
		*c = '\0';
		if (mkdir(p, 0755) && errno != EEXIST) {
			struct stat st;
			int sys = errno;

			if (stat(p, &st)) /* EROFS and such for one that is there is fine */
				return op_fail(o, sys, p);
		}
		if (!was)
			return 0;
		*c = was;
	}
	return 0;
}

static void put_result(const struct op *o)
{
	auto_buf rec = BUF_INIT;

	wire_rec_u64(&rec, WT_ERRNO, (uint64_t)o->sys);
	wire_rec_str(&rec, WT_MESSAGE, o->msg);
	if (op_write_all(o->status_fd, rec.p, rec.len))
		return;
}

/* In the child. */
static int run(void *arg, int status_fd)
{
	struct op *o = arg;
	char text[TEXT_ERRNO_MAX];

	o->status_fd = status_fd;
	if (user_become(&o->user))
		op_error(o, errno, "cannot change the user: %s", text_errno(errno, text));
	else if (chdir(o->user.home) && chdir("/"))
		op_fail(o, errno, "/");
	else if (ops[o->kind].fn(o))
		o->failed = true;
	if (o->failed)
		put_result(o);
	return 0;
}

/* Pipes and the child. The child's stderr, and the ends that the operation does not use, are /dev/null. */
static int launch(struct agent *a, struct proc *p, struct op *o)
{
	struct spawn_io io = { .reset_nice = a->guest };
	bool input = ops[o->kind].input;
	int data[2] = { -1, -1 }, status[2] = { -1, -1 }, ours[3] = { -1, -1, -1 };
	auto_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	auto_fd int theirs = -1;
	auto_fd int status_end = -1;

	if (null < 0 || pipe2(data, O_CLOEXEC))
		return -1;
	theirs = data[!input];
	ours[!input] = data[input];
	if (pipe2(status, O_CLOEXEC) || fcntl(data[input], F_SETFL, O_NONBLOCK) || fcntl(status[0], F_SETFL, O_NONBLOCK)) {
		close(data[input]);
		return -1;
	}
	status_end = status[1];
	io.fds[0] = input ? theirs : null;
	io.fds[1] = input ? null : theirs;
	io.fds[2] = null;
	io.status = status_end;
	p->pid = spawn_function(&io, run, o);
	if (p->pid < 0) {
		close(data[input]);
		close(status[0]);
		return -1;
	}
	if (proc_watch(a, p, ours, status[0]))
		proc_signal(p, SIGKILL);
	return 0;
}

void ops_open(struct agent *a, struct stream *s, struct rec r)
{
	struct op o = { .r = r, .kind = (int)wire_rec_get_u64(r.p, r.n, WT_OP, 0), .status_fd = -1 };
	auto_free char *spec = wire_rec_get_str(r.p, r.n, WT_USER);
	auto_free char *path = wire_rec_get_str(r.p, r.n, WT_PATH);
	char text[TEXT_ERRNO_MAX];
	struct proc *p;
	int sys = user_resolve(spec, &o.user);

	if (!path || !*path) {
		stream_fail(a, s, EINVAL, "no path given");
		return;
	}
	if (sys) {
		stream_fail(a, s, sys, "no such user or group: '%s'", spec ? spec : "");
		return;
	}
	p = proc_new(a, PROC_OP);
	if (!p) {
		stream_fail(a, s, EAGAIN, "too many processes");
		return;
	}
	o.path = path;
	p->command = mem_strdup(ops[o.kind].name);
	if (launch(a, p, &o)) {
		stream_fail(a, s, errno, "cannot start a process: %s", text_errno(errno, text));
		proc_bury(a, p);
		return;
	}
	proc_attach(p, s);
}
