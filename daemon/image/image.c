#include "daemon/image/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/image/bundle.h"
#include "daemon/image/hash.h"
#include "daemon/image/input.h"
#include "daemon/image/recipe.h"
#include "daemon/image/rootfs.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define KEY_LENGTH 16
#define JSON_MAX ((size_t)64 << 10)
#define MEMORY_MB 256			/* of an image that says nothing about it */
#define PRUNE_AFTER_MS (10 * 60 * 1000) /* another process may be about to start a VM on it */

const char *const *image_recipes(void)
{
	return recipe_names();
}

unsigned image_memory_mb(const char *name)
{
	const struct recipe *r = recipe_find(name);
	return r ? r->memory_mb : MEMORY_MB;
}

void image_free(struct image *image)
{
	for (char **w = image->warm; w && *w; w++)
		free(*w);
	free((void *)image->warm);
	free(image->name);
	free(image->key);
	free(image->dir);
	free(image->kernel);
	free(image->initrd);
	free(image->rootfs);
	free(image->kernel_version);
	*image = (struct image){ 0 };
}

static void make_key(const struct buf *text, char out[KEY_LENGTH + 1])
{
	char sha[HASH_HEX];

	hash_bytes(text->p, text->len, sha);
	memcpy(out, sha, KEY_LENGTH);
	out[KEY_LENGTH] = '\0';
}

/* ---- image.json ---- */

static char **load_strings(const js *list)
{
	size_t n = 0;
	char **out = mem_array(js_count(list) + 1, sizeof(*out));

	for (const js *v = js_first(list); v; v = js_next(v))
		if (js_type(v) == JS_STRING)
			out[n++] = mem_strdup(js_str(v, ""));
	return out;
}

/* All but what comes from the bundle; its key is that of the root filesystem alone. */
static int load(const char *dir, struct image *out, js **json, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "image.json");
	int64_t memory = MEMORY_MB;

	*out = (struct image){ 0 };
	if (fs_read(path, JSON_MAX, &text, err))
		return -1;
	auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!v) {
		err_prefix(err, "'%s'", path);
		return -1;
	}
	js_int(js_get(v, "memoryMb"), &memory);
	js_int(js_get(v, "createdWallMs"), &out->created_wall_ms);
	out->name = mem_strdup(js_str(js_get(v, "name"), ""));
	out->key = mem_strdup(js_str(js_get(v, "key"), ""));
	out->dir = mem_strdup(dir);
	out->rootfs = fs_join(dir, "rootfs.ext4");
	out->warm = load_strings(js_get(v, "warm"));
	out->memory_mb = (unsigned)memory;
	if (json)
		*json = mem_steal(&v);
	return 0;
}

/* Takes what is in the bundle. */
static void join(struct image *image, struct bundle *bundle)
{
	auto_buf text = BUF_INIT;
	char key[KEY_LENGTH + 1];

	buf_fmt(&text, "rootfs=%s\nkernel=%s\n", image->key, bundle->key);
	make_key(&text, key);
	free(image->key);
	image->key = mem_strdup(key);
	image->kernel = mem_steal(&bundle->kernel);
	image->initrd = mem_steal(&bundle->initrd);
	image->kernel_version = mem_steal(&bundle->release);
	image->size_bytes = fs_allocated(image->kernel) + fs_allocated(image->initrd) + fs_allocated(image->rootfs);
	bundle_free(bundle);
}

int image_open(const char *cache, const char *dir, struct image *out, struct err *err)
{
	struct bundle bundle;
	int r = bundle_find(cache, &bundle, err);

	*out = (struct image){ 0 };
	if (r != 1)
		return r;
	if (load(dir, out, NULL, err)) {
		bundle_free(&bundle);
		return -1;
	}
	join(out, &bundle);
	return 1;
}

