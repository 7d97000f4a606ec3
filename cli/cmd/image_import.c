/* image import and pull: images of others, from an archive or a registry. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/ndjson.h"
#include "cli/pack.h"
#include "cli/registry_login.h"
#include "cli/render/text.h"
#include "cli/term/status.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BLOCK ((size_t)128 * 1024)
#define DOCKER "docker://"

struct pull_options {
	const char *user, *password_file;
	bool plain_http;
};

static const struct opt pull_options[] = {
	{ .kind = OPT_STR,
		.name = "username",
		.arg = "NAME",
		.help = "who asks the registry (default: as docker or skopeo know it)",
		.off = offsetof(struct pull_options, user) },
	{ .kind = OPT_STR,
		.name = "password-file",
		.arg = "FILE",
		.help = "file with the password; - is standard input",
		.off = offsetof(struct pull_options, password_file) },
	{ .kind = OPT_BOOL,
		.name = "plain-http",
		.help = "ask over http, which everybody on the way can read and change",
		.off = offsetof(struct pull_options, plain_http) },
	{ .kind = OPT_END },
};

struct making {
	struct cli *cli;
	struct client c;
	struct status status;
	const char *shown;
	int64_t start_ms, sent;
	bool done;
};

/* ---- what the daemon says ---- */

static int on_event(void *arg, const js *event, struct err *err)
{
	struct making *m = arg;
	if (js_get(event, "error"))
		return client_api_error(js_get(event, "error"), 500, err);
	if (js_bool(js_get(event, "done"), false)) {
		const js *image = js_get(event, "image");
		m->done = true;
		if (m->cli->format == FORMAT_TABLE)
			buf_fmt(&m->cli->out, "%s\n", js_str(js_get(image, "name"), ""));
		cli_document(m->cli, image);
		return 0;
	}
	double s = (double)(clock_mono_ms() - m->start_ms) / 1000;
	status_set(&m->status, "%4.1f s  %s: %s", s, js_str(js_get(event, "phase"), ""), js_str(js_get(event, "message"), ""));
	return 0;
}

static int begin(struct making *m, struct cli *cli, const char *shown, struct err *err)
{
	*m = (struct making){ .cli = cli, .shown = shown, .start_ms = clock_mono_ms() };
	status_init(&m->status);
	if (cli_client(cli, &m->c, err))
		return -1;
	m->c.timeout_ms = 0; /* it takes as long as it takes, and says so */
	return 0;
}

static int end(struct making *m, int rc, struct err *err)
{
	status_clear(&m->status);
	client_close(&m->c);
	return rc == 0 && !m->done ? err_set(err, ERR_PROTOCOL, "the daemon did not say how it ended") : rc;
}

/* ---- pull ---- */

static int pull_image(struct cli *cli, const struct pull_options *o, const char *reference, const char *name, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct registry_login login;
	struct making m;
	struct jw w;
	if (registry_login_find(reference, o->user, o->password_file, &login, err)) {
		registry_login_free(&login);
		return -1;
	}
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "reference", reference);
	if (name)
		jw_kstr(&w, "name", name);
	if (login.user.len) {
		jw_kstr(&w, "username", login.user.p);
		jw_kstr(&w, "password", login.password.p);
	}
	jw_kbool(&w, "plainHttp", o->plain_http);
	jw_obj_end(&w);
	registry_login_free(&login);
	if (begin(&m, cli, reference, err))
		return -1;
	struct call call = { .op = SBX_OP_PULL_IMAGE, .json = &body };
	return end(&m, ndjson_call(&m.c, &call, on_event, &m, err), err);
}

static int pull(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	return pull_image(cli, opts, args->v[0], args->n > 1 ? args->v[1] : NULL, err);
}

const struct command cmd_image_pull = {
	.group = "image",
	.name = "pull",
	.summary = "Make an image of one in a registry",
	.usage = "[options] REFERENCE [NAME[:VERSION]]",
	.about = "REFERENCE is [HOST[:PORT]/]NAME[:TAG][@DIGEST]; without a host it is one of Docker Hub. The image is named as "
		 "its\n"
		 "last part, unless a name is given, which is printed. http is for registries of this machine only, unless\n"
		 "--plain-http is given.",
	.example = "  sbx image pull debian:12-slim && sbx run --image debian:12-slim -- cat /etc/debian_version\n"
		   "  sbx image pull registry.example.org/team/app:3 app --username ci --password-file secret",
	.options = pull_options,
	.options_size = sizeof(struct pull_options),
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.run = pull,
};

