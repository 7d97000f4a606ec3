/* place: a store on this machine. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/fs/place_internal.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

struct store_place {
	struct place p;
	bool own, held;
};

static struct store_place *as_store(struct place *p)
{
	return (struct store_place *)(void *)p;
}

static void store_place_close(struct place *p)
{
	struct store_place *sp = as_store(p);
	if (sp->held)
		store_release(p->store);
	if (sp->own)
		store_close(p->store);
	free(sp);
}

static int list(struct place *p, struct label_list *out, struct err *err)
{
	return label_list(p->store, out, err);
}

static int head(struct place *p, const char *name, struct hash *out, bool *exists, struct err *err)
{
	struct err own = ERR_INIT;
	*exists = label_head(p->store, name, out, &own) == 0;
	if (*exists || own.code == ERR_NOT_FOUND)
		return 0;
	*err = own;
	return -1;
}

static int log_of(struct place *p, const char *name, size_t limit, struct label_log *out, struct err *err)
{
	return label_log(p->store, name, limit, out, err);
}

static int move(struct place *p, const struct label_move *m, struct hash *current, bool *exists, struct err *err)
{
	return label_move(p->store, m, current, exists, err);
}

static int remove_label(struct place *p, const char *name, const struct hash *expected, struct err *err)
{
	return label_remove(p->store, name, expected, err);
}

static int rename_label(struct place *p, const char *from, const char *to, struct err *err)
{
	return label_rename(p->store, from, to, err);
}

static int resolve(struct place *p, const char *text, struct ref *out, struct err *err)
{
	return ref_resolve(p->store, text, out, err);
}

/* From one store into another. */
struct copy {
	struct store *from, *to;
	struct remote_haver *haver;
	struct remote_receiver *receiver;
	struct moving *m;
};

static int ask(void *arg, const struct hash *ids, size_t n, bool *have, struct err *err)
{
	struct copy *c = arg;
	return remote_have(c->haver, ids, n, have, err);
}

static int pass_on(void *arg, const void *data, size_t n, struct err *err)
{
	struct copy *c = arg;
	struct remote_counts counts;
	remote_receiver_counts(c->receiver, &counts);
	return remote_receiver_add(c->receiver, data, n, err) || moving_step(c->m, "objects", &counts, err) ? -1 : 0;
}

static int copy_trees(struct store *from, struct store *to, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	if (from == to)
		return 0;
	struct copy c = { .from = from, .to = to, .m = m };
	struct remote_counts sent;
	c.receiver = remote_receiver_new(to, err);
	if (!c.receiver)
		return -1;
	c.haver = remote_haver_new(to);
	int rc = remote_send(from, trees, n, &(struct remote_peer){ ask, pass_on, &c }, &sent, err);
	remote_haver_free(c.haver);
	return moving_finish(c.receiver, rc, &m->counts, err);
}

static int give(struct place *p, struct store *from, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	return copy_trees(from, p->store, trees, n, m, err);
}

static int take(struct place *p, struct store *to, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	return copy_trees(p->store, to, trees, n, m, err);
}

static int stats(struct place *p, struct place_totals *out, struct err *err)
{
	struct label_list labels;
	*out = (struct place_totals){ .read_only = store_read_only(p->store) };
	if (store_totals(p->store, &out->t, err) || label_list(p->store, &labels, err))
		return -1;
	out->labels = labels.n;
	out->path = mem_strdup(store_path(p->store));
	label_list_free(&labels);
	return 0;
}

static int gc(struct place *p, bool dry, struct store_swept *out, struct err *err)
{
	return gc_run(p->store, dry, true, out, err);
}

static const struct place_ops ops = {
	.close = store_place_close,
	.list = list,
	.head = head,
	.log = log_of,
	.move = move,
	.remove = remove_label,
	.rename = rename_label,
	.resolve = resolve,
	.give = give,
	.take = take,
	.stats = stats,
	.gc = gc,
};

struct place *place_of_store(struct store *s)
{
	struct store_place *sp = mem_zalloc(sizeof(*sp));
	sp->p = (struct place){ .ops = &ops, .name = mem_strdup(store_path(s)), .prefix = mem_strdup("origin"), .store = s };
	return &sp->p;
}

/* The folder itself, or `store` below it when that is a home. */
static char *store_folder(const char *path)
{
	auto_free char *packs = fs_join(path, "packs"), *below = fs_join(path, "store");
	if (!fs_exists(packs) && fs_exists(below))
		return mem_steal(&below);
	return mem_strdup(path);
}

struct place *place_open_path(const char *path, bool write, struct err *err)
{
	auto_free char *folder = store_folder(path);
	struct store *s = store_open(folder, write, err);
	if (!s)
		return NULL;
	struct place *p = place_of_store(s);
	as_store(p)->own = true;
	if (write && store_hold(s, err)) {
		place_close(p);
		return NULL;
	}
	as_store(p)->held = write;
	return p;
}
