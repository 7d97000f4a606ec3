/*
 * fs push: a folder becomes a tree, and a label moves to it; or, with --remote, the tree of a local label goes to another store.
 *
 * What the label is expected to be at: --expected; else the tree that the folder was last pushed to or checked out from; a folder
 * without such a past may only make a new label.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/fs/target.h"
#include "cli/push.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct push_options {
	const char *message, *expected, *merged, *remote;
	bool force, detach, merge, dry_run, skip_unreadable, no_ignore;
	struct opt_list excludes;
};

static const struct opt push_options[] = {
	{ .kind = OPT_STR,
		.letter = 'm',
		.name = "message",
		.arg = "TEXT",
		.help = "a note for the label's history",
		.off = offsetof(struct push_options, message) },
	{ .kind = OPT_STR,
		.name = "expected",
		.arg = "REF",
		.help = "the tree that the label must be at",
		.off = offsetof(struct push_options, expected) },
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "force",
		.help = "move the label wherever it is",
		.off = offsetof(struct push_options, force) },
	{ .kind = OPT_BOOL,
		.name = "detach",
		.help = "store the tree, move no label",
		.off = offsetof(struct push_options, detach) },
	{ .kind = OPT_BOOL,
		.name = "merge",
		.help = "from a sandbox: if the label has moved on, join the changes with what is there",
		.off = offsetof(struct push_options, merge) },
	{ .kind = OPT_LIST,
		.name = "exclude",
		.arg = "PATTERN",
		.help = "leave out what matches, as a line of .sbxignore; may be repeated",
		.off = offsetof(struct push_options, excludes) },
	{ .kind = OPT_BOOL,
		.name = "no-ignore",
		.help = "do not read .sbxignore",
		.off = offsetof(struct push_options, no_ignore) },
	{ .kind = OPT_BOOL,
		.name = "skip-unreadable",
		.help = "warn about what cannot be read, and leave it out",
		.off = offsetof(struct push_options, skip_unreadable) },
	{ .kind = OPT_STR,
		.name = "merged",
		.arg = "REF",
		.help = "the tree that was merged into this one by hand",
		.off = offsetof(struct push_options, merged) },
	{ .kind = OPT_STR,
		.name = "remote",
		.arg = "REMOTE",
		.help = "push to another store: a path, an endpoint or a context",
		.off = offsetof(struct push_options, remote) },
	{ .kind = OPT_BOOL,
		.name = "dry-run",
		.help = "print the tree's id, store nothing",
		.off = offsetof(struct push_options, dry_run) },
	{ .kind = OPT_END },
};

struct push {
	struct cli *cli;
	const struct push_options *o;
	struct repo r;
	struct place *to; /* where the label is */
	struct place *remote;
	const char *folder; /* NULL: `from` */
	const char *from;   /* a local ref that is pushed to a remote */
	char *label;	    /* NULL: detached */
	struct work_origin origin;
	bool has_origin;
	struct hash tree, expected, merged;
	struct work_progress done;
	struct remote_counts sent;
	struct landing landing;
};

/* ---- what is pushed where ---- */

