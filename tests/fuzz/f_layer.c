/* link: daemon/image/layer.c daemon/image/merge.c daemon/image/tar.c daemon/image/hash.c | -larchive -lcrypto */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/image/layer.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A disk that only counts: which files there are, and whether what is written makes a tree. */
struct ext4 {
	uint32_t next;
	int64_t files;
};

int ext4_file_begin(struct ext4 *x, uint32_t *ino, struct err *err)
{
	(void)err;
	*ino = x->next++;
	x->files++;
	return 0;
}

int ext4_file_write(struct ext4 *x, uint64_t offset, const void *data, size_t n, struct err *err)
{
	(void)x;
	(void)offset;
	volatile uint8_t last = n ? ((const uint8_t *)data)[n - 1] : 0; /* it is there */
	(void)last;
	(void)err;
	return 0;
}

int ext4_file_end(struct ext4 *x, uint64_t size, struct err *err)
{
	(void)x;
	(void)size;
	(void)err;
	return 0;
}

int ext4_forget(struct ext4 *x, uint32_t ino, struct err *err)
{
	(void)ino;
	(void)err;
	if (--x->files < 0)
		abort();
	return 0;
}

int ext4_set(struct ext4 *x, uint32_t ino, const struct ext4_meta *meta, unsigned links, struct err *err)
{
	(void)err;
	if (ino == 0 || (S_ISREG(meta->mode) && !links))
		abort();
	if (S_ISREG(meta->mode))
		x->files--;
	return 0;
}

/* The names that reach a disk are plain ones. */
static void check_name(const char *name)
{
	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) > MERGE_NAME_MAX)
		abort();
}

int ext4_link(struct ext4 *x, uint32_t parent, const char *name, uint32_t ino, mode_t mode, struct err *err)
{
	(void)x;
	(void)mode;
	(void)err;
	if (!parent || !ino)
		abort();
	check_name(name);
	return 0;
}

int ext4_node(struct ext4 *x, const struct ext4_meta *meta, uint32_t *ino, struct err *err)
{
	(void)meta;
	(void)err;
	*ino = x->next++;
	return 0;
}

int ext4_symlink(struct ext4 *x, const char *target, uint32_t *ino, struct err *err)
{
	(void)err;
	if (!*target)
		abort();
	*ino = x->next++;
	return 0;
}

int ext4_mkdir(struct ext4 *x, uint32_t parent, const char *name, uint32_t *ino, struct err *err)
{
	(void)parent;
	(void)err;
	check_name(name);
	*ino = x->next++;
	return 0;
}

struct source {
	const uint8_t *p;
	size_t left;
};

static ssize_t on_read(void *arg, const void **data, struct err *err)
{
	struct source *s = arg;
	size_t n = s->left < 700 ? s->left : 700;
	(void)err;
	*data = s->p;
	s->p += n;
	s->left -= n;
	return (ssize_t)n;
}

/* The input is applied twice, as two layers, so that it meets itself. Every file that a disk was given is on it or forgotten. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ext4 disk = { .next = EXT4_ROOT + 1 };
	struct layer_target to = { .disk = &disk, .tree = merge_new(&disk) };
	struct err err = ERR_INIT;
	int rc = 0;
	for (int i = 0; i < 2 && !rc; i++) {
		struct source s = { data, size };
		char sha[HASH_HEX];
		struct tar *t = tar_open(on_read, &s, &err);
		rc = t && !layer_apply(t, NULL, i > 0 || size % 2, &to, &err) && !tar_end(t, sha, &err) ? 0 : -1;
		tar_free(t);
	}
	if (rc && (err.code == ERR_OK || !err.msg[0]))
		abort();
	(void)merge_has_file(to.tree, "bin/sh");
	/* the file system has its own lost+found, and what an image has there is left out */
	bool left_out = memmem(data, size, "lost+found", strlen("lost+found")) != NULL;
	if (!rc && (merge_write(to.tree, &err) || (disk.files > 0 && !left_out)))
		abort();
	merge_free(to.tree);
	return 0;
}
