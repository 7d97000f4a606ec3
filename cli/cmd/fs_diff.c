/* fs diff: what differs between two trees, a tree and a folder, or two files in trees. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/change.h"
#include "cli/fs/patch.h"
#include "cli/fs/repo.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { SAME = 0, DIFFERS = 1, TROUBLE = 2 };
#define BAR 40u /* columns of "+++---" */

struct diff_command_options {
	bool stat, name_only, no_renames, no_ignore;
};

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.name = "stat",
		.help = "lines that came and went, a file a line",
		.off = offsetof(struct diff_command_options, stat) },
	{ .kind = OPT_BOOL, .name = "name-only", .help = "paths only", .off = offsetof(struct diff_command_options, name_only) },
	{ .kind = OPT_BOOL,
		.name = "no-renames",
		.help = "show a file that moved as removed and added",
		.off = offsetof(struct diff_command_options, no_renames) },
	{ .kind = OPT_BOOL,
		.name = "no-ignore",
		.help = "of a folder: do not read .sbxignore",
		.off = offsetof(struct diff_command_options, no_ignore) },
	{ .kind = OPT_END },
};

struct stat_row {
	char *path;
	struct patch_size size;
};

struct differ {
	struct cli *cli;
	const struct diff_command_options *o;
	struct patcher patcher;
	char *const *only; /* paths */
	size_t only_n;
	size_t found;
	bool colour;
	struct doc doc;
	struct stat_row *rows; /* --stat */
	size_t row_n;
};

/* ---- output of an item ---- */

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);
	while (n && top[n - 1] == '/')
		n--;
	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/' || n == 0);
}

static bool is_wanted(const struct differ *d, const struct diff_item *item)
{
	bool wanted = d->only_n == 0;
	for (size_t i = 0; i < d->only_n && !wanted; i++)
		wanted = below(item->path, d->only[i]) || (item->old_path && below(item->old_path, d->only[i]));
	return wanted;
}

static int add_doc(struct differ *d, const struct diff_item *item, struct err *err)
{
	struct patch_size size;
	auto_buf patch = BUF_INIT;
	if (d->o->name_only) {
		jw_strn(&d->doc.w, item->path, strlen(item->path));
		return 0;
	}
	if (patch_measure(&d->patcher, item, &size, err) || (!d->o->stat && patch_write(&d->patcher, item, &patch, err)))
		return -1;
	jw_obj(&d->doc.w);
	doc_change(&d->doc, item);
	jw_kbool(&d->doc.w, "binary", size.binary);
	jw_kint(&d->doc.w, "added", (int64_t)size.added);
	jw_kint(&d->doc.w, "removed", (int64_t)size.removed);
	if (!d->o->stat)
		jw_kstr(&d->doc.w, "patch", patch.p);
	jw_obj_end(&d->doc.w);
	return 0;
}

static int add_row(struct differ *d, const struct diff_item *item, struct err *err)
{
	struct stat_row row = { 0 };
	auto_buf name = BUF_INIT;
	if (patch_measure(&d->patcher, item, &row.size, err))
		return -1;
	if (item->old_path) {
		print_path(&name, item->old_path, strlen(item->old_path));
		buf_str(&name, " => ");
	}
	print_path(&name, item->path, strlen(item->path));
	row.path = mem_strdup(name.p);
	if ((d->row_n & (d->row_n - 1)) == 0)
		d->rows = mem_grow(d->rows, d->row_n ? d->row_n * 2 : 1, sizeof(*d->rows));
	d->rows[d->row_n++] = row;
	return 0;
}

static int add_patch(struct differ *d, const struct diff_item *item, struct err *err)
{
	auto_buf patch = BUF_INIT;
	if (patch_write(&d->patcher, item, &patch, err))
		return -1;
	if (d->colour)
		patch_paint(&d->cli->out, patch.p, patch.len);
	else
		buf_add(&d->cli->out, patch.p, patch.len);
	return 0;
}

static int on_item(void *arg, const struct diff_item *item, struct err *err)
{
	struct differ *d = arg;
	if (!is_wanted(d, item))
		return 0;
	d->found++;
	if (wants_doc(d->cli))
		return add_doc(d, item, err);
	if (d->o->stat)
		return add_row(d, item, err);
	if (!d->o->name_only) {
		if (add_patch(d, item, err))
			return -1;
	} else {
		print_path(&d->cli->out, item->path, strlen(item->path));
		buf_ch(&d->cli->out, '\n');
	}
	return d->cli->out.len >= (256 << 10) ? cli_flush(d->cli, err) : 0;
}

