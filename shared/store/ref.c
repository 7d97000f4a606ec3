#include "shared/store/ref.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define PREFIX_MIN 8u
#define TOLD_MAX 4u /* of the ids that a prefix could be */

/* ---- ids ---- */

struct found {
	struct store *s;
	struct hash first;
	uint64_t trees;
	struct buf told;
};

static int note_tree(void *arg, const struct hash *id)
{
	struct found *f = arg;
	struct store_info info;
	char hex[HASH_HEX + 1];

	if (store_stat(f->s, id, &info, NULL) != 0 || info.kind != OBJECT_TREE)
		return 0;
	if (!f->trees++)
		f->first = *id;
	if (f->trees <= TOLD_MAX)
		buf_fmt(&f->told, "%s%.16s", f->trees > 1 ? ", " : "", hash_hex(id, hex));
	return 0;
}

/* 1 found, 0 there is none, -1. */
static int by_prefix(struct store *s, const char *hex, struct hash *out, struct err *err)
{
	struct found f = { .s = s, .told = BUF_INIT };
	int rc = 0;

	(void)store_prefix(s, hex, note_tree, &f);
	if (f.trees == 1) {
		*out = f.first;
		rc = 1;
	} else if (f.trees > 1) {
		(void)err_set(err, ERR_CONFLICT, "'%s' begins the ids of %llu trees", hex, (unsigned long long)f.trees);
		rc = err_hint(err, "write more digits: %s%s", f.told.p, f.trees > TOLD_MAX ? ", ..." : "");
	}
	buf_free(&f.told);
	return rc;
}

static int by_id(struct store *s, const struct hash *id, const char *name, struct err *err)
{
	struct store_info info;

	if (hash_eq(id, &object_empty))
		return 0;
	if (!store_has(s, id))
		return err_set(err, ERR_NOT_FOUND, "there is no tree %s in the store", name);
	if (store_stat(s, id, &info, err) != 0)
		return -1;
	return info.kind == OBJECT_TREE ? 0 : err_set(err, ERR_INVALID, "%s is no tree", name);
}

/* ---- labels ---- */

static int no_label(struct store *s, const char *name, struct err *err)
{
	struct label_list l;
	unsigned best = strlen(name) < 4 ? 2 : 3;
	auto_free char *near = NULL;

	if (label_list(s, &l, err) != 0)
		return -1;
	for (size_t i = 0; i < l.n; i++) {
		unsigned d = str_distance(name, l.v[i].name);
		if (d < best) {
			best = d;
			free(near);
			near = mem_strdup(l.v[i].name);
		}
	}
	size_t n = l.n;
	label_list_free(&l);
	(void)err_set(err, ERR_NOT_FOUND, "there is no label '%s'", name);
	if (near)
		return err_hint(err, "did you mean '%s'?", near);
	return err_hint(err,
		n ? "see `sbx fs label list`; for an id write at least %u of its digits"
		  : "there are no labels yet; for an id write at least %u of its digits",
		PREFIX_MIN);
}

static int nth_move(const struct label_log *log, const struct ref_spec *spec, struct hash *out, struct err *err)
{
	if (spec->moves < log->n) {
		*out = log->v[log->n - 1 - spec->moves].to;
		return 0;
	}
	/* What it was moved away from first. */
	if (spec->moves == log->n && log->n && log->v[0].has_from) {
		*out = log->v[0].from;
		return 0;
	}
	(void)err_set(err, ERR_NOT_FOUND, "label '%s' has moved only %zu time%s", spec->name, log->n, log->n == 1 ? "" : "s");
	return err_hint(err, "see `sbx fs log %s`", spec->name);
}

static int at_time(const struct label_log *log, const struct ref_spec *spec, struct hash *out, struct err *err)
{
	char when[CLOCK_RFC3339_LEN];

	for (size_t i = log->n; i-- > 0;) {
		if (log->v[i].at <= spec->at) {
			*out = log->v[i].to;
			return 0;
		}
	}
	(void)err_set(err, ERR_NOT_FOUND, "label '%s' did not exist at that time", spec->name);
	return log->n ? err_hint(err, "its history begins at %s", clock_rfc3339(log->v[0].at, when)) : -1;
}

static int from_history(struct store *s, const struct ref_spec *spec, struct hash *out, struct err *err)
{
	struct err why = ERR_INIT;
	struct label_log log;
	int rc = label_log(s, spec->name, SIZE_MAX, &log, &why);

	if (rc != 0) {
		if (why.code == ERR_NOT_FOUND)
			return no_label(s, spec->name, err);
		if (err)
			*err = why;
		return -1;
	}
	rc = spec->when == REF_MOVES ? nth_move(&log, spec, out, err) : at_time(&log, spec, out, err);
	label_log_free(&log);
	return rc;
}

static int resolve(struct store *s, struct ref_spec *spec, struct ref *out, struct err *err)
{
	struct err why = ERR_INIT;
	size_t n = strlen(spec->name), hex = strspn(spec->name, "0123456789abcdefABCDEF");

	if (spec->when == REF_NOW && n == HASH_HEX && hex == n && hash_parse(spec->name, &out->tree))
		return by_id(s, &out->tree, spec->name, err);
	if (label_check(spec->name, err) != 0)
		return -1;
	if (spec->when != REF_NOW) {
		if (from_history(s, spec, &out->tree, err) != 0)
			return -1;
		out->label = mem_steal(&spec->name);
		return 0;
	}
	if (label_head(s, spec->name, &out->tree, &why) == 0) {
		out->label = mem_steal(&spec->name);
		return 0;
	}
	if (why.code != ERR_NOT_FOUND) {
		if (err)
			*err = why;
		return -1;
	}
	if (hex == n && n >= PREFIX_MIN && n < HASH_HEX) {
		int rc = by_prefix(s, spec->name, &out->tree, err);
		if (rc != 0)
			return rc > 0 ? 0 : -1;
	}
	return no_label(s, spec->name, err);
}

int ref_resolve(struct store *s, const char *text, struct ref *out, struct err *err)
{
	struct ref_spec spec;
	int rc;

	*out = (struct ref){ 0 };
	if (ref_parse(text, clock_wall_ms(), &spec, err) != 0)
		return -1;
	rc = resolve(s, &spec, out, err);
	if (rc == 0)
		out->path = mem_steal(&spec.path);
	ref_spec_free(&spec);
	return rc;
}

void ref_free(struct ref *r)
{
	free(r->label);
	free(r->path);
	*r = (struct ref){ 0 };
}
