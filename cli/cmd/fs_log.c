/* fs log and reset: where a label has been, and going back there. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "shared/base/mem.h"

/* ---- log ---- */

struct log_options {
	bool oneline, graph;
	struct opt_num limit;
};

static const struct opt log_options[] = {
	{ .kind = OPT_BOOL, .name = "oneline", .help = "a line a move", .off = offsetof(struct log_options, oneline) },
	{ .kind = OPT_INT,
		.letter = 'n',
		.name = "limit",
		.arg = "N",
		.help = "only the latest N moves",
		.off = offsetof(struct log_options, limit),
		.min = 1,
		.max = 1e9 },
	{ .kind = OPT_BOOL, .name = "graph", .help = "draw merges", .off = offsetof(struct log_options, graph) },
	{ .kind = OPT_END },
};

struct logger {
	struct cli *cli;
	const struct log_options *o;
	const char *label;
};

/* The column of the graph before a line. */
static void put_margin(struct logger *l, const char *drawing)
{
	if (l->o->graph)
		buf_str(&l->cli->out, drawing);
}

static void put_text(struct logger *l, const char *margin, const char *text)
{
	struct buf *out = &l->cli->out;
	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		put_margin(l, margin);
		buf_str(out, "    ");
		print_path(out, line, strcspn(line, "\n"));
		buf_ch(out, '\n');
	}
}

static void put_merge(struct logger *l, const struct label_entry *e)
{
	struct buf *out = &l->cli->out;
	if (!l->o->graph || !e->has_other)
		return;
	buf_str(out, "|\\\n| * ");
	print_short(out, &e->other);
	buf_str(out, " (merged in)\n|/\n");
}

static void put_oneline(struct logger *l, const struct label_entry *e, size_t n)
{
	struct buf *out = &l->cli->out;
	put_margin(l, "* ");
	print_short(out, &e->to);
	buf_fmt(out, " %s@{%zu} %s", l->label, n, label_op_name(e->op));
	if (e->message) {
		buf_str(out, ": ");
		print_path(out, e->message, strcspn(e->message, "\n"));
	}
	buf_ch(out, '\n');
}

static void put_field(struct logger *l, const char *name, const struct hash *id)
{
	char hex[HASH_HEX + 1];
	put_margin(l, "| ");
	buf_fmt(&l->cli->out, "%-8s%s\n", name, hash_hex(id, hex));
}

static void put_long(struct logger *l, const struct label_entry *e, size_t n)
{
	struct buf *out = &l->cli->out;
	char hex[HASH_HEX + 1];
	put_margin(l, "* ");
	buf_fmt(out, "tree %s (%s@{%zu})\n", hash_hex(&e->to, hex), l->label, n);
	put_margin(l, "| ");
	buf_fmt(out, "%-8s%s\n", "Move:", label_op_name(e->op));
	if (e->has_from)
		put_field(l, "From:", &e->from);
	if (e->has_other)
		put_field(l, "Merge:", &e->other);
	put_margin(l, "| ");
	buf_fmt(out, "%-8s", "Date:");
	print_time(out, e->at);
	buf_ch(out, '\n');
	if (e->message) {
		put_margin(l, "|");
		buf_ch(out, '\n');
		put_text(l, "| ", e->message);
	}
	if (!e->has_other || !l->o->graph) {
		put_margin(l, "|");
		buf_ch(out, '\n');
	}
}

static int print_log_doc(struct cli *cli, const struct label_log *log, struct err *err)
{
	struct doc d;
	doc_init(&d);
	jw_arr(&d.w);
	for (size_t i = 0; i < log->n; i++) {
		const struct label_entry *e = &log->v[log->n - 1 - i];
		jw_obj(&d.w);
		jw_kint(&d.w, "moves", (int64_t)i); /* ago: LABEL@{moves} */
		doc_time(&d, "at", e->at);
		jw_kstr(&d.w, "op", label_op_name(e->op));
		doc_hash(&d, "from", e->has_from ? &e->from : NULL);
		doc_hash(&d, "to", &e->to);
		if (e->has_other)
			doc_hash(&d, "other", &e->other);
		jw_kstr(&d.w, "message", e->message);
		jw_obj_end(&d.w);
	}
	jw_arr_end(&d.w);
	return doc_print(cli, &d, err);
}

static int print_log(struct logger *l, const struct label_log *log, struct err *err)
{
	if (wants_doc(l->cli))
		return print_log_doc(l->cli, log, err);
	for (size_t i = 0; i < log->n; i++) {
		const struct label_entry *e = &log->v[log->n - 1 - i];
		if (l->o->oneline)
			put_oneline(l, e, i);
		else
			put_long(l, e, i);
		put_merge(l, e);
	}
	return 0;
}

