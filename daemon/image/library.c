#include "daemon/image/library.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SCRATCH ".tmp-"
#define TAGS_LIMITS ((struct js_limits){ .bytes = 8u << 20, .depth = 4, .members = 50000 })
#define NAME_MAX_ 63u
#define VERSION_MAX 64u
#define KEY_LENGTH 16
enum { SCRATCH_ID = 12 };

static char *images_dir(const char *home)
{
	return fs_join(home, "images");
}

static bool is_digest(const char *name)
{
	return strlen(name) == HASH_HEX - 1 && strspn(name, "0123456789abcdef") == HASH_HEX - 1;
}

/* ---- tags ---- */

/* How much of s, which begins with a letter or a digit, are such characters and those of `more`. */
static size_t word(const char *s, const char *more)
{
	size_t n = 0;
	while (s[n] && (strchr("abcdefghijklmnopqrstuvwxyz0123456789", s[n]) || (n && strchr(more, s[n]))))
		n++;
	return n;
}

static const char upper_too[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-";

static size_t version_length(const char *s)
{
	size_t n = 0;
	while (s[n] && (word(s + n, "") || strchr(n ? upper_too : "ABCDEFGHIJKLMNOPQRSTUVWXYZ_", s[n])))
		n++;
	return n;
}

int library_tag_full(const char *tag, char out[LIBRARY_TAG_MAX + 1], struct err *err)
{
	size_t n = word(tag, "._-");
	const char *version = tag[n] == ':' ? tag + n + 1 : "latest";
	size_t v = version_length(version);

	if (n == 0 || n > NAME_MAX_ || v == 0 || v > VERSION_MAX || version[v] || (tag[n] && tag[n] != ':')) {
		err_set(err, ERR_INVALID, "'%.100s' is no name for an image", tag);
		return err_hint(err, "NAME or NAME:VERSION: NAME in small letters, digits and ._-, VERSION in any letters");
	}
	snprintf(out, LIBRARY_TAG_MAX + 1, "%.*s:%s", (int)n, tag, version);
	return 0;
}

void library_tag_from(const char *name, char out[LIBRARY_TAG_MAX + 1])
{
	char part[LIBRARY_TAG_MAX + 1] = "";
	const char *slash = strrchr(name, '/'), *from = slash ? slash + 1 : name;

	snprintf(part, sizeof(part), "%.*s", (int)strcspn(from, "@"), from);
	if (library_tag_full(part, out, NULL))
		snprintf(out, LIBRARY_TAG_MAX + 1, "image:latest");
}

/* An object of tags; an empty one when there is no file. NULL with err. */
static js *tags_read(const char *home, struct err *err)
{
	auto_free char *dir = images_dir(home);
	auto_free char *path = fs_join(dir, "tags.json");
	auto_buf text = BUF_INIT;

	if (!fs_exists(path))
		buf_str(&text, "{}");
	else if (fs_read(path, TAGS_LIMITS.bytes, &text, err))
		return NULL;
	js *v = js_parse(text.p, text.len, TAGS_LIMITS, err);
	if (!v)
		err_prefix(err, "'%s'", path);
	return v;
}

/* NULLs leave a part out. */
struct tags_change {
	const char *without, *of; /* a tag, and those of a digest, that go */
	const char *add, *digest;
};

static int tags_write(const char *home, const js *tags, const struct tags_change *c, struct err *err)
{
	auto_free char *dir = images_dir(home);
	auto_free char *path = fs_join(dir, "tags.json");
	auto_buf text = BUF_INIT;
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	js_each (tag, tags)
		if (!str_same(js_key(tag), c->without) && !str_same(js_str(tag, ""), c->of))
			jw_kstr(&w, js_key(tag), js_str(tag, ""));
	if (c->add)
		jw_kstr(&w, c->add, c->digest);
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return fs_mkdirs(dir, 0700, err) ? -1 : fs_write_atomic(path, text.p, text.len, 0600, err);
}

int library_tag(const char *home, const char *tag, const char *digest, struct err *err)
{
	auto_js *tags = tags_read(home, err);
	struct tags_change change = { .without = tag, .add = tag, .digest = digest };
	return tags ? tags_write(home, tags, &change, err) : -1;
}

int library_untag(const char *home, const char *tag, struct err *err)
{
	auto_js *tags = tags_read(home, err);
	if (!tags)
		return -1;
	if (!js_get(tags, tag))
		return err_set(err, ERR_NOT_FOUND, "no image '%s'", tag);
	return tags_write(home, tags, &(struct tags_change){ .without = tag }, err);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **tags_of(const js *tags, const char *digest)
{
	char **list = mem_array(js_count(tags) + 1, sizeof(*list));
	size_t n = 0;

	js_each (tag, tags)
		if (!strcmp(js_str(tag, ""), digest))
			list[n++] = mem_strdup(js_key(tag));
	qsort((void *)list, n, sizeof(*list), compare_text);
	return list;
}

/* ---- reading ---- */

void library_release(struct library_image *image)
{
	for (size_t i = 0; image->tags && image->tags[i]; i++)
		free(image->tags[i]);
	free((void *)image->tags);
	free(image->dir);
	free(image->rootfs);
	free(image->source);
	oci_config_free(&image->config);
	*image = (struct library_image){ 0 };
}

static int load(const char *home, const char *digest, const js *tags, struct library_image *out, struct err *err)
{
	auto_free char *dir = images_dir(home);
	auto_buf text = BUF_INIT, config = BUF_INIT;

	*out = (struct library_image){ .dir = fs_join(dir, digest) };
	auto_free char *about = fs_join(out->dir, "image.json");
	auto_free char *config_path = fs_join(out->dir, "config.json");
	int rc = fs_read(about, OCI_DOCUMENT_MAX, &text, err) || fs_read(config_path, OCI_DOCUMENT_MAX, &config, err) ? -1 : 0;
	auto_js *v = rc ? NULL : js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (rc || !v || oci_read_config(config.p, config.len, &out->config, err)) {
		library_release(out);
		return err_prefix(err, "image %.12s", digest);
	}
	memcpy(out->digest, digest, HASH_HEX);
	out->rootfs = fs_join(out->dir, "rootfs.ext4");
	out->source = mem_strdup(js_str(js_get(v, "source"), ""));
	out->tags = tags_of(tags, digest);
	out->size_bytes = fs_allocated(out->rootfs);
	js_int(js_get(v, "createdWallMs"), &out->created_wall_ms);
	js_int(js_get(v, "memoryMb"), &out->memory_mb);
	return 0;
}

/* Call fn with each digest, until it returns non-zero. */
static int each_digest(const char *home, int (*fn)(void *arg, const char *digest, struct err *err), void *arg, struct err *err)
{
	auto_free char *dir = images_dir(home);
	DIR *d = opendir(dir);
	const struct dirent *e;
	int rc = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot read '%s'", dir);
	while (!rc && (e = readdir(d))) /* NOLINT(concurrency-mt-unsafe): own stream */
		if (is_digest(e->d_name))
			rc = fn(arg, e->d_name, err);
	closedir(d);
	return rc;
}

struct by_prefix {
	const char *prefix;
	char found[HASH_HEX];
};

static int match(void *arg, const char *digest, struct err *err)
{
	struct by_prefix *p = arg;

	if (!str_starts(digest, p->prefix))
		return 0;
	if (p->found[0]) {
		err_set(err, ERR_CONFLICT, "more than one image begins with '%s'", p->prefix);
		return err_hint(err, "write more of its digest");
	}
	memcpy(p->found, digest, HASH_HEX);
	return 0;
}

int library_find(const char *home, const char *ref, struct library_image *out, struct err *err)
{
	static const char scheme[] = "sha256:";
	char tag[LIBRARY_TAG_MAX + 1];
	struct by_prefix p = { .prefix = str_starts(ref, scheme) ? ref + strlen(scheme) : ref };

	*out = (struct library_image){ 0 };
	auto_js *tags = tags_read(home, err);
	if (!tags)
		return -1;
	const char *digest = library_tag_full(ref, tag, NULL) ? NULL : js_str(js_get(tags, tag), NULL);
	if (digest && is_digest(digest))
		return load(home, digest, tags, out, err) ? -1 : 1;
	if (strlen(p.prefix) < LIBRARY_PREFIX_MIN || p.prefix[strspn(p.prefix, "0123456789abcdef")])
		return 0;
	if (each_digest(home, match, &p, err))
		return -1;
	if (!p.found[0])
		return 0;
	return load(home, p.found, tags, out, err) ? -1 : 1;
}

struct listing {
	const char *home;
	const js *tags;
	struct library_image *items;
	size_t n;
};

/* What cannot be read does not keep the others from being listed. */
static int list_one(void *arg, const char *digest, struct err *err)
{
	struct listing *l = arg;
	struct library_image image;

	(void)err;
	if (load(l->home, digest, l->tags, &image, NULL))
		return 0;
	l->items = mem_grow(l->items, l->n + 1, sizeof(*l->items));
	l->items[l->n++] = image;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct library_image *x = a, *y = b;

	if (x->created_wall_ms != y->created_wall_ms)
		return x->created_wall_ms < y->created_wall_ms ? 1 : -1;
	return strcmp(x->digest, y->digest);
}

int library_list(const char *home, struct library_image **out, size_t *n, struct err *err)
{
	auto_js *tags = tags_read(home, err);
	struct listing l = { .home = home, .tags = tags };

	*out = NULL;
	*n = 0;
	if (!tags || each_digest(home, list_one, &l, err)) {
		library_list_free(l.items, l.n);
		return -1;
	}
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), newest_first);
	*out = l.items;
	*n = l.n;
	return 0;
}

