/* fs clone and fetch: labels of another store, with all that they lead to. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/fs/target.h"
#include "cli/listing.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define HISTORY 1000u /* moves that are looked at */

/* A tree that is wanted, and the label that shall be at it. */
struct wanted {
	char *label; /* NULL: an id, which gets none */
	char *local;
	struct hash tree;
	enum outcome outcome;
	struct hash before;
};

struct fetcher {
	struct cli *cli;
	struct repo r;
	struct place *from;
	struct wanted *v;
	size_t n;
	struct remote_counts counts;
};

static void fetcher_free(struct fetcher *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].label);
		free(f->v[i].local);
	}
	free(f->v);
	place_close(f->from);
	repo_close(&f->r);
}

static void want(struct fetcher *f, const char *label, const struct hash *tree)
{
	if ((f->n & (f->n - 1)) == 0)
		f->v = mem_grow(f->v, f->n ? f->n * 2 : 1, sizeof(*f->v));
	f->v[f->n++] = (struct wanted){ .label = label ? mem_strdup(label) : NULL, .tree = *tree };
}

/* All labels, or those that are named; ids and LABEL@{N} come without a label. */
static int want_all(struct fetcher *f, char *const *names, size_t n, struct err *err)
{
	struct label_list labels;
	for (size_t i = 0; i < n; i++) {
		struct ref ref;
		if (place_resolve(f->from, names[i], &ref, err))
			return -1;
		if (*ref.path) {
			ref_free(&ref);
			err_set(err, ERR_USAGE, "whole trees are fetched: leave out the path of '%s'", names[i]);
			return -1;
		}
		want(f, ref.label && strcmp(ref.label, names[i]) == 0 ? ref.label : NULL, &ref.tree);
		ref_free(&ref);
	}
	if (n)
		return 0;
	if (place_list(f->from, &labels, err))
		return -1;
	for (size_t i = 0; i < labels.n; i++)
		want(f, labels.v[i].name, &labels.v[i].head);
	label_list_free(&labels);
	return 0;
}

static int take(struct fetcher *f, struct err *err)
{
	struct cancel cancel;
	struct progress progress;
	auto_free struct hash *trees = mem_array(f->n + 1, sizeof(*trees));
	if (cancel_begin(&cancel, err))
		return -1;
	for (size_t i = 0; i < f->n; i++)
		trees[i] = f->v[i].tree;
	progress_init(&progress, "fetching");
	struct moving m = { .progress = &progress, .cancel = &cancel };
	int rc = place_take(f->from, f->r.s, trees, f->n, &m, err);
	progress_end(&progress);
	cancel_end(&cancel);
	f->counts = m.counts;
	return rc;
}

/* Where in the label's history there the local label has come to: the first move that it has not made. */
static size_t first_new(const struct label_log *log, const struct hash *head, bool exists)
{
	size_t at = log->n;
	while (exists && at > 0 && !hash_eq(&log->v[at - 1].to, head))
		at--;
	return exists ? at : 0;
}

/* A move of the other store again. */
static int repeat(
	struct fetcher *f, const struct wanted *w, const struct label_entry *e, struct remote_haver *haver, struct err *err)
{
	struct hash now;
	bool exists, has_other = false;
	if (e->has_other && remote_have(haver, &e->other, 1, &has_other, err))
		return -1;
	bool own = e->op == LABEL_CREATE || e->op == LABEL_RENAME;
	struct label_move m = { .name = w->local,
		.to = e->to,
		.op = own ? LABEL_PUSH : e->op,
		.any = true,
		.other = has_other ? &e->other : NULL,
		.message = e->message };
	return label_move(f->r.s, &m, &now, &exists, err) < 0 ? -1 : 0;
}

/* The label's moves there, as far as their trees are here: so that a merge finds what both have had. The last one goes to w->tree.
 */
