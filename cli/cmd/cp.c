/*
 * cp: what goes where, by the rules of cp -a: a source goes into a folder that exists under its own name, and becomes the
 * target where nothing exists; a trailing slash means a folder; "dir/." means what is in it; links are copied as links.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/transfer.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* The name of the top entry in archives from a guest: ours to choose, so that names of any bytes and of hostile guests
 * never matter. */
#define TOP "x"

#define FIFO_LOOK_MS 50

/* One side of the copy. */
struct side {
	const char *arg;
	char *sandbox; /* NULL = this machine */
	char *path;    /* without trailing slashes */
	bool slash;    /* it had some: must be a folder */
	bool contents; /* ends in "/.", or is the root: what is in it, not itself */
	bool stream;   /* "-" */
	/* found out by look_* */
	bool exists, folder, special;
};

static void side_free(struct side *s)
{
	free(s->sandbox);
	free(s->path);
}

static void parse_side(const char *arg, struct side *s)
{
	*s = (struct side){ .arg = arg, .stream = strcmp(arg, "-") == 0 };
	size_t colon = strcspn(arg, ":/");
	const char *path = arg;
	if (arg[colon] == ':' && colon > 0) {
		s->sandbox = mem_strndup(arg, colon);
		path = arg + colon + 1;
	}
	size_t n = strlen(path);
	s->slash = n > 0 && path[n - 1] == '/';
	while (n > 1 && path[n - 1] == '/')
		n--;
	s->path = n ? mem_strndup(path, n) : mem_strdup(".");
	const char *slash = strrchr(s->path, '/');
	const char *base = slash ? slash + 1 : s->path;
	s->contents = strcmp(base, ".") == 0 || strcmp(base, "..") == 0 || strcmp(s->path, "/") == 0;
	if (s->contents)
		s->slash = true;
}

static const char *base_name(const struct side *s)
{
	const char *slash = strrchr(s->path, '/');
	return slash ? slash + 1 : s->path;
}

/* Folder that holds the path, allocated. */
static char *folder_name(const struct side *s)
{
	const char *slash = strrchr(s->path, '/');
	if (!slash)
		return mem_strdup(".");
	return slash == s->path ? mem_strdup("/") : mem_strndup(s->path, (size_t)(slash - s->path));
}

/* ---- looking ---- */

static js *guest_stat(struct client *c, const char *sandbox, const char *path, struct err *err)
{
	struct call call = { .op = SBX_OP_STAT_FILE, .path = { sandbox }, .query = { { "path", path } } };
	return client_json(c, &call, err);
}

/* A missing file and a missing sandbox are both NOT_FOUND: 0 when the sandbox is there. */
static int check_sandbox(struct client *c, const char *sandbox, struct err *err)
{
	struct call call = { .op = SBX_OP_GET_SANDBOX, .path = { sandbox } };
	return client_call(c, &call, NULL, err);
}

static int look_guest(struct client *c, struct side *s, struct err *err)
{
	auto_js *v = guest_stat(c, s->sandbox, s->path, err);
	if (!v && err->code != ERR_NOT_FOUND)
		return -1;
	if (!v)
		return check_sandbox(c, s->sandbox, err);
	const char *type = js_str(js_get(v, "type"), "");
	s->exists = true;
	s->folder = strcmp(type, "directory") == 0;
	s->special = !s->folder && strcmp(type, "file") != 0 && strcmp(type, "symlink") != 0;
	if (strcmp(type, "symlink") == 0) {
		auto_free char *through = mem_printf("%s/.", s->path);
		auto_js *to = guest_stat(c, s->sandbox, through, NULL);
		s->folder = to && strcmp(js_str(js_get(to, "type"), ""), "directory") == 0;
	}
	return 0;
}

static int look_local(struct side *s, struct err *err)
{
	struct stat st;
	if (stat(s->path, &st) && lstat(s->path, &st)) {
		if (errno == ENOENT)
			return 0;
		return err_sys(err, errno, "cannot look at '%s'", s->arg);
	}
	s->exists = true;
	s->folder = S_ISDIR(st.st_mode);
	s->special = !s->folder && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode);
	return 0;
}

static int look(struct client *c, struct side *s, struct err *err)
{
	return s->sandbox ? look_guest(c, s, err) : look_local(s, err);
}

