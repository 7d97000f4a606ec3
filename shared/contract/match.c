/*
 * contract: the router. The path is split into segments first, each is decoded then. The walk down the trie prefers a static
 * segment and comes back for the parameter when nothing below it fits, so it looks at each node of the trie once at most.
 */
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/contract/contract.h"

struct walk {
	const struct contract *c;
	const char *method;
	const char *raw[CT_DEPTH_MAX]; /* where segment i begins in the request's own path */
	char *text[CT_DEPTH_MAX];      /* segment i, decoded */
	unsigned count;		       /* segments, as many as fit */
	bool more;		       /* there are even more: only a rest parameter can take them */
	struct buf allowed;	       /* methods of the paths that fit */
};

/* The operation of a node with the method, CT_NONE; the methods it has are noted. */
static uint32_t pick_op(struct walk *w, const struct ct_node *n)
{
	for (uint32_t i = 0; i < n->op_count; i++) {
		uint32_t op = w->c->index_pool[n->ops + i];
		const char *method = ct_s(w->c, w->c->ops[op].method);
		if (strcmp(method, w->method) == 0)
			return op;
		if (strstr(w->allowed.p, method)) /* no method is part of another's name */
			continue;
		buf_fmt(&w->allowed, "%s%s", w->allowed.len > 0 ? ", " : "", method);
	}
	return CT_NONE;
}

/* Number of static children and, in *found, the one with this segment. */
static uint32_t find_static(const struct contract *c, const struct ct_node *n, const char *segment, const struct ct_node **found)
{
	uint32_t statics = n->child_count, lo = 0, hi;

	while (statics > 0 && c->nodes[n->children + statics - 1].segment == 0)
		statics--;
	for (hi = statics; lo < hi;) {
		uint32_t mid = lo + (hi - lo) / 2;
		int cmp = strcmp(segment, ct_s(c, c->nodes[n->children + mid].segment));
		if (cmp == 0) {
			*found = &c->nodes[n->children + mid];
			break;
		}
		if (cmp < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return statics;
}

static uint32_t walk_node(struct walk *w, const struct ct_node *n, unsigned depth) // NOLINT(misc-no-recursion): CT_DEPTH_MAX
{
	const struct ct_node *child = NULL;

	if (depth == w->count)
		return w->more ? CT_NONE : pick_op(w, n);
	uint32_t i = find_static(w->c, n, w->text[depth], &child);
	uint32_t op = child ? walk_node(w, child, depth + 1) : CT_NONE;
	for (; i < n->child_count && op == CT_NONE; i++) {
		child = &w->c->nodes[n->children + i];
		if (child->rest)
			op = pick_op(w, child);
		else if (w->text[depth][0] != '\0')
			op = walk_node(w, child, depth + 1);
	}
	return op;
}

/* Fill raw and text; copy is changed and must live as long as they are used. */
static int split(struct walk *w, const char *path, char *copy)
{
	char *s = copy;

	if (strcmp(path, "/") == 0)
		return 0;
	for (;;) {
		char *segment = s + 1; /* after the slash */
		char *end = strchrnul(segment, '/');
		bool last = *end == '\0';
		*end = '\0';
		if (w->count < CT_DEPTH_MAX) {
			w->raw[w->count] = path + (segment - copy);
			w->text[w->count++] = segment;
		} else {
			w->more = true;
		}
		if (!url_decode(segment))
			return -1;
		if (last)
			return 0;
		s = end;
	}
}

/* Name and value of every parameter in the path of the operation, which fits. */
static void collect(const struct walk *w, struct ct_match *out)
{
	const char *path = ct_s(w->c, w->c->ops[out->op].path);
	const struct ct_op *op = &w->c->ops[out->op];
	unsigned segment = 0;

	for (; *path && path[1]; segment++) {
		const char *end = strchrnul(++path, '/');
		for (uint32_t i = 0; *path == '{' && i < op->param_count && out->count < CT_PARAMS_MAX; i++) {
			const struct ct_param *p = &w->c->params[op->params + i];
			const char *name = ct_s(w->c, p->name);
			size_t len = (size_t)(end - path) - 2;
			if (p->in != CT_IN_PATH || strncmp(name, path + 1, len) != 0 || name[len] != '\0')
				continue;
			char *value = mem_strdup(p->rest ? w->raw[segment] : w->text[segment]);
			if (p->rest)
				(void)url_decode(value); /* its segments are known to decode */
			out->names[out->count] = name;
			out->values[out->count++] = value;
			break;
		}
		path = end;
	}
}

static int not_matched(const struct walk *w, const char *path, struct err *err)
{
	if (w->allowed.len == 0)
		return err_set(err, ERR_NOT_FOUND, "no such path '%.200s'", path);
	err_set(err, ERR_METHOD, "method '%.20s' is not allowed for '%.200s'", w->method, path);
	return err_hint(err, "%s", w->allowed.p);
}

int ct_match(const struct contract *c, const char *method, const char *path, struct ct_match *out, struct err *err)
{
	struct walk w = { .c = c, .method = method };
	size_t len = strlen(path);

	*out = (struct ct_match){ .op = CT_NONE };
	if (*path != '/')
		return err_set(err, ERR_NOT_FOUND, "no such path '%.200s'", path);
	auto_free char *copy = mem_try(len + 1);
	if (!copy)
		return err_set(err, ERR_TOO_LARGE, "the path is too long");
	memcpy(copy, path, len + 1);
	if (split(&w, path, copy) != 0)
		return err_set(err, ERR_INVALID, "'%.200s' has a bad percent escape", path);
	buf_init(&w.allowed);
	out->op = walk_node(&w, &c->nodes[0], 0);
	int rc = out->op == CT_NONE ? not_matched(&w, path, err) : 0;
	if (rc == 0)
		collect(&w, out);
	buf_free(&w.allowed);
	return rc;
}

void ct_match_free(struct ct_match *m)
{
	for (unsigned i = 0; i < m->count; i++)
		free(m->values[i]);
	m->count = 0;
}
