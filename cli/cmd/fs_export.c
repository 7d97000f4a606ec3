/* fs export and import: trees as archives. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/archive_in.h"
#include "cli/fs/archive_out.h"
#include "cli/fs/repo.h"
#include "cli/fs/target.h"
#include "cli/outfile.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- export ---- */

struct export_options {
	const char *format;
};

static const char *const formats[] = { "tar", "tar.gz", "tar.zst", "zip", NULL }; /* as enum export_format */

static const struct opt export_options[] = {
	{ .kind = OPT_ENUM,
		.name = "format",
		.arg = "FORMAT",
		.help = "tar, tar.gz, tar.zst or zip (default: by the name of the file, else tar)",
		.off = offsetof(struct export_options, format),
		.choices = formats },
	{ .kind = OPT_END },
};

struct writer {
	struct cli *cli;
	struct cancel cancel;
	struct progress progress;
	struct remote_counts written;
	struct outfile out;
};

static enum export_format format_of(const struct export_options *o, const char *file)
{
	static const struct {
		const char *end;
		enum export_format format;
	} ends[] = { { ".tar.gz", EXPORT_TAR_GZ }, { ".tgz", EXPORT_TAR_GZ }, { ".tar.zst", EXPORT_TAR_ZST },
		{ ".zip", EXPORT_ZIP } };
	for (size_t i = 0; o->format && formats[i]; i++)
		if (strcmp(o->format, formats[i]) == 0)
			return (enum export_format)i;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends(file, ends[i].end))
			return ends[i].format;
	return EXPORT_TAR;
}

static int write_piece(void *arg, const void *data, size_t n, struct err *err)
{
	struct writer *w = arg;
	w->written.bytes += n;
	progress_count(&w->progress, "archive", 1, w->written.bytes);
	return cancel_check(&w->cancel, err) || fs_write_all(w->out.fd, data, n, err) ? -1 : 0;
}

static void on_skipped(void *arg, const char *path, const char *why)
{
	struct writer *w = arg;
	progress_end(&w->progress);
	cli_warn(w->cli, "left out '%s': %s", path, why);
}

static int export_tree(struct repo *r, const struct export_options *o, const struct hash *tree, const char *file, struct err *err)
{
	struct writer w = { .cli = r->cli };
	struct export_sink sink = { write_piece, on_skipped, &w };
	if (cancel_begin(&w.cancel, err))
		return -1;
	progress_init(&w.progress, "exporting");
	int rc = outfile_open(&w.out, file, err);
	if (rc == 0) {
		rc = archive_export(r->s, tree, format_of(o, file), &sink, err);
		rc = outfile_close(&w.out, rc, err);
	}
	progress_end(&w.progress);
	cancel_end(&w.cancel);
	return rc;
}

