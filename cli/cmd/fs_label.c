/* fs label: list, set, rm, mv. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/fs/target.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct label_options {
	const char *expected, *message;
	bool force;
};

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.name = "expected",
		.arg = "REF",
		.help = "set, rm: only if the label is at this tree",
		.off = offsetof(struct label_options, expected) },
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "set: move a label that exists",
		.off = offsetof(struct label_options, force) },
	{ .kind = OPT_STR,
		.letter = 'm',
		.name = "message",
		.arg = "TEXT",
		.help = "set: a note for the label's history",
		.off = offsetof(struct label_options, message) },
	{ .kind = OPT_END },
};

typedef int label_fn(struct repo *r, const struct label_options *o, const struct args *args, struct err *err);

static int with_repo(
	struct cli *cli, enum repo_mode mode, label_fn *fn, const struct label_options *o, const struct args *args, struct err *err)
{
	struct repo r;
	int rc = repo_open(cli, mode, &r, err);
	if (rc == 0)
		rc = fn(&r, o, args, err);
	repo_close(&r);
	return rc;
}

/* ---- list ---- */

static void row(struct table *t, const js *label)
{
	auto_buf age = BUF_INIT, id = BUF_INIT;
	text_age(&age, js_str(js_get(label, "movedAt"), ""), clock_wall_ms());
	buf_fmt(&id, "%.*s", SHORT_ID, js_str(js_get(label, "tree"), ""));
	table_cell(t, js_str(js_get(label, "name"), ""));
	table_cell(t, id.p);
	table_cell(t, age.p);
}

static int list_all(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "LABEL", "TREE", "MOVED" };
	static const struct listing listing = { "labels", headers, ARRAY_LEN(headers), row };
	struct label_list labels;
	struct doc d;
	(void)o;
	(void)args;
	if (place_list(r->place, &labels, err))
		return -1;
	doc_init(&d);
	jw_arr(&d.w);
	for (size_t i = 0; i < labels.n; i++) {
		jw_obj(&d.w);
		jw_kstr(&d.w, "name", labels.v[i].name);
		doc_hash(&d, "tree", &labels.v[i].head);
		doc_time(&d, "movedAt", labels.v[i].at);
		jw_obj_end(&d.w);
	}
	jw_arr_end(&d.w);
	label_list_free(&labels);
	auto_js *v = doc_take(&d, err);
	if (!v)
		return -1;
	listing_print(r->cli, &listing, v);
	return 0;
}

/* No store has no labels. */
static int list_nothing(struct cli *cli, struct err *err)
{
	struct doc d;
	err_clear(err);
	doc_init(&d);
	jw_arr(&d.w);
	jw_arr_end(&d.w);
	if (!wants_doc(cli))
		cli_warn(cli, "no labels found");
	return doc_print(cli, &d, err);
}

static int list(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	int rc = repo_open(cli, REPO_READ, &r, err);
	if (rc == 0)
		rc = list_all(&r, opts, args, err);
	else if (err->code == ERR_NOT_FOUND && !r.remote)
		rc = list_nothing(cli, err);
	repo_close(&r);
	return rc;
}

/* ---- set ---- */

static int print_label(struct cli *cli, const char *name, const struct hash *tree, struct err *err)
{
	char hex[HASH_HEX + 1];
	if (!wants_doc(cli)) {
		buf_fmt(&cli->out, "%s\n", hash_hex(tree, hex));
		return 0;
	}
	struct doc d;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kstr(&d.w, "name", name);
	doc_hash(&d, "tree", tree);
	jw_obj_end(&d.w);
	return doc_print(cli, &d, err);
}

