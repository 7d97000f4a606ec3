#include "cli/fs/target.h"

#include "shared/base/mem.h"

const char *outcome_name(enum outcome o)
{
	static const char *const names[] = { [OUTCOME_CREATED] = "created",
		[OUTCOME_MOVED] = "pushed",
		[OUTCOME_UNCHANGED] = "unchanged",
		[OUTCOME_REJECTED] = "rejected" };
	return (size_t)o < ARRAY_LEN(names) ? names[o] : "?";
}

static bool is_expected(const struct expectation *e, const struct landing *l)
{
	if (e->force)
		return true;
	if (!l->existed)
		return !e->expected || e->absent_ok;
	return e->expected && hash_eq(e->expected, &l->before);
}

int target_move(struct place *p, const struct label_move *m, const struct expectation *e, struct landing *out, struct err *err)
{
	*out = (struct landing){ .outcome = OUTCOME_REJECTED };
	if (place_head(p, m->name, &out->before, &out->existed, err))
		return -1;
	/* where it should go already: nothing to move, unless a merge or a word is to be written down */
	if (out->existed && hash_eq(&out->before, &m->to) && !m->other && !m->message &&
		(!e->expected || e->absent_ok || e->force)) {
		out->outcome = OUTCOME_UNCHANGED;
		return 0;
	}
	if (!is_expected(e, out))
		return 0;
	/* whoever moves it from now on wins: then it is rejected */
	struct label_move move = *m;
	struct hash before = out->before, now;
	bool existed = out->existed, exists = false;
	move.any = e->force;
	move.absent = !existed;
	move.expected = existed ? &before : NULL;
	if (e->force && move.op == LABEL_PUSH && existed)
		move.op = LABEL_FORCE;
	int rc = place_move(p, &move, &now, &exists, err);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		out->outcome = existed ? OUTCOME_MOVED : OUTCOME_CREATED;
	} else {
		out->existed = exists;
		out->before = now;
	}
	return 0;
}
