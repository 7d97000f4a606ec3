/* fs fsck, gc, stats: the store itself. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"

static void kint(struct doc *d, const char *key, uint64_t v)
{
	jw_kint(&d->w, key, (int64_t)v);
}

/* ---- fsck ---- */

struct checker {
	struct cli *cli;
	struct doc doc;
};

static void on_fault(void *arg, const char *text)
{
	struct checker *c = arg;
	if (wants_doc(c->cli)) {
		jw_str(&c->doc.w, text);
		return;
	}
	text_safe(&c->cli->out, text);
	buf_ch(&c->cli->out, '\n');
}

static int fsck(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	struct checker c = { .cli = cli };
	struct status status;
	uint64_t faults = 0;
	(void)opts;
	(void)args;
	int rc = repo_open(cli, REPO_CARE, &r, err);
	if (rc == 0 && r.remote) {
		err_set(err, ERR_USAGE, "a store is checked on its own machine");
		rc = err_hint(err, "run 'sbx fs fsck' there");
	}
	status_init(&status);
	doc_init(&c.doc);
	jw_obj(&c.doc.w);
	jw_key(&c.doc.w, "faults");
	jw_arr(&c.doc.w);
	if (rc == 0) {
		status_set(&status, "checking '%s'", store_path(r.s));
		rc = gc_fsck(r.s, on_fault, &c, &faults, err);
		status_clear(&status);
	}
	jw_arr_end(&c.doc.w);
	jw_kint(&c.doc.w, "count", (int64_t)faults);
	jw_obj_end(&c.doc.w);
	if (rc == 0 && wants_doc(cli))
		rc = doc_print(cli, &c.doc, err);
	buf_free(&c.doc.text);
	repo_close(&r);
	if (rc || faults == 0)
		return rc;
	err_set(err, ERR_IO, "%llu fault%s", (unsigned long long)faults, faults == 1 ? "" : "s");
	return err_hint(err,
		"all else can be read; what is missing comes back with a push of the folder or 'sbx fs fetch', what is "
		"damaged stays so: clone what is whole into a new store");
}

const struct command cmd_fs_fsck = {
	.group = "fs",
	.name = "fsck",
	.summary = "Read and check everything in the store",
	.usage = "",
	.about = "A line a fault, with pack, offset and object, or label; ends with 1 when there is one.",
	.example = "  sbx fs fsck && echo sound",
	.command_after = NO_COMMAND,
	.run = fsck,
};

/* ---- gc ---- */

struct gc_options {
	bool dry_run;
};

static const struct opt gc_options[] = {
	{ .kind = OPT_BOOL, .name = "dry-run", .help = "only count", .off = offsetof(struct gc_options, dry_run) },
	{ .kind = OPT_END },
};

static int print_swept(struct cli *cli, bool dry, const struct store_swept *s, struct err *err)
{
	if (!wants_doc(cli)) {
		auto_buf size = BUF_INIT;
		text_size(&size, (int64_t)s->freed);
		buf_fmt(&cli->out, "%s %llu objects, %s; %llu stay\n", dry ? "would remove" : "removed",
			(unsigned long long)s->removed, size.p, (unsigned long long)s->kept);
		return 0;
	}
	struct doc d;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kbool(&d.w, "dryRun", dry);
	kint(&d, "kept", s->kept);
	kint(&d, "removed", s->removed);
	kint(&d, "freedBytes", s->freed);
	jw_obj_end(&d.w);
	return doc_print(cli, &d, err);
}

static int gc(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct gc_options *o = opts;
	struct repo r;
	struct store_swept swept = { 0 };
	struct status status;
	(void)args;
	status_init(&status);
	int rc = repo_open(cli, REPO_CARE, &r, err);
	if (rc == 0) {
		status_set(&status, "collecting garbage in '%s'", place_name(r.place));
		rc = place_gc(r.place, o->dry_run, &swept, err);
		status_clear(&status);
	}
	if (rc == 0)
		rc = print_swept(cli, o->dry_run, &swept, err);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_gc = {
	.group = "fs",
	.name = "gc",
	.summary = "Remove what no label leads to",
	.usage = "[--dry-run]",
	.about = "Kept is all that labels are at or have been at, and what is pinned. Pushes that run meanwhile are waited for.",
	.example = "  sbx fs gc --dry-run",
	.options = gc_options,
	.options_size = sizeof(struct gc_options),
	.command_after = NO_COMMAND,
	.run = gc,
};

/* ---- stats ---- */

static int print_stats(struct cli *cli, const struct place_totals *t, struct err *err)
{
	struct doc d;
	doc_init(&d);
	jw_obj(&d.w);
	doc_name(&d, "path", t->path, strlen(t->path));
	jw_kbool(&d.w, "readOnly", t->read_only);
	kint(&d, "labels", t->labels);
	kint(&d, "objects", t->t.objects);
	if (wants_doc(cli)) {
		kint(&d, "bytes", t->t.bytes);
		kint(&d, "storedBytes", t->t.stored);
		kint(&d, "packs", t->t.packs);
		kint(&d, "diskBytes", t->t.disk);
	} else {
		const uint64_t sizes[] = { t->t.bytes, t->t.stored, t->t.disk };
		static const char *const names[] = { "bytes", "stored", "disk" };
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			auto_buf size = BUF_INIT;
			text_size(&size, (int64_t)sizes[i]);
			jw_kstr(&d.w, names[i], size.p);
		}
		kint(&d, "packs", t->t.packs);
	}
	jw_obj_end(&d.w);
	return doc_show(cli, &d, err);
}

static int stats(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	struct place_totals t = { 0 };
	(void)opts;
	(void)args;
	int rc = repo_open(cli, REPO_CARE, &r, err);
	if (rc == 0)
		rc = place_stats(r.place, &t, err);
	if (rc == 0)
		rc = print_stats(cli, &t, err);
	free(t.path);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_stats = {
	.group = "fs",
	.name = "stats",
	.summary = "Count what the store holds",
	.usage = "",
	.example = "  sbx fs stats\n"
		   "  sbx fs stats -o json | jq .diskBytes",
	.command_after = NO_COMMAND,
	.run = stats,
};