static int set_one(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	const char *name = args->v[0];
	struct hash tree, expected;
	struct landing l;
	struct moving moving = { 0 };
	if (label_check(name, err) || repo_tree(r, args->v[1], &tree, NULL, err) ||
		(o->expected && repo_tree(r, o->expected, &expected, NULL, err)))
		return -1;
	struct expectation e = { .force = o->force, .expected = o->expected ? &expected : NULL };
	struct label_move m = { .name = name, .to = tree, .op = LABEL_PUSH, .message = o->message };
	if (place_give(r->place, r->s, &tree, 1, &moving, err) || target_move(r->place, &m, &e, &l, err))
		return -1;
	if (l.outcome != OUTCOME_REJECTED)
		return print_label(r->cli, name, &tree, err);
	repo_rejected(name, l.existed, &l.before, err);
	return l.existed ? err_hint(err, "--force moves it; its history keeps where it was") : -1;
}

static int set(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct label_options *o = opts;
	if (o->expected && o->force)
		return err_set(err, ERR_USAGE, "--force and --expected exclude each other");
	return with_repo(cli, REPO_WRITE, set_one, o, args, err);
}

/* ---- rm, mv ---- */

static int rm_one(struct repo *r, const char *name, const struct hash *expected, struct err *err)
{
	struct hash head;
	bool exists;
	if (place_head(r->place, name, &head, &exists, err))
		return -1;
	if (place_remove(r->place, name, expected, err)) {
		if (err->code == ERR_NOT_FOUND && !*err->hint)
			err_hint(err, "'sbx fs label list' lists them");
		return -1;
	}
	char hex[HASH_HEX + 1];
	if (exists)
		cli_warn(r->cli, "removed '%s'; until the next gc this brings it back: sbx fs label set %s %s", name, name,
			hash_hex(&head, hex));
	return 0;
}

static int rm_each(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	struct hash expected;
	int rc = 0;
	if (o->expected && repo_tree(r, o->expected, &expected, NULL, err))
		return -1;
	for (size_t i = 0; i < args->n; i++) {
		struct err one = ERR_INIT;
		if (rm_one(r, args->v[i], o->expected ? &expected : NULL, &one)) {
			cli_error(r->cli, &one);
			rc = 1;
		}
	}
	return rc;
}

static int rm(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct label_options *o = opts;
	if (o->expected && args->n > 1)
		return err_set(err, ERR_USAGE, "--expected is about one label");
	return with_repo(cli, REPO_WRITE, rm_each, o, args, err);
}

static int mv_one(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	(void)o;
	if (place_rename(r->place, args->v[0], args->v[1], err) == 0)
		return 0;
	if (err->code == ERR_CONFLICT && !*err->hint)
		err_hint(err, "remove it first: sbx fs label rm %.80s", args->v[1]);
	return -1;
}

static int mv(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	return with_repo(cli, REPO_WRITE, mv_one, opts, args, err);
}

static const struct verb verbs[] = {
	{ .name = "list", .alias = "ls", .usage = "", .run = list },
	{ .name = "set",
		.usage = "LABEL REF [--force | --expected REF] [-m TEXT]",
		.min = 2,
		.max = 2,
		.takes = "force expected message",
		.args = ARG_LABEL,
		.run = set },
	{ .name = "rm",
		.alias = "delete",
		.usage = "LABEL... [--expected REF]",
		.min = 1,
		.max = NO_LIMIT,
		.takes = "expected",
		.args = ARG_LABEL,
		.run = rm },
	{ .name = "mv", .alias = "rename", .usage = "LABEL NEW", .min = 2, .max = 2, .args = ARG_LABEL, .run = mv },
	{ .name = NULL },
};

const struct command cmd_fs_label = {
	.group = "fs",
	.name = "label",
	.summary = "List, set, remove and rename labels",
	.usage = "list | set LABEL REF | rm LABEL... | mv LABEL NEW",
	.about = "A label is a name for a tree that moves, and the history of its moves. 'set' makes a new one; one that exists "
		 "moves only\n"
		 "with --force or --expected. 'rm' forgets the history too. Names are 1 to 255 bytes without control characters,\n"
		 "? * [ \\ : and @{, with parts between slashes that are not empty, '.' or '..'.",
	.example = "  sbx fs label list\n"
		   "  sbx fs label set release/1.0 main\n"
		   "  sbx fs label mv feature old/feature",
	.options = options,
	.options_size = sizeof(struct label_options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.verbs = verbs,
};
