/*
 * snapshot export, import and copy: snapshots from one store to another.
 *
 * A file with one is a head of text, "SBXSNAP 1\nname NAME\ntree ID\n\n", and the stream of all objects of its tree
 * (shared/store/remote.h), which is checked object by object as it comes in. Nothing gets the name before all is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/outfile.h"
#include "cli/render/text.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define MAGIC "SBXSNAP 1\n"
#define HEAD_MAX ((size_t)512)
#define BLOCK ((size_t)128 * 1024)

/* A way in or out, for all three. */
struct moved {
	struct cli *cli;
	struct client c;
	struct cancel cancel;
	struct progress progress;
	uint64_t bytes;
};

static int moved_begin(struct moved *m, struct cli *cli, const char *what, struct err *err)
{
	*m = (struct moved){ .cli = cli };
	if (cli_client(cli, &m->c, err))
		return -1;
	if (cancel_begin(&m->cancel, err)) {
		client_close(&m->c);
		return -1;
	}
	m->c.cancel_fd = m->cancel.fired_fd;
	progress_init(&m->progress, what);
	return 0;
}

static void moved_end(struct moved *m)
{
	progress_end(&m->progress);
	client_close(&m->c);
	cancel_end(&m->cancel);
}

/* ---- what the API says and is told ---- */

static js *get(struct client *c, const char *name, struct hash *tree, struct err *err)
{
	struct call call = { .op = SBX_OP_GET_SNAPSHOT, .path = { name } };
	js *v = client_json(c, &call, err);
	if (v && !hash_parse(js_str(js_get(v, "tree"), ""), tree)) {
		err_set(err, ERR_PROTOCOL, "%s answered with a bad snapshot", c->who);
		js_free(v);
		v = NULL;
	}
	return v;
}

/* Said before gigabytes have travelled: a bad name, and one that is taken. */
static int check_name(struct client *c, const char *name, bool replace, struct err *err)
{
	struct err own = ERR_INIT;
	struct hash tree;
	auto_js *v = get(c, name, &tree, &own);
	if (v && !replace) {
		err_set(err, ERR_CONFLICT, "there is a snapshot '%s' already", name);
		return err_hint(err, "replace it with --replace, or give another name");
	}
	if (v || own.code == ERR_NOT_FOUND)
		return 0;
	*err = own;
	return -1;
}

static int adopt(struct cli *cli, struct client *c, const char *name, const struct hash *tree, bool replace, struct err *err)
{
	auto_buf body = BUF_INIT;
	char hex[HASH_HEX + 1];
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_kstr(&w, "tree", hash_hex(tree, hex));
	jw_kbool(&w, "replace", replace);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_ADOPT_SNAPSHOT, .json = &body };
	auto_js *v = client_json(c, &call, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (cli->format == FORMAT_TABLE)
		buf_fmt(&cli->out, "%s\n", js_str(js_get(v, "name"), ""));
	return 0;
}

/* ---- export ---- */

static int export_stream(struct moved *m, const struct hash *tree, int fd, struct err *err)
{
	auto_buf body = BUF_INIT;
	char hex[HASH_HEX + 1];
	const char *data;
	size_t n;
	int rc;
	buf_fmt(&body, "{\"want\":[\"%s\"]}", hash_hex(tree, hex));
	struct call call = { .op = SBX_OP_FETCH_OBJECTS, .json = &body };
	m->c.timeout_ms = 0; /* it looks for all of it before the first byte */
	if (client_begin(&m->c, &call, err) || client_head(&m->c, err))
		return -1;
	m->c.timeout_ms = CLIENT_TIMEOUT_MS;
	while ((rc = client_read(&m->c, &data, &n, err)) == 1) {
		m->bytes += n;
		progress_count(&m->progress, "snapshot", 1, m->bytes);
		if (fs_write_all(fd, data, n, err) || cancel_check(&m->cancel, err))
			return -1;
	}
	return rc;
}

static int export_to(struct moved *m, const char *name, const char *file, struct err *err)
{
	struct hash tree;
	struct outfile out;
	char hex[HASH_HEX + 1];
	auto_js *v = get(&m->c, name, &tree, err);
	if (!v || outfile_open(&out, file, err))
		return -1;
	auto_free char *head = mem_printf(MAGIC "name %s\ntree %s\n\n", js_str(js_get(v, "name"), ""), hash_hex(&tree, hex));
	int rc = fs_write_all(out.fd, head, strlen(head), err);
	if (rc == 0)
		rc = export_stream(m, &tree, out.fd, err);
	return outfile_close(&out, rc, err);
}

static int export(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct moved m;
	(void)opts;
	if (moved_begin(&m, cli, "exporting", err))
		return -1;
	int rc = export_to(&m, args->v[0], args->n > 1 ? args->v[1] : "-", err);
	moved_end(&m);
	return rc;
}