static int save(const char *dir, const char *key, const struct recipe *recipe, const struct input *busybox, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "image.json");
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "name", recipe->name);
	jw_kstr(&w, "key", key);
	jw_kint(&w, "recipe", recipe->version);
	jw_kint(&w, "memoryMb", recipe->memory_mb);
	jw_key(&w, "warm");
	jw_arr(&w);
	for (const char *const *c = recipe->warm; *c; c++)
		jw_str(&w, *c);
	jw_arr_end(&w);
	if (recipe->busybox)
		input_write(&w, "busybox", busybox);
	jw_kint(&w, "createdWallMs", clock_wall_ms());
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return fs_write_atomic(path, text.p, text.len, 0644, err);
}

/* ---- the cache ---- */

/* Call fn for each complete image in the cache until it returns non-zero. fn owns what it is given. */
typedef int image_fn(void *arg, struct image *image, const js *json);

static int for_each_image(const char *cache, const char *name, image_fn *fn, void *arg, struct err *err)
{
	auto_free char *dir = fs_join(cache, "images");
	DIR *d = opendir(dir);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot read '%s'", dir);
	while (!r && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		struct image image;
		js *json = NULL;
		auto_free char *path = fs_join(dir, e->d_name);
		/* a folder without a readable image.json is no image */
		if (e->d_name[0] == '.' || load(path, &image, &json, NULL))
			continue;
		if (name && strcmp(name, image.name) != 0)
			image_free(&image);
		else
			r = fn(arg, &image, json);
		js_free(json);
	}
	closedir(d);
	return r < 0 ? -1 : 0;
}

struct find {
	const struct recipe *recipe;
	struct input busybox;
	struct image *out;
	bool found;
};

static int find_one(void *arg, struct image *image, const js *json)
{
	struct find *f = arg;
	int64_t version = 0;

	if (js_int(js_get(json, "recipe"), &version) || version != f->recipe->version ||
		(f->found && image->created_wall_ms < f->out->created_wall_ms) ||
		(f->recipe->busybox && !input_same(&f->busybox, js_get(json, "busybox")))) {
		image_free(image);
		return 0;
	}
	if (f->found)
		image_free(f->out);
	*f->out = *image;
	f->found = true;
	return 0;
}

static int read_busybox(const struct recipe *recipe, struct input *in, struct err *err)
{
	*in = (struct input){ 0 };
	if (!recipe->busybox)
		return 0;
	in->path = rootfs_busybox(err);
	return in->path ? input_stat(in, err) : -1;
}

/* The root filesystem alone. */
static int find_rootfs(const char *cache, const struct recipe *recipe, struct image *out, struct err *err)
{
	struct find f = { .recipe = recipe, .out = out };
	int r = -1;

	if (!read_busybox(recipe, &f.busybox, err))
		r = for_each_image(cache, recipe->name, find_one, &f, err);
	input_free(&f.busybox);
	return r ? -1 : f.found;
}

int image_find(const char *cache, const char *name, struct image *out, struct err *err)
{
	const struct recipe *recipe = recipe_find(name);
	struct bundle bundle;

	*out = (struct image){ 0 };
	int r = recipe ? bundle_find(cache, &bundle, err) : 0;
	if (r != 1)
		return r;
	r = find_rootfs(cache, recipe, out, err);
	if (r == 1)
		join(out, &bundle);
	bundle_free(&bundle);
	return r;
}

bool image_in_use(const char *path)
{
	/* QEMU holds read locks on bytes 100 to 263 of every disk that it has open, backing files too (block/file-posix.c) */
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 200 };
	auto_fd int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno != ENOENT;
	return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

static int prune_one(void *arg, struct image *image, const js *json)
{
	const char *keep = arg;
	auto_free char *path = fs_join(image->dir, "image.json");

	(void)json;
	/* image.json first: if we are killed on the way, what is left must not count as an image */
	if (strcmp(image->key, keep) != 0 && clock_wall_ms() - image->created_wall_ms > PRUNE_AFTER_MS &&
		!image_in_use(image->rootfs) && !unlink(path))
		fs_remove_tree(image->dir, NULL);
	image_free(image);
	return 0;
}

/* ---- building ---- */

