/* fs merge: join what two labels have become since they were one. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/fs/target.h"
#include "cli/render/table.h"
#include "shared/base/mem.h"

struct merge_options {
	const char *base, *prefer, *into, *checkout, *message;
	bool no_renames, force;
};

static const char *const sides[] = { "ours", "theirs", NULL };

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.name = "base",
		.arg = "REF",
		.help = "the tree that both come from (default: found in the labels' histories)",
		.off = offsetof(struct merge_options, base) },
	{ .kind = OPT_ENUM,
		.name = "prefer",
		.arg = "SIDE",
		.help = "ours or theirs: who wins where both changed the same lines",
		.off = offsetof(struct merge_options, prefer),
		.choices = sides },
	{ .kind = OPT_STR,
		.name = "into",
		.arg = "LABEL",
		.help = "move this label to the merged tree; it must be at OURS, or be new",
		.off = offsetof(struct merge_options, into) },
	{ .kind = OPT_STR,
		.name = "checkout",
		.arg = "DIR",
		.help = "write the merged tree to this folder, conflicts as files with markers",
		.off = offsetof(struct merge_options, checkout) },
	{ .kind = OPT_STR,
		.letter = 'm',
		.name = "message",
		.arg = "TEXT",
		.help = "a note for the label's history",
		.off = offsetof(struct merge_options, message) },
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "with --checkout: overwrite what was changed in the folder",
		.off = offsetof(struct merge_options, force) },
	{ .kind = OPT_BOOL,
		.name = "no-renames",
		.help = "do not follow files that were moved",
		.off = offsetof(struct merge_options, no_renames) },
	{ .kind = OPT_END },
};

struct merger {
	struct cli *cli;
	const struct merge_options *o;
	struct repo r;
	struct ref ours, theirs;
	bool has_ours, has_theirs, has_base;
	struct hash base;
	struct merge_result result;
	struct landing landing;
};

/* ---- the three trees ---- */

static int whole_tree(struct merger *m, const char *text, struct ref *out, bool *has, struct err *err)
{
	if (repo_ref(&m->r, text, m->ours.label, out, err))
		return -1;
	*has = true;
	if (!*out->path)
		return 0;
	err_set(err, ERR_USAGE, "'%s' is a part of a tree; whole trees are merged", text);
	return err_hint(err, "leave out ':%.100s'", out->path);
}

static bool was_at(const struct label_log *log, const struct hash *id)
{
	bool found = false;
	for (size_t i = 0; i < log->n && !found; i++) {
		const struct label_entry *e = &log->v[i];
		found = hash_eq(&e->to, id) || (e->has_from && hash_eq(&e->from, id)) || (e->has_other && hash_eq(&e->other, id));
	}
	return found;
}

/* The latest tree of one history that the other has, too. */
static int common(const struct label_log *ours, const struct label_log *theirs, struct hash *out)
{
	for (size_t i = ours->n; i-- > 0;) {
		const struct label_entry *e = &ours->v[i];
		const struct hash *ids[] = { &e->to, e->has_other ? &e->other : NULL, e->has_from ? &e->from : NULL };
		for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
			if (!ids[k] || !was_at(theirs, ids[k]))
				continue;
			*out = *ids[k];
			return 1;
		}
	}
	return 0;
}

/* A daemon's labels have their histories there. 1 found and fetched, 0 none, -1. */
static int remote_base(struct merger *m, struct err *err)
{
	struct label_log ours, theirs;
	char hex[HASH_HEX + 1];
	if (!m->ours.label || !m->theirs.label)
		return 0;
	if (place_log(m->r.place, m->ours.label, SIZE_MAX, &ours, err))
		return -1;
	int found = place_log(m->r.place, m->theirs.label, SIZE_MAX, &theirs, err);
	if (found == 0) {
		found = common(&ours, &theirs, &m->base);
		label_log_free(&theirs);
	}
	label_log_free(&ours);
	return found > 0 && repo_tree(&m->r, hash_hex(&m->base, hex), &m->base, NULL, err) ? -1 : found;
}

