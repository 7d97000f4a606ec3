/* vault: trees for sandboxes: found, kept from garbage collection, and made into images. */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/vault_internal.h"
#include "daemon/image/fsimage.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- mount ---- */

static int pin(struct store *s, const char *name, const struct hash *tree, struct err *err)
{
	/* the empty folder need not be there */
	return hash_eq(tree, &object_empty) ? 0 : store_pin(s, name, tree, err);
}

static int find_tree(struct store *s, struct vault_mount *q, struct err *err)
{
	struct ref ref = { 0 };
	int r = vault_tree_of(s, q->text, &ref, &q->tree, err);
	/* a folder of a label's tree is not what the label may move on from */
	if (r == 0 && ref.label && (!ref.path || !*ref.path))
		q->label = mem_strdup(ref.label);
	ref_free(&ref);
	return r == 0 ? pin(s, q->pin, &q->tree, err) : -1;
}

static void run_find(struct vault *v, struct vault_op *op, struct store *s)
{
	(void)v;
	op->failed = find_tree(s, (struct vault_mount *)op, &op->err) != 0;
}

static bool is_closing(void *arg)
{
	return vault_closing(arg);
}

static int make_image(struct vault_op *op, struct store *s, struct err *err)
{
	const struct vault_mount *q = (struct vault_mount *)op;
	return fsimage_make(q->cache, s, &q->tree, is_closing, q->vault, err);
}

static void on_found(struct vault_op *op)
{
	struct vault_mount *q = (struct vault_mount *)op;
	op->done = q->done;
	if (op->failed || fsimage_ready(q->cache, &q->tree))
		op->done(op);
	else
		vault_alone(q->vault, op, make_image);
}

void vault_mount(struct vault *v, struct vault_mount *q)
{
	q->vault = v;
	q->done = q->op.done;
	q->op.done = on_found;
	q->op.grouped = q->op.hold = true;
	vault_submit(v, &v->writer, &q->op, run_find);
}

/* ---- pins ---- */

struct pins {
	struct vault_op op;
	char **names;
	size_t n;
	const char *prefix;
	char *dead[64];
	size_t dead_n;
};

static void pins_free(struct vault_op *op)
{
	struct pins *p = (struct pins *)op;
	for (size_t i = 0; i < p->n; i++)
		free(p->names[i]);
	for (size_t i = 0; i < p->dead_n; i++)
		free(p->dead[i]);
	free(p->names);
	free(p);
}

/* One that is not there is as good. */
static int unpin(struct store *s, const char *name, struct err *err)
{
	if (store_unpin(s, name, err) == 0 || err->code != ERR_NOT_FOUND)
		return err->code == ERR_OK ? 0 : -1;
	err_clear(err);
	return 0;
}

static void run_unpin(struct vault *v, struct vault_op *op, struct store *s)
{
	struct pins *p = (struct pins *)op;
	(void)v;
	for (size_t i = 0; i < p->n && !op->failed; i++)
		op->failed = unpin(s, p->names[i], &op->err) != 0;
}

static struct pins *pins_new(const char *const *names, size_t n)
{
	struct pins *p = mem_zalloc(sizeof(*p));
	p->names = mem_array(n + 1, sizeof(*p->names));
	p->n = n;
	for (size_t i = 0; i < n; i++)
		p->names[i] = mem_strdup(names[i]);
	p->op.done = pins_free;
	p->op.grouped = true;
	return p;
}

void vault_unpin(struct vault *v, const char *const *names, size_t n)
{
	vault_submit(v, &v->writer, &pins_new(names, n)->op, run_unpin);
}

static void run_pin(struct vault *v, struct vault_op *op, struct store *s)
{
	struct vault_pin *q = (struct vault_pin *)op;
	(void)v;
	op->failed = pin(s, q->name, &q->tree, &op->err) != 0;
}

void vault_pin(struct vault *v, struct vault_pin *q)
{
	q->op.grouped = q->op.hold = true;
	vault_submit(v, &v->writer, &q->op, run_pin);
}

static int look_at_pin(void *arg, const char *name, const struct hash *id)
{
	struct pins *p = arg;
	(void)id;
	if (!str_starts(name, p->prefix))
		return 0;
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->names[i], name) == 0)
			return 0;
	}
	p->dead[p->dead_n++] = mem_strdup(name);
	return p->dead_n == ARRAY_LEN(p->dead); /* the rest another time */
}

static void run_keep(struct vault *v, struct vault_op *op, struct store *s)
{
	struct pins *p = (struct pins *)op;
	(void)v;
	op->failed = store_each_pin(s, look_at_pin, p, &op->err) < 0;
	for (size_t i = 0; i < p->dead_n && !op->failed; i++)
		op->failed = unpin(s, p->dead[i], &op->err) != 0;
}

void vault_keep_pins(struct vault *v, const char *prefix, const char *const *names, size_t n)
{
	if (!fs_exists(v->path))
		return;
	struct pins *p = pins_new(names, n);
	p->prefix = prefix;
	vault_submit(v, &v->writer, &p->op, run_keep);
}
