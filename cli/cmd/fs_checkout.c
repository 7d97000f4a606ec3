/* fs checkout and fs status: a folder and the tree that it is, or should be. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/change.h"
#include "cli/fs/repo.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"

/* ---- checkout ---- */

struct checkout_options {
	bool force, dry_run, no_ignore;
	struct opt_list excludes;
};

static const struct opt checkout_options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "overwrite what was changed in the folder",
		.off = offsetof(struct checkout_options, force) },
	{ .kind = OPT_LIST,
		.name = "exclude",
		.arg = "PATTERN",
		.help = "leave alone what matches, as a line of .sbxignore; may be repeated",
		.off = offsetof(struct checkout_options, excludes) },
	{ .kind = OPT_BOOL,
		.name = "no-ignore",
		.help = "do not read .sbxignore",
		.off = offsetof(struct checkout_options, no_ignore) },
	{ .kind = OPT_BOOL,
		.name = "dry-run",
		.help = "list what would change, write nothing",
		.off = offsetof(struct checkout_options, dry_run) },
	{ .kind = OPT_END },
};

/* From the folder's point of view: what the tree has and the folder has not will be added. */
static int add_turned(void *arg, const struct diff_item *item, struct err *err)
{
	struct diff_item turned = *item;
	turned.old = item->new;
	turned.new = item->old;
	if (item->kind == DIFF_ADDED)
		turned.kind = DIFF_REMOVED;
	else if (item->kind == DIFF_REMOVED)
		turned.kind = DIFF_ADDED;
	if (item->old_path) {
		turned.path = item->old_path;
		turned.old_path = item->path;
	}
	return change_list_add(arg, &turned, err);
}

static void take_options(struct repo_work *w, const struct checkout_options *o, const char **patterns)
{
	for (size_t i = 0; i < o->excludes.n; i++)
		patterns[i] = o->excludes.v[i];
	w->o.excludes = patterns;
	w->o.no_ignore_files = o->no_ignore;
	w->o.force = o->force;
	w->o.dry = o->dry_run;
}

static int list_changes(struct repo *r, const struct repo_work *w, const struct hash *tree, const char *folder, struct err *err)
{
	struct doc d;
	doc_init(&d);
	struct change_list list = { .cli = r->cli, .doc = wants_doc(r->cli) ? &d : NULL };
	jw_arr(&d.w);
	struct stat st;
	bool none = stat(folder, &st) && errno == ENOENT;
	int rc = none ? diff_trees(r->s, &object_empty, tree, false, change_list_add, &list, err)
		      : work_status(r->s, tree, folder, &w->o, add_turned, &list, err);
	jw_arr_end(&d.w);
	if (rc == 0 && wants_doc(r->cli))
		return doc_print(r->cli, &d, err);
	buf_free(&d.text);
	return rc;
}

static int print_done(struct cli *cli, const struct hash *tree, const char *label, const char *folder,
	const struct work_progress *done, struct err *err)
{
	if (wants_doc(cli)) {
		struct doc d;
		doc_init(&d);
		jw_obj(&d.w);
		jw_kstr(&d.w, "label", label);
		doc_hash(&d, "tree", tree);
		doc_name(&d, "folder", folder, strlen(folder));
		jw_kint(&d.w, "files", (int64_t)done->files);
		jw_kint(&d.w, "bytes", (int64_t)done->bytes);
		jw_kint(&d.w, "writtenFiles", (int64_t)done->new_files);
		jw_kint(&d.w, "writtenBytes", (int64_t)done->new_bytes);
		jw_obj_end(&d.w);
		return doc_print(cli, &d, err);
	}
	auto_buf size = BUF_INIT;
	text_size(&size, (int64_t)done->new_bytes);
	if (isatty(STDERR_FILENO))
		cli_warn(cli, "%llu of %llu files written, %s", (unsigned long long)done->new_files,
			(unsigned long long)done->files, size.p);
	return 0;
}

static int write_folder(struct repo *r, const struct checkout_options *o, const struct hash *tree, const char *label,
	const char *folder, struct err *err)
{
	struct cancel cancel;
	struct repo_work w;
	struct work_progress done = { 0 };
	auto_free const char **patterns = mem_array(o->excludes.n + 1, sizeof(*patterns));
	if (cancel_begin(&cancel, err))
		return -1;
	repo_work_init(&w, r, "writing", &cancel);
	take_options(&w, o, patterns);
	int rc = o->dry_run ? list_changes(r, &w, tree, folder, err) : 0;
	if (rc == 0)
		rc = work_checkout(r->s, tree, folder, &w.o, &done, err);
	progress_end(&w.progress);
	cancel_end(&cancel);
	if (rc || o->dry_run)
		return rc;
	if (!store_read_only(r->s) && work_set_origin(r->s, folder, label, tree, err))
		return -1;
	return print_done(r->cli, tree, label, folder, &done, err);
}