static int find_base(struct merger *m, struct err *err)
{
	if (m->o->base) {
		struct ref ref;
		bool has = false;
		int rc = whole_tree(m, m->o->base, &ref, &has, err);
		m->base = ref.tree;
		m->has_base = rc == 0;
		if (has)
			ref_free(&ref);
		return rc;
	}
	int found = m->r.remote ? remote_base(m, err) : ref_base(m->r.s, &m->ours, &m->theirs, &m->base, err);
	if (found < 0)
		return -1;
	m->has_base = found;
	if (!found)
		cli_warn(m->cli, "no tree is known that both come from: all that differs is a conflict (--base names one)");
	return 0;
}

static int merge_here(struct merger *m, struct err *err)
{
	struct tree_merge t = { .ours = m->ours.tree,
		.theirs = m->theirs.tree,
		.base = m->has_base ? &m->base : NULL,
		.style = MERGE_NATIVE,
		.renames = !m->o->no_renames };
	if (m->o->prefer)
		t.prefer = strcmp(m->o->prefer, "ours") == 0 ? PREFER_OURS : PREFER_THEIRS;
	if (repo_begin(&m->r, err))
		return -1;
	int rc = merge_trees(m->r.s, &t, &m->result, err);
	if (rc == 0)
		return store_end(m->r.s, err);
	store_abort(m->r.s);
	return rc;
}

/* ---- a clean result ---- */

static int move_label(struct merger *m, struct err *err)
{
	struct label_move move = {
		.name = m->o->into, .to = m->result.tree, .op = LABEL_MERGE, .other = &m->theirs.tree, .message = m->o->message
	};
	struct expectation e = { .expected = &m->ours.tree, .absent_ok = true };
	bool nothing_new = hash_eq(&m->theirs.tree, &m->ours.tree) || (m->has_base && hash_eq(&m->theirs.tree, &m->base));
	if (nothing_new)
		move.other = NULL; /* then a label that is at OURS stays where it is, without a word in its history */
	if (m->r.remote) {
		struct moving moving = { 0 };
		if (place_give(m->r.place, m->r.s, &m->result.tree, 1, &moving, err))
			return -1;
	}
	if (target_move(m->r.place, &move, &e, &m->landing, err))
		return -1;
	if (m->landing.outcome != OUTCOME_REJECTED)
		return 0;
	repo_rejected(m->o->into, m->landing.existed, &m->landing.before, err);
	return err_hint(err, "it is not at OURS: merge '%.80s' itself, or set it with 'sbx fs label set'", m->o->into);
}

/* ---- into a folder ---- */

/* A push of the folder to OURS is then a move from where OURS was. */
static int write_folder(struct merger *m, struct err *err)
{
	struct cancel cancel;
	struct repo_work w;
	struct work_progress done;
	if (cancel_begin(&cancel, err))
		return -1;
	repo_work_init(&w, &m->r, "writing", &cancel);
	w.o.force = m->o->force;
	int rc = work_checkout(m->r.s, &m->result.tree, m->o->checkout, &w.o, &done, err);
	progress_end(&w.progress);
	cancel_end(&cancel);
	if (rc)
		return rc;
	if (m->result.clean && m->o->into)
		return work_set_origin(m->r.s, m->o->checkout, m->o->into, &m->result.tree, err);
	return work_set_origin(m->r.s, m->o->checkout, m->ours.label, &m->ours.tree, err);
}

/* ---- how it went ---- */

static void put_id(struct doc *d, const char *key, bool has, const struct hash *id)
{
	doc_hash(d, key, has ? id : NULL);
}

