/*
 * The paths first become a tree (struct node), a child a segment. A request can be at several nodes of the tree at once: after
 * "/vms/stats" at the static segment and at "{id}". A state of the automaton is such a set of nodes, the strongest first.
 */
#include "shared/contract/router.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define CONTRACTS_MAX 64
#define MIXED UINT32_MAX
#define NO_STATE UINT32_MAX

/* Where the value of a path parameter is. */
struct slot {
	const char *name;
	unsigned segment;
	bool rest;
};

struct route {
	const struct contract *c;
	uint32_t contract, op;
	const char *method;
	struct slot slots[CT_PARAMS_MAX];
	unsigned slot_count;
};

enum kind { STATIC, PARAM, REST };

struct node {
	const char *segment; /* STATIC: begins here, in a contract's pool */
	size_t len;
	enum kind kind;
	uint32_t first, next; /* child and sister; 0 = none */
	uint32_t *routes;
	uint32_t route_count;
	uint32_t owner; /* the contract that all below it belongs to, or MIXED */
};

struct edge {
	const char *segment;
	size_t len;
	uint32_t to;
};

struct state {
	uint32_t *nodes; /* the set, strongest first */
	uint32_t node_count;
	struct edge *edges; /* static segments in the order of compare_segment */
	uint32_t edge_count;
	uint32_t other;	  /* after any other segment; NO_STATE */
	uint32_t empty;	  /* after an empty one */
	uint32_t *routes; /* that end here, strongest first */
	uint32_t route_count;
	uint32_t owner;
};

struct router {
	struct route *routes;
	size_t route_count;
	struct node *nodes; /* 0 is the root */
	uint32_t node_count;
	struct state *states; /* 0 is the start */
	uint32_t state_count;
};

/* ---- the tree ---- */

static uint32_t add_node(struct router *r, struct node node)
{
	r->nodes = mem_grow(r->nodes, r->node_count + 1, sizeof(*r->nodes));
	r->nodes[r->node_count] = node;
	return r->node_count++;
}

static int compare_segment(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int cmp = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return cmp ? cmp : (a_len > b_len) - (a_len < b_len);
}

static uint32_t descend(struct router *r, uint32_t at, const char *segment, size_t len, enum kind kind)
{
	uint32_t *link = &r->nodes[at].first;
	for (; *link; link = &r->nodes[*link].next) {
		const struct node *n = &r->nodes[*link];
		if (n->kind == kind && (kind != STATIC || compare_segment(n->segment, n->len, segment, len) == 0))
			return *link;
	}
	size_t offset = (size_t)((char *)link - (char *)r->nodes); /* add_node may move them */
	uint32_t fresh = add_node(r, (struct node){ .segment = segment, .len = len, .kind = kind, .owner = r->nodes[at].owner });
	*(uint32_t *)(void *)((char *)r->nodes + offset) = fresh;
	return fresh;
}

static const struct ct_param *path_param(const struct contract *c, const struct ct_op *op, const char *name, size_t len)
{
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &c->params[op->params + i];
		const char *have = ct_s(c, p->name);
		if (p->in == CT_IN_PATH && strncmp(have, name, len) == 0 && have[len] == '\0')
			return p;
	}
	return NULL;
}

static bool shared(const struct route *route)
{
	return route->c->ops[route->op].flags & CT_OP_SHARED;
}

static int end_at(struct router *r, uint32_t at, uint32_t index, struct err *err)
{
	struct node *n = &r->nodes[at];
	const struct route *mine = &r->routes[index];
	for (uint32_t i = 0; i < n->route_count; i++) {
		const struct route *other = &r->routes[n->routes[i]];
		if (strcmp(other->method, mine->method) != 0)
			continue;
		if (shared(other) && shared(mine) && other->c != mine->c)
			return 0;
		return err_set(err, ERR_CONFLICT, "'%s' of %s and '%s' of %s take the same requests",
			ct_s(other->c, other->c->ops[other->op].id), other->c->name, ct_s(mine->c, mine->c->ops[mine->op].id),
			mine->c->name);
	}
	n->routes = mem_grow(n->routes, n->route_count + 1, sizeof(*n->routes));
	n->routes[n->route_count++] = index;
	return 0;
}