static int log_command(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct logger l = { .cli = cli, .o = opts, .label = args->v[0] };
	struct label_log log;
	struct repo r;
	int rc = repo_open(cli, REPO_READ, &r, err);
	if (rc == 0)
		rc = place_log(r.place, l.label, l.o->limit.set ? (size_t)l.o->limit.v : SIZE_MAX, &log, err);
	if (rc == 0) {
		rc = print_log(&l, &log, err);
		label_log_free(&log);
	}
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_log = {
	.group = "fs",
	.name = "log",
	.summary = "Show where a label has been, latest first",
	.usage = "LABEL [--oneline] [-n N] [--graph]",
	.about = "Every move is kept: LABEL@{N} in the output is a ref for all other commands.",
	.example = "  sbx fs log main --oneline -n 5\n"
		   "  sbx fs log main -o json | jq -r '.[0].message'",
	.options = log_options,
	.options_size = sizeof(struct log_options),
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = log_command,
};

/* ---- reset ---- */

struct reset_options {
	const char *message;
	bool allow_unlogged;
};

static const struct opt reset_options[] = {
	{ .kind = OPT_BOOL,
		.name = "allow-unlogged",
		.help = "also to a tree where the label has never been",
		.off = offsetof(struct reset_options, allow_unlogged) },
	{ .kind = OPT_STR,
		.letter = 'm',
		.name = "message",
		.arg = "TEXT",
		.help = "a note for the label's history",
		.off = offsetof(struct reset_options, message) },
	{ .kind = OPT_END },
};

static bool knows(const struct label_log *log, const struct hash *id)
{
	bool known = false;
	for (size_t i = 0; i < log->n && !known; i++)
		known = hash_eq(&log->v[i].to, id) || (log->v[i].has_from && hash_eq(&log->v[i].from, id));
	return known;
}

static int check_known(struct repo *r, const char *label, const struct hash *id, struct err *err)
{
	struct label_log log;
	char hex[HASH_HEX + 1];
	if (place_log(r->place, label, SIZE_MAX, &log, err))
		return -1;
	bool known = knows(&log, id);
	label_log_free(&log);
	if (known)
		return 0;
	err_set(err, ERR_STATE, "'%s' has never been at %s", label, hash_hex(id, hex));
	return err_hint(err, "'sbx fs log %.80s' lists where it has been; --allow-unlogged moves it all the same", label);
}

static int print_reset(struct cli *cli, const char *label, const struct hash *before, const struct hash *to, struct err *err)
{
	char hex[HASH_HEX + 1];
	if (!wants_doc(cli)) {
		buf_fmt(&cli->out, "%s\n", hash_hex(to, hex));
		return 0;
	}
	struct doc d;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kstr(&d.w, "label", label);
	doc_hash(&d, "tree", to);
	doc_hash(&d, "from", before);
	jw_obj_end(&d.w);
	return doc_print(cli, &d, err);
}

static int reset_label(struct repo *r, const struct reset_options *o, const char *label, const char *text, struct err *err)
{
	struct ref ref;
	struct hash before, now, to;
	bool existed, exists;
	if (repo_ref(r, text, label, &ref, err))
		return -1;
	int rc = repo_folder(r, &ref, &to, err);
	ref_free(&ref);
	if (rc || place_head(r->place, label, &before, &existed, err) || (!o->allow_unlogged && check_known(r, label, &to, err)))
		return -1;
	struct moving moving = { 0 };
	struct label_move m = { .name = label, .to = to, .op = LABEL_RESET, .any = true, .message = o->message };
	if (place_give(r->place, r->s, &to, 1, &moving, err) || place_move(r->place, &m, &now, &exists, err))
		return -1;
	return print_reset(r->cli, label, existed ? &before : NULL, &to, err);
}

static int reset(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	int rc = repo_open(cli, REPO_WRITE, &r, err);
	if (rc == 0)
		rc = reset_label(&r, opts, args->v[0], args->v[1], err);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_reset = {
	.group = "fs",
	.name = "reset",
	.summary = "Move a label back to a tree where it has been",
	.usage = "LABEL REF [--allow-unlogged] [-m TEXT]",
	.about = "Nothing is lost: the reset is a move like others, and LABEL@{1} is where it was before. Folders are not touched.",
	.example = "  sbx fs reset main @{1}\n"
		   "  sbx fs reset main main@{2026-11-30T08:00:00Z} -m \"back to this morning\"",
	.options = reset_options,
	.options_size = sizeof(struct reset_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = reset,
};