static int repeat_moves(struct fetcher *f, struct wanted *w, struct remote_haver *haver, struct err *err)
{
	struct label_log log = { 0 };
	bool exists, last = false;
	if (place_head(f->r.place, w->local, &w->before, &exists, err) || place_log(f->from, w->label, HISTORY, &log, err))
		return -1;
	int rc = 0;
	for (size_t i = first_new(&log, &w->before, exists); rc == 0 && i < log.n; i++) {
		bool have = false;
		rc = remote_have(haver, &log.v[i].to, 1, &have, err);
		if (rc == 0 && have)
			rc = repeat(f, w, &log.v[i], haver, err);
		last = have && hash_eq(&log.v[i].to, &w->tree);
	}
	label_log_free(&log);
	/* it has moved on there since it was looked at, or its history is long */
	struct label_entry end = { .to = w->tree, .op = LABEL_PUSH };
	if (rc == 0 && !last && !(exists && hash_eq(&w->before, &w->tree)))
		rc = repeat(f, w, &end, haver, err);
	w->outcome = !exists ? OUTCOME_CREATED : hash_eq(&w->before, &w->tree) ? OUTCOME_UNCHANGED : OUTCOME_MOVED;
	return rc;
}

static int move_one(struct fetcher *f, struct wanted *w, bool follow, struct remote_haver *haver, struct err *err)
{
	bool exists;
	if (!w->local)
		return 0;
	if (place_head(f->r.place, w->local, &w->before, &exists, err))
		return -1;
	if (!exists || follow)
		return repeat_moves(f, w, haver, err);
	w->outcome = hash_eq(&w->before, &w->tree) ? OUTCOME_UNCHANGED : OUTCOME_REJECTED;
	return 0;
}

/* All labels move in one write. follow: wherever they are; else only new ones are made. */
static int move_all(struct fetcher *f, bool follow, struct err *err)
{
	if (repo_begin(&f->r, err))
		return -1;
	struct remote_haver *haver = remote_haver_new(f->r.s);
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < f->n; i++)
		rc = move_one(f, &f->v[i], follow, haver, err);
	remote_haver_free(haver);
	if (rc == 0)
		return store_end(f->r.s, err);
	store_abort(f->r.s);
	return rc;
}

/* ---- how it went ---- */

static void row(struct table *t, const js *v)
{
	auto_buf id = BUF_INIT;
	buf_fmt(&id, "%.*s", SHORT_ID, js_str(js_get(v, "tree"), ""));
	table_cell(t, js_str(js_get(v, "label"), "-"));
	table_cell(t, id.p);
	table_cell(t, js_str(js_get(v, "status"), ""));
}

static int print(struct fetcher *f, struct err *err)
{
	static const char *const headers[] = { "LABEL", "TREE", "STATUS" };
	static const struct listing listing = { "labels", headers, ARRAY_LEN(headers), row };
	struct doc d;
	doc_init(&d);
	jw_arr(&d.w);
	for (size_t i = 0; i < f->n; i++) {
		const struct wanted *w = &f->v[i];
		jw_obj(&d.w);
		jw_kstr(&d.w, "label", w->local);
		jw_kstr(&d.w, "remoteLabel", w->label);
		doc_hash(&d, "tree", &w->tree);
		jw_kstr(&d.w, "status", w->local ? (w->outcome == OUTCOME_MOVED ? "moved" : outcome_name(w->outcome)) : "fetched");
		jw_obj_end(&d.w);
	}
	jw_arr_end(&d.w);
	auto_js *v = doc_take(&d, err);
	if (!v)
		return -1;
	listing_print(f->cli, &listing, v);
	if (isatty(STDERR_FILENO)) {
		auto_buf size = BUF_INIT;
		text_size(&size, (int64_t)f->counts.bytes);
		cli_warn(f->cli, "%llu objects, %s", (unsigned long long)f->counts.objects, size.p);
	}
	return 0;
}

static int local_only(const struct fetcher *f, struct err *err)
{
	if (!f->r.remote)
		return 0;
	err_set(err, ERR_USAGE, "labels are fetched into the store of this machine, not into that of '%s'", place_name(f->r.place));
	return err_hint(err, "leave out --host and --context, and name the remote as an argument");
}

/* ---- clone ---- */

/* "REMOTE/LABEL" of an endpoint: the part behind the host, when no path of the API can be meant. */
static char *split_label(char *text)
{
	char *host = strstr(text, "://");
	char *slash = host && (str_starts(text, "http") || str_starts(text, "ssh")) ? strchr(host + 3, '/') : NULL;
	if (!slash || !slash[1])
		return NULL;
	*slash = '\0';
	return slash + 1;
}

