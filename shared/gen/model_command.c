/*
 * model: `noun verb` of every operation. Those with x-sbx-command have theirs; for the rest the noun is the singular of the
 * tag (or of the last plain segment) and the verb what the method does to it; a pair that is taken becomes the operationId.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/gen/model.h"
#include "shared/gen/names.h"

struct path_end {
	const char *last; /* last segment, and the last one that is no parameter */
	size_t last_len;
	const char *plain;
	size_t plain_len;
	unsigned plain_count; /* plain segments after the base */
};

static struct path_end path_end(const char *path)
{
	struct path_end e = { .last = "", .plain = "" };

	while (*path) {
		const char *end = strchrnul(++path, '/');
		e.last = path;
		e.last_len = (size_t)(end - path);
		if (*path != '{') {
			e.plain = path;
			e.plain_len = e.last_len;
			e.plain_count++;
		}
		path = end;
	}
	return e;
}

static ct_str derive_noun(struct model *m, const struct ct_op *op, const struct path_end *e)
{
	auto_free char *plain = mem_strndup(e->plain, e->plain_len);
	auto_buf noun = BUF_INIT;

	name_kebab(op->tag ? model_s(m, op->tag) : plain, &noun);
	name_singular(&noun);
	return model_str(m, noun.len > 0 ? noun.p : "root");
}

static const char *crud_verb(const char *method, bool one)
{
	static const struct {
		const char *method, *one, *many;
	} verbs[] = { { "GET", "inspect", "list" }, { "POST", "create", "create" }, { "PUT", "set", "set" },
		{ "PATCH", "update", "update" }, { "DELETE", "delete", "clear" }, { "HEAD", "check", "check" } };

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(method, verbs[i].method) == 0)
			return one ? verbs[i].one : verbs[i].many;
	}
	return "call";
}

static ct_str derive_verb(struct model *m, const struct ct_op *op, const struct path_end *e)
{
	auto_free char *plain = mem_strndup(e->plain, e->plain_len);
	auto_buf word = BUF_INIT;
	bool one = e->last_len > 0 && *e->last == '{';

	name_kebab(plain, &word);
	auto_free char *plural = mem_strdup(word.p);
	name_singular(&word);
	bool of_noun = strcmp(word.p, model_s(m, op->noun)) == 0;
	if (of_noun || e->plain_count <= 1)
		return model_str(m, crud_verb(model_s(m, op->method), one));
	if (one) { /* something below the noun: "snapshot-delete" */
		auto_free char *verb = mem_printf("%s-%s", word.p, crud_verb(model_s(m, op->method), true));
		return model_str(m, verb);
	}
	return model_str(m, plural);
}

static bool taken(const struct model *m, const struct ct_op *op)
{
	for (uint32_t i = 0; i < m->ops.n; i++) {
		const struct ct_op *o = &m->ops.p[i];
		if (o != op && o->noun == op->noun && o->verb == op->verb && o->verb != 0)
			return true;
	}
	return false;
}

int model_commands(struct model *m)
{
	for (uint32_t i = 0; i < m->ops.n; i++) {
		struct ct_op *op = &m->ops.p[i];
		if (op->verb)
			continue;
		auto_free char *path = mem_strdup(model_s(m, op->path) + strlen(model_s(m, m->base_path)));
		struct path_end e = path_end(path);
		op->noun = derive_noun(m, op, &e);
		op->verb = derive_verb(m, op, &e);
		if (!taken(m, op))
			continue;
		auto_buf id = BUF_INIT;
		name_kebab(model_s(m, op->id), &id);
		op->verb = model_str(m, id.p);
		if (taken(m, op))
			return err_set(m->err, ERR_INVALID,
				"%s:1: operationId: '%s' gives no command of its own: add x-sbx-command", yt_file(m->doc),
				model_s(m, op->id));
	}
	return 0;
}