void library_list_free(struct library_image *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		library_release(&list[i]);
	free(list);
}

/* ---- changing ---- */

char *library_scratch(const char *home, struct err *err)
{
	char id[SCRATCH_ID + 1];
	auto_free char *dir = images_dir(home);

	rand_id(id, SCRATCH_ID);
	char *path = mem_printf("%s/" SCRATCH "%s", dir, id);
	if (!fs_mkdirs(dir, 0700, err) && !fs_mkdirs(path, 0700, err))
		return path;
	free(path);
	return NULL;
}

void library_sweep(const char *home)
{
	auto_free char *dir = images_dir(home);
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		auto_free char *path = fs_join(dir, e->d_name);
		if (str_starts(e->d_name, SCRATCH))
			fs_remove_tree(path, NULL);
	}
	if (d)
		closedir(d);
}

int library_remove(const char *home, const char *digest, struct err *err)
{
	auto_free char *dir = images_dir(home);
	auto_free char *path = fs_join(dir, digest);
	auto_free char *gone = mem_printf("%s/" SCRATCH "%s", dir, digest);
	auto_js *tags = tags_read(home, err);

	if (!tags || tags_write(home, tags, &(struct tags_change){ .of = digest }, err))
		return -1;
	/* away by one rename; what a crash leaves is swept at the next start */
	if (rename(path, gone))
		return err_sys(err, errno, "cannot remove '%s'", path);
	return fs_remove_tree(gone, err);
}

