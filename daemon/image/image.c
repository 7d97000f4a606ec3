#include "daemon/image/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/hash.h"
#include "daemon/image/kernel.h"
#include "daemon/image/rootfs.h"
#include "daemon/image/sparse.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define RECIPE_VERSION 2 /* raise when the same inputs shall give another image */
#define KEY_LENGTH 16
#define JSON_MAX ((size_t)64 << 10)
#define PRUNE_AFTER_MS (10 * 60 * 1000) /* another process may be about to start a VM on it */

static const char *const recipes[] = { "base", NULL };

/* One file that goes into an image. */
struct input {
	char *path;
	char id[96]; /* size, mtime, inode: equal means unchanged, without reading it */
	char sha[HASH_HEX];
};

struct inputs {
	struct input busybox, agent;
};

const char *const *image_recipes(void)
{
	return recipes;
}

static bool recipe_known(const char *name)
{
	for (const char *const *r = recipes; *r; r++)
		if (!strcmp(*r, name))
			return true;
	return false;
}

void image_free(struct image *image)
{
	free(image->name);
	free(image->key);
	free(image->dir);
	free(image->kernel);
	free(image->initrd);
	free(image->rootfs);
	free(image->kernel_version);
	*image = (struct image){ 0 };
}

void image_list_free(struct image *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		image_free(&list[i]);
	free(list);
}

/* ---- inputs ---- */

static int input_stat(struct input *in, struct err *err)
{
	struct stat st;

	if (stat(in->path, &st))
		return err_sys(err, errno, "cannot read '%s'", in->path);
	snprintf(in->id, sizeof(in->id), "%lld:%lld.%09ld:%llu", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec, (unsigned long long)st.st_ino);
	return 0;
}

static char *agent_path(struct err *err)
{
	const char *set = getenv("SBX_AGENT"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */

	if (set && *set)
		return mem_strdup(set);
	auto_free char *dir = fs_exe_dir(err);
	return dir ? fs_join(dir, "sbx-agent") : NULL;
}

static void inputs_free(struct inputs *in)
{
	free(in->busybox.path);
	free(in->agent.path);
	*in = (struct inputs){ 0 };
}

static int inputs_read(struct inputs *in, struct err *err)
{
	*in = (struct inputs){ 0 };
	in->agent.path = agent_path(err);
	if (!in->agent.path)
		return -1;
	if (input_stat(&in->agent, err))
		return err_hint(err, "the guest agent is built with sbxd: run 'make', or name it in SBX_AGENT");
	in->busybox.path = rootfs_busybox(err);
	if (!in->busybox.path || input_stat(&in->busybox, err))
		return -1;
	return 0;
}

/* Is this the file that an image was made of? Its contents are looked at only when it was touched since. */
static bool input_same(struct input *in, const js *recorded)
{
	if (!strcmp(in->id, js_str(js_get(recorded, "id"), "")))
		return true;
	if (!in->sha[0] && hash_file(in->path, in->sha, NULL))
		return false;
	return !strcmp(in->sha, js_str(js_get(recorded, "sha256"), ""));
}

/* ---- image.json ---- */

static int image_load(const char *dir, struct image *out, js **json, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "image.json");

	*out = (struct image){ 0 };
	if (fs_read(path, JSON_MAX, &text, err))
		return -1;
	auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!v) {
		err_prefix(err, "'%s'", path);
		return -1;
	}
	out->name = mem_strdup(js_str(js_get(v, "name"), ""));
	out->key = mem_strdup(js_str(js_get(v, "key"), ""));
	out->kernel_version = mem_strdup(js_str(js_get(v, "kernelVersion"), ""));
	out->dir = mem_strdup(dir);
	out->kernel = fs_join(dir, "vmlinux");
	out->initrd = fs_join(dir, "initrd");
	out->rootfs = fs_join(dir, "rootfs.ext4");
	js_int(js_get(v, "createdWallMs"), &out->created_wall_ms);
	out->size_bytes = fs_allocated(out->kernel) + fs_allocated(out->initrd) + fs_allocated(out->rootfs);
	if (json)
		*json = mem_steal(&v);
	return 0;
}

