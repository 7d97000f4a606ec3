/*
 * Files that one side moved (without changing them) and the other changed where they were: the change follows the file. Done by
 * moving the file in the base and in the other tree as well; after that the plain merge has nothing special to see.
 */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/store/merge_internal.h"

struct move {
	char *from, *to;
};

/* What one side did. */
struct side_diff {
	struct move *moves;
	size_t n, room;
	char **changed; /* paths, in order */
	size_t changed_n, changed_room;
};

struct edits {
	struct tree_edit *v;
	struct tree_at *held; /* entries point into these */
	size_t n, room;	      /* of held: half of the edits */
};

static int note(void *arg, const struct diff_item *item, struct err *err)
{
	struct side_diff *d = arg;

	(void)err;
	if (item->kind == DIFF_RENAMED) {
		if (d->n == d->room) {
			d->room = d->room ? d->room * 2 : 16;
			d->moves = mem_grow(d->moves, d->room, sizeof(*d->moves));
		}
		d->moves[d->n++] = (struct move){ mem_strdup(item->old_path), mem_strdup(item->path) };
	} else if (item->old && item->new && !entry_is_dir_mode(item->new)) {
		if (d->changed_n == d->changed_room) {
			d->changed_room = d->changed_room ? d->changed_room * 2 : 16;
			d->changed = mem_grow(d->changed, d->changed_room, sizeof(*d->changed));
		}
		d->changed[d->changed_n++] = mem_strdup(item->path);
	}
	return 0;
}

static void side_free(struct side_diff *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->moves[i].from);
		free(d->moves[i].to);
	}
	for (size_t i = 0; i < d->changed_n; i++)
		free(d->changed[i]);
	free(d->moves);
	free(d->changed);
}

static int path_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool was_changed(const struct side_diff *d, char *path)
{
	return d->changed_n && bsearch(&path, d->changed, d->changed_n, sizeof(*d->changed), path_order) != NULL;
}

static void edits_free(struct edits *e)
{
	for (size_t i = 0; i < e->n; i++)
		tree_at_free(&e->held[i]);
	free(e->held);
	free(e->v);
}

/* Move a file within a tree: note the two edits. */
static int edits_move(struct edits *e, struct store *s, const struct hash *root, const struct move *m, struct err *err)
{
	struct tree_at at;

	if (tree_find(s, root, m->from, &at, err) != 0)
		return -1;
	if (e->n == e->room) {
		e->room = e->room ? e->room * 2 : 16;
		e->v = mem_grow(e->v, e->room * 2, sizeof(*e->v));
		e->held = mem_grow(e->held, e->room, sizeof(*e->held));
	}
	e->v[2 * e->n] = (struct tree_edit){ .path = m->from, .remove = true };
	e->v[2 * e->n + 1] = (struct tree_edit){ .path = m->to };
	e->held[e->n++] = at;
	return 0;
}

static int edits_apply(struct edits *e, struct store *s, struct hash *root, struct err *err)
{
	struct hash from = *root;

	/* Only now do the entries stay where they are. */
	for (size_t i = 0; i < e->n; i++)
		e->v[2 * i + 1].file = &e->held[i].file;
	return e->n ? tree_apply(s, &from, e->v, 2 * e->n, root, err) : 0;
}

/* 1 there is something at path, 0 nothing, -1. */
static int is_there(struct store *s, const struct hash *root, const char *path, struct err *err)
{
	struct err why = ERR_INIT;
	struct tree_at at;

	if (tree_find(s, root, path, &at, &why) == 0) {
		tree_at_free(&at);
		return 1;
	}
	if (why.code == ERR_NOT_FOUND)
		return 0;
	if (err)
		*err = why;
	return -1;
}

/* The merge, and what must be moved in its base. */
struct following {
	struct store *s;
	struct hash *base;
	struct edits of_base;
};

/* The moves of one side that the other must follow. */
static int follow(struct following *w, const struct side_diff *mover, const struct side_diff *other, const struct hash *other_root,
	struct edits *of_other, struct err *err)
{
	for (size_t i = 0; i < mover->n; i++) {
		const struct move *m = &mover->moves[i];
		if (!was_changed(other, m->from))
			continue;
		int there = is_there(w->s, other_root, m->to, err);
		if (there < 0)
			return -1;
		if (!there &&
			(edits_move(&w->of_base, w->s, w->base, m, err) != 0 ||
				edits_move(of_other, w->s, other_root, m, err) != 0))
			return -1;
	}
	return 0;
}

int merge_follow_moves(struct store *s, struct tree_merge *m, struct hash *base, struct err *err)
{
	struct following w = { .s = s, .base = base };
	struct side_diff ours = { 0 }, theirs = { 0 };
	struct edits of_ours = { 0 }, of_theirs = { 0 };
	int rc = -1;

	*base = *m->base;
	if (diff_trees(s, base, &m->ours, true, note, &ours, err) == 0 &&
		diff_trees(s, base, &m->theirs, true, note, &theirs, err) == 0 &&
		follow(&w, &ours, &theirs, &m->theirs, &of_theirs, err) == 0 &&
		follow(&w, &theirs, &ours, &m->ours, &of_ours, err) == 0 && edits_apply(&w.of_base, s, base, err) == 0 &&
		edits_apply(&of_ours, s, &m->ours, err) == 0)
		rc = edits_apply(&of_theirs, s, &m->theirs, err);
	m->base = base;
	edits_free(&w.of_base);
	edits_free(&of_ours);
	edits_free(&of_theirs);
	side_free(&ours);
	side_free(&theirs);
	return rc;
}
