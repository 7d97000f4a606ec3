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

typedef int verb_fn(struct repo *r, const struct label_options *o, const struct args *args, struct err *err);

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

static int list(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
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

static int set(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	const char *name = args->v[1];
	struct hash tree, expected;
	struct landing l;
	struct moving moving = { 0 };
	if (label_check(name, err) || repo_tree(r, args->v[2], &tree, NULL, err) ||
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

static int rm(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	struct hash expected;
	int rc = 0;
	if (o->expected && args->n > 2)
		return err_set(err, ERR_USAGE, "--expected is about one label");
	if (o->expected && repo_tree(r, o->expected, &expected, NULL, err))
		return -1;
	for (size_t i = 1; i < args->n; i++) {
		struct err one = ERR_INIT;
		if (rm_one(r, args->v[i], o->expected ? &expected : NULL, &one)) {
			cli_error(r->cli, &one);
			rc = 1;
		}
	}
	return rc;
}

static int mv(struct repo *r, const struct label_options *o, const struct args *args, struct err *err)
{
	(void)o;
	if (place_rename(r->place, args->v[1], args->v[2], err) == 0)
		return 0;
	if (err->code == ERR_CONFLICT && !*err->hint)
		err_hint(err, "remove it first: sbx fs label rm %.80s", args->v[2]);
	return -1;
}

/* ---- which ---- */

static const struct verb {
	const char *name, *alias, *usage;
	size_t min, max; /* arguments behind it */
	enum repo_mode mode;
	bool expected, set;
	verb_fn *run;
} verbs[] = {
	{ "list", "ls", "list", 0, 0, REPO_READ, false, false, list },
	{ "set", NULL, "set LABEL REF [--force | --expected REF] [-m TEXT]", 2, 2, REPO_WRITE, true, true, set },
	{ "rm", "delete", "rm LABEL... [--expected REF]", 1, NO_LIMIT - 1, REPO_WRITE, true, false, rm },
	{ "mv", "rename", "mv LABEL NEW", 2, 2, REPO_WRITE, false, false, mv },
};

static const struct verb *find_verb(const char *word, struct err *err)
{
	const char *names[ARRAY_LEN(verbs)];
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		names[i] = verbs[i].name;
		if (strcmp(word, verbs[i].name) == 0 || (verbs[i].alias && strcmp(word, verbs[i].alias) == 0))
			return &verbs[i];
	}
	const char *near = opt_nearest(word, names, ARRAY_LEN(names));
	err_set(err, ERR_USAGE, "unknown command 'fs label %s'", word);
	if (near)
		err_hint(err, "did you mean 'sbx fs label %s'?", near);
	else
		err_hint(err, "it is one of list, set, rm and mv");
	return NULL;
}

static int check_use(const struct verb *v, const struct label_options *o, size_t n, struct err *err)
{
	if (n < v->min || n > v->max)
		err_set(err, ERR_USAGE, n < v->min ? "arguments are missing" : "too many arguments");
	else if ((o->expected && !v->expected) || ((o->force || o->message) && !v->set))
		err_set(err, ERR_USAGE, "'%s' has no such option", v->name);
	else if (o->expected && o->force)
		err_set(err, ERR_USAGE, "--force and --expected exclude each other");
	else
		return 0;
	return err_hint(err, "usage: sbx fs label %s", v->usage);
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

static int label(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	const struct verb *v = find_verb(args->v[0], err);
	if (!v || check_use(v, opts, args->n - 1, err))
		return -1;
	cli->words[2] = v->name;
	int rc = repo_open(cli, v->mode, &r, err);
	if (rc == 0)
		rc = v->run(&r, opts, args, err);
	else if (v->run == list && err->code == ERR_NOT_FOUND && !r.remote)
		rc = list_nothing(cli, err);
	repo_close(&r);
	return rc;
}

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
	.args = ARG_LABEL,
	.run = label,
};
