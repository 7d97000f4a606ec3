/* Push: scan, and keep the stat index for the next time. */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/work_internal.h"

/* Twice when the index names what the store has lost. */
enum scan_for { FOR_PUSH, FOR_STATUS, FOR_CHECKOUT };
static int scan(struct work *w, struct store *s, const char *folder, const struct work_options *o, enum scan_for what,
	struct err *err)
{
	for (bool again = false;; again = true) {
		if (work_init(w, s, folder, o, err))
			return -1;
		w->keep = what != FOR_PUSH;
		w->put = !w->keep && !o->dry;
		w->sweep = what == FOR_CHECKOUT && !o->dry;
		if (!work_scan(w, err))
			return 0;
		if (again || !atomic_load(&w->distrust))
			return -1;
		work_free(w);
		index_forget(s, folder);
	}
}

/* Without an index the next push is slower, that is all: not an error. */
static void save(struct work *w)
{
	if (!store_read_only(w->store))
		index_save(w->store, w->folder, w->top, NULL);
}

int work_scan_apart(struct work *w, struct store *s, const char *folder, const struct work_options *o, bool sweep, struct err *err)
{
	if (scan(w, s, folder, o, sweep ? FOR_CHECKOUT : FOR_STATUS, err))
		return -1;
	if (w->index && atomic_load(&w->changed) && hash_eq(&w->top->id, index_tree(w->index)))
		save(w);
	return 0;
}

int work_push(struct store *s, const char *folder, const struct work_options *o, struct hash *out, struct work_progress *done,
	struct err *err)
{
	struct work w;
	int rc = scan(&w, s, folder, o, FOR_PUSH, err);
	if (!rc) {
		*out = w.top->id;
		if (w.put && (!w.index || atomic_load(&w.changed)))
			save(&w);
	}
	if (done)
		pool_progress(&w.pool, done);
	work_free(&w);
	return rc;
}
