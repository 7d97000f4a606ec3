/* fs ls, cat, stat: looking into trees. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fs/repo.h"
#include "cli/render/table.h"
#include "cli/render/text.h"
#include "shared/base/b64.h"
#include "shared/base/mem.h"

#define PIECE ((size_t)256 << 10)
#define DOCUMENT_MAX ((size_t)64 << 20) /* content within JSON or YAML */

/* What a ref and a path behind it lead to. Free with spot_free. */
struct spot {
	struct ref ref;
	struct tree_at at;
	struct child child; /* the same as a child with its name */
};

static void spot_free(struct spot *s)
{
	tree_at_free(&s->at);
	ref_free(&s->ref);
}

/* A mode of the folder is a file part that does not count as one. */
static bool has_file(const struct spot *s)
{
	return s->at.has_file && !entry_is_dir_mode(&s->at.file);
}

static int find_spot(struct repo *r, const struct args *args, struct spot *out, struct err *err)
{
	*out = (struct spot){ .at.holder.bytes = BUF_INIT };
	if (repo_ref(r, args->v[0], NULL, &out->ref, err))
		return -1;
	if (args->n > 1) { /* REF PATH */
		auto_free char *above = out->ref.path;
		out->ref.path = mem_printf("%s%s%s", above, *above ? "/" : "", args->v[1]);
	}
	if (tree_find(r->s, &out->ref.tree, out->ref.path, &out->at, err)) {
		ref_free(&out->ref);
		return -1;
	}
	const char *slash = strrchr(out->ref.path, '/');
	const char *name = slash && slash[1] ? slash + 1 : out->ref.path;
	out->child = (struct child){ .name = name,
		.name_len = (uint16_t)strlen(name),
		.has_file = out->at.has_file,
		.file = out->at.file,
		.has_dir = out->at.has_dir,
		.dir = out->at.dir };
	return 0;
}

/* ---- ls ---- */

struct ls_options {
	bool longer, recursive;
};

static const struct opt ls_options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'l',
		.name = "long",
		.help = "mode, size and id, too",
		.off = offsetof(struct ls_options, longer) },
	{ .kind = OPT_BOOL,
		.letter = 'R',
		.name = "recursive",
		.help = "all that is below, too",
		.off = offsetof(struct ls_options, recursive) },
	{ .kind = OPT_END },
};

struct lister {
	struct cli *cli;
	const struct ls_options *o;
	struct table table;
	struct doc doc;
};

static void add_row(struct table *t, const char *path, const struct child *c, bool is_dir)
{
	auto_buf mode = BUF_INIT, size = BUF_INIT, id = BUF_INIT, name = BUF_INIT;
	struct hash h;
	print_mode(&mode, is_dir ? "folder" : entry_type(&c->file), child_mode(c, is_dir));
	if (is_dir)
		buf_ch(&size, '-');
	else
		buf_fmt(&size, "%llu", (unsigned long long)c->file.size);
	child_id(c, is_dir, &h);
	print_short(&id, &h);
	buf_fmt(&name, "%s%s", path, is_dir ? "/" : "");
	if (!is_dir && entry_is_link(&c->file)) {
		buf_str(&name, " -> ");
		buf_add(&name, c->file.link, c->file.link_len);
	}
	table_cell(t, mode.p);
	table_cell(t, size.p);
	table_cell(t, id.p);
	table_cell(t, name.p);
}

static int add_entry(struct lister *l, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	if (wants_doc(l->cli)) {
		jw_obj(&l->doc.w);
		doc_child(&l->doc, path, strlen(path), c, is_dir);
		jw_obj_end(&l->doc.w);
		return 0;
	}
	if (l->o->longer) {
		add_row(&l->table, path, c, is_dir);
		return 0;
	}
	print_path(&l->cli->out, path, strlen(path));
	buf_str(&l->cli->out, is_dir ? "/\n" : "\n");
	return l->cli->out.len >= PIECE ? cli_flush(l->cli, err) : 0;
}

static int on_entry(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	struct lister *l = arg;
	if (add_entry(l, path, c, is_dir, err))
		return -1;
	return is_dir && !l->o->recursive ? TREE_SKIP : 0;
}

static int list_spot(struct repo *r, struct lister *l, const struct spot *s, struct err *err)
{
	if (has_file(s) && add_entry(l, s->child.name, &s->child, false, err))
		return -1;
	return s->at.has_dir ? tree_walk(r->s, &s->at.dir, on_entry, l, err) : 0;
}

static int ls(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	static const char *const headers[] = { "MODE", "SIZE", "ID", "NAME" };
	struct repo r;
	struct spot s;
	struct lister l = { .cli = cli, .o = opts };
	if (repo_open(cli, REPO_READ, &r, err) || find_spot(&r, args, &s, err)) {
		repo_close(&r);
		return -1;
	}
	table_init(&l.table, headers, ARRAY_LEN(headers));
	doc_init(&l.doc);
	jw_arr(&l.doc.w);
	int rc = list_spot(&r, &l, &s, err);
	jw_arr_end(&l.doc.w);
	if (rc == 0 && wants_doc(cli))
		rc = doc_print(cli, &l.doc, err);
	else if (rc == 0 && l.o->longer)
		table_print(&l.table, &cli->out);
	buf_free(&l.doc.text);
	table_free(&l.table);
	spot_free(&s);
	repo_close(&r);
	return rc;
}