/* ---- --stat ---- */

static void put_bar(const struct differ *d, char c, const char *colour, size_t n)
{
	struct buf *out = &d->cli->out;
	if (d->colour && n)
		buf_str(out, colour);
	for (size_t i = 0; i < n; i++)
		buf_ch(out, c);
	if (d->colour && n)
		buf_str(out, "\033[m");
}

/* Lines as columns: as they are when they fit, else in proportion, at least one for some. */
static size_t bar(uint64_t lines, uint64_t most)
{
	if (most <= BAR || lines == 0)
		return (size_t)lines;
	size_t n = (size_t)((double)lines * BAR / (double)most);
	return n ? n : 1;
}

static void print_rows(const struct differ *d)
{
	size_t width = 0;
	uint64_t most = 0, added = 0, removed = 0;
	struct buf *out = &d->cli->out;
	for (size_t i = 0; i < d->row_n; i++) {
		const struct patch_size *s = &d->rows[i].size;
		size_t w = text_width(d->rows[i].path);
		width = w > width ? w : width;
		most = s->added + s->removed > most ? s->added + s->removed : most;
		added += s->added;
		removed += s->removed;
	}
	for (size_t i = 0; i < d->row_n; i++) {
		const struct stat_row *row = &d->rows[i];
		buf_fmt(out, " %s%*s | ", row->path, (int)(width - text_width(row->path)), "");
		if (row->size.binary) {
			buf_str(out, "binary\n");
			continue;
		}
		unsigned long long lines = row->size.added + row->size.removed;
		buf_fmt(out, "%llu ", lines);
		put_bar(d, '+', "\033[32m", bar(row->size.added, most));
		put_bar(d, '-', "\033[31m", bar(row->size.removed, most));
		buf_ch(out, '\n');
	}
	if (d->row_n)
		buf_fmt(out, " %zu file%s changed, lines: %llu added, %llu removed\n", d->row_n, d->row_n == 1 ? "" : "s",
			(unsigned long long)added, (unsigned long long)removed);
}

/* ---- the sides ---- */

struct side {
	struct ref ref;
	bool known, is_file;
	struct hash tree;
	struct tree_at at; /* of a file */
};

static void side_free(struct side *s)
{
	if (!s->known)
		return;
	tree_at_free(&s->at);
	ref_free(&s->ref);
}