const struct command cmd_snapshot_export = {
	.group = "snapshot",
	.name = "export",
	.summary = "Write a snapshot to a file",
	.usage = "SNAPSHOT [FILE|-]",
	.about = "All that it needs is in it: no image and no template has to be where it is imported. Without FILE it goes to\n"
		 "standard output.",
	.example = "  sbx snapshot export warm warm.snap\n"
		   "  sbx snapshot export warm | ssh box sbx snapshot import -",
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SNAPSHOT,
	.run = export,
};

/* ---- import ---- */

struct import_options {
	const char *name;
	bool replace;
};

static const struct opt import_options[] = {
	{ .kind = OPT_STR,
		.name = "name",
		.arg = "NAME",
		.help = "name to give it here (default: its own)",
		.off = offsetof(struct import_options, name) },
	{ .kind = OPT_BOOL,
		.name = "replace",
		.help = "take the place of a snapshot of that name",
		.off = offsetof(struct import_options, replace) },
	{ .kind = OPT_END },
};

struct source {
	const char *shown;
	int fd;
	char *block;
	size_t len; /* of what has been read and not been sent */
	char *name; /* of the head */
	struct hash tree;
};

static ssize_t read_some(const struct source *in, void *p, size_t n, struct err *err)
{
	for (;;) {
		ssize_t r = read(in->fd, p, n);
		if (r >= 0)
			return r;
		if (errno != EINTR)
			return err_sys(err, errno, "cannot read '%s'", in->shown);
	}
}

/* "KEY value" of a line, which *at is moved behind; NULL when it is none. */
static char *head_line(const char **at, const char *end, const char *key)
{
	size_t n = strlen(key);
	const char *p = *at, *line_end = memchr(p, '\n', (size_t)(end - p));
	if (!line_end || (size_t)(line_end - p) <= n || memcmp(p, key, n) != 0 || memchr(p, '\0', (size_t)(line_end - p)))
		return NULL;
	*at = line_end + 1;
	return mem_strndup(p + n, (size_t)(line_end - p) - n);
}

static bool parse_head(struct source *in, size_t n)
{
	const char *at = in->block + strlen(MAGIC), *end = in->block + n;
	in->name = head_line(&at, end, "name ");
	auto_free char *tree = in->name ? head_line(&at, end, "tree ") : NULL;
	return tree && hash_parse(tree, &in->tree) && end - at == 1;
}

/* The head; what was read behind it stays in the block. */
static int read_head(struct source *in, struct err *err)
{
	const char *end = NULL;
	while (!end && in->len < HEAD_MAX) {
		ssize_t n = read_some(in, in->block + in->len, HEAD_MAX - in->len, err);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		in->len += (size_t)n;
		end = memmem(in->block, in->len, "\n\n", 2);
	}
	if (in->len < strlen(MAGIC) || memcmp(in->block, MAGIC, strlen(MAGIC)) != 0) {
		err_set(err, ERR_INVALID, "'%s' is no snapshot", in->shown);
		return err_hint(err, "it takes what 'sbx snapshot export' has written");
	}
	size_t n = end ? (size_t)(end - in->block) + 2 : 0;
	if (!end || !parse_head(in, n))
		return err_set(err, ERR_INVALID, "the head of '%s' is damaged or cut", in->shown);
	in->len -= n;
	memmove(in->block, in->block + n, in->len);
	return 0;
}

/* 0 all is sent; 1 the daemon has answered before that; -1. */
static int send_rest(struct moved *m, struct source *in, struct err *err)
{
	for (ssize_t n = (ssize_t)in->len;;) {
		int rc = n > 0 ? client_send(&m->c, in->block, (size_t)n, err) : 0;
		if (rc)
			return rc;
		m->bytes += (uint64_t)n;
		progress_count(&m->progress, "snapshot", 1, m->bytes);
		n = cancel_check(&m->cancel, err) ? -1 : read_some(in, in->block, BLOCK, err);
		if (n <= 0)
			return (int)n;
	}
}

static int upload(struct moved *m, struct source *in, struct err *err)
{
	const char *data;
	size_t n;
	struct call call = { .op = SBX_OP_UPLOAD_OBJECTS, .stream = true };
	if (client_begin(&m->c, &call, err))
		return -1;
	m->c.timeout_ms = 0; /* it comes as fast as whoever writes into the pipe */
	int rc = send_rest(m, in, err);
	if (rc == 0)
		rc = client_send_end(&m->c, err);
	if (rc >= 0)
		rc = client_head(&m->c, err);
	while (rc == 0 && (rc = client_read(&m->c, &data, &n, err)) == 1)
		rc = 0;
	return rc;
}