static void write_input(struct jw *w, const char *name, const struct input *in)
{
	jw_key(w, name);
	jw_obj(w);
	jw_kstr(w, "path", in->path);
	jw_kstr(w, "id", in->id);
	jw_kstr(w, "sha256", in->sha);
	jw_obj_end(w);
}

static int image_save(
	const char *dir, const struct image *image, const struct kernel_package *kernel, const struct inputs *in, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "image.json");
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "name", image->name);
	jw_kstr(&w, "key", image->key);
	jw_kint(&w, "recipe", RECIPE_VERSION);
	jw_kstr(&w, "kernelVersion", image->kernel_version);
	jw_kstr(&w, "kernelPackage", kernel->name);
	jw_kstr(&w, "kernelPackageVersion", kernel->version);
	write_input(&w, "busybox", &in->busybox);
	write_input(&w, "agent", &in->agent);
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
		if (e->d_name[0] == '.' || image_load(path, &image, &json, NULL))
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
	struct inputs in;
	struct image *out;
	bool found;
};

static int find_one(void *arg, struct image *image, const js *json)
{
	struct find *f = arg;
	int64_t recipe = 0;

	if (js_int(js_get(json, "recipe"), &recipe) || recipe != RECIPE_VERSION ||
		(f->found && image->created_wall_ms < f->out->created_wall_ms) ||
		!input_same(&f->in.agent, js_get(json, "agent")) || !input_same(&f->in.busybox, js_get(json, "busybox"))) {
		image_free(image);
		return 0;
	}
	if (f->found)
		image_free(f->out);
	*f->out = *image;
	f->found = true;
	return 0;
}

int image_find(const char *cache, const char *name, struct image *out, struct err *err)
{
	struct find f = { .out = out };
	int r = -1;

	*out = (struct image){ 0 };
	if (!inputs_read(&f.in, err))
		r = for_each_image(cache, name, find_one, &f, err);
	inputs_free(&f.in);
	return r ? -1 : f.found;
}

struct list {
	struct image *items;
	size_t n;
};

static int list_one(void *arg, struct image *image, const js *json)
{
	struct list *l = arg;

	(void)json;
	l->items = mem_grow(l->items, l->n + 1, sizeof(*l->items));
	l->items[l->n++] = *image;
	return 0;
}

int image_list(const char *cache, struct image **out, size_t *n, struct err *err)
{
	struct list l = { 0 };

	if (for_each_image(cache, NULL, list_one, &l, err)) {
		image_list_free(l.items, l.n);
		return -1;
	}
	*out = l.items;
	*n = l.n;
	return 0;
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
	image_progress *progress;
	void *arg;
	struct kernel_package kernel;
	struct inputs in;
	struct err *err;
};

static void say(const struct build *b, const char *phase, const char *text)
{
	if (b->progress)
		b->progress(b->arg, phase, text);
}

static int build_kernel(struct build *b, const char *dir, char **release)
{
	auto_free char *unpacked = fs_join(b->tmp, "kernel");
	auto_free char *elf = fs_join(dir, "vmlinux");
	auto_free char *initrd = fs_join(dir, "initrd");
	auto_free char *text = mem_printf("%s %s", b->kernel.name, b->kernel.version);

	say(b, "kernel", text);
	if (fs_mkdirs(unpacked, 0755, b->err) || kernel_unpack(b->cache, &b->kernel, unpacked, b->err))
		return -1;
	if (kernel_write_elf(unpacked, elf, release, b->err))
		return -1;
	return kernel_write_initrd(unpacked, *release, b->in.agent.path, initrd, b->err);
}