static int export(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	struct hash tree;
	int rc = repo_open(cli, REPO_READ, &r, err) || repo_tree(&r, args->v[0], &tree, NULL, err) ? -1 : 0;
	if (rc == 0)
		rc = export_tree(&r, opts, &tree, args->v[1], err);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_export = {
	.group = "fs",
	.name = "export",
	.summary = "Write a tree as an archive",
	.usage = "REF FILE|- [--format FORMAT]",
	.about = "The same tree gives the same bytes. What a format cannot hold (sockets; in zip also fifos and devices) is left "
		 "out\n"
		 "with a word.",
	.example = "  sbx fs export main site.tar.gz\n"
		   "  sbx fs export main:docs - --format tar | tar -tf -",
	.options = export_options,
	.options_size = sizeof(struct export_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF_FILE,
	.run = export,
};

/* ---- import ---- */

struct import_options {
	const char *message, *expected, *size_max;
	bool force, devices;
};

static const struct opt import_options[] = {
	{ .kind = OPT_STR,
		.letter = 'm',
		.name = "message",
		.arg = "TEXT",
		.help = "a note for the label's history",
		.off = offsetof(struct import_options, message) },
	{ .kind = OPT_STR,
		.name = "expected",
		.arg = "REF",
		.help = "the tree that the label must be at",
		.off = offsetof(struct import_options, expected) },
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "move the label wherever it is",
		.off = offsetof(struct import_options, force) },
	{ .kind = OPT_BOOL, .name = "devices", .help = "keep device nodes, too", .off = offsetof(struct import_options, devices) },
	{ .kind = OPT_STR,
		.name = "max-size",
		.arg = "SIZE",
		.help = "how much content there may be, such as 200G (default 64G, and 1000 times the archive)",
		.off = offsetof(struct import_options, size_max) },
	{ .kind = OPT_END },
};

#define READ_SIZE ((size_t)256 << 10)

struct reader {
	struct repo *r;
	struct cancel cancel;
	struct progress progress;
	int fd;
	char *buf;
};

static ssize_t read_piece(void *arg, const void **data, struct err *err)
{
	struct reader *in = arg;
	*data = in->buf;
	if (cancel_check(&in->cancel, err))
		return -1;
	for (;;) {
		ssize_t n = read(in->fd, in->buf, READ_SIZE);
		if (n >= 0)
			return n;
		if (errno != EINTR)
			return err_sys(err, errno, "cannot read the archive");
	}
}

static int64_t seek_to(void *arg, int64_t offset, int whence)
{
	return lseek(((struct reader *)arg)->fd, offset, whence);
}

static void on_left_out(void *arg, const char *path, const char *why)
{
	struct reader *in = arg;
	progress_end(&in->progress);
	cli_warn(in->r->cli, "left out '%s': %s", path, why);
}

static int on_step(void *arg, const struct import_counts *c, struct err *err)
{
	struct reader *in = arg;
	progress_count(&in->progress, "entries", c->entries, c->bytes);
	return cancel_check(&in->cancel, err);
}

static int parse_size(const char *text, uint64_t *out, struct err *err)
{
	static const char units[] = "KMGT";
	size_t n = strlen(text);
	const char *unit = n ? strchr(units, text[n - 1] & ~0x20) : NULL;
	bool has = unit && *unit;
	auto_free char *digits = mem_strndup(text, n - (has ? 1 : 0));
	int64_t v = 0;
	if (parse_int(digits, "size", 1, (int64_t)1 << 20, &v, err) && (has || parse_int(digits, "size", 1, INT64_MAX, &v, err))) {
		err_set(err, ERR_USAGE, "--max-size must be a size such as 500M or 200G, not '%.40s'", text);
		return -1;
	}
	err_clear(err);
	*out = (uint64_t)v << (has ? 10 * (unit - units + 1) : 0);
	return 0;
}

/* What was imported. */
struct imported {
	struct hash tree;
	struct import_counts counts;
	struct landing landing;
};

static int move_label(struct repo *r, const struct import_options *o, const char *label, struct imported *out, struct err *err)
{
	struct hash expected;
	struct label_move m = { .name = label, .to = out->tree, .op = LABEL_PUSH, .message = o->message };
	struct expectation e = { .force = o->force };
	if (o->expected && repo_tree(r, o->expected, &expected, NULL, err))
		return -1;
	e.expected = o->expected ? &expected : NULL;
	return target_move(r->place, &m, &e, &out->landing, err);
}

/* One write, in which the label moves, too; for a daemon's label the objects are sent in between. */
static int import_archive(
	struct reader *in, const struct import_options *o, const char *label, struct imported *out, struct err *err)
{
	struct repo *r = in->r;
	struct import_source source = {
		.read = read_piece, .skipped = on_left_out, .step = on_step, .arg = in, .devices = o->devices
	};
	if (lseek(in->fd, 0, SEEK_CUR) >= 0)
		source.seek = seek_to;
	if (o->size_max && parse_size(o->size_max, &source.size_max, err))
		return -1;
	if (repo_begin(r, err))
		return -1;
	int rc = archive_import(r->s, &source, &out->tree, &out->counts, err);
	if (rc == 0 && label && !r->remote)
		rc = move_label(r, o, label, out, err);
	if (rc == 0)
		rc = store_end(r->s, err);
	else
		store_abort(r->s);
	if (rc || !label || !r->remote)
		return rc;
	struct moving moving = { .progress = &in->progress, .cancel = &in->cancel };
	rc = place_give(r->place, r->s, &out->tree, 1, &moving, err);
	return rc ? rc : move_label(r, o, label, out, err);
}

static int print_imported(struct cli *cli, const char *label, const struct imported *i, struct err *err)
{
	char hex[HASH_HEX + 1];
	const struct landing *l = &i->landing;
	bool lost = label && l->outcome == OUTCOME_REJECTED;
	if (wants_doc(cli)) {
		struct doc d;
		doc_init(&d);
		jw_obj(&d.w);
		jw_kstr(&d.w, "status", label ? outcome_name(l->outcome) : "detached");
		jw_kstr(&d.w, "label", label);
		doc_hash(&d, "tree", &i->tree);
		doc_hash(&d, lost ? "current" : "from", l->existed ? &l->before : NULL);
		jw_kint(&d.w, "entries", (int64_t)i->counts.entries);
		jw_kint(&d.w, "bytes", (int64_t)i->counts.bytes);
		jw_obj_end(&d.w);
		if (doc_print(cli, &d, err))
			return -1;
	} else if (!lost) {
		buf_fmt(&cli->out, "%s\n", hash_hex(&i->tree, hex));
	}
	if (!lost)
		return 0;
	repo_rejected(label, l->existed, &l->before, err);
	return l->existed ? err_hint(err, "import it under another label and merge, or --force") : -1;
}

static int import_from(struct repo *r, const struct import_options *o, int fd, const char *label, struct err *err)
{
	struct reader in = { .r = r, .fd = fd };
	struct imported done = { 0 };
	if (cancel_begin(&in.cancel, err))
		return -1;
	progress_init(&in.progress, "importing");
	in.buf = mem_array(READ_SIZE, 1);
	int rc = import_archive(&in, o, label, &done, err);
	progress_end(&in.progress);
	cancel_end(&in.cancel);
	free(in.buf);
	return rc ? rc : print_imported(r->cli, label, &done, err);
}

static int import(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct import_options *o = opts;
	struct repo r;
	const char *label = args->n > 1 ? args->v[1] : NULL;
	bool is_stdin = strcmp(args->v[0], "-") == 0;
	if (o->force && o->expected)
		return err_set(err, ERR_USAGE, "--force and --expected exclude each other");
	if (!label && (o->force || o->expected || o->message))
		return err_set(err, ERR_USAGE, "-m, --expected and --force are about a label: name one");
	if (label && label_check(label, err))
		return -1;
	int fd = is_stdin ? STDIN_FILENO : open(args->v[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot read '%s'", args->v[0]);
	int rc = repo_open(cli, REPO_CREATE, &r, err);
	if (rc == 0)
		rc = import_from(&r, o, fd, label, err);
	if (!is_stdin)
		close(fd);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_import = {
	.group = "fs",
	.name = "import",
	.summary = "Store an archive as a tree",
	.usage = "FILE|- [LABEL] [-m TEXT] [--expected REF] [--force] [--devices] [--max-size SIZE]",
	.about = "Reads tar (also compressed by gzip, bzip2, xz or zstd) and zip; prints the tree's id. Nothing is unpacked to "
		 "disk.\n"
		 "Hard links become files of the same content, owners and times are dropped, devices are left out without "
		 "--devices.",
	.example = "  sbx fs import site.tar.gz main\n"
		   "  curl -L https://example.org/src.tar.xz | sbx fs import - upstream -m \"release 1.2\"",
	.options = import_options,
	.options_size = sizeof(struct import_options),
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF_FILE,
	.run = import,
};