static int clone_from(struct fetcher *f, const struct args *args, struct err *err)
{
	auto_free char *remote = mem_strdup(args->v[0]);
	char *label = args->n == 1 ? split_label(remote) : NULL;
	f->from = place_open(f->cli, remote, false, err);
	if (!f->from || local_only(f, err))
		return -1;
	if (want_all(f, label ? &label : args->v + 1, label ? 1 : args->n - 1, err) || take(f, err))
		return -1;
	for (size_t i = 0; i < f->n; i++)
		f->v[i].local = f->v[i].label ? mem_strdup(f->v[i].label) : NULL;
	return move_all(f, false, err) || print(f, err) ? -1 : 0;
}

static int clone_command(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct fetcher f = { .cli = cli };
	size_t rejected = 0;
	(void)opts;
	int rc = repo_open(cli, REPO_CREATE, &f.r, err) || clone_from(&f, args, err) ? -1 : 0;
	for (size_t i = 0; i < f.n; i++)
		rejected += f.v[i].local && f.v[i].outcome == OUTCOME_REJECTED;
	if (rc == 0 && rejected) {
		rc = err_set(err, ERR_CONFLICT, "%zu label%s stayed: there %s here already, at another tree", rejected,
			rejected == 1 ? "" : "s", rejected == 1 ? "is one" : "are some");
		err_hint(err, "'sbx fs fetch %.100s' brings them under names of their own, to diff and merge", args->v[0]);
	}
	fetcher_free(&f);
	return rc;
}

const struct command cmd_fs_clone = {
	.group = "fs",
	.name = "clone",
	.summary = "Copy labels of another store, and all that they lead to, into this one",
	.usage = "REMOTE[/LABEL] [LABEL...]",
	.about = "REMOTE is a path of a store or of a home that has one, an endpoint such as ssh://me@box, or a context. Without "
		 "LABEL all\n"
		 "labels come. Only new labels are made. What was cut off goes on from where it was.",
	.example = "  sbx fs clone ssh://me@box\n"
		   "  sbx fs clone lab main release/1.0\n"
		   "  sbx fs clone /mnt/backup/sbx",
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_CONTEXT,
	.run = clone_command,
};

/* ---- fetch ---- */

struct fetch_options {
	const char *as;
};

static const struct opt fetch_options[] = {
	{ .kind = OPT_STR,
		.name = "as",
		.arg = "NAME",
		.help = "what the names of the labels begin with (default: the context's name, else origin)",
		.off = offsetof(struct fetch_options, as) },
	{ .kind = OPT_END },
};

static int fetch_from(struct fetcher *f, const struct fetch_options *o, const struct args *args, struct err *err)
{
	f->from = place_open(f->cli, args->v[0], false, err);
	if (!f->from || local_only(f, err))
		return -1;
	const char *prefix = o->as ? o->as : place_prefix(f->from);
	if (label_check(prefix, err) || want_all(f, args->v + 1, args->n - 1, err))
		return -1;
	for (size_t i = 0; i < f->n; i++) {
		f->v[i].local = f->v[i].label ? mem_printf("%s/%s", prefix, f->v[i].label) : NULL;
		if (f->v[i].local && label_check(f->v[i].local, err))
			return -1;
	}
	return take(f, err) || move_all(f, true, err) || print(f, err) ? -1 : 0;
}

static int fetch(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct fetcher f = { .cli = cli };
	int rc = repo_open(cli, REPO_CREATE, &f.r, err) || fetch_from(&f, opts, args, err) ? -1 : 0;
	fetcher_free(&f);
	return rc;
}

const struct command cmd_fs_fetch = {
	.group = "fs",
	.name = "fetch",
	.summary = "Bring what is new in another store under labels of its own",
	.usage = "REMOTE [LABEL | ID]... [--as NAME]",
	.about = "REMOTE's label main becomes REMOTE/main here and follows it; your own labels stay where they are. Then:\n"
		 "  sbx fs merge main REMOTE/main --into main && sbx fs push main --remote REMOTE",
	.example = "  sbx fs fetch lab\n"
		   "  sbx fs fetch ssh://me@box main --as box",
	.options = fetch_options,
	.options_size = sizeof(struct fetch_options),
	.min_args = 1,
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_CONTEXT,
	.run = fetch,
};