static int add_path(
	struct router *r, const struct contract *c, uint32_t contract, uint32_t op, const char *path, struct err *err)
{
	const struct ct_op *o = &c->ops[op];
	struct route route = { .c = c, .contract = contract, .op = op, .method = ct_s(c, o->method) };
	uint32_t at = 0;
	unsigned segment = 0;
	for (const char *s = path; *s && s[1]; segment++) {
		const char *end = strchrnul(++s, '/');
		size_t len = (size_t)(end - s);
		const struct ct_param *p = *s == '{' ? path_param(c, o, s + 1, len - 2) : NULL;
		if (p && route.slot_count < CT_PARAMS_MAX)
			route.slots[route.slot_count++] = (struct slot){ ct_s(c, p->name), segment, p->rest };
		at = descend(r, at, s, len, !p ? STATIC : p->rest ? REST : PARAM);
		if (r->nodes[at].owner != contract)
			r->nodes[at].owner = r->nodes[at].first || r->nodes[at].route_count ? MIXED : contract;
		s = end;
	}
	r->routes = mem_grow(r->routes, r->route_count + 1, sizeof(*r->routes));
	r->routes[r->route_count] = route;
	return end_at(r, at, (uint32_t)r->route_count++, err);
}

static int add_route(struct router *r, const struct contract *c, uint32_t contract, uint32_t op, struct err *err)
{
	const struct ct_op *o = &c->ops[op];
	if (add_path(r, c, contract, op, ct_s(c, o->path), err) != 0)
		return -1;
	return o->also ? add_path(r, c, contract, op, ct_s(c, o->also), err) : 0;
}

/* ---- the automaton ---- */

struct set {
	uint32_t *v;
	uint32_t n;
};

static void set_add(struct set *s, uint32_t node)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i] == node)
			return;
	}
	s->v = mem_grow(s->v, s->n + 1, sizeof(*s->v));
	s->v[s->n++] = node;
}

/* Where a request is after one more segment: a static one (segment), another one that is not empty (NULL, len 1), or an empty
 * one (NULL, 0), which only a rest parameter takes. Of each node the static child comes before the parameter. */
static struct set step(const struct router *r, const struct state *from, const char *segment, size_t len)
{
	static const enum kind order[] = { STATIC, PARAM, REST };
	struct set to = { 0 };
	for (uint32_t i = 0; i < from->node_count; i++) {
		const struct node *n = &r->nodes[from->nodes[i]];
		for (size_t k = 0; k < ARRAY_LEN(order); k++) {
			for (uint32_t c = n->first; c; c = r->nodes[c].next) {
				const struct node *child = &r->nodes[c];
				bool takes = child->kind == REST || (child->kind == PARAM && len > 0) ||
					(child->kind == STATIC && segment &&
						compare_segment(child->segment, child->len, segment, len) == 0);
				if (child->kind == order[k] && takes)
					set_add(&to, c);
			}
		}
		if (n->kind == REST)
			set_add(&to, from->nodes[i]);
	}
	return to;
}

static uint32_t owner_of(const struct router *r, const struct set *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (r->nodes[s->v[i]].owner != MIXED)
			return r->nodes[s->v[i]].owner;
	}
	return MIXED;
}