static int check_options(const struct push_options *o, const struct args *args, struct err *err)
{
	if (o->detach && (args->n > 1 || o->message || o->expected || o->force || o->merged))
		return err_set(err, ERR_USAGE, "--detach moves no label: leave out LABEL, -m, --expected, --force and --merged");
	if (o->force && o->expected)
		return err_set(err, ERR_USAGE, "--force and --expected exclude each other");
	return 0;
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool looks_like_path(const char *text)
{
	return *text == '/' || str_starts(text, "./") || str_starts(text, "../") || strcmp(text, ".") == 0 ||
		strcmp(text, "..") == 0 || str_ends(text, "/");
}

/* With a remote, the first argument may be a label or id of the local store instead of a folder. */
static int find_source(struct push *p, const char *arg, struct err *err)
{
	struct err none = ERR_INIT;
	struct ref ref;
	p->folder = arg;
	if (!p->remote || looks_like_path(arg) || ref_resolve(p->r.s, arg, &ref, &none))
		return 0;
	ref_free(&ref);
	if (is_folder(arg)) {
		err_set(err, ERR_USAGE, "'%s' is a label and a folder", arg);
		return err_hint(err, "write './%s' for the folder, '%s@{0}' for the label", arg, arg);
	}
	p->from = arg;
	p->folder = NULL;
	return 0;
}

static int find_origin(struct push *p, struct err *err)
{
	struct err own = ERR_INIT;
	if (!p->folder)
		return 0;
	p->has_origin = work_origin(p->r.s, p->folder, &p->origin, &own) == 0;
	if (p->has_origin || own.code == ERR_NOT_FOUND)
		return 0;
	*err = own;
	return -1;
}

static int find_label(struct push *p, const char *arg, struct err *err)
{
	if (p->o->detach)
		return 0;
	if (arg) {
		p->label = mem_strdup(arg);
	} else if (p->has_origin && p->origin.label) {
		p->label = mem_strdup(p->origin.label);
	} else if (p->from && label_check(p->from, NULL) == 0) {
		p->label = mem_strdup(p->from);
	} else {
		err_set(err, ERR_USAGE, "no label: '%s' was never pushed or checked out", p->folder ? p->folder : p->from);
		return err_hint(err, "name one: sbx fs push %.100s LABEL, or use --detach", p->folder ? p->folder : p->from);
	}
	return label_check(p->label, err);
}

static int open_all(struct push *p, const struct args *args, struct err *err)
{
	if (repo_open(p->cli, REPO_CREATE, &p->r, err))
		return -1;
	p->to = p->r.place;
	if (p->o->remote) {
		p->remote = place_open(p->cli, p->o->remote, true, err);
		if (!p->remote)
			return -1;
		p->to = p->remote;
	}
	if (find_source(p, args->v[0], err))
		return -1;
	if (p->folder && !is_folder(p->folder)) {
		err_set(err, ERR_NOT_FOUND, "there is no folder '%s'", p->folder);
		return err_hint(err, "push takes a folder first, then a label: sbx fs push . main");
	}
	return find_origin(p, err) || find_label(p, args->n > 1 ? args->v[1] : NULL, err) ? -1 : 0;
}

/* ---- storing ---- */

static const char **excludes(const struct opt_list *l)
{
	const char **v = mem_array(l->n + 1, sizeof(*v));
	for (size_t i = 0; i < l->n; i++)
		v[i] = l->v[i];
	return v;
}

static int store_folder(struct push *p, const struct cancel *cancel, struct err *err)
{
	auto_free const char **patterns = excludes(&p->o->excludes);
	struct repo_work w;
	repo_work_init(&w, &p->r, "pushing", cancel);
	w.o.excludes = patterns;
	w.o.no_ignore_files = p->o->no_ignore;
	w.o.skip_unreadable = p->o->skip_unreadable;
	w.o.dry = p->o->dry_run;
	int rc = work_push(p->r.s, p->folder, &w.o, &p->tree, &p->done, err);
	progress_end(&w.progress);
	return rc;
}

static int expectation(struct push *p, struct expectation *e, struct err *err)
{
	*e = (struct expectation){ .force = p->o->force };
	if (p->o->expected) {
		/* a whole id need not be in the store: if the label is not there, the push is rejected in the usual words */
		if (!hash_parse(p->o->expected, &p->expected) && repo_tree(&p->r, p->o->expected, &p->expected, NULL, err))
			return -1;
		e->expected = &p->expected;
	} else if (p->has_origin) {
		e->expected = &p->origin.tree;
		e->absent_ok = true;
	}
	return 0;
}

static int move_label(struct push *p, struct expectation *e, struct err *err)
{
	struct label_move m = {
		.name = p->label, .to = p->tree, .op = p->o->merged ? LABEL_MERGE : LABEL_PUSH, .message = p->o->message
	};
	if (p->o->merged)
		m.other = &p->merged;
	return target_move(p->to, &m, e, &p->landing, err);
}

/* Into the local store. A label of its own moves in the same write, so that both cost one sync. */
static int push_here(struct push *p, const struct cancel *cancel, struct err *err)
{
	struct expectation e;
	bool moves = p->label && !p->o->dry_run && p->to == p->r.place && !p->r.remote;
	if (moves && ((p->o->merged && repo_tree(&p->r, p->o->merged, &p->merged, NULL, err)) || expectation(p, &e, err)))
		return -1;
	if (store_folder(p, cancel, err) || cancel_check(cancel, err))
		return -1;
	return moves ? move_label(p, &e, err) : 0;
}

static int write_here(struct push *p, struct err *err)
{
	struct cancel cancel;
	if (!p->o->dry_run && repo_begin(&p->r, err))
		return -1;
	int rc = cancel_begin(&cancel, err);
	if (rc == 0) {
		rc = push_here(p, &cancel, err);
		if (rc == 0 && !p->o->dry_run)
			rc = store_end(p->r.s, err);
		cancel_end(&cancel);
	}
	if (rc && !p->o->dry_run)
		store_abort(p->r.s);
	return rc;
}

/* ---- to another store ---- */

/* Is the tree where the label has been, or was merged into it? Then moving on from there loses nothing. */
static int comes_from(struct push *p, const char *label, const struct hash *tree, struct err *err)
{
	struct label_log log;
	struct err own = ERR_INIT;
	if (label_log(p->r.s, label, SIZE_MAX, &log, &own)) {
		if (own.code == ERR_NOT_FOUND)
			return 0;
		*err = own;
		return -1;
	}
	int known = 0;
	for (size_t i = 0; i < log.n && !known; i++) {
		const struct label_entry *e = &log.v[i];
		known = hash_eq(&e->to, tree) || (e->has_from && hash_eq(&e->from, tree)) ||
			(e->has_other && hash_eq(&e->other, tree));
	}
	label_log_free(&log);
	return known;
}

/* What the label of the remote may be at. A local label may follow where it has been itself. */
static int remote_expectation(struct push *p, struct expectation *e, struct err *err)
{
	struct hash head;
	bool exists;
	if (expectation(p, e, err))
		return -1;
	if (!p->from || p->o->expected || p->o->force)
		return 0;
	auto_free char *name = mem_strndup(p->from, strcspn(p->from, "@:"));
	if (place_head(p->to, p->label, &head, &exists, err))
		return -1;
	e->absent_ok = true;
	int known = exists ? comes_from(p, name, &head, err) : 0;
	if (known < 0)
		return -1;
	p->expected = head;
	e->expected = known ? &p->expected : NULL;
	return 0;
}

static int give(struct push *p, struct err *err)
{
	struct cancel cancel;
	struct progress progress;
	if (cancel_begin(&cancel, err))
		return -1;
	progress_init(&progress, "sending");
	struct moving m = { .progress = &progress, .cancel = &cancel };
	int rc = place_give(p->to, p->r.s, &p->tree, 1, &m, err);
	p->sent = m.counts;
	progress_end(&progress);
	cancel_end(&cancel);
	return rc;
}

static int push_there(struct push *p, struct err *err)
{
	struct expectation e;
	if (p->from && repo_tree(&p->r, p->from, &p->tree, NULL, err))
		return -1;
	if (p->folder && write_here(p, err))
		return -1;
	if (p->o->dry_run)
		return 0;
	if (p->o->merged && repo_tree(&p->r, p->o->merged, &p->merged, NULL, err))
		return -1;
	if (give(p, err))
		return -1;
	return p->label && (remote_expectation(p, &e, err) || move_label(p, &e, err)) ? -1 : 0;
}

/* ---- how it went ---- */

static const char *status_of(const struct push *p)
{
	if (p->o->dry_run)
		return "dry-run";
	return p->label ? outcome_name(p->landing.outcome) : "detached";
}

static int print_doc(struct push *p, struct err *err)
{
	struct doc d;
	const struct landing *l = &p->landing;
	bool rejected = p->label && !p->o->dry_run && l->outcome == OUTCOME_REJECTED;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kstr(&d.w, "status", status_of(p));
	jw_kstr(&d.w, "label", p->label);
	doc_hash(&d, "tree", &p->tree);
	doc_hash(&d, rejected ? "current" : "from", l->existed ? &l->before : NULL);
	if (p->folder) {
		jw_kint(&d.w, "files", (int64_t)p->done.files);
		jw_kint(&d.w, "bytes", (int64_t)p->done.bytes);
		jw_kint(&d.w, "newFiles", (int64_t)p->done.new_files);
		jw_kint(&d.w, "newBytes", (int64_t)p->done.new_bytes);
	}
	if (p->to != p->r.place || p->r.remote) {
		jw_kint(&d.w, "sentObjects", (int64_t)p->sent.objects);
		jw_kint(&d.w, "sentBytes", (int64_t)p->sent.bytes);
	}
	jw_obj_end(&d.w);
	return doc_print(p->cli, &d, err);
}

/* For the eyes of whoever waits at a terminal. */
static void print_summary(const struct push *p)
{
	auto_buf line = BUF_INIT, size = BUF_INIT;
	if (!isatty(STDERR_FILENO) || p->o->dry_run)
		return;
	if (p->label)
		buf_fmt(&line, "%s: ", p->label);
	buf_str(&line, status_of(p));
	text_size(&size, (int64_t)p->done.bytes);
	if (p->folder)
		buf_fmt(&line, ", %llu files, %s", (unsigned long long)p->done.files, size.p);
	buf_clear(&size);
	text_size(&size, (int64_t)p->sent.bytes);
	if (p->sent.bytes)
		buf_fmt(&line, ", %s sent", size.p);
	cli_warn(p->cli, "%s", line.p);
}

static int rejected(const struct push *p, struct err *err)
{
	const struct landing *l = &p->landing;
	repo_rejected(p->label, l->existed, &l->before, err);
	if (!l->existed || !p->folder)
		return l->existed ? err_hint(err, "'sbx fs fetch' and merge what is there, then push again; or --force") : -1;
	if (p->has_origin)
		return err_hint(err, "it has moved since; see what is new with 'sbx fs diff %.60s %.60s', merge it, or --force",
			p->label, p->folder);
	return err_hint(err, "'%.80s' was never checked out from it: checkout, merge, or --force", p->folder);
}

static int finish(struct push *p, struct err *err)
{
	bool landed = p->label && !p->o->dry_run;
	bool lost = landed && p->landing.outcome == OUTCOME_REJECTED;
	if (wants_doc(p->cli) && print_doc(p, err))
		return -1;
	if (lost)
		return rejected(p, err);
	char hex[HASH_HEX + 1];
	if (!wants_doc(p->cli))
		buf_fmt(&p->cli->out, "%s\n", hash_hex(&p->tree, hex));
	print_summary(p);
	/* from now on this is what the folder is compared with */
	if (landed && p->folder && !store_read_only(p->r.s))
		return work_set_origin(p->r.s, p->folder, p->label, &p->tree, err);
	return 0;
}

/* ---- from a sandbox ---- */

static int check_sandbox_options(const struct push_options *o, const struct args *args, struct err *err)
{
	if (o->merged || o->remote || o->dry_run || o->skip_unreadable || o->no_ignore || o->excludes.n)
		return err_set(err, ERR_USAGE, "from a sandbox only -m, --expected, --force, --merge and --detach can be used");
	if (o->merge && (o->force || o->detach))
		return err_set(err, ERR_USAGE, "--merge excludes --force and --detach");
	return check_options(o, args, err);
}

/* The id that a ref means there, allocated; NULL with err. */
static char *resolve_there(struct client *c, const char *ref, struct err *err)
{
	struct hash id;
	if (hash_parse(ref, &id))
		return mem_strdup(ref);
	struct call call = { .op = SBX_OP_RESOLVE_REF, .query = { { "ref", ref } } };
	auto_js *answer = client_json(c, &call, err);
	return answer ? mem_strdup(js_str(js_get(answer, "id"), "")) : NULL;
}

static int push_by(struct cli *cli, struct client *c, const struct push_options *o, struct push_request *q, struct err *err)
{
	auto_free char *expected = o->expected ? resolve_there(c, o->expected, err) : NULL;
	if (o->expected && !expected)
		return -1;
	q->expected = expected;
	auto_js *answer = push_folder(c, q, err);
	if (!answer)
		return -1;
	if (wants_doc(cli))
		cli_document(cli, answer);
	else
		buf_fmt(&cli->out, "%s\n", js_str(js_get(answer, o->detach ? "tree" : "head"), ""));
	push_summary(cli, answer);
	return 0;
}

static int push_sandbox(struct cli *cli, const struct push_options *o, const struct args *args, struct err *err)
{
	struct push_request q = { .label = args->n > 1 ? args->v[1] : NULL,
		.message = o->message,
		.force = o->force,
		.merge = o->merge,
		.detach = o->detach };
	auto_free char *sandbox = NULL;
	struct client c;
	if (!push_source(args->v[0], &sandbox, &q.path) || check_sandbox_options(o, args, err))
		return -1;
	q.sandbox = sandbox;
	auto_fd int sig_fd = cli_signal_fd(err);
	if (sig_fd < 0 || cli_client(cli, &c, err))
		return -1;
	c.cancel_fd = sig_fd;
	int rc = push_by(cli, &c, o, &q, err);
	client_close(&c);
	return rc;
}

static int push(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct push p = { .cli = cli, .o = opts };
	auto_free char *sandbox = NULL;
	const char *path;
	if (push_source(args->v[0], &sandbox, &path))
		return push_sandbox(cli, opts, args, err);
	if (p.o->merge)
		return err_set(err, ERR_USAGE, "--merge is for SANDBOX:/PATH; merge a folder of yours with: sbx fs merge");
	int rc = check_options(p.o, args, err) || open_all(&p, args, err) ? -1 : 0;
	if (rc == 0)
		rc = p.remote || p.r.remote ? push_there(&p, err) : write_here(&p, err);
	if (rc == 0)
		rc = finish(&p, err);
	place_close(p.remote);
	repo_close(&p.r);
	free(p.origin.label);
	free(p.label);
	return rc;
}

const struct command cmd_fs_push = {
	.group = "fs",
	.name = "push",
	.summary = "Store a folder as a tree and move a label to it",
	.usage = "DIR|SANDBOX:/PATH [LABEL] [-m TEXT] [--expected REF] [--force] [--merge] [--detach] [--exclude PATTERN]... "
		 "[--remote REMOTE] [--dry-run]",
	.about =
		"Prints the tree's id. LABEL is by default the one that DIR was last pushed to or checked out from. A label that "
		"exists\n"
		"moves only when it is still at the tree that DIR comes from: what somebody else has pushed meanwhile is never "
		"lost.\n"
		"Kept are names, contents, permission bits, symlinks, empty folders, fifos, sockets and devices; owners, times "
		"and\n"
		"extended attributes are not. Lines of .sbxignore leave files out, with the rules of gitignore.\n\n"
		"SANDBOX:/PATH is a folder of a running sandbox. Of a tree that was mounted there (sbx create --fs) only what was "
		"changed "
		"is\n"
		"read, and the label moves from where it was mounted or last pushed to; of any other folder all is read.\n\n"
		"With --remote, DIR may also be a label or id of the local store, which goes to the other one under the same name.",
	.example = "  sbx fs push . main -m \"first version\"\n"
		   "  id=$(sbx fs push build --detach)\n"
		   "  sbx fs push main --remote ssh://me@box\n"
		   "  sbx fs push demo:/work main --merge",
	.options = push_options,
	.options_size = sizeof(struct push_options),
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF_FILE,
	.run = push,
};
