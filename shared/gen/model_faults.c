/* model: x-sbx-faults, how the dialect words its errors: the shape of the body, and what differs from our own by kind. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/gen/model.h"

/* What an err's code cannot tell: at which stage of a request it failed, and its word for a reason. */
static const char *const finer[] = {
	/* stages */
	"syntax", "schema", "parameter", "route",
	/* words of core and of the handlers */
	"rate_limited", "email_taken", "no_team", "provider_not_found", "name_reserved", "already_exists", "has_sandboxes",
	"no_hosts", "host_gone", "delivery_failed", "upstream", "database"
};

static bool is_kind(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(finer); i++) {
		if (strcmp(name, finer[i]) == 0)
			return true;
	}
	return err_from_name(name) != ERR_INTERNAL || strcmp(name, err_name(ERR_INTERNAL)) == 0;
}

static int read_as(struct model *m, struct yt_node *n, uint8_t *out)
{
	struct yt_node *at = yt_get(n, "as");
	const char *as = yt_str(at);

	*out = CT_AS_SHAPE;
	if (!at)
		return 0;
	if (as && strcmp(as, "text") == 0)
		*out = CT_AS_TEXT;
	else if (as && strcmp(as, "empty") == 0)
		*out = CT_AS_EMPTY;
	else
		return yt_error(m->doc, at, m->err, "must be 'text' or 'empty'");
	return 0;
}

static int read_kind(struct model *m, struct yt_node *n)
{
	static const char *const keys[] = { "status", "code", "message", "as", NULL };
	struct ct_fault f = {
		.kind = model_str(m, n->key), .code = model_text(m, n, "code"), .message = model_text(m, n, "message")
	};
	int64_t status = 0;

	if (!is_kind(n->key))
		return yt_error(m->doc, n, m->err, "no kind of fault");
	if (model_check_keys(m, n, keys, "a kind of fault") != 0 || read_as(m, n, &f.as) != 0)
		return -1;
	const char *text = yt_scalar(yt_get(n, "status"));
	if (text && parse_int(text, "status", 400, 599, &status, NULL) != 0)
		return yt_error(m->doc, n, m->err, "'status' must be 400 to 599");
	f.status = (uint16_t)status;
	vec_add(&m->faults, f);
	return 0;
}

/* A member is left out by cutting back to the comma before it: so what may be empty comes after something that may not. */
static int check_shape(struct model *m, const struct yt_node *n) // NOLINT(misc-no-recursion): YT_LIMITS_DEFAULT.depth
{
	static const char *const words[] = { "$code", "$message", "$hint", "$status" };
	const char *text = yt_str(n);
	bool known = !text || *text != '$';

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		known = known || strcmp(text, words[i]) == 0;
	if (!known)
		return yt_error(m->doc, n, m->err, "'%s' is none of $code, $message, $hint, $status", text);
	if (text && strcmp(text, "$hint") == 0 && n->parent->first == n)
		return yt_error(m->doc, n, m->err, "'$hint' must not come first");
	for (const struct yt_node *c = n->first; c; c = c->next) {
		if (check_shape(m, c) != 0)
			return -1;
	}
	return 0;
}

int model_faults(struct model *m)
{
	static const char *const keys[] = { "shape", "kinds", NULL };
	struct yt_node *at = yt_get(yt_root(m->doc), "x-sbx-faults");
	struct yt_node *shape, *kinds;
	auto_buf json = BUF_INIT;

	if (!at)
		return 0;
	if (model_check_keys(m, at, keys, "x-sbx-faults") != 0)
		return -1;
	if (model_member(m, at, "shape", YT_MAP, &shape) != 0 || model_member(m, at, "kinds", YT_MAP, &kinds) != 0)
		return -1;
	if (!shape)
		return yt_error(m->doc, at, m->err, "'shape' is required");
	if (check_shape(m, shape) != 0)
		return -1;
	yt_json(shape, &json);
	m->fault_shape = model_str(m, json.p);
	for (struct yt_node *k = kinds ? kinds->first : NULL; k; k = k->next) {
		if (read_kind(m, k) != 0)
			return -1;
	}
	return 0;
}