static int import_from(struct moved *m, struct source *in, const struct import_options *o, struct err *err)
{
	if (read_head(in, err))
		return -1;
	const char *name = o->name ? o->name : in->name;
	if (check_name(&m->c, name, o->replace, err))
		return -1;
	if (upload(m, in, err) || adopt(m->cli, &m->c, name, &in->tree, o->replace, err))
		return err_prefix(err, "cannot import '%s'", in->shown);
	return 0;
}

static int import(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const char *file = args->v[0];
	bool from_stdin = strcmp(file, "-") == 0;
	struct moved m;
	if (from_stdin && isatty(STDIN_FILENO)) {
		err_set(err, ERR_USAGE, "a snapshot does not come from a terminal");
		return err_hint(err, "name a file, or pipe one in");
	}
	auto_fd int fd = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot read '%s'", file);
	if (moved_begin(&m, cli, "importing", err))
		return -1;
	auto_free char *block = mem_array(BLOCK, 1);
	struct source in = { .shown = from_stdin ? "standard input" : file, .fd = fd, .block = block };
	int rc = import_from(&m, &in, opts, err);
	free(in.name);
	moved_end(&m);
	return rc;
}

const struct command cmd_snapshot_import = {
	.group = "snapshot",
	.name = "import",
	.summary = "Take a snapshot from a file, and print its name",
	.usage = "FILE|- [--name NAME] [--replace]",
	.about = "What it is made of is checked on the way in, and it gets its name when all is there. It is a machine that was "
		 "frozen:\n"
		 "take it from whom you trust.",
	.example = "  sbx snapshot import warm.snap && sbx create --snapshot warm\n"
		   "  ssh box sbx snapshot export warm | sbx snapshot import - --name box-warm",
	.options = import_options,
	.options_size = sizeof(struct import_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_FILE,
	.run = import,
};

/* ---- copy ---- */

static const struct opt copy_options[] = {
	{ .kind = OPT_STR,
		.name = "name",
		.arg = "NAME",
		.help = "name to give it there (default: the same)",
		.off = offsetof(struct import_options, name) },
	{ .kind = OPT_BOOL,
		.name = "replace",
		.help = "take the place of a snapshot of that name",
		.off = offsetof(struct import_options, replace) },
	{ .kind = OPT_END },
};

/* Objects go out of the store of this machine, or into it. */
static int copy_objects(struct repo *r, struct place *to, const struct hash *tree, struct err *err)
{
	struct cancel cancel;
	struct progress progress;
	if (cancel_begin(&cancel, err))
		return -1;
	progress_init(&progress, "copying");
	struct moving m = { .progress = &progress, .cancel = &cancel };
	int rc = r->remote ? place_take(r->place, r->s, tree, 1, &m, err) : place_give(to, r->s, tree, 1, &m, err);
	progress_end(&progress);
	cancel_end(&cancel);
	return rc;
}

static int copy_to(struct repo *r, struct place *to, const char *name, const struct import_options *o, struct err *err)
{
	struct client from, *c = place_client(to);
	struct hash tree;
	if (!c) {
		err_set(err, ERR_USAGE, "snapshots are a daemon's, and '%s' is a store", place_name(to));
		return err_hint(err, "name a context or an endpoint; or write a file: sbx snapshot export %s FILE", name);
	}
	if (r->remote && !c->ep->managed) {
		err_set(err, ERR_USAGE, "a snapshot is copied from the daemon of this machine, or to it");
		return err_hint(
			err, "or through a pipe: sbx --context A snapshot export %s | sbx --context B snapshot import -", name);
	}
	if (cli_client(r->cli, &from, err))
		return -1;
	auto_js *v = get(&from, name, &tree, err);
	client_close(&from);
	const char *as = o->name ? o->name : name;
	return !v || check_name(c, as, o->replace, err) || copy_objects(r, to, &tree, err) ||
			adopt(r->cli, c, as, &tree, o->replace, err)
		? -1
		: 0;
}

static int copy(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	int rc = repo_open(cli, REPO_CREATE, &r, err);
	struct place *to = rc ? NULL : place_open(cli, args->v[1], false, err);
	rc = to ? copy_to(&r, to, args->v[0], opts, err) : -1;
	place_close(to);
	repo_close(&r);
	return rc;
}

const struct command cmd_snapshot_copy = {
	.group = "snapshot",
	.name = "copy",
	.summary = "Copy a snapshot to another daemon, and print its name",
	.usage = "SNAPSHOT REMOTE [--name NAME] [--replace]",
	.about = "REMOTE is a context, or an endpoint such as ssh://me@box. Only what is missing there travels, and what was cut "
		 "off\n"
		 "goes on from where it was. With --context or --host it comes from there, and REMOTE is default: this machine.",
	.example = "  sbx snapshot copy warm lab && sbx --context lab create --snapshot warm\n"
		   "  sbx --context lab snapshot copy warm default",
	.options = copy_options,
	.options_size = sizeof(struct import_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_SNAPSHOT,
	.run = copy,
};