static int sync_path(const char *path, int flags, struct err *err)
{
	auto_fd int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? err_sys(err, errno, "cannot sync '%s'", path) : 0;
}

static int write_about(const char *dir, const char *to, const char *digest, const struct library_facts *facts, struct err *err)
{
	/* systemd may find something to complain about in an image of others: that is none of ours */
	static const char *const warm[] = { "systemctl is-system-running --wait; true", "true", "ls / >/dev/null; true" };
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(dir, "image.json");
	/* templates know the disk by its path: the same image of another home has templates of its own */
	auto_free char *what = mem_printf("%s\n%s", digest, to);
	char key[HASH_HEX];
	struct jw w;

	hash_bytes(what, strlen(what), key);
	key[KEY_LENGTH] = '\0';
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "name", digest);
	jw_kstr(&w, "key", key);
	jw_kint(&w, "memoryMb", facts->systemd ? 512 : 256);
	jw_key(&w, "warm");
	jw_arr(&w);
	for (size_t i = facts->systemd ? 0 : 1; facts->shell && i < ARRAY_LEN(warm); i++)
		jw_str(&w, warm[i]);
	jw_arr_end(&w);
	jw_kstr(&w, "source", facts->source);
	jw_kint(&w, "createdWallMs", clock_wall_ms());
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return fs_write_atomic(path, text.p, text.len, 0600, err);
}

int library_add(const char *home, const char *dir, const struct buf *config, const struct library_facts *facts,
	char digest[HASH_HEX], struct err *err)
{
	auto_free char *images = images_dir(home);
	auto_free char *config_path = fs_join(dir, "config.json");

	hash_bytes(config->p, config->len, digest);
	auto_free char *to = fs_join(images, digest);
	if (write_about(dir, to, digest, facts, err) || fs_write_atomic(config_path, config->p, config->len, 0600, err) ||
		sync_path(dir, O_DIRECTORY, err))
		return -1;
	if (rename(dir, to) && errno != ENOTEMPTY && errno != EEXIST)
		return err_sys(err, errno, "cannot rename '%s'", dir);
	return sync_path(images, O_DIRECTORY, err);
}
