#include "cli/build/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/build/builder.h"
#include "cli/build/plan.h"
#include "cli/build/source.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SOURCE "build of a Dockerfile, "
#define OLD_MS ((int64_t)14 * 24 * 3600 * 1000)
#define SHOWN_MAX 120

struct build {
	struct cli *cli;
	const struct build_spec *spec;
	struct client client;
	struct builder builder;
	struct dockerfile file;
	struct context *context;
	struct strings args;
	struct plan plan;
	struct strings snapshots, old; /* names: of all builds, and of those that are old */
	unsigned at, steps;	       /* progress */
};

/* ---- what is said ---- */

static void say(const struct plan_step *s, unsigned at, unsigned of, const char *how)
{
	(void)fprintf(stderr, "[%u/%u] %s%.*s%s\n", at, of, how, SHOWN_MAX, s->step->text,
		strlen(s->step->text) > SHOWN_MAX ? "..." : "");
}

/* ---- layers that are there ---- */

static char *layer_name(const char *key)
{
	return mem_printf(BUILDER_SNAPSHOT "%.*s", BUILDER_KEY, key);
}

static bool is_in(const struct strings *s, const char *text)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i], text))
			return true;
	return false;
}

static bool has_layer(const struct build *b, const char *key)
{
	auto_free char *name = layer_name(key);
	return is_in(&b->snapshots, name);
}

static int list_layers(struct build *b, struct err *err)
{
	struct call call = { .op = SBX_OP_LIST_SNAPSHOTS, .query = { { "all", "true" } } };
	auto_js *v = client_json(&b->client, &call, err);
	char limit[CLOCK_RFC3339_LEN];
	clock_rfc3339(clock_wall_ms() - OLD_MS, limit);
	js_each (s, js_get(v, "snapshots")) {
		const char *name = js_str(js_get(s, "name"), "");
		if (!str_starts(name, BUILDER_SNAPSHOT))
			continue;
		strings_add(&b->snapshots, name);
		/* times of this form are in order as texts */
		if (strcmp(js_str(js_get(s, "createdAt"), limit), limit) < 0)
			strings_add(&b->old, name);
	}
	return v ? 0 : -1;
}

/* Those of this build are still of use. */
static void remove_old(struct build *b)
{
	for (size_t i = 0; i < b->old.n; i++) {
		bool used = false;
		for (size_t k = 0; k < b->plan.count; k++)
			for (size_t j = 0; j < b->plan.stages[k].count; j++) {
				auto_free char *name = layer_name(b->plan.stages[k].steps[j].key);
				used |= !strcmp(name, b->old.v[i]);
			}
		struct call call = { .op = SBX_OP_DELETE_SNAPSHOT, .path = { b->old.v[i] } };
		if (!used)
			(void)client_call(&b->client, &call, NULL, NULL); /* another build may have done it */
	}
}

/* ---- steps ---- */

static int run_step(struct build *b, const struct plan_step *s, struct err *err)
{
	int code = builder_run(&b->builder, &s->config, &s->words, err);
	if (code <= 0)
		return code;
	return err_set(err, ERR_STATE, "RUN ended with exit code %d: %.*s", code, SHOWN_MAX, s->step->text + strlen("RUN "));
}

/* Where files go: into a folder, as they are called or under a name. */
struct target {
	char *folder, *name;
	bool fresh; /* the folder is not there yet */
};

static int find_target(struct build *b, const char *path, bool many, struct target *out, struct err *err)
{
	bool slash = str_ends(path, "/");
	int folder = builder_is_folder(&b->builder, path, err);
	if (folder < 0)
		return -1;
	out->fresh = !folder;
	if (many || slash || folder) {
		out->folder = mem_strdup(path);
		return 0;
	}
	const char *last = strrchr(path, '/');
	out->name = mem_strdup(last + 1);
	out->folder = last == path ? mem_strdup("/") : mem_strndup(path, (size_t)(last - path));
	out->fresh = false; /* root's, and as folders are */
	return 0;
}

static void target_free(struct target *t)
{
	free(t->folder);
	free(t->name);
}

static int unpack_archive(struct build *b, const struct context_file *f, const char *folder, struct err *err)
{
	if (builder_unpack_begin(&b->builder, folder, err))
		return -1;
	return builder_unpack_end(&b->builder, context_unpack(f->path, builder_unpack_feed, &b->builder, err), err);
}