/* ---- where it goes ---- */

static int no_folder(const struct side *s, struct err *err)
{
	err_set(err, ERR_INVALID, s->exists ? "'%s' is no folder" : "there is no folder '%s'", s->arg);
	return -1;
}

static int check_source(const struct side *s, struct err *err)
{
	if (!s->exists)
		return err_set(err, ERR_NOT_FOUND, "there is no '%s'", s->arg);
	if (s->slash && !s->folder)
		return no_folder(s, err);
	return 0;
}

/* The source itself, not what a link points to, decides whether it is a folder that is copied. */
static bool source_is_folder(const struct side *src)
{
	struct stat st;
	if (src->slash || src->sandbox)
		return src->folder;
	return lstat(src->path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where the source's top entry goes: into `folder` under `name` (NULL: its contents go into the folder). */
struct place {
	char *folder;
	char *name;
};

static void place_free(struct place *p)
{
	free(p->folder);
	free(p->name);
}

static int find_place(struct client *c, const struct side *src, struct side *dst, struct place *out, struct err *err)
{
	bool src_folder = source_is_folder(src);
	if (dst->exists && !dst->folder && (src_folder || dst->slash))
		return no_folder(dst, err);
	if (!dst->exists && dst->slash && !src_folder)
		return no_folder(dst, err);
	if (dst->folder) {
		out->folder = mem_strdup(dst->path);
		out->name = src->contents ? NULL : mem_strdup(base_name(src));
		return 0;
	}
	if (!dst->exists) {
		struct side parent = { .arg = dst->arg, .sandbox = dst->sandbox };
		auto_free char *path = folder_name(dst);
		parent.path = path;
		if (look(c, &parent, err))
			return -1;
		if (!parent.folder) {
			err_set(err, ERR_NOT_FOUND, "there is no folder to put '%s' in", dst->arg);
			return -1;
		}
	}
	out->folder = folder_name(dst);
	out->name = mem_strdup(base_name(dst));
	return 0;
}

/* ---- the copies ---- */

static int done(const struct transfer *t, int rc)
{
	return rc ? -1 : t->incomplete;
}

static int stdin_to_guest(struct transfer *t, struct side *dst, struct err *err)
{
	if (look_guest(t->c, dst, err))
		return -1;
	if (dst->folder || dst->slash) {
		err_set(err, ERR_INVALID, "'%s' is a folder", dst->arg);
		return err_hint(err, "name the file: %s:%s/FILE", dst->sandbox, dst->path);
	}
	return transfer_write_file(t, dst->sandbox, dst->path, STDIN_FILENO, err);
}

/* The content to standard output, or to a device or fifo of this machine. */
static int guest_to_stream(struct transfer *t, struct side *src, int fd, struct err *err)
{
	if (look_guest(t->c, src, err) || check_source(src, err))
		return -1;
	if (src->folder) {
		err_set(err, ERR_INVALID, "'%s' is a folder", src->arg);
		return err_hint(err, "try: sbx exec %s -- tar c -C '%s' .", src->sandbox, src->path);
	}
	return transfer_read_file(t, src->sandbox, src->path, fd, err);
}

static int upload(struct transfer *t, struct side *src, struct side *dst, struct err *err)
{
	if (look_local(src, err) || check_source(src, err) || look_guest(t->c, dst, err))
		return -1;
	struct place p = { 0 };
	int rc = find_place(t->c, src, dst, &p, err);
	if (rc == 0) {
		struct pack_source source = {
			.dir_fd = AT_FDCWD, .name = src->path, .top = p.name ? p.name : ".", .follow = src->slash
		};
		rc = transfer_upload(t, dst->sandbox, p.folder, &source, err);
	}
	place_free(&p);
	return done(t, rc);
}

/* A file that a link of ours points to is replaced there, and the link stays. */
static void follow_target(struct side *dst)
{
	struct stat st;
	if (!dst->exists || dst->folder || lstat(dst->path, &st) || !S_ISLNK(st.st_mode))
		return;
	char *real = realpath(dst->path, NULL);
	if (!real)
		return; /* dangling: it is replaced */
	free(dst->path);
	dst->path = real;
}

/* A fifo waits for its reader, but not beyond an interruption. */
static int open_special(const char *path, int cancel_fd)
{
	for (;;) {
		int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0 || errno != ENXIO)
			return fd;
		struct pollfd cancel = { .fd = cancel_fd, .events = POLLIN };
		if (poll(&cancel, 1, FIFO_LOOK_MS) > 0) {
			errno = EINTR;
			return -1;
		}
	}
}

static int to_special(struct transfer *t, struct side *src, const struct side *dst, struct err *err)
{
	auto_fd int fd = open_special(dst->path, t->c->cancel_fd);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", dst->arg);
	return guest_to_stream(t, src, fd, err);
}

static int download(struct transfer *t, struct side *src, struct side *dst, struct err *err)
{
	if (look_local(dst, err))
		return -1;
	if (dst->special)
		return to_special(t, src, dst, err);
	if (look_guest(t->c, src, err) || check_source(src, err))
		return -1;
	follow_target(dst);
	struct place p = { 0 };
	int rc = find_place(t->c, src, dst, &p, err);
	if (rc == 0) {
		auto_fd int dir = open(p.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		auto_free char *from = src->slash && !src->contents ? mem_printf("%s/.", src->path) : mem_strdup(src->path);
		struct unpack_target target = { .dir_fd = dir, .top = TOP, .name = p.name };
		rc = dir < 0 ? err_sys(err, errno, "cannot open '%s'", p.folder)
			     : transfer_download(t, src->sandbox, from, &target, err);
	}
	place_free(&p);
	return done(t, rc);
}

static int between(struct transfer *t, struct side *src, struct side *dst, struct err *err)
{
	if (look_guest(t->c, src, err) || check_source(src, err) || look_guest(t->c, dst, err))
		return -1;
	struct place p = { 0 };
	struct client to;
	client_init(&to, t->c->ep);
	to.cancel_fd = t->c->cancel_fd;
	int rc = find_place(t->c, src, dst, &p, err);
	if (rc == 0)
		rc = transfer_between(t, (struct transfer_end){ src->sandbox, src->path }, &to,
			(struct transfer_end){ dst->sandbox, p.folder }, p.name ? p.name : ".", err);
	client_close(&to);
	place_free(&p);
	return done(t, rc);
}

static int copy(struct transfer *t, struct side *src, struct side *dst, struct err *err)
{
	if (src->sandbox && dst->sandbox)
		return between(t, src, dst, err);
	if (src->sandbox && dst->stream)
		return guest_to_stream(t, src, STDOUT_FILENO, err);
	if (src->sandbox)
		return download(t, src, dst, err);
	if (dst->sandbox && src->stream)
		return stdin_to_guest(t, dst, err);
	if (dst->sandbox)
		return upload(t, src, dst, err);
	err_set(err, ERR_USAGE, "neither '%s' nor '%s' is in a sandbox", src->arg, dst->arg);
	return err_hint(err, "write SANDBOX:PATH for the side that is");
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	struct client c;
	auto_fd int sig_fd = cli_signal_fd(err);
	if (sig_fd < 0 || cli_client(cli, &c, err))
		return -1;
	c.cancel_fd = sig_fd;
	if (!*args->v[0] || !*args->v[1])
		return err_set(err, ERR_USAGE, "the %s is empty", *args->v[0] ? "target" : "source");
	struct side src, dst;
	parse_side(args->v[0], &src);
	parse_side(args->v[1], &dst);
	struct transfer t;
	transfer_init(&t, cli, &c, args->v[0]);
	int rc = copy(&t, &src, &dst, err);
	client_close(&c);
	side_free(&src);
	side_free(&dst);
	return rc;
}

const struct command cmd_cp = {
	.name = "cp",
	.summary = "Copy files and folders into and out of sandboxes",
	.usage = "SOURCE TARGET",
	.about = "One side, or both, is SANDBOX:PATH; - is standard input or output. Modes, links and times are kept. As cp -a "
		 "does:\n"
		 "into a folder that exists, else as the target itself; a trailing slash means a folder, 'dir/.' what is in it.",
	.example = "  sbx cp notes.txt demo:/tmp/\n  sbx cp demo:/etc/. ./etc-of-demo\n  sbx cp demo:/var/log/messages - | less",
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_COPY,
	.run = run,
};
