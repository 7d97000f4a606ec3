#include "daemon/image/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/image/input.h"
#include "daemon/image/kernel.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define RECIPE_VERSION 1 /* raise when the same kernel and agent shall give another bundle */
#define KEY_LENGTH 16
#define JSON_MAX ((size_t)64 << 10)
#define PRUNE_AFTER_MS (10 * 60 * 1000) /* another process may be about to boot it */

void bundle_free(struct bundle *b)
{
	free(b->key);
	free(b->dir);
	free(b->kernel);
	free(b->initrd);
	free(b->release);
	*b = (struct bundle){ 0 };
}

static int load(const char *dir, struct bundle *out, js **json, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "kernel.json");

	*out = (struct bundle){ 0 };
	if (fs_read(path, JSON_MAX, &text, err))
		return -1;
	auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!v) {
		err_prefix(err, "'%s'", path);
		return -1;
	}
	out->key = mem_strdup(js_str(js_get(v, "key"), ""));
	out->release = mem_strdup(js_str(js_get(v, "release"), ""));
	out->dir = mem_strdup(dir);
	out->kernel = fs_join(dir, "vmlinux");
	out->initrd = fs_join(dir, "initrd");
	js_int(js_get(v, "createdWallMs"), &out->created_wall_ms);
	if (json)
		*json = mem_steal(&v);
	return 0;
}

/* ---- the cache ---- */

/* Call fn for each complete bundle. fn owns what it is given. */
typedef void bundle_fn(void *arg, struct bundle *b, const js *json);

static int for_each(const char *cache, bundle_fn *fn, void *arg, struct err *err)
{
	auto_free char *dir = fs_join(cache, "kernels");
	DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot read '%s'", dir);
	while ((e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		struct bundle b;
		js *json = NULL;
		auto_free char *path = fs_join(dir, e->d_name);

		if (e->d_name[0] != '.' && !load(path, &b, &json, NULL))
			fn(arg, &b, json);
		js_free(json);
	}
	closedir(d);
	return 0;
}

struct find {
	struct input agent;
	struct bundle *out;
	bool found;
};

static void find_one(void *arg, struct bundle *b, const js *json)
{
	struct find *f = arg;
	int64_t recipe = 0;

	if (js_int(js_get(json, "recipe"), &recipe) || recipe != RECIPE_VERSION ||
		(f->found && b->created_wall_ms < f->out->created_wall_ms) || !input_same(&f->agent, js_get(json, "agent"))) {
		bundle_free(b);
		return;
	}
	if (f->found)
		bundle_free(f->out);
	*f->out = *b;
	f->found = true;
}

int bundle_find(const char *cache, struct bundle *out, struct err *err)
{
	struct find f = { .out = out };
	int r = -1;

	*out = (struct bundle){ 0 };
	if (!input_agent(&f.agent, err))
		r = for_each(cache, find_one, &f, err);
	input_free(&f.agent);
	return r ? -1 : f.found;
}

/* A kernel is only read while a template boots: its age is enough. */
static void prune_one(void *arg, struct bundle *b, const js *json)
{
	const char *keep = arg;
	auto_free char *path = fs_join(b->dir, "kernel.json");

	(void)json;
	/* kernel.json first: if we are killed on the way, what is left must not count as a bundle */
	if (strcmp(b->key, keep) != 0 && clock_wall_ms() - b->created_wall_ms > PRUNE_AFTER_MS && !unlink(path))
		fs_remove_tree(b->dir, NULL);
	bundle_free(b);
}

/* ---- building ---- */

struct making {
	const char *cache;
	image_progress *progress;
	void *arg;
	struct kernel_package package;
	struct input agent;
	struct err *err;
};

static void say(const struct making *m, const char *text)
{
	if (m->progress)
		m->progress(m->arg, "kernel", text);
}

static void make_key(const struct making *m, char out[KEY_LENGTH + 1])
{
	auto_buf text = BUF_INIT;
	char sha[HASH_HEX];

	buf_fmt(&text, "recipe=%d\nkernel=%s %s\nagent=%s\n", RECIPE_VERSION, m->package.name, m->package.version, m->agent.sha);
	hash_bytes(text.p, text.len, sha);
	memcpy(out, sha, KEY_LENGTH);
	out[KEY_LENGTH] = '\0';
}

static int save(const struct making *m, const char *dir, const char *key, const char *release)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "kernel.json");
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "key", key);
	jw_kint(&w, "recipe", RECIPE_VERSION);
	jw_kstr(&w, "release", release);
	jw_kstr(&w, "package", m->package.name);
	jw_kstr(&w, "packageVersion", m->package.version);
	input_write(&w, "agent", &m->agent);
	jw_kint(&w, "createdWallMs", clock_wall_ms());
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return fs_write_atomic(path, text.p, text.len, 0644, m->err);
}

/* Everything in a temporary folder, made visible by one rename. */
static int make_into(const struct making *m, const char *tmp, const char *key, const char *final)
{
	auto_free char *unpacked = fs_join(tmp, "package");
	auto_free char *dir = fs_join(tmp, "bundle");
	auto_free char *elf = fs_join(dir, "vmlinux");
	auto_free char *initrd = fs_join(dir, "initrd");
	auto_free char *text = mem_printf("%s %s", m->package.name, m->package.version);
	auto_free char *release = NULL;

	say(m, text);
	if (fs_mkdirs(unpacked, 0755, m->err) || fs_mkdirs(dir, 0755, m->err) ||
		kernel_unpack(m->cache, &m->package, unpacked, m->err) || kernel_write_elf(unpacked, elf, &release, m->err) ||
		kernel_write_initrd(unpacked, release, m->agent.path, initrd, m->err) || save(m, dir, key, release))
		return -1;
	fs_remove_tree(final, NULL); /* an incomplete one: a complete one would have been found */
	return rename(dir, final) ? err_sys(m->err, errno, "cannot rename '%s'", dir) : 0;
}

static int make_locked(struct making *m, const char *parent, struct bundle *out)
{
	char key[KEY_LENGTH + 1];
	auto_free char *tmp = fs_join(parent, ".tmp");

	say(m, "asking apt for linux-image-cloud-amd64");
	if (kernel_candidate(&m->package, m->err))
		return bundle_find(m->cache, out, NULL) == 1 ? 0 : -1;
	if (input_hash(&m->agent, m->err))
		return -1;
	make_key(m, key);
	auto_free char *dir = fs_join(parent, key);
	if (!load(dir, out, NULL, NULL))
		return 0;
	/* we hold the lock, so what is there was left by a build that died */
	int r = fs_remove_tree(tmp, m->err) || make_into(m, tmp, key, dir) ? -1 : 0;
	fs_remove_tree(tmp, NULL);
	if (r || load(dir, out, NULL, m->err))
		return -1;
	for_each(m->cache, prune_one, out->key, NULL);
	return 0;
}

int bundle_build(const char *cache, image_progress *progress, void *arg, struct bundle *out, struct err *err)
{
	struct making m = { .cache = cache, .progress = progress, .arg = arg, .err = err };
	auto_free char *parent = fs_join(cache, "kernels");
	auto_free char *lock_path = fs_join(parent, ".lock");

	*out = (struct bundle){ 0 };
	if (fs_mkdirs(parent, 0755, err))
		return -1;
	auto_fd int lock = fs_lock(lock_path, true, err);
	if (lock < 0)
		return -1;
	int r = input_agent(&m.agent, err);
	if (!r)
		r = make_locked(&m, parent, out);
	input_free(&m.agent);
	return r;
}