static int copy_files(struct build *b, const struct plan_step *s, const struct context_owner *owner, struct err *err)
{
	const char *path = s->words.v[s->words.n - 1];
	const struct context_pick *pick = &s->pick;
	struct target t = { 0 };
	if (s->step->verb == DOCKERFILE_ADD && pick->tops == 1 && !pick->folder && context_is_archive(pick->v[0].path))
		return unpack_archive(b, &pick->v[0], path, err);
	int rc = find_target(b, path, pick->tops > 1 || pick->folder, &t, err);
	if (rc == 0 && pick->tops > 1 && t.fresh && !str_ends(path, "/")) {
		err_set(err, ERR_INVALID, "several sources need a folder as their target");
		rc = err_hint(err, "write '%.80s/'", path);
	}
	const struct context_goal goal = { .owner = *owner, .as = t.name, .top = t.fresh };
	if (rc == 0)
		rc = builder_unpack_begin(&b->builder, t.folder, err);
	if (rc == 0)
		rc = builder_unpack_end(&b->builder, context_pack(pick, &goal, builder_unpack_feed, &b->builder, err), err);
	target_free(&t);
	return rc;
}

static int copy_step(struct build *b, const struct plan_step *s, struct err *err)
{
	struct context_owner owner = { .mode = s->mode };
	if (s->chown && builder_owner(&b->builder, s->chown, &owner, err))
		return -1;
	return copy_files(b, s, &owner, err);
}

/* ---- from another stage ---- */

static const char *start_of(const struct build *b, size_t stage, struct builder_start *start, char **name)
{
	const struct plan_stage *g = &b->plan.stages[stage];
	*start = (struct builder_start){ .memory_mb = b->spec->memory_mb, .vcpus = b->spec->vcpus };
	for (size_t i = g->count; i-- > 0;) {
		if (!g->steps[i].changes)
			continue;
		start->snapshot = *name = layer_name(g->steps[i].key);
		return *name;
	}
	if (g->base != PLAN_NO_STAGE)
		return start_of(b, g->base, start, name);
	return start->image = g->image;
}

static int move(struct build *b, struct builder *from, const char *source, const char *path, bool many, struct err *err)
{
	struct target t = { 0 };
	int folder = builder_is_folder(from, source, err);
	if (folder < 0 || find_target(b, path, many || folder, &t, err))
		return -1;
	const char *last = strrchr(source, '/');
	auto_free char *tree = folder ? mem_printf("%s/.", source) : mem_strdup(source);
	const char *as = folder ? "." : t.name ? t.name : last ? last + 1 : source;
	struct call get = { .op = SBX_OP_DOWNLOAD_ARCHIVE,
		.path = { from->sandbox },
		.query = { { "path", tree }, { "name", as }, { "user", "0" } } };
	const char *data;
	size_t n;
	int rc = client_begin(from->c, &get, err) || client_head(from->c, err) ? -1 : 0;
	if (rc)
		err_prefix(err, "'%s' of the stage", source);
	else
		rc = builder_unpack_begin(&b->builder, t.folder, err);
	if (rc == 0) {
		while ((rc = client_read(from->c, &data, &n, err)) == 1)
			if ((rc = builder_unpack_feed(&b->builder, data, n, err)))
				break;
		rc = builder_unpack_end(&b->builder, rc, err);
	}
	target_free(&t);
	return rc;
}

static int move_step(struct build *b, const struct plan_step *s, struct err *err)
{
	struct client side;
	struct builder_start start;
	auto_free char *name = NULL;
	client_init(&side, b->client.ep);
	side.cancel_fd = b->client.cancel_fd;
	side.timeout_ms = 0;
	struct builder from = { .cli = b->cli, .c = &side };
	start_of(b, s->from, &start, &name);
	int rc = builder_make(&from, &start, err);
	for (size_t i = 0; rc == 0 && i + 1 < s->words.n; i++) {
		const char *source = s->words.v[i];
		auto_free char *full = *source == '/' ? mem_strdup(source) : mem_printf("/%s", source);
		for (size_t n = strlen(full); n > 1 && full[n - 1] == '/';)
			full[--n] = '\0';
		rc = move(b, &from, full, s->words.v[s->words.n - 1], s->words.n > 2, err);
	}
	builder_remove(&from);
	client_close(&side);
	return rc;
}

/* ---- stages ---- */

static int do_step(struct build *b, const struct plan_step *s, struct err *err)
{
	say(s, ++b->at, b->steps, "");
	if (!s->changes)
		return 0;
	int rc;
	if (s->step->verb == DOCKERFILE_RUN)
		rc = run_step(b, s, err);
	else if (s->step->verb == DOCKERFILE_WORKDIR)
		rc = builder_mkdir(&b->builder, s->config.workdir, err);
	else
		rc = s->from == PLAN_NO_STAGE ? copy_step(b, s, err) : move_step(b, s, err);
	if (rc) {
		if (!err || err->sys != EINTR)
			dockerfile_at(&b->file, s->step, err);
		return -1;
	}
	return builder_snapshot(&b->builder, s->key, err);
}

