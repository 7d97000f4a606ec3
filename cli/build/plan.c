#include "cli/build/plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

struct planning {
	const struct plan_inputs *in;
	struct plan *plan;
	struct image_config outer; /* of the ARGs before the first FROM */
	struct err *err;
};

/* ---- keys ---- */

static void hash_text(struct hasher *h, const char *text)
{
	hasher_add(h, text, strlen(text) + 1);
}

static void hash_strings(struct hasher *h, const struct strings *s)
{
	uint64_t n = s->n;
	hasher_add(h, &n, sizeof(n));
	for (size_t i = 0; i < s->n; i++)
		hash_text(h, s->v[i]);
}

static void end_key(const struct hasher *h, char out[HASH_HEX + 1])
{
	struct hash hash;
	hasher_end(h, &hash);
	hash_hex(&hash, out);
}

void build_plan_key(const struct plan *p, char out[HASH_HEX + 1])
{
	const struct plan_stage *last = &p->stages[p->count - 1];
	auto_buf config = BUF_INIT;
	struct hasher h;
	struct jw w;
	jw_init(&w, &config);
	image_config_write(&last->config, &w);
	hasher_init(&h);
	hash_text(&h, last->key);
	hasher_add(&h, config.p, config.len);
	end_key(&h, out);
}

/* ---- steps ---- */

static int expand_all(const struct planning *p, const struct image_config *c, struct plan_step *s)
{
	for (size_t i = 0; i < s->step->count; i++) {
		auto_free char *word = image_config_expand(c, p->in->file->escape, s->step->words[i], p->err);
		if (!word)
			return -1;
		strings_add(&s->words, word);
	}
	return 0;
}

static int plan_run(const struct planning *p, struct plan_step *s, struct hasher *h)
{
	(void)p;
	if (!s->step->json) {
		strings_add(&s->words, "/bin/sh");
		strings_add(&s->words, "-c");
	}
	for (size_t i = 0; i < s->step->count; i++)
		strings_add(&s->words, s->step->words[i]);
	hash_strings(h, &s->words);
	hash_strings(h, &s->config.env);
	hash_strings(h, &s->config.args);
	hash_text(h, s->config.user);
	hash_text(h, s->config.workdir);
	return 0;
}

static int find_stage(const struct planning *p, const char *name, size_t *out)
{
	int64_t number;
	for (size_t i = p->plan->count; i-- > 0;) {
		const char *as = p->plan->stages[i].as;
		if (as && !strcasecmp(as, name)) {
			*out = i;
			return 1;
		}
	}
	if (parse_int(name, "stage", 0, (int64_t)p->plan->count - 1, &number, NULL))
		return 0;
	*out = (size_t)number;
	return 1;
}

static int take_mode(const struct planning *p, const struct image_config *c, struct plan_step *s)
{
	s->mode = -1;
	if (!s->step->chmod)
		return 0;
	auto_free char *text = image_config_expand(c, p->in->file->escape, s->step->chmod, p->err);
	if (!text)
		return -1;
	size_t n = strlen(text);
	if (n < 3 || n > 4 || text[strspn(text, "01234567")]) {
		err_set(p->err, ERR_INVALID, "--chmod=%.40s is no mode", text);
		return err_hint(p->err, "write it in octal, as 755 or 0644");
	}
	s->mode = (int)strtol(text, NULL, 8);
	return 0;
}

static int check_source(const struct planning *p, const struct plan_step *s, const char *source)
{
	static const char *const schemes[] = { "http://", "https://", "ftp://", "git@", "git://", "ssh://" };
	for (size_t i = 0; s->step->verb == DOCKERFILE_ADD && i < ARRAY_LEN(schemes); i++) {
		if (!str_starts(source, schemes[i]))
			continue;
		err_set(p->err, ERR_INVALID, "ADD of a URL is not supported");
		return err_hint(p->err, "fetch it in a RUN, or put it into the context");
	}
	return 0;
}

static int take_from(const struct planning *p, struct plan_step *s)
{
	if (!find_stage(p, s->step->from, &s->from) || s->from + 1 >= p->plan->count) {
		err_set(p->err, ERR_NOT_FOUND, "--from=%.80s is no stage before this one", s->step->from);
		return err_hint(p->err, "name it with FROM IMAGE AS NAME; images cannot be copied from directly");
	}
	if (s->step->chown || s->step->chmod)
		return err_set(p->err, ERR_INVALID, "--chown and --chmod with --from are not supported: owners and modes are kept");
	return 0;
}

static int plan_copy(const struct planning *p, struct plan_step *s, struct hasher *h)
{
	const struct image_config *c = &s->config;
	if (expand_all(p, c, s) || take_mode(p, c, s))
		return -1;
	char **target = &s->words.v[s->words.n - 1];
	if (**target != '/') {
		char *full = mem_printf("%s/%s", c->workdir, strcmp(*target, ".") ? *target : "");
		free(*target);
		*target = full;
	}
	for (size_t i = 0; i + 1 < s->words.n; i++)
		if (check_source(p, s, s->words.v[i]))
			return -1;
	if (s->step->chown && !(s->chown = image_config_expand(c, p->in->file->escape, s->step->chown, p->err)))
		return -1;
	hash_text(h, *target);
	hash_text(h, s->chown ? s->chown : "");
	hasher_add(h, &s->mode, sizeof(s->mode));
	if (s->step->from) {
		if (take_from(p, s))
			return -1;
		hash_strings(h, &s->words);
		hash_text(h, p->plan->stages[s->from].key);
		return 0;
	}
	return context_pick(p->in->context, s->words.v, s->words.n - 1, &s->pick, p->err) ? -1 : context_hash(&s->pick, h, p->err);
}