static int print_doc(struct merger *m, struct err *err)
{
	struct doc d;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kbool(&d.w, "clean", m->result.clean);
	doc_hash(&d, "tree", &m->result.tree);
	put_id(&d, "base", m->has_base, &m->base);
	doc_hash(&d, "ours", &m->ours.tree);
	doc_hash(&d, "theirs", &m->theirs.tree);
	if (m->result.clean && m->o->into)
		jw_kstr(&d.w, "label", m->o->into);
	jw_key(&d.w, "conflicts");
	jw_arr(&d.w);
	for (size_t i = 0; i < m->result.count; i++) {
		const struct conflict *c = &m->result.conflicts[i];
		jw_obj(&d.w);
		doc_name(&d, "path", c->path, strlen(c->path));
		jw_kstr(&d.w, "kind", conflict_kind_name(c->kind));
		put_id(&d, "base", c->has_base, &c->base);
		put_id(&d, "ours", c->has_ours, &c->ours);
		put_id(&d, "theirs", c->has_theirs, &c->theirs);
		if (c->markers) {
			jw_key(&d.w, "markers");
			jw_strn(&d.w, c->markers, c->markers_len);
		}
		jw_obj_end(&d.w);
	}
	jw_arr_end(&d.w);
	jw_obj_end(&d.w);
	return doc_print(m->cli, &d, err);
}

static void print_conflicts(const struct merger *m)
{
	static const char *const headers[] = { "CONFLICT", "PATH" };
	struct table t;
	table_init(&t, headers, ARRAY_LEN(headers));
	for (size_t i = 0; i < m->result.count; i++) {
		table_cell(&t, conflict_kind_name(m->result.conflicts[i].kind));
		table_cell(&t, m->result.conflicts[i].path);
	}
	table_print(&t, &m->cli->out);
	table_free(&t);
}

static int conflicted(const struct merger *m, struct err *err)
{
	err_set(err, ERR_CONFLICT, "%zu conflict%s", m->result.count, m->result.count == 1 ? "" : "s");
	if (m->o->checkout)
		return err_hint(err, "edit the files in '%.60s', then: sbx fs push %.60s %.60s --merged %.60s", m->o->checkout,
			m->o->checkout, m->ours.label ? m->ours.label : "LABEL", m->theirs.label ? m->theirs.label : "THEIRS");
	return err_hint(err, "--checkout DIR writes the files with markers, --prefer ours or theirs decides");
}

static int finish(struct merger *m, struct err *err)
{
	char hex[HASH_HEX + 1];
	if (m->result.clean && m->o->into && move_label(m, err))
		return -1;
	if (m->o->checkout && write_folder(m, err))
		return -1;
	if (wants_doc(m->cli)) {
		if (print_doc(m, err))
			return -1;
	} else if (m->result.clean) {
		buf_fmt(&m->cli->out, "%s\n", hash_hex(&m->result.tree, hex));
	} else {
		print_conflicts(m);
	}
	return m->result.clean ? 0 : conflicted(m, err);
}

static int merge(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct merger m = { .cli = cli, .o = opts };
	if (m.o->into && label_check(m.o->into, err))
		return -1;
	int rc = repo_open(cli, REPO_WRITE, &m.r, err);
	rc = rc || whole_tree(&m, args->v[0], &m.ours, &m.has_ours, err) ||
			whole_tree(&m, args->v[1], &m.theirs, &m.has_theirs, err) || find_base(&m, err) || merge_here(&m, err) ||
			finish(&m, err)
		? -1
		: 0;
	merge_result_free(&m.result);
	if (m.has_ours)
		ref_free(&m.ours);
	if (m.has_theirs)
		ref_free(&m.theirs);
	repo_close(&m.r);
	return rc;
}

const struct command cmd_fs_merge = {
	.group = "fs",
	.name = "merge",
	.summary = "Join the changes of two trees, line by line",
	.usage = "OURS THEIRS [--base REF] [--prefer SIDE] [--into LABEL] [--checkout DIR] [-m TEXT]",
	.about = "Prints the merged tree's id. Conflicts are listed and end with 1; then no label moves. With --checkout the "
		 "folder has\n"
		 "both versions between markers (<<<<<<< and >>>>>>>) and, of files that are no text, ours.",
	.example = "  sbx fs merge main feature --into main -m \"merge feature\"\n"
		   "  sbx fs merge main feature --checkout work   # edit, then:\n"
		   "  sbx fs push work main --merged feature",
	.options = options,
	.options_size = sizeof(struct merge_options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = merge,
};
