#include "daemon/image/layer.h"

#include <string.h>
#include <sys/stat.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define AUFS ".wh..wh." /* its own files, which mean nothing to others */

int layer_path(const char *path, struct buf *out, struct err *err)
{
	size_t from = out->len;

	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		const char *part = at;
		at += n + (at[n] == '/');
		if (n == 0 || (n == 1 && part[0] == '.'))
			continue;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			err_set(err, ERR_INVALID, "the archive holds '%s', which leads out of it", path);
			return err_hint(err, "nothing was imported; do not trust this archive");
		}
		buf_str(out, out->len > from ? "/" : "");
		buf_add(out, part, n);
	}
	return buf_failed(out) ? err_set(err, ERR_LIMIT, "out of memory") : 0;
}

static void tick(const struct layer_target *to, const struct tar *t)
{
	if (to->tick)
		to->tick(to->arg, tar_bytes(t));
}

static int put_contents(struct tar *t, const struct tar_entry *e, const struct layer_target *to, uint32_t *ino, struct err *err)
{
	const void *data;
	size_t n;
	uint64_t at, size = e->size;
	int rc;

	if (ext4_file_begin(to->disk, ino, err))
		return -1;
	while ((rc = tar_data(t, &data, &n, &at, err)) == 1) {
		if (n && ext4_file_write(to->disk, at, data, n, err))
			return -1;
		size = at + n > size ? at + n : size;
		tick(to, t);
	}
	return rc ? -1 : ext4_file_end(to->disk, size, err);
}

/* 1 when it is one, and done. */
static int whiteout(const char *path, const struct layer_target *to, struct err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t folder = (size_t)(name - path);

	if (!str_starts(name, WHITEOUT))
		return 0;
	if (!strcmp(name, OPAQUE)) {
		auto_free char *parent = mem_strndup(path, folder ? folder - 1 : 0);
		return merge_opaque(to->tree, parent, err) ? -1 : 1;
	}
	const char *hidden = name + strlen(WHITEOUT);
	if (str_starts(name, AUFS))
		return 1;
	if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, ".."))
		return err_set(err, ERR_INVALID, "the image holds the whiteout '%s', which names nothing", path);
	auto_free char *gone = mem_printf("%.*s%s", (int)folder, path, hidden);
	return merge_whiteout(to->tree, gone, err) ? -1 : 1;
}

static int put_entry(struct tar *t, const struct tar_entry *e, const char *path, const struct layer_target *to, struct err *err)
{
	struct merge_entry put = { .meta = e->meta };

	if (e->hard_link) {
		auto_buf target = BUF_INIT;
		return layer_path(e->hard_link, &target, err) ? -1 : merge_hard_link(to->tree, path, target.p, err);
	}
	switch (e->meta.mode & S_IFMT) {
	case S_IFREG:
		if (put_contents(t, e, to, &put.ino, err))
			return -1;
		break;
	case S_IFLNK:
		put.target = e->symlink;
		if (!put.target || !*put.target || strlen(put.target) >= MERGE_PATH_MAX)
			return err_set(err, ERR_INVALID, "the image holds the symlink '%s', which points nowhere", path);
		break;
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		break;
	default: /* a socket: nobody listens there */
		return 0;
	}
	return merge_put(to->tree, path, &put, err);
}

static int apply_entry(struct tar *t, const struct tar_entry *e, bool whiteouts, const struct layer_target *to, struct err *err)
{
	auto_buf path = BUF_INIT;

	if (layer_path(e->path, &path, err))
		return -1;
	int rc = whiteouts ? whiteout(path.p, to, err) : 0;
	if (rc)
		return rc < 0 ? -1 : 0;
	tick(to, t);
	return put_entry(t, e, path.p, to, err);
}

int layer_apply(struct tar *t, const struct tar_entry *first, bool whiteouts, const struct layer_target *to, struct err *err)
{
	struct tar_entry e;
	int rc = 1;

	merge_begin_layer(to->tree);
	if (first && apply_entry(t, first, whiteouts, to, err))
		return -1;
	while ((rc = tar_next(t, &e, err)) == 1)
		if (apply_entry(t, &e, whiteouts, to, err))
			return -1;
	return rc;
}
