/* model: the routing trie, built as a tree and then laid out breadth first, so that the children of a node are contiguous. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/gen/model.h"

enum { STATIC, PARAM, REST };

struct branch {
	ct_str segment;
	int kind;
	vec(uint32_t) ops;
	vec(struct branch *) children;
};

static void branch_free(struct branch *b) // NOLINT(misc-no-recursion): at most CT_DEPTH_MAX deep
{
	for (uint32_t i = 0; i < b->children.n; i++)
		branch_free(b->children.p[i]);
	vec_free(&b->children);
	vec_free(&b->ops);
	free(b);
}

static bool is_rest(const struct model *m, const struct ct_op *op, const char *name, size_t len)
{
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &m->params.p[op->params + i];
		const char *have = model_s(m, p->name);
		if (p->rest && strlen(have) == len && memcmp(have, name, len) == 0)
			return true;
	}
	return false;
}

static struct branch *descend(struct branch *at, ct_str segment, int kind)
{
	for (uint32_t i = 0; i < at->children.n; i++) {
		struct branch *c = at->children.p[i];
		if (c->kind == kind && c->segment == segment)
			return c;
	}
	struct branch *fresh = mem_zalloc(sizeof *fresh);
	fresh->segment = segment;
	fresh->kind = kind;
	vec_add(&at->children, fresh); // NOLINT(bugprone-sizeof-expression): an array of pointers
	return fresh;
}

static int insert(struct model *m, struct branch *root, uint32_t index)
{
	const struct ct_op *op = &m->ops.p[index];
	struct branch *at = root;
	auto_free char *path = mem_strdup(model_s(m, op->path));

	for (const char *s = path; *s && s[1];) {
		const char *end = strchrnul(++s, '/');
		size_t len = (size_t)(end - s);
		if (*s == '{') {
			at = descend(at, 0, is_rest(m, op, s + 1, len - 2) ? REST : PARAM);
		} else {
			auto_free char *segment = mem_strndup(s, len);
			at = descend(at, model_str(m, segment), STATIC);
		}
		s = end;
	}
	for (uint32_t i = 0; i < at->ops.n; i++) {
		const struct ct_op *other = &m->ops.p[at->ops.p[i]];
		if (other->method == op->method)
			return err_set(m->err, ERR_INVALID, "%s:1: paths: '%s' and '%s' take the same requests", yt_file(m->doc),
				model_s(m, other->id), model_s(m, op->id));
	}
	vec_add(&at->ops, index);
	return 0;
}

/* Static segments in strcmp order, then parameter, then rest. Insertion sort: a handful of children. */
static void sort_children(const struct model *m, struct branch *b)
{
	for (uint32_t i = 1; i < b->children.n; i++) {
		struct branch *x = b->children.p[i];
		uint32_t j = i;
		for (; j > 0; j--) {
			const struct branch *y = b->children.p[j - 1];
			if (y->kind < x->kind)
				break;
			if (y->kind == x->kind && strcmp(model_s(m, y->segment), model_s(m, x->segment)) <= 0)
				break;
			b->children.p[j] = b->children.p[j - 1];
		}
		b->children.p[j] = x;
	}
}

static void lay_out(struct model *m, struct branch *root)
{
	vec(struct branch *) queue = { 0 };

	vec_add(&queue, root); // NOLINT(bugprone-sizeof-expression): an array of pointers
	for (uint32_t i = 0; i < queue.n; i++) {
		struct branch *b = queue.p[i];
		sort_children(m, b);
		struct ct_node n = { .segment = b->segment,
			.children = queue.n,
			.child_count = b->children.n,
			.ops = m->index_pool.n,
			.op_count = b->ops.n,
			.rest = b->kind == REST };
		vec_join(&m->index_pool, &b->ops);
		vec_join(&queue, &b->children); // NOLINT(bugprone-sizeof-expression): an array of pointers
		vec_add(&m->nodes, n);
	}
	vec_free(&queue);
}

int model_trie(struct model *m)
{
	struct branch *root = mem_zalloc(sizeof *root);
	int rc = 0;

	for (uint32_t i = 0; i < m->ops.n && rc == 0; i++)
		rc = insert(m, root, i);
	if (rc == 0)
		lay_out(m, root);
	branch_free(root);
	return rc;
}
