#include "cli/fs/repo.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- opening ---- */

static int open_store(enum repo_mode mode, struct repo *out, struct err *err)
{
	auto_free char *home = fs_sbx_home(err);
	if (!home)
		return -1;
	auto_free char *path = fs_join(home, "store");
	bool create = mode == REPO_CREATE;
	if (create && fs_mkdirs(home, 0700, err))
		return -1;
	out->s = store_open(path, create, err);
	if (out->s)
		return 0;
	if (err->code == ERR_NOT_FOUND) {
		err_set(err, ERR_NOT_FOUND, "there is no store in '%s' yet", home);
		err_hint(err, "'sbx fs push DIR LABEL' makes one, 'sbx fs clone' copies one");
	}
	return -1;
}

int repo_open(struct cli *cli, enum repo_mode mode, struct repo *out, struct err *err)
{
	*out = (struct repo){ .cli = cli };
	int chosen = place_chosen(cli, &out->place, err);
	if (chosen < 0)
		return -1;
	out->remote = chosen;
	/* the local store is only where fetched objects are kept */
	if (open_store(chosen ? REPO_CREATE : mode, out, err))
		return -1;
	if (!chosen)
		out->place = place_of_store(out->s);
	if ((chosen || mode == REPO_WRITE || mode == REPO_CREATE) && !store_read_only(out->s)) {
		if (store_hold(out->s, err))
			return -1;
		out->held = true;
	}
	return 0;
}

void repo_close(struct repo *r)
{
	place_close(r->place);
	if (r->held)
		store_release(r->s);
	if (r->s)
		store_close(r->s);
	*r = (struct repo){ 0 };
}

/* ---- refs ---- */

static int fetch(struct repo *r, const struct hash *tree, struct err *err)
{
	struct progress progress;
	struct cancel cancel;
	if (cancel_begin(&cancel, err))
		return -1;
	progress_init(&progress, "fetching");
	struct moving m = { .progress = &progress, .cancel = &cancel };
	int rc = place_take(r->place, r->s, tree, 1, &m, err);
	progress_end(&progress);
	cancel_end(&cancel);
	return rc;
}

int repo_ref(struct repo *r, const char *text, const char *label, struct ref *out, struct err *err)
{
	auto_free char *full = label && str_starts(text, "@{") ? mem_printf("%s%s", label, text) : mem_strdup(text);
	if (place_resolve(r->place, full, out, err))
		return -1;
	if (!r->remote || fetch(r, &out->tree, err) == 0)
		return 0;
	ref_free(out);
	return -1;
}

int repo_folder(struct repo *r, const struct ref *ref, struct hash *out, struct err *err)
{
	struct tree_at at;
	*out = ref->tree;
	if (!*ref->path)
		return 0;
	if (tree_find(r->s, &ref->tree, ref->path, &at, err))
		return -1;
	bool is_dir = at.has_dir;
	*out = at.dir;
	tree_at_free(&at);
	if (is_dir)
		return 0;
	err_set(err, ERR_INVALID, "'%s' is no folder", ref->path);
	return err_hint(err, "'sbx fs cat' reads a file, 'sbx fs stat' shows what it is");
}

int repo_tree(struct repo *r, const char *text, struct hash *out, char **label, struct err *err)
{
	struct ref ref;
	if (repo_ref(r, text, NULL, &ref, err))
		return -1;
	int rc = repo_folder(r, &ref, out, err);
	if (label) {
		bool whole = rc == 0 && ref.label && strcmp(text, ref.label) == 0;
		*label = whole ? mem_strdup(ref.label) : NULL;
	}
	ref_free(&ref);
	return rc;
}

/* ---- writing ---- */

int repo_begin(struct repo *r, struct err *err)
{
	struct err busy = ERR_INIT;
	if (store_begin(r->s, false, &busy) == 0)
		return 0;
	if (busy.code != ERR_CONFLICT) {
		*err = busy;
		return -1;
	}
	struct status status;
	status_init(&status);
	status_set(&status, "waiting: %s", busy.msg);
	int rc = store_begin(r->s, true, err);
	status_clear(&status);
	return rc;
}

int repo_rejected(const char *label, bool exists, const struct hash *current, struct err *err)
{
	char hex[HASH_HEX + 1];
	if (!exists) {
		err_set(err, ERR_CONFLICT, "rejected: there is no label '%s' (any more)", label);
		return err_hint(err, "without --expected it is made anew");
	}
	err_set(err, ERR_CONFLICT, "rejected: the label '%s' is at %s", label, hash_hex(current, hex));
	return err_hint(err, "look at it with 'sbx fs diff %.80s DIR', checkout or merge it and push again, or --force", label);
}

static void on_progress(void *arg, const struct work_progress *p)
{
	progress_work(&((struct repo_work *)arg)->progress, p);
}

static void on_warn(void *arg, const char *text)
{
	struct repo_work *w = arg;
	progress_end(&w->progress);
	cli_warn(w->cli, "%s", text);
}

void repo_work_init(struct repo_work *w, struct repo *r, const char *what, const struct cancel *cancel)
{
	*w = (struct repo_work){ .cli = r->cli };
	progress_init(&w->progress, what);
	w->o = (struct work_options){ .progress = on_progress, .warn = on_warn, .arg = w, .cancel = cancel ? &cancel->flag : NULL };
}