/* ---- import ---- */

static int send_piece(void *arg, const void *data, size_t n, struct err *err)
{
	struct making *m = arg;
	m->sent += (int64_t)n;
	if (m->status.tty) {
		auto_buf size = BUF_INIT;
		text_size(&size, m->sent);
		status_tick(&m->status, "sending %s: %s", m->shown, size.p);
	}
	return client_send(&m->c, data, n, err);
}

static void on_skipped(void *arg, const char *path, const char *why)
{
	struct making *m = arg;
	status_clear(&m->status);
	cli_warn(m->cli, "left out '%s': %s", path, why);
}

static int send_file(struct making *m, int fd, struct err *err)
{
	auto_free char *block = mem_array(BLOCK, 1);
	for (;;) {
		ssize_t n = read(fd, block, BLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", m->shown);
		int rc = n > 0 ? send_piece(m, block, (size_t)n, err) : 0;
		if (n == 0 || rc)
			return rc;
	}
}

static int send_folder(struct making *m, const char *dir, struct err *err)
{
	struct pack_source source = { .dir_fd = AT_FDCWD, .name = dir, .top = ".", .follow = true };
	struct pack_ops ops = { .write = send_piece, .skipped = on_skipped, .arg = m };
	return pack_tree(&source, &ops, err);
}

/* Only a layout: a tree of files would lose its owners on the way. */
static int check_folder(const char *dir, struct err *err)
{
	auto_free char *index = fs_join(dir, "index.json");
	if (fs_exists(index))
		return 0;
	err_set(err, ERR_USAGE, "'%s' is no OCI layout: it has no index.json", dir);
	return err_hint(err, "a root file system is imported as a tar: tar -C %.100s -c . | sbx image import - NAME", dir);
}

static int import_archive(struct cli *cli, const char *file, const char *name, struct err *err)
{
	bool in = strcmp(file, "-") == 0;
	struct stat st = { 0 };
	if (in && isatty(STDIN_FILENO)) {
		err_set(err, ERR_USAGE, "an archive does not come from a terminal");
		return err_hint(err, "name a file, or pipe one in");
	}
	auto_fd int fd = in ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		err_sys(err, errno, "cannot read '%s'", file);
		return err_hint(err, "an image of a registry is named with " DOCKER "HOST/NAME:TAG, or by: sbx image pull");
	}
	bool folder = S_ISDIR(st.st_mode);
	struct making m;
	if ((folder && check_folder(file, err)) || begin(&m, cli, in ? "standard input" : file, err))
		return -1;
	struct call call = { .op = SBX_OP_IMPORT_IMAGE, .query = { { "name", name } }, .stream = true };
	int rc = client_begin(&m.c, &call, err);
	if (rc == 0)
		rc = folder ? send_folder(&m, file, err) : send_file(&m, fd, err);
	if (rc == 0)
		rc = client_send_end(&m.c, err);
	/* 1: the daemon has answered before it had all, and not to say something good */
	if (rc >= 0)
		rc = ndjson_answer(&m.c, on_event, &m, err);
	return end(&m, rc, err);
}

static int import(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const char *from = args->v[0], *name = args->n > 1 ? args->v[1] : NULL;
	const struct pull_options *o = opts;
	if (str_starts(from, DOCKER))
		return pull_image(cli, o, from, name, err);
	if (o->user || o->password_file || o->plain_http)
		return err_set(err, ERR_USAGE, "--username, --password-file and --plain-http are for registries");
	return import_archive(cli, from, name, err);
}

const struct command cmd_image_import = {
	.group = "image",
	.name = "import",
	.summary = "Make an image of an archive",
	.usage = "[options] FILE|-|DIR|" DOCKER "REFERENCE [NAME[:VERSION]]",
	.about = "The archive is the output of 'docker save', an OCI layout (also as a folder), or the tar of a root file system; "
		 "it may\n"
		 "be packed with gzip, zstd, xz or bzip2. The name, image:latest when none is given, is printed. Sandboxes of the\n"
		 "image have its environment, and its user and working folder are those of their commands.",
	.example = "  docker save app:1 | sbx image import - app:1\n"
		   "  sbx image import rootfs.tar.zst mine && sbx create --image mine\n"
		   "  sbx image import docker://127.0.0.1:5000/app:1",
	.options = pull_options,
	.options_size = sizeof(struct pull_options),
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_FILE,
	.run = import,
};