/* The state of this set, made when it is new; takes the set. */
static uint32_t state_of(struct router *r, struct set s)
{
	if (s.n == 0)
		return NO_STATE;
	for (uint32_t i = 0; i < r->state_count; i++) {
		const struct state *have = &r->states[i];
		if (have->node_count == s.n && memcmp(have->nodes, s.v, s.n * sizeof(*s.v)) == 0) {
			free(s.v);
			return i;
		}
	}
	struct state fresh = { .nodes = s.v, .node_count = s.n, .other = NO_STATE, .empty = NO_STATE, .owner = owner_of(r, &s) };
	for (uint32_t i = 0; i < s.n; i++) {
		const struct node *n = &r->nodes[s.v[i]];
		if (n->route_count == 0)
			continue;
		fresh.routes = mem_grow(fresh.routes, fresh.route_count + n->route_count, sizeof(*fresh.routes));
		memcpy(fresh.routes + fresh.route_count, n->routes, n->route_count * sizeof(*n->routes));
		fresh.route_count += n->route_count;
	}
	r->states = mem_grow(r->states, r->state_count + 1, sizeof(*r->states));
	r->states[r->state_count] = fresh;
	return r->state_count++;
}

static int by_segment(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	return compare_segment(x->segment, x->len, y->segment, y->len);
}

static bool has_edge(const struct edge *edges, uint32_t n, const struct node *child)
{
	for (uint32_t i = 0; i < n; i++) {
		if (compare_segment(edges[i].segment, edges[i].len, child->segment, child->len) == 0)
			return true;
	}
	return false;
}

/* All ways on from state i. The states may move meanwhile. */
static void expand(struct router *r, uint32_t i)
{
	struct edge *edges = NULL;
	uint32_t count = 0;
	for (uint32_t k = 0; k < r->states[i].node_count; k++) {
		for (uint32_t c = r->nodes[r->states[i].nodes[k]].first; c; c = r->nodes[c].next) {
			const struct node *child = &r->nodes[c];
			if (child->kind != STATIC || has_edge(edges, count, child))
				continue;
			uint32_t to = state_of(r, step(r, &r->states[i], child->segment, child->len));
			edges = mem_grow(edges, count + 1, sizeof(*edges));
			edges[count++] = (struct edge){ child->segment, child->len, to };
		}
	}
	if (count > 1)
		qsort(edges, count, sizeof(*edges), by_segment);
	uint32_t other = state_of(r, step(r, &r->states[i], NULL, 1));
	uint32_t empty = state_of(r, step(r, &r->states[i], NULL, 0));
	struct state *s = &r->states[i];
	s->edges = edges;
	s->edge_count = count;
	s->other = other;
	s->empty = empty;
}

struct router *router_new(const struct contract *const *contracts, size_t n, struct err *err)
{
	struct router *r = mem_zalloc(sizeof(*r));
	int rc = n <= CONTRACTS_MAX ? 0 : err_set(err, ERR_INVALID, "more than %d contracts", CONTRACTS_MAX);
	(void)add_node(r, (struct node){ .owner = MIXED });
	for (size_t i = 0; i < n && rc == 0; i++) {
		for (uint32_t op = 0; op < contracts[i]->op_count && rc == 0; op++)
			rc = add_route(r, contracts[i], (uint32_t)i, op, err);
	}
	if (rc != 0) {
		router_free(r);
		return NULL;
	}
	struct set start = { 0 };
	set_add(&start, 0);
	(void)state_of(r, start);
	for (uint32_t i = 0; i < r->state_count; i++)
		expand(r, i);
	return r;
}

void router_free(struct router *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->node_count; i++)
		free(r->nodes[i].routes);
	for (uint32_t i = 0; i < r->state_count; i++) {
		free(r->states[i].nodes);
		free(r->states[i].edges);
		free(r->states[i].routes);
	}
	free(r->nodes);
	free(r->states);
	free(r->routes);
	free(r);
}

/* ---- matching ---- */

