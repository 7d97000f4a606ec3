/* fs show: what an id is. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "shared/base/mem.h"

/* What a tree has in it. */
struct census {
	uint64_t files, folders, links, others, bytes;
};

static int count(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	struct census *n = arg;
	(void)path;
	(void)err;
	if (is_dir)
		n->folders++;
	else if (entry_is_link(&c->file))
		n->links++;
	else if (entry_is_special(&c->file))
		n->others++;
	else
		n->files++;
	if (!is_dir)
		n->bytes += c->file.size;
	return 0;
}

static int count_object(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	(void)kind;
	(void)id;
	(void)err;
	++*(uint64_t *)arg;
	return 0;
}

/* Labels that are at the tree. */
static int put_labels(struct repo *r, struct doc *d, const struct hash *tree, struct err *err)
{
	struct label_list labels;
	if (place_list(r->place, &labels, err))
		return -1;
	jw_key(&d->w, "labels");
	jw_arr(&d->w);
	for (size_t i = 0; i < labels.n; i++)
		if (hash_eq(&labels.v[i].head, tree))
			jw_str(&d->w, labels.v[i].name);
	jw_arr_end(&d->w);
	label_list_free(&labels);
	return 0;
}

static int show_tree(struct repo *r, const struct hash *tree, struct err *err)
{
	struct doc d;
	struct census n = { 0 };
	uint64_t objects = 0;
	bool whole = tree_reach(r->s, tree, NULL, count_object, &objects, NULL, err) == 0;
	if (!whole && err->code != ERR_NOT_FOUND)
		return -1;
	if (whole && tree_walk(r->s, tree, count, &n, err))
		return -1;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kstr(&d.w, "kind", "tree");
	doc_hash(&d, "id", tree);
	int rc = put_labels(r, &d, tree, err);
	jw_kbool(&d.w, "complete", whole);
	jw_kint(&d.w, "files", (int64_t)n.files);
	jw_kint(&d.w, "folders", (int64_t)n.folders);
	jw_kint(&d.w, "symlinks", (int64_t)n.links);
	jw_kint(&d.w, "others", (int64_t)n.others);
	jw_kint(&d.w, "bytes", (int64_t)n.bytes);
	jw_kint(&d.w, "objects", (int64_t)objects);
	jw_obj_end(&d.w);
	if (rc) {
		buf_free(&d.text);
		return -1;
	}
	return doc_show(r->cli, &d, err);
}

static int show_entry(struct repo *r, const struct ref *ref, struct err *err)
{
	struct tree_at at;
	if (tree_find(r->s, &ref->tree, ref->path, &at, err))
		return -1;
	bool is_file = at.has_file && !entry_is_dir_mode(&at.file);
	struct hash dir = at.dir;
	int rc = 0;
	if (is_file) {
		struct doc d;
		struct child c = { .has_file = true, .file = at.file };
		const char *slash = strrchr(ref->path, '/');
		const char *name = slash ? slash + 1 : ref->path;
		doc_init(&d);
		jw_obj(&d.w);
		jw_kstr(&d.w, "kind", "entry");
		doc_child(&d, name, strlen(name), &c, false);
		jw_kint(&d.w, "chunks", at.file.chunked ? at.file.chunks : 0);
		jw_obj_end(&d.w);
		rc = doc_show(r->cli, &d, err);
	}
	tree_at_free(&at);
	return is_file ? rc : show_tree(r, &dir, err);
}

/* An id that is no tree's: a chunk, or something else that was kept. */
static int show_object(struct repo *r, const struct hash *id, const struct store_info *info, struct err *err)
{
	static const char *const kinds[] = { [OBJECT_TREE] = "tree", [OBJECT_CHUNK] = "chunk", [OBJECT_BLOB] = "blob" };
	struct doc d;
	doc_init(&d);
	jw_obj(&d.w);
	jw_kstr(&d.w, "kind", (size_t)info->kind < ARRAY_LEN(kinds) ? kinds[info->kind] : NULL);
	doc_hash(&d, "id", id);
	jw_kint(&d.w, "bytes", (int64_t)info->size);
	jw_kint(&d.w, "storedBytes", (int64_t)info->stored);
	jw_obj_end(&d.w);
	return doc_show(r->cli, &d, err);
}

static int show_text(struct repo *r, const char *text, struct err *err)
{
	struct hash id;
	struct ref ref;
	struct store_info info;
	struct err missing = ERR_INIT;
	if (hash_parse(text, &id) && store_stat(r->s, &id, &info, &missing) == 0 && info.kind != OBJECT_TREE)
		return show_object(r, &id, &info, err);
	if (repo_ref(r, text, NULL, &ref, err))
		return -1;
	int rc = *ref.path ? show_entry(r, &ref, err) : show_tree(r, &ref.tree, err);
	ref_free(&ref);
	return rc;
}

static int show(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	struct repo r;
	(void)opts;
	int rc = repo_open(cli, REPO_READ, &r, err);
	if (rc == 0)
		rc = show_text(&r, args->v[0], err);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_show = {
	.group = "fs",
	.name = "show",
	.summary = "Show what an id or label stands for",
	.usage = "ID | REF",
	.about = "For a tree: what is in it, which labels are at it, and whether all of it is there.",
	.example = "  sbx fs show main\n"
		   "  sbx fs show 71e0a9917356 -o json",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = show,
};