const struct command cmd_fs_ls = {
	.group = "fs",
	.name = "ls",
	.alias = "list",
	.summary = "List what is in a tree",
	.usage = "REF[:PATH] [PATH] [-l] [-R]",
	.about = "REF is a label, LABEL@{2}, LABEL@{1h}, an id or the beginning of one. Folders end with a slash.",
	.example = "  sbx fs ls main\n"
		   "  sbx fs ls -l main@{1}:usr/bin\n"
		   "  sbx fs ls -R main -o json | jq '.[] | select(.size > 1000000) | .name'",
	.options = ls_options,
	.options_size = sizeof(struct ls_options),
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = ls,
};

/* ---- cat ---- */

static int write_piece(void *arg, const void *data, size_t n, struct err *err)
{
	struct cli *cli = arg;
	buf_add(&cli->out, data, n);
	return cli->out.len >= PIECE ? cli_flush(cli, err) : 0;
}

static int cat_doc(struct repo *r, const struct spot *s, struct err *err)
{
	struct doc d;
	auto_buf content = BUF_INIT, b64 = BUF_INIT;
	if (tree_read_all(r->s, &s->at.file, DOCUMENT_MAX, &content, err))
		return -1;
	bool text = text_is(content.p, content.len);
	if (!text)
		b64_encode(&b64, content.p, content.len);
	doc_init(&d);
	jw_obj(&d.w);
	doc_child(&d, s->child.name, s->child.name_len, &s->child, false);
	jw_kstr(&d.w, "encoding", text ? "text" : "base64");
	jw_key(&d.w, "content");
	jw_strn(&d.w, text ? content.p : b64.p, text ? content.len : b64.len);
	jw_obj_end(&d.w);
	return doc_print(r->cli, &d, err);
}

static int cat_spot(struct repo *r, const struct spot *s, struct err *err)
{
	if (!has_file(s)) {
		err_set(err, ERR_INVALID, "'%s' is a folder", *s->ref.path ? s->ref.path : "/");
		return err_hint(err, "'sbx fs ls' lists it");
	}
	if (wants_doc(r->cli))
		return cat_doc(r, s, err);
	return tree_read(r->s, &s->at.file, 0, s->at.file.size, write_piece, r->cli, err);
}

static int with_spot(struct cli *cli, const struct args *args, int (*use)(struct repo *r, const struct spot *s, struct err *err),
	struct err *err)
{
	struct repo r;
	struct spot s;
	int rc = repo_open(cli, REPO_READ, &r, err) || find_spot(&r, args, &s, err) ? -1 : 0;
	if (rc == 0) {
		rc = use(&r, &s, err);
		spot_free(&s);
	}
	repo_close(&r);
	return rc;
}

static int cat(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return with_spot(cli, args, cat_spot, err);
}

const struct command cmd_fs_cat = {
	.group = "fs",
	.name = "cat",
	.summary = "Write the content of a file in a tree to standard output",
	.usage = "REF:PATH | REF PATH",
	.about = "The content of a symlink is its target.",
	.example = "  sbx fs cat main:etc/hosts\n"
		   "  sbx fs cat main@{1} app/config.yaml > old.yaml",
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = cat,
};

/* ---- stat ---- */

static int stat_spot(struct repo *r, const struct spot *s, struct err *err)
{
	struct doc d;
	const struct entry *file = &s->at.file;
	bool is_file = has_file(s);
	doc_init(&d);
	jw_obj(&d.w);
	doc_hash(&d, "tree", &s->ref.tree);
	jw_kstr(&d.w, "label", s->ref.label);
	doc_name(&d, "path", s->ref.path, strlen(s->ref.path));
	doc_child(&d, s->child.name, s->child.name_len, &s->child, !is_file);
	if (is_file && s->at.has_dir) /* a name may be both in trees of mcp-v8 */
		doc_hash(&d, "folder", &s->at.dir);
	if (is_file && file->chunked) {
		jw_key(&d.w, "chunks");
		jw_arr(&d.w);
		for (uint32_t i = 0; i < file->chunks; i++) {
			struct hash id;
			char hex[HASH_HEX + 1];
			memcpy(id.b, file->data + (size_t)i * HASH_LEN, HASH_LEN);
			jw_str(&d.w, hash_hex(&id, hex));
		}
		jw_arr_end(&d.w);
	}
	jw_obj_end(&d.w);
	return doc_show(r->cli, &d, err);
}

static int stat_command(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	return with_spot(cli, args, stat_spot, err);
}

const struct command cmd_fs_stat = {
	.group = "fs",
	.name = "stat",
	.summary = "Show what a file or folder in a tree is",
	.usage = "REF[:PATH] [PATH]",
	.example = "  sbx fs stat main:usr/bin/env\n"
		   "  sbx fs stat main -o json | jq -r .id",
	.min_args = 1,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_REF,
	.run = stat_command,
};