static int plan_disk(const struct planning *p, const struct plan_stage *stage, struct plan_step *s)
{
	struct hasher h;
	int rc = 0;
	hasher_init(&h);
	hash_text(&h, stage->key);
	hash_text(&h, dockerfile_verb(s->step->verb));
	if (s->step->verb == DOCKERFILE_RUN)
		rc = plan_run(p, s, &h);
	else if (s->step->verb == DOCKERFILE_WORKDIR)
		hash_text(&h, s->config.workdir);
	else
		rc = plan_copy(p, s, &h);
	end_key(&h, s->key);
	s->changes = true;
	return rc;
}

static int plan_step(const struct planning *p, struct plan_stage *stage, const struct dockerfile_step *step)
{
	const struct config_args args = { p->in->args, &p->outer.args };
	stage->steps = mem_grow(stage->steps, stage->count + 1, sizeof(*stage->steps));
	struct plan_step *s = &stage->steps[stage->count++];
	*s = (struct plan_step){ .step = step, .mode = -1, .from = PLAN_NO_STAGE };
	memcpy(s->key, stage->key, sizeof(s->key));
	int own = image_config_step(&stage->config, p->in->file->escape, step, &args, p->err);
	image_config_copy(&s->config, &stage->config);
	if (own < 0)
		return -1;
	if ((!own || step->verb == DOCKERFILE_WORKDIR) && plan_disk(p, stage, s))
		return -1;
	memcpy(stage->key, s->key, sizeof(stage->key));
	return 0;
}

/* ---- stages ---- */

static int begin_with_image(const struct planning *p, struct plan_stage *stage, const char *reference)
{
	auto_free char *digest = NULL;
	struct hasher h;
	if (!strcmp(reference, "scratch")) {
		err_set(p->err, ERR_INVALID, "FROM scratch is not supported: steps need a system that boots");
		return err_hint(p->err, "begin with base, debian, or an image of a registry");
	}
	if (p->in->image(p->in->arg, reference, &stage->image, &digest, &stage->config, p->err))
		return -1;
	hasher_init(&h);
	hash_text(&h, digest);
	hash_text(&h, p->in->salt);
	end_key(&h, stage->key);
	return 0;
}

static int plan_from(struct planning *p, const struct dockerfile_step *step)
{
	struct plan *plan = p->plan;
	auto_free char *reference = image_config_expand(&p->outer, p->in->file->escape, step->words[0], p->err);
	size_t base = PLAN_NO_STAGE;
	if (!reference)
		return -1;
	if (!*reference)
		return err_set(p->err, ERR_INVALID, "FROM %.80s names nothing", step->words[0]);
	bool of_stage = plan->count && find_stage(p, reference, &base) && plan->stages[base].as;
	plan->stages = mem_grow(plan->stages, plan->count + 1, sizeof(*plan->stages));
	struct plan_stage *stage = &plan->stages[plan->count++];
	*stage = (struct plan_stage){ .as = step->as, .base = of_stage ? base : PLAN_NO_STAGE };
	if (of_stage) {
		image_config_copy(&stage->config, &plan->stages[base].config);
		strings_free(&stage->config.args);
		stage->config.own_cmd = false;
		memcpy(stage->key, plan->stages[base].key, sizeof(stage->key));
	} else if (begin_with_image(p, stage, reference)) {
		return -1;
	}
	memcpy(stage->start, stage->key, sizeof(stage->start));
	return 0;
}

static void mark_needed(struct plan *plan)
{
	plan->stages[plan->count - 1].needed = true;
	for (size_t i = plan->count; i-- > 0;) {
		const struct plan_stage *stage = &plan->stages[i];
		if (!stage->needed)
			continue;
		if (stage->base != PLAN_NO_STAGE)
			plan->stages[stage->base].needed = true;
		for (size_t k = 0; k < stage->count; k++)
			if (stage->steps[k].from != PLAN_NO_STAGE)
				plan->stages[stage->steps[k].from].needed = true;
	}
}

static int plan_one(struct planning *p, const struct dockerfile_step *step)
{
	const struct config_args args = { p->in->args, NULL };
	if (step->verb == DOCKERFILE_FROM)
		return plan_from(p, step);
	if (p->plan->count)
		return plan_step(p, &p->plan->stages[p->plan->count - 1], step);
	return image_config_step(&p->outer, p->in->file->escape, step, &args, p->err) < 0 ? -1 : 0;
}

int build_plan_make(const struct plan_inputs *in, struct plan *out, struct err *err)
{
	struct planning p = { .in = in, .plan = out, .err = err };
	const struct dockerfile *file = in->file;
	int rc = 0;

	*out = (struct plan){ .file = file };
	image_config_read(NULL, &p.outer);
	for (size_t i = 0; rc == 0 && i < file->count; i++) {
		rc = plan_one(&p, &file->steps[i]);
		if (rc && !(err && err->sys))
			dockerfile_at(file, &file->steps[i], err);
	}
	image_config_free(&p.outer);
	if (rc == 0)
		mark_needed(out);
	return rc;
}

void build_plan_free(struct plan *p)
{
	for (size_t i = 0; i < p->count; i++) {
		struct plan_stage *stage = &p->stages[i];
		for (size_t k = 0; k < stage->count; k++) {
			struct plan_step *s = &stage->steps[k];
			image_config_free(&s->config);
			strings_free(&s->words);
			context_pick_free(&s->pick);
			free(s->chown);
		}
		free(stage->steps);
		free(stage->image);
		image_config_free(&stage->config);
	}
	free(p->stages);
	*p = (struct plan){ 0 };
}