static int checkout(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	struct hash tree;
	char *label = NULL;
	int rc = repo_open(cli, REPO_READ, &r, err) || repo_tree(&r, args->v[0], &tree, &label, err) ? -1 : 0;
	if (rc == 0)
		rc = write_folder(&r, opts, &tree, label, args->v[1], err);
	free(label);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_checkout = {
	.group = "fs",
	.name = "checkout",
	.alias = "pull",
	.summary = "Make a folder be a tree: write what differs, remove what is not in it",
	.usage = "REF DIR [--force] [--exclude PATTERN]... [--dry-run]",
	.about = "REF is a label, LABEL@{2} (two moves ago), LABEL@{1h} (an hour ago), an id or 8 or more digits of one, each with "
		 ":PATH\n"
		 "behind it for a folder within. Files are replaced one by one, each at once; what was changed in DIR since it was "
		 "last\n"
		 "pushed or checked out is not overwritten without --force. What .sbxignore or --exclude covers is left alone.",
	.example = "  sbx fs checkout main /srv/www\n"
		   "  sbx fs checkout main@{1d}:docs docs --dry-run",
	.options = checkout_options,
	.options_size = sizeof(struct checkout_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF_FILE,
	.run = checkout,
};

/* ---- status ---- */

struct status_options {
	bool no_ignore;
};

static const struct opt status_options[] = {
	{ .kind = OPT_BOOL,
		.name = "no-ignore",
		.help = "do not read .sbxignore",
		.off = offsetof(struct status_options, no_ignore) },
	{ .kind = OPT_END },
};

/* Where the label is now. */
struct standing {
	struct work_origin origin;
	struct hash head;
	bool exists; /* the label */
};

static int find_standing(struct repo *r, const char *folder, struct standing *out, struct err *err)
{
	*out = (struct standing){ 0 };
	if (work_origin(r->s, folder, &out->origin, err)) {
		if (err->code == ERR_NOT_FOUND) {
			err_set(err, ERR_NOT_FOUND, "'%s' was never pushed or checked out", folder);
			err_hint(err, "sbx fs push %.100s LABEL", folder);
		}
		return -1;
	}
	return out->origin.label ? place_head(r->place, out->origin.label, &out->head, &out->exists, err) : 0;
}

static const char *standing_word(const struct standing *st)
{
	if (!st->origin.label)
		return "detached";
	if (!st->exists)
		return "label-gone";
	return hash_eq(&st->head, &st->origin.tree) ? "current" : "label-moved";
}

static void print_standing(struct buf *out, const struct standing *st)
{
	if (st->origin.label)
		buf_fmt(out, "%s ", st->origin.label);
	print_short(out, &st->origin.tree);
	if (st->origin.label && !st->exists) {
		buf_str(out, " (the label is gone)");
	} else if (st->origin.label && !hash_eq(&st->head, &st->origin.tree)) {
		buf_str(out, " (the label has moved to ");
		print_short(out, &st->head);
		buf_ch(out, ')');
	}
	buf_ch(out, '\n');
}

static int show_status(
	struct repo *r, const struct status_options *o, const char *folder, const struct standing *st, struct err *err)
{
	struct doc d;
	struct repo_work w;
	doc_init(&d);
	struct change_list list = { .cli = r->cli, .doc = wants_doc(r->cli) ? &d : NULL };
	repo_work_init(&w, r, "comparing", NULL);
	w.o.no_ignore_files = o->no_ignore;
	jw_obj(&d.w);
	jw_kstr(&d.w, "label", st->origin.label);
	doc_hash(&d, "tree", &st->origin.tree);
	doc_hash(&d, "head", st->exists ? &st->head : NULL);
	jw_kstr(&d.w, "state", standing_word(st));
	jw_key(&d.w, "changes");
	jw_arr(&d.w);
	if (!wants_doc(r->cli))
		print_standing(&r->cli->out, st);
	int rc = work_status(r->s, &st->origin.tree, folder, &w.o, change_list_add, &list, err);
	progress_end(&w.progress);
	jw_arr_end(&d.w);
	jw_obj_end(&d.w);
	if (rc == 0 && wants_doc(r->cli))
		return doc_print(r->cli, &d, err);
	buf_free(&d.text);
	return rc;
}

static int status(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	struct standing st = { 0 };
	const char *folder = args->n ? args->v[0] : ".";
	int rc = repo_open(cli, REPO_READ, &r, err) || find_standing(&r, folder, &st, err) ? -1 : 0;
	if (rc == 0)
		rc = show_status(&r, opts, folder, &st, err);
	free(st.origin.label);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_status = {
	.group = "fs",
	.name = "status",
	.summary = "List what was changed in a folder since it was pushed or checked out",
	.usage = "[DIR]",
	.about = "The first line is the label and tree that the folder comes from, and whether the label has moved since. Then a "
		 "line\n"
		 "a change: A added, D removed, M changed, T other permissions.",
	.example = "  sbx fs status\n"
		   "  sbx fs status /srv/www -o json | jq -r '.changes[].path'",
	.options = status_options,
	.options_size = sizeof(struct status_options),
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_REF_FILE,
	.run = status,
};
