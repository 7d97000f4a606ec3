/* vault: an upload that becomes a tree. */
#include <stdlib.h>

#include "daemon/core/vault_internal.h"
#include "shared/base/mem.h"

struct into {
	struct change_tree *tree;
	struct change_counts result;
};

static int take_batch(struct into *in, struct store *s, const struct buf *batch, bool last, struct err *err)
{
	if (change_tree_add(in->tree, s, batch->p, batch->len, err) != 0)
		return -1;
	if (!last)
		return 0;
	if (change_tree_end(in->tree, s, err) != 0)
		return -1;
	in->result = *change_tree_result(in->tree);
	return 0;
}

static int take(void *into, struct store *s, const struct buf *batch, bool last, struct err *err)
{
	if (store_begin(s, true, err) != 0)
		return -1;
	if (take_batch(into, s, batch, last, err) == 0)
		return store_end(s, err);
	store_abort(s);
	return -1;
}

static void drop(void *into)
{
	struct into *in = into;
	change_tree_free(in->tree);
	in->tree = NULL;
}

static const struct remote_counts *no_counts(void *into)
{
	(void)into;
	return NULL;
}

static const struct vault_sink sink = { take, drop, no_counts };

struct vault_upload *vault_changes_new(
	struct vault *v, const struct hash *base, const struct vault_upload_ops *ops, void *arg, struct err *err)
{
	struct into *in = mem_zalloc(sizeof(*in));
	in->tree = change_tree_new(base);
	return vault_upload_to(v, &sink, in, ops, arg, err);
}

const struct change_counts *vault_changes_result(struct vault_upload *u)
{
	const struct into *in = vault_upload_into(u);
	return &in->result;
}