/* So many of its steps need not be done again. */
static size_t cached_steps(const struct build *b, const struct plan_stage *g)
{
	size_t n = 0;
	if (b->spec->no_cache)
		return 0;
	for (size_t i = 0; i < g->count; i++)
		if (g->steps[i].changes && has_layer(b, g->steps[i].key))
			n = i + 1;
	while (n < g->count && !g->steps[n].changes)
		n++;
	return n;
}

static int start_stage(struct build *b, size_t stage, size_t cached, struct err *err)
{
	const struct plan_stage *g = &b->plan.stages[stage];
	struct builder_start start = { .memory_mb = b->spec->memory_mb, .vcpus = b->spec->vcpus };
	auto_free char *name = NULL;
	for (size_t i = cached; i-- > 0 && !name;)
		if (g->steps[i].changes)
			name = layer_name(g->steps[i].key);
	start.snapshot = name;
	if (!name && g->base != PLAN_NO_STAGE)
		start_of(b, g->base, &start, &name);
	else
		start.image = g->image;
	return builder_make(&b->builder, &start, err);
}

static int do_stage(struct build *b, size_t stage, struct err *err)
{
	const struct plan_stage *g = &b->plan.stages[stage];
	bool last = stage + 1 == b->plan.count;
	size_t cached = cached_steps(b, g);
	for (size_t i = 0; i < cached; i++)
		say(&g->steps[i], ++b->at, b->steps, g->steps[i].changes ? "CACHED " : "");
	if (cached == g->count && !last)
		return 0;
	int rc = start_stage(b, stage, cached, err);
	for (size_t i = cached; rc == 0 && i < g->count; i++)
		rc = do_step(b, &g->steps[i], err);
	if (rc == 0 && !last)
		builder_remove(&b->builder);
	return rc;
}

/* ---- the image ---- */

/* The image that this build has made before, with another name. */
static js *again(struct build *b, const char *source, const char *tag, struct err *err)
{
	struct call list = { .op = SBX_OP_LIST_IMAGES };
	auto_js *v = client_json(&b->client, &list, err);
	const char *digest = NULL;
	js_each (image, js_get(v, "images"))
		if (str_same(js_str(js_get(image, "source"), NULL), source))
			digest = js_str(js_get(image, "digest"), NULL);
	if (!digest)
		return NULL;
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "tag", tag);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_TAG_IMAGE, .path = { digest }, .json = &body };
	return client_json(&b->client, &call, err);
}

static js *make_image(struct build *b, const char *tag, struct err *err)
{
	char key[HASH_HEX + 1];
	build_plan_key(&b->plan, key);
	auto_free char *source = mem_printf(SOURCE "%.32s", key);
	js *image = b->spec->no_cache ? NULL : again(b, source, tag, err);
	for (size_t i = 0; image && i < b->plan.count; i++)
		for (size_t k = 0; b->plan.stages[i].needed && k < b->plan.stages[i].count; k++)
			say(&b->plan.stages[i].steps[k], ++b->at, b->steps, b->plan.stages[i].steps[k].changes ? "CACHED " : "");
	if (image || (err && err->code != ERR_OK))
		return image;
	for (size_t i = 0; i < b->plan.count; i++)
		if (b->plan.stages[i].needed && do_stage(b, i, err))
			return NULL;
	(void)fprintf(stderr, "making the image '%s'\n", tag);
	return builder_commit(&b->builder, &b->plan.stages[b->plan.count - 1].config, tag, source, err);
}

static int find_image(void *arg, const char *reference, char **name, char **digest, struct image_config *config, struct err *err)
{
	struct build *b = arg;
	return source_find(&b->client, reference, name, digest, config, err);
}

static int make_plan(struct build *b, struct err *err)
{
	auto_free char *salt = mem_printf("%lld %lld", (long long)b->spec->memory_mb, (long long)b->spec->vcpus);
	const struct plan_inputs in = {
		.file = &b->file, .context = b->context, .args = &b->args, .salt = salt, .image = find_image, .arg = b
	};
	if (build_plan_make(&in, &b->plan, err))
		return -1;
	for (size_t i = 0; i < b->plan.count; i++)
		b->steps += b->plan.stages[i].needed ? (unsigned)b->plan.stages[i].count : 0;
	return 0;
}

/* ---- what is given ---- */

bool build_is_context(const char *word)
{
	struct stat st;
	return strchr(word, '/') || !strcmp(word, ".") || !strcmp(word, "..") || stat(word, &st) == 0;
}