struct build {
	const char *cache, *tmp;
	const struct recipe *recipe;
	struct input busybox;
	image_progress *progress;
	void *arg;
	struct err *err;
};

static int build_disk(const struct build *b, const char *dir)
{
	auto_free char *disk = fs_join(dir, "rootfs.ext4");
	struct disk_job job = { .cache = b->cache,
		.tmp = b->tmp,
		.disk = disk,
		.busybox = b->busybox.path,
		.progress = b->progress,
		.arg = b->arg,
		.err = b->err };

	return b->recipe->make(&job);
}

/* Everything in a temporary folder, made visible by one rename. */
static int build_into(const struct build *b, const char *key, const char *final)
{
	auto_free char *dir = fs_join(b->tmp, "image");

	if (fs_mkdirs(dir, 0755, b->err) || build_disk(b, dir) || save(dir, key, b->recipe, &b->busybox, b->err))
		return -1;
	fs_remove_tree(final, NULL); /* an incomplete one: a complete one would have been found */
	return rename(dir, final) ? err_sys(b->err, errno, "cannot rename '%s'", dir) : 0;
}

static void rootfs_key(const struct build *b, char out[KEY_LENGTH + 1])
{
	auto_buf text = BUF_INIT;

	buf_fmt(&text, "recipe=%d\nname=%s\n", b->recipe->version, b->recipe->name);
	if (b->recipe->busybox)
		buf_fmt(&text, "busybox=%s\n", b->busybox.sha);
	make_key(&text, out);
}

/* Under the lock of the name. */
static int build_rootfs(struct build *b, const char *images, struct image *out)
{
	char key[KEY_LENGTH + 1];
	auto_free char *tmp = mem_printf("%s/.tmp-%s", images, b->recipe->name);

	if (b->busybox.path && input_hash(&b->busybox, b->err))
		return -1;
	rootfs_key(b, key);
	auto_free char *dir = mem_printf("%s/%s-%s", images, b->recipe->name, key);
	if (!load(dir, out, NULL, NULL))
		return 0;
	b->tmp = tmp;
	/* we hold the lock, so what is there was left by a build that died */
	int r = fs_remove_tree(tmp, b->err) || fs_mkdirs(tmp, 0755, b->err) || build_into(b, key, dir) ? -1 : 0;
	fs_remove_tree(tmp, NULL);
	if (r || load(dir, out, NULL, b->err))
		return -1;
	for_each_image(b->cache, b->recipe->name, prune_one, out->key, NULL);
	return 0;
}

static int build_locked(struct build *b, struct image *out)
{
	auto_free char *images = fs_join(b->cache, "images");
	auto_free char *lock_path = mem_printf("%s/.lock-%s", images, b->recipe->name);

	if (fs_mkdirs(images, 0755, b->err))
		return -1;
	auto_fd int lock = fs_lock(lock_path, true, b->err);
	if (lock < 0)
		return -1;
	int r = read_busybox(b->recipe, &b->busybox, b->err);
	if (!r)
		r = build_rootfs(b, images, out);
	input_free(&b->busybox);
	return r;
}

static int unknown_name(const char *name, struct err *err)
{
	auto_buf names = BUF_INIT;

	for (const char *const *n = recipe_names(); *n; n++)
		buf_fmt(&names, "%s%s", n == recipe_names() ? "" : ", ", *n);
	err_set(err, ERR_NOT_FOUND, "no image named '%s'", name);
	return err_hint(err, "images that can be built: %s", names.p);
}

int image_build(const char *cache, const char *name, image_progress *progress, void *arg, struct image *out, struct err *err)
{
	struct build b = { .cache = cache, .recipe = recipe_find(name), .progress = progress, .arg = arg, .err = err };
	struct bundle bundle;

	*out = (struct image){ 0 };
	if (!b.recipe)
		return unknown_name(name, err);
	if (bundle_build(cache, progress, arg, &bundle, err))
		return -1;
	int r = build_locked(&b, out);
	if (!r)
		join(out, &bundle);
	bundle_free(&bundle);
	return r;
}