static int build_disk(struct build *b, const char *dir)
{
	auto_buf owners = BUF_INIT;
	auto_free char *tree = fs_join(b->tmp, "rootfs");
	auto_free char *disk = fs_join(dir, "rootfs.ext4");

	say(b, "rootfs", "busybox and the agent");
	if (rootfs_tree(tree, b->in.busybox.path, b->in.agent.path, &owners, b->err))
		return -1;
	say(b, "disk", "ext4");
	if (rootfs_disk(tree, &owners, b->tmp, disk, b->err))
		return -1;
	auto_fd int fd = open(disk, O_RDWR | O_CLOEXEC);
	if (fd < 0 || sparse_punch(fd, NULL) || fsync(fd))
		return err_sys(b->err, errno, "cannot sync '%s'", disk);
	return 0;
}

/* Everything in a temporary folder, made visible by one rename. */
static int build_into(struct build *b, const struct image *image)
{
	auto_free char *dir = fs_join(b->tmp, "image");
	struct image whole = *image;
	auto_free char *release = NULL;

	if (fs_mkdirs(dir, 0755, b->err) || build_kernel(b, dir, &release) || build_disk(b, dir))
		return -1;
	whole.kernel_version = release;
	if (image_save(dir, &whole, &b->kernel, &b->in, b->err))
		return -1;
	fs_remove_tree(image->dir, NULL); /* an incomplete one: a complete one would have been found */
	if (rename(dir, image->dir))
		return err_sys(b->err, errno, "cannot rename '%s'", dir);
	return 0;
}

static void image_key(const char *name, const struct build *b, char out[KEY_LENGTH + 1])
{
	auto_buf text = BUF_INIT;
	char sha[HASH_HEX];

	buf_fmt(&text, "recipe=%d\nname=%s\nkernel=%s %s\nbusybox=%s\nagent=%s\n", RECIPE_VERSION, name, b->kernel.name,
		b->kernel.version, b->in.busybox.sha, b->in.agent.sha);
	hash_bytes(text.p, text.len, sha);
	memcpy(out, sha, KEY_LENGTH);
	out[KEY_LENGTH] = '\0';
}

static int build_locked(struct build *b, const char *name, struct image *out)
{
	char key[KEY_LENGTH + 1];
	auto_free char *images = fs_join(b->cache, "images");
	auto_free char *tmp = mem_printf("%s/.tmp-%s", images, name);

	say(b, "kernel", "asking apt for linux-image-cloud-amd64");
	if (kernel_candidate(&b->kernel, b->err))
		return image_find(b->cache, name, out, NULL) == 1 ? 0 : -1;
	if (hash_file(b->in.busybox.path, b->in.busybox.sha, b->err) || hash_file(b->in.agent.path, b->in.agent.sha, b->err))
		return -1;
	image_key(name, b, key);
	auto_free char *dir = mem_printf("%s/%s-%s", images, name, key);
	if (!image_load(dir, out, NULL, NULL))
		return 0;
	struct image image = { .name = mem_strdup(name), .key = mem_strdup(key), .dir = mem_strdup(dir) };
	b->tmp = tmp;
	/* we hold the lock, so what is there was left by a build that died */
	int r = fs_remove_tree(tmp, b->err) || fs_mkdirs(tmp, 0755, b->err) || build_into(b, &image) ? -1 : 0;
	fs_remove_tree(tmp, NULL);
	image_free(&image);
	if (r || image_load(dir, out, NULL, b->err))
		return -1;
	for_each_image(b->cache, name, prune_one, out->key, NULL);
	return 0;
}

int image_build(const char *cache, const char *name, image_progress *progress, void *arg, struct image *out, struct err *err)
{
	struct build b = { .cache = cache, .progress = progress, .arg = arg, .err = err };
	auto_free char *images = fs_join(cache, "images");
	auto_free char *lock_path = mem_printf("%s/.lock-%s", images, name);

	*out = (struct image){ 0 };
	if (!recipe_known(name)) {
		err_set(err, ERR_NOT_FOUND, "no image named '%s'", name);
		return err_hint(err, "images that can be built: base");
	}
	if (fs_mkdirs(images, 0755, err))
		return -1;
	auto_fd int lock = fs_lock(lock_path, true, err);
	if (lock < 0)
		return -1;
	int r = inputs_read(&b.in, err);
	if (!r)
		r = build_locked(&b, name, out);
	inputs_free(&b.in);
	return r;
}