static int read_args(struct build *b, struct err *err)
{
	for (size_t i = 0; b->spec->args && i < b->spec->args->n; i++) {
		const char *arg = b->spec->args->v[i];
		size_t n = strcspn(arg, "=");
		auto_free char *name = mem_strndup(arg, n);
		const char *value = arg[n] ? arg + n + 1 : getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody changes it */
		if (!n)
			return err_set(err, ERR_USAGE, "--build-arg '%s' has no name", arg);
		if (value)
			strings_set(&b->args, name, n, value);
	}
	return 0;
}

static void warn_unused(const struct build *b)
{
	for (size_t i = 0; i < b->args.n; i++) {
		size_t n = strcspn(b->args.v[i], "=");
		bool used = false;
		for (size_t k = 0; k < b->file.count; k++)
			for (size_t j = 0; b->file.steps[k].verb == DOCKERFILE_ARG && j < b->file.steps[k].count; j++)
				used |= !strncmp(b->file.steps[k].words[j], b->args.v[i], n) &&
					strchr("=", b->file.steps[k].words[j][n]);
		if (!used)
			cli_warn(b->cli, "no ARG takes --build-arg %.*s", (int)n, b->args.v[i]);
	}
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return !slash ? mem_strdup(".") : slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static int read_files(struct build *b, char **dir, struct err *err)
{
	const char *from = b->spec->from;
	struct stat st;
	auto_buf text = BUF_INIT;
	if (stat(from, &st))
		return err_sys(err, errno, "cannot look at '%s'", from);
	if (!S_ISDIR(st.st_mode) && b->spec->file)
		return err_set(err, ERR_USAGE, "with --file, '%s' must be the folder to build from", from);
	*dir = S_ISDIR(st.st_mode) ? mem_strdup(from) : folder_of(from);
	auto_free char *inside = fs_join(from, "Dockerfile");
	const char *file = b->spec->file ? b->spec->file : S_ISDIR(st.st_mode) ? inside : from;
	auto_free char *ignore = mem_printf("%s.dockerignore", file);
	if (!S_ISDIR(st.st_mode) || b->spec->file || fs_exists(file)) {
		if (fs_read(file, DOCKERFILE_MAX, &text, err))
			return -1;
	} else {
		err_set(err, ERR_NOT_FOUND, "there is no '%s'", file);
		return err_hint(err, "name it with --file");
	}
	if (dockerfile_parse(file, text.p, text.len, &b->file, err))
		return -1;
	b->context = context_open(*dir, ignore, err);
	return b->context ? 0 : -1;
}

/* Without --tag an image is called as the folder. */
static char *tag_of(const struct build *b, const char *dir)
{
	if (b->spec->tag)
		return mem_strdup(b->spec->tag);
	auto_free char *real = realpath(dir, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;
	char *tag = mem_strdup(slash && slash[1] ? slash + 1 : "image");
	for (char *p = tag; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return tag;
}

static int build(struct build *b, struct err *err)
{
	auto_free char *dir = NULL;
	if (read_args(b, err) || read_files(b, &dir, err))
		return -1;
	warn_unused(b);
	auto_free char *tag = tag_of(b, dir);
	if (make_plan(b, err) || list_layers(b, err))
		return -1;
	auto_js *image = make_image(b, tag, err);
	if (!image)
		return -1;
	remove_old(b);
	if (b->cli->format == FORMAT_TABLE)
		buf_fmt(&b->cli->out, "%s\n", js_str(js_get(image, "name"), ""));
	cli_document(b->cli, image);
	return 0;
}

static void build_free(struct build *b)
{
	builder_remove(&b->builder);
	build_plan_free(&b->plan);
	dockerfile_free(&b->file);
	context_close(b->context);
	strings_free(&b->args);
	strings_free(&b->snapshots);
	strings_free(&b->old);
	client_close(&b->client);
}

int build_run(struct cli *cli, const struct build_spec *spec, struct err *err)
{
	struct build b = { .cli = cli, .spec = spec };
	struct err why = ERR_INIT;
	/* from here on signals are ours: none may end us before the sandbox is removed */
	auto_fd int sig_fd = cli_signal_fd(err);
	if (sig_fd < 0 || cli_client(cli, &b.client, err))
		return -1;
	b.client.cancel_fd = sig_fd;
	b.client.timeout_ms = 0; /* commands take as long as they take */
	b.builder = (struct builder){ .cli = cli, .c = &b.client };
	int rc = build(&b, &why);
	build_free(&b);
	if (rc && why.sys == EINTR)
		return cli_signal_code(sig_fd);
	if (rc && err)
		*err = why;
	return rc;
}
