#include "daemon/vm/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/vm/qcow2_map.h"
#include "daemon/vm/stream.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/blocks.h"
#include "shared/store/tree.h"
#include "shared/store/vmstate.h"

#define RAM_BLOCK ((uint32_t)8192)
#define PAGES (RAM_BLOCK / STREAM_PAGE)
#define TREES_MAX 4096

/* ---- the base ---- */

struct trees {
	struct hash ram, disk;
};

static int import_raw(struct store *s, const char *path, struct hash *out, struct err *err)
{
	struct stat st;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st))
		return err_sys(err, errno, "cannot open '%s'", path);
	const struct blocks_shape shape = { .size = (uint64_t)st.st_size, .block = QCOW2_CLUSTER };
	return blocks_from_file(s, NULL, &shape, fd, out, err);
}

/* The tree of a disk: what qcow2 files have, over the tree of what is below them. */
static int put_layers(
	struct store *s, const char *const *paths, size_t n, const struct hash *below, struct hash *out, struct err *err)
{
	struct qcow2_map *map = qcow2_map_open(paths, n, err);

	if (!map)
		return -1;
	const struct blocks_shape shape = { .size = qcow2_map_size(map), .block = QCOW2_CLUSTER };
	struct qcow2_news news = { .m = map, .block = QCOW2_CLUSTER };
	const struct blocks_source source = qcow2_news_source(&news);
	int r = blocks_write(s, below, &shape, &source, out, err);
	qcow2_map_free(map);
	return r;
}

static int import_disk(struct store *s, const char *base, struct hash *out, struct err *err)
{
	auto_free char *raw = fs_join(base, "disk.raw");
	auto_free char *rootfs = fs_join(base, "rootfs.ext4");
	auto_free char *overlay = fs_join(base, "disk.qcow2");
	const char *const layers[] = { overlay };
	struct hash below;

	if (fs_exists(raw))
		return import_raw(s, raw, out, err);
	return import_raw(s, rootfs, &below, err) || put_layers(s, layers, 1, &below, out, err) ? -1 : 0;
}

static int import_ram(struct store *s, const char *base, unsigned memory_mb, struct hash *out, struct err *err)
{
	auto_free char *path = fs_join(base, "ram");
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	const struct blocks_shape shape = { .size = (uint64_t)memory_mb << 20, .block = RAM_BLOCK };

	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	return blocks_from_file(s, NULL, &shape, fd, out, err);
}

/* What an earlier import has found, as long as the store has it: roots are removed with or before what they lead to. */
static bool known_trees(struct store *s, const char *path, struct trees *out)
{
	auto_buf text = BUF_INIT;
	char ram[HASH_HEX + 1], disk[HASH_HEX + 1];

	return !fs_read(path, TREES_MAX, &text, NULL) && sscanf(text.p, "ram %64s disk %64s", ram, disk) == 2 &&
		hash_parse(ram, &out->ram) && hash_parse(disk, &out->disk) && store_has(s, &out->ram) && store_has(s, &out->disk);
}