static uint32_t follow(const struct state *s, const char *segment, size_t len)
{
	uint32_t lo = 0, hi = s->edge_count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int cmp = compare_segment(segment, len, s->edges[mid].segment, s->edges[mid].len);
		if (cmp == 0)
			return s->edges[mid].to;
		if (cmp < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return len > 0 ? s->other : s->empty;
}

struct walk {
	uint32_t state;
	const char *raw[CT_DEPTH_MAX]; /* where segment i begins in the request's own path */
	char *text[CT_DEPTH_MAX];      /* segment i, decoded */
	unsigned count;
};

/* Split and decode copy in place, and follow it through the automaton. -1 = a bad escape. */
static int walk(const struct router *r, struct walk *w, const char *path, char *copy, uint32_t *owner)
{
	char *segment = copy + 1;
	bool last = path[1] == '\0'; /* "/" has no segment */
	while (!last) {
		char *end = strchrnul(segment, '/');
		size_t len = (size_t)(end - segment);
		last = *end == '\0';
		*end = '\0';
		if (memchr(segment, '%', len)) {
			if (!url_decode(segment))
				return -1;
			len = strlen(segment);
		}
		if (w->count < CT_DEPTH_MAX) {
			w->raw[w->count] = path + (segment - copy);
			w->text[w->count++] = segment;
		}
		if (w->state != NO_STATE)
			w->state = follow(&r->states[w->state], segment, len);
		if (w->state != NO_STATE && r->states[w->state].owner != MIXED)
			*owner = r->states[w->state].owner;
		segment = end + 1;
	}
	return 0;
}

static void collect(const struct walk *w, const struct route *route, struct ct_match *out)
{
	for (unsigned i = 0; i < route->slot_count; i++) {
		const struct slot *slot = &route->slots[i];
		const char *value = w->text[slot->segment];
		if (slot->rest) {
			out->rest = mem_strdup(w->raw[slot->segment]);
			(void)url_decode(out->rest); /* its segments are known to decode */
			value = out->rest;
		}
		out->names[out->count] = slot->name;
		out->values[out->count++] = value;
	}
}

/* The path is known, the method is not among these. */
static int wrong_method(const struct router *r, const struct state *s, const char *method, const char *path, struct err *err)
{
	auto_buf allowed = BUF_INIT;
	for (uint32_t i = 0; i < s->route_count; i++) {
		const char *have = r->routes[s->routes[i]].method;
		if (!strstr(allowed.p, have)) /* no method is part of another's name */
			buf_fmt(&allowed, "%s%s", allowed.len > 0 ? ", " : "", have);
	}
	err_set(err, ERR_METHOD, "method '%.20s' is not allowed for '%.200s'", method, path);
	return err_hint(err, "%s", allowed.p);
}

int router_match(const struct router *r, const char *method, const char *path, struct ct_match *out, struct err *err)
{
	struct walk w = { .state = 0 };
	size_t len = strlen(path);

	out->contract = 0;
	out->op = CT_NONE;
	out->count = 0;
	out->rest = NULL;
	out->text = *path == '/' ? mem_try(len + 1) : NULL;
	if (*path != '/')
		return err_set(err, ERR_NOT_FOUND, "no such path '%.200s'", path);
	if (!out->text)
		return err_set(err, ERR_TOO_LARGE, "the path is too long");
	memcpy(out->text, path, len + 1);
	if (walk(r, &w, path, out->text, &out->contract) != 0)
		return err_set(err, ERR_INVALID, "'%.200s' has a bad percent escape", path);
	const struct state *s = w.state == NO_STATE ? NULL : &r->states[w.state];
	for (uint32_t i = 0; s && i < s->route_count; i++) {
		const struct route *route = &r->routes[s->routes[i]];
		if (strcmp(route->method, method) != 0)
			continue;
		out->contract = route->contract;
		out->op = route->op;
		collect(&w, route, out);
		return 0;
	}
	if (!s || s->route_count == 0)
		return err_set(err, ERR_NOT_FOUND, "no such path '%.200s'", path);
	out->contract = r->routes[s->routes[0]].contract;
	return wrong_method(r, s, method, path, err);
}

void ct_match_free(struct ct_match *m)
{
	free(m->text);
	free(m->rest);
	m->text = m->rest = NULL;
	m->count = 0;
}