static int find_side(struct repo *r, const char *text, const char *label, struct side *out, struct err *err)
{
	*out = (struct side){ .at.holder.bytes = BUF_INIT };
	if (repo_ref(r, text, label, &out->ref, err))
		return -1;
	out->known = true;
	out->tree = out->ref.tree;
	if (!*out->ref.path)
		return 0;
	if (tree_find(r->s, &out->ref.tree, out->ref.path, &out->at, err))
		return -1;
	out->is_file = out->at.has_file && !entry_is_dir_mode(&out->at.file);
	out->tree = out->at.dir;
	return 0;
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool looks_like_path(const char *text)
{
	return *text == '/' || *text == '.' || str_ends(text, "/");
}

static int with_folder(struct repo *r, struct differ *d, const struct side *a, const char *folder, struct err *err)
{
	struct repo_work w;
	if (a->is_file)
		return err_set(err, ERR_USAGE, "'%s' is a file, '%s' a folder", a->ref.path, folder);
	repo_work_init(&w, r, "comparing", NULL);
	w.o.no_ignore_files = d->o->no_ignore;
	d->patcher.folder = folder;
	int rc = work_status(r->s, &a->tree, folder, &w.o, on_item, d, err);
	progress_end(&w.progress);
	return rc;
}

static int two_files(struct differ *d, const struct side *a, const struct side *b, struct err *err)
{
	struct diff_item item = { .kind = DIFF_CHANGED, .path = b->ref.path, .old = &a->at.file, .new = &b->at.file };
	if (!a->is_file || !b->is_file)
		return err_set(err, ERR_USAGE, "'%s' is a file, '%s' is none", a->is_file ? a->ref.path : b->ref.path,
			a->is_file ? b->ref.path : a->ref.path);
	return entry_eq(item.old, item.new) ? 0 : on_item(d, &item, err);
}

static int with_ref(struct repo *r, struct differ *d, const struct side *a, const char *text, struct err *err)
{
	struct side b;
	int rc = find_side(r, text, a->ref.label, &b, err);
	if (rc == 0 && (a->is_file || b.is_file))
		rc = two_files(d, a, &b, err);
	else if (rc == 0)
		rc = diff_trees(r->s, &a->tree, &b.tree, !d->o->no_renames, on_item, d, err);
	side_free(&b);
	return rc;
}

/* The second side: a folder, a ref, or what stands for none: the folder we are in, if it is one that was pushed. */
static int compare(struct repo *r, struct differ *d, const struct side *a, const char *text, struct err *err)
{
	struct work_origin origin = { 0 };
	if (!text) {
		struct err none = ERR_INIT;
		if (work_origin(r->s, ".", &origin, &none)) {
			err_set(err, ERR_USAGE, "compare it with what? This folder was never pushed or checked out");
			return err_hint(err, "name a second tree or a folder: sbx fs diff A B");
		}
		free(origin.label);
		return with_folder(r, d, a, ".", err);
	}
	if (looks_like_path(text))
		return with_folder(r, d, a, text, err);
	int rc = with_ref(r, d, a, text, err);
	if (rc && err->code == ERR_NOT_FOUND && is_folder(text))
		return with_folder(r, d, a, text, err);
	return rc;
}

static int print_all(struct differ *d, struct err *err)
{
	jw_arr_end(&d->doc.w);
	if (wants_doc(d->cli))
		return doc_print(d->cli, &d->doc, err);
	if (d->o->stat)
		print_rows(d);
	return 0;
}

static int run_diff(struct repo *r, struct differ *d, const struct args *args, struct err *err)
{
	struct side a = { 0 };
	if (args->plain < 1 || args->plain > 2) {
		err_set(err, ERR_USAGE, args->plain ? "too many trees" : "arguments are missing");
		return err_hint(err, "usage: sbx fs diff A [B] [-- PATH...]");
	}
	d->only = args->v + args->plain;
	d->only_n = args->n - args->plain;
	d->patcher.s = r->s;
	int rc = find_side(r, args->v[0], NULL, &a, err);
	if (rc == 0)
		rc = compare(r, d, &a, args->plain > 1 ? args->v[1] : NULL, err);
	if (rc == 0)
		rc = print_all(d, err);
	side_free(&a);
	return rc;
}

/* As diff(1): what went wrong ends with 2, since 1 says that there is a difference. */
static int trouble(struct cli *cli, const struct err *err)
{
	if (err->sys == EPIPE || err->sys == EINTR)
		return -1;
	cli_error(cli, err);
	return TROUBLE;
}

static int diff(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	struct differ d = { .cli = cli, .o = opts };
	const char *none = getenv("NO_COLOR");
	d.colour = isatty(STDOUT_FILENO) && !(none && *none);
	if (d.o->stat && d.o->name_only)
		return err_set(err, ERR_USAGE, "--stat and --name-only exclude each other");
	doc_init(&d.doc);
	jw_arr(&d.doc.w);
	int rc = repo_open(cli, REPO_READ, &r, err);
	if (rc == 0)
		rc = run_diff(&r, &d, args, err);
	for (size_t i = 0; i < d.row_n; i++)
		free(d.rows[i].path);
	free(d.rows);
	buf_free(&d.doc.text);
	repo_close(&r);
	if (rc)
		return trouble(cli, err);
	return d.found ? DIFFERS : SAME;
}

const struct command cmd_fs_diff = {
	.group = "fs",
	.name = "diff",
	.summary = "Show what differs between two trees, or a tree and a folder",
	.usage = "A [B] [--stat | --name-only] [-- PATH...]",
	.about = "A is a ref, B a ref or a folder; without B it is the folder that you are in, if that was pushed or checked out.\n"
		 "'@{1}' alone means A's label. The output is a patch for 'git apply' and 'patch -p1'.\n"
		 "Exit codes as of diff: 0 nothing differs, 1 something does, 2 trouble.",
	.example = "  sbx fs diff main@{1} main\n"
		   "  sbx fs diff main . --stat\n"
		   "  sbx fs diff v1 v2 -- src/parser",
	.options = options,
	.options_size = sizeof(struct diff_command_options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_REF_FILE,
	.run = diff,
};