static int base_trees(struct store *s, const char *base, unsigned memory_mb, struct trees *out, struct err *err)
{
	auto_free char *path = fs_join(base, "trees");
	char ram[HASH_HEX + 1], disk[HASH_HEX + 1];

	if (known_trees(s, path, out))
		return 0;
	if (import_ram(s, base, memory_mb, &out->ram, err) || import_disk(s, base, &out->disk, err))
		return -1;
	hash_hex(&out->ram, ram);
	hash_hex(&out->disk, disk);
	auto_free char *text = mem_printf("ram %s\ndisk %s\n", ram, disk);
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

int keep_base(struct store *s, const char *base, unsigned memory_mb, struct err *err)
{
	struct trees trees;
	return base_trees(s, base, memory_mb, &trees, err);
}

/* ---- memory ---- */

/* Blocks of RAM with changed pages; the pages of such a block that did not change are the base's. */
struct ram {
	int stream, base; /* base -1: zeros */
	uint64_t *at;	  /* stream_index */
	uint64_t pages, next;
};

static bool block_changed(const struct ram *r, uint64_t page)
{
	for (uint64_t i = page; i < page + PAGES && i < r->pages; i++)
		if (r->at[i])
			return true;
	return false;
}

static int next_run(void *arg, struct blocks_run *run, struct err *err)
{
	struct ram *r = arg;

	(void)err;
	while (r->next < r->pages && !block_changed(r, r->next))
		r->next += PAGES;
	if (r->next >= r->pages)
		return 0;
	*run = (struct blocks_run){ .first = r->next / PAGES, .place = r->next * STREAM_PAGE };
	for (; r->next < r->pages && block_changed(r, r->next); r->next += PAGES)
		run->count++;
	return 1;
}

static int read_exactly(int fd, void *p, size_t n, uint64_t at, struct err *err)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = pread(fd, (char *)p + got, n - got, (off_t)(at + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_sys(err, r ? errno : EIO, "cannot read a machine's memory");
		got += (size_t)r;
	}
	return 0;
}

static int read_ram(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	const struct ram *r = arg;

	for (size_t done = 0; done < n; done += STREAM_PAGE) {
		uint64_t at = r->at[(place + done) / STREAM_PAGE];
		char *p = (char *)data + done;
		if (at == STREAM_ZERO || (!at && r->base < 0))
			memset(p, 0, STREAM_PAGE);
		else if (read_exactly(at ? r->stream : r->base, p, STREAM_PAGE, at ? at : place + done, err))
			return -1;
	}
	return 0;
}

static int put_ram(
	struct store *s, const struct keep *k, const struct hash *base, uint64_t *devices_at, struct hash *out, struct err *err)
{
	const struct blocks_shape shape = { .size = (uint64_t)k->info->memory_mb << 20, .block = RAM_BLOCK };
	auto_free char *path = fs_join(k->base, "ram");
	auto_fd int base_fd = k->booted ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	uint64_t pages = shape.size / STREAM_PAGE;
	auto_free uint64_t *at = mem_array(pages, sizeof(*at));
	struct ram ram = { .stream = k->stream_fd, .base = base_fd, .at = at, .pages = pages };
	const struct blocks_source source = { .next = next_run, .read = read_ram, .arg = &ram };

	if (!k->booted && base_fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	return stream_index(k->stream_fd, shape.size, at, devices_at, err) ||
			blocks_write(s, k->booted ? NULL : base, &shape, &source, out, err)
		? -1
		: 0;
}

/* ---- all of it ---- */

/* The stream without its pages. */
static int read_devices(const struct keep *k, uint64_t at, struct buf *out, struct err *err)
{
	struct stat st;

	if (fstat(k->stream_fd, &st) || (uint64_t)st.st_size < at || (uint64_t)st.st_size - at > STREAM_DEVICES_MAX)
		return err_set(err, ERR_INVALID, "the state of this machine is damaged");
	size_t n = (size_t)((uint64_t)st.st_size - at);
	stream_begin(out, (uint64_t)k->info->memory_mb << 20);
	stream_end(out);
	char *p = buf_reserve(out, n);
	if (!p || buf_failed(out))
		return err_set(err, ERR_INTERNAL, "no memory for the state of a machine");
	if (read_exactly(k->stream_fd, p, n, at, err))
		return -1;
	buf_commit(out, n);
	return 0;
}

struct count {
	struct store *s;
	uint64_t bytes;
};

static int count_object(void *arg, enum object_kind kind, const struct hash *id, struct err *err)
{
	struct count *c = arg;
	struct store_info info;

	(void)kind;
	if (store_stat(c->s, id, &info, err))
		return -1;
	c->bytes += info.stored;
	return 0;
}

/* On its own, whatever others share with it: a figure that does not change when they come and go. */
static int count_stored(struct store *s, const struct vmstate *v, int64_t *out, struct err *err)
{
	struct count count = { .s = s, .bytes = v->state.len };
	struct hash_set *seen = hash_set_new();

	int r = tree_reach(s, &v->ram, seen, count_object, &count, NULL, err);
	if (!r)
		r = tree_reach(s, &v->disk, seen, count_object, &count, NULL, err);
	if (!r && v->has_fs)
		r = tree_reach(s, &v->fs, seen, count_object, &count, NULL, err);
	hash_set_free(seen);
	*out = (int64_t)count.bytes;
	return r;
}

int keep_put(struct store *s, const struct keep *k, struct hash *out, uint64_t *disk, struct err *err)
{
	struct vmstate v = { .info = BUF_INIT, .state = BUF_INIT, .has_ram = true, .has_disk = true };
	struct trees base;
	struct blocks_shape shape = { 0 };
	uint64_t devices_at = 0;

	int r = base_trees(s, k->base, (unsigned)k->info->memory_mb, &base, err);
	if (!r)
		r = put_ram(s, k, &base.ram, &devices_at, &v.ram, err);
	if (!r)
		r = put_layers(s, k->disks, k->disk_count, &base.disk, &v.disk, err);
	if (!r)
		r = blocks_shape(s, &v.disk, &shape, err);
	if (!r)
		r = read_devices(k, devices_at, &v.state, err);
	v.has_fs = k->info->fs_tree && hash_parse(k->info->fs_tree, &v.fs);
	if (!r)
		r = count_stored(s, &v, &k->info->stored, err);
	vm_info_write(k->info, &v.info);
	if (!r)
		r = vmstate_put(s, &v, out, err);
	if (disk)
		*disk = shape.size;
	buf_free(&v.info);
	buf_free(&v.state);
	return r;
}

/* ---- out again ---- */

static int image_to_file(struct store *s, const struct hash *id, const char *path, struct err *err)
{
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err, errno, "cannot create '%s'", path);
	return blocks_to_file(s, NULL, id, fd, err);
}

static int check(struct store *s, const struct vmstate *v, const struct vm_info *info, uint64_t *disk_size, struct err *err)
{
	struct blocks_shape ram, disk;

	if (!v->has_ram || !v->has_disk || !v->state.len)
		return err_set(err, ERR_INVALID, "this snapshot lacks its memory, its disk or its devices");
	struct hash fs;
	if (info->fs_tree &&
		(!v->has_fs || !hash_parse(info->fs_tree, &fs) || !hash_eq(&fs, &v->fs) || !info->fs_path || *info->fs_path != '/'))
		return err_set(err, ERR_INVALID, "this snapshot lacks the tree that was mounted in it");
	if (blocks_shape(s, &v->ram, &ram, err) || blocks_shape(s, &v->disk, &disk, err))
		return -1;
	if (ram.size != (uint64_t)info->memory_mb << 20 || !disk.size || disk.size > QCOW2_SIZE_MAX || disk.size % 512)
		return err_set(err, ERR_INVALID, "the memory or the disk of this snapshot is not of the size that it says");
	if (disk_size)
		*disk_size = disk.size;
	return 0;
}

static int take(struct store *s, const struct vmstate *v, const char *dir, struct err *err)
{
	auto_free char *ram = fs_join(dir, "ram");
	auto_free char *disk = fs_join(dir, "disk.raw");
	auto_free char *state = fs_join(dir, "state");
	auto_free char *info = fs_join(dir, "base.json");
	auto_free char *trees = fs_join(dir, "trees");
	char ram_id[HASH_HEX + 1], disk_id[HASH_HEX + 1];

	hash_hex(&v->ram, ram_id);
	hash_hex(&v->disk, disk_id);
	auto_free char *text = mem_printf("ram %s\ndisk %s\n", ram_id, disk_id);
	return image_to_file(s, &v->ram, ram, err) || image_to_file(s, &v->disk, disk, err) ||
			fs_write_atomic(state, v->state.p, v->state.len, 0600, err) ||
			fs_write_atomic(trees, text, strlen(text), 0600, err) ||
			fs_write_atomic(info, v->info.p, v->info.len, 0600, err)
		? -1
		: 0;
}

int keep_take(struct store *s, const struct hash *id, const char *dir, struct err *err)
{
	struct vmstate v = { 0 };
	struct vm_info info = { 0 };

	int r = vmstate_open(s, id, &v, err);
	if (!r)
		r = vm_info_read(v.info.p, v.info.len, &info, err);
	if (!r)
		r = check(s, &v, &info, NULL, err);
	if (!r)
		r = take(s, &v, dir, err);
	vm_info_free(&info);
	vmstate_free(&v);
	return r;
}

int keep_info(struct store *s, const struct hash *id, struct vm_info *out, uint64_t *disk, struct err *err)
{
	struct vmstate v = { 0 };

	*out = (struct vm_info){ 0 };
	int r = vmstate_open(s, id, &v, err);
	if (!r)
		r = vm_info_read(v.info.p, v.info.len, out, err);
	if (!r)
		r = check(s, &v, out, disk, err);
	vmstate_free(&v);
	return r;
}
