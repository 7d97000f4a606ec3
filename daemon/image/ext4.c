#include "daemon/image/ext4.h"

#include <errno.h>
#include <et/com_err.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/image/run.h"
#include "daemon/image/sparse.h"
#include "shared/base/mem.h"

enum { FORMAT_MS = 60000, MTIME_MAX = 0x7fffffff };

struct ext4 {
	ext2_filsys fs;
	char *path;
	ext2_ino_t open_ino;
	ext2_file_t file; /* of open_ino */
};

static int bad(struct err *err, errcode_t code, const char *doing)
{
	if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL) {
		err_set(err, ERR_NO_SPACE, "the image does not fit on its disk of %s", EXT4_DISK_SIZE);
		return err_hint(err, "make it smaller: the disk has room for so many bytes, and for half a million files");
	}
	if (code > 0 && code < 256)
		return err_sys(err, (int)code, "cannot %s of the image", doing);
	return err_set(err, ERR_IO, "cannot %s of the image: %s", doing, error_message(code));
}

/* A journal, though a small one: see rootfs.c. */
static int format(const char *path, struct err *err)
{
	const char *const argv[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-J", "size=8", "-L",
		"sbx", "-O", "^resize_inode", "-E", "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", path, EXT4_DISK_SIZE,
		NULL };
	struct run run = { .argv = argv, .timeout_ms = FORMAT_MS };
	return run_capture(&run, NULL, err);
}

struct ext4 *ext4_create(const char *path, struct err *err)
{
	struct ext4 *x = mem_zalloc(sizeof(*x));

	initialize_ext2_error_table();
	x->path = mem_strdup(path);
	if (format(path, err)) {
		ext4_free(x);
		return NULL;
	}
	errcode_t code = ext2fs_open(path, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &x->fs);
	if (!code)
		code = ext2fs_read_bitmaps(x->fs);
	if (code) {
		bad(err, code, "open the disk");
		ext4_free(x);
		return NULL;
	}
	/* or the kernel reads all bitmaps in the background after the mount, in every VM anew */
	static const char options[] = "no_prefetch_block_bitmaps";
	memcpy(x->fs->super->s_mount_opts, options, sizeof(options));
	ext2fs_mark_super_dirty(x->fs);
	return x;
}

void ext4_free(struct ext4 *x)
{
	if (!x)
		return;
	if (x->file)
		ext2fs_file_close(x->file);
	if (x->fs) /* not written: what is unfinished is thrown away */
		ext2fs_free(x->fs);
	free(x->path);
	free(x);
}

/* Files that were forgotten have left their contents behind. */
static int punch_free(struct ext4 *x, int fd)
{
	blk64_t at = x->fs->super->s_first_data_block, end = ext2fs_blocks_count(x->fs->super);

	while (at < end) {
		blk64_t from, to;
		if (ext2fs_find_first_zero_block_bitmap2(x->fs->block_map, at, end - 1, &from))
			break;
		if (ext2fs_find_first_set_block_bitmap2(x->fs->block_map, from, end - 1, &to))
			to = end;
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(from * x->fs->blocksize),
			    (off_t)((to - from) * x->fs->blocksize)))
			return errno == EOPNOTSUPP ? 0 : -1;
		at = to;
	}
	return 0;
}

int ext4_finish(struct ext4 *x, struct err *err)
{
	auto_fd int fd = open(x->path, O_RDWR | O_CLOEXEC);
	errcode_t code = ext2fs_flush(x->fs);

	if (!code && (fd < 0 || punch_free(x, fd)))
		code = errno;
	if (!code)
		code = ext2fs_close_free(&x->fs);
	if (code)
		return bad(err, code, "write the disk");
	if (sparse_punch(fd, err))
		return -1;
	return fsync(fd) ? err_sys(err, errno, "cannot sync '%s'", x->path) : 0;
}

/* ---- contents ---- */

static errcode_t new_inode(struct ext4 *x, mode_t mode, uint32_t *ino)
{
	ext2_ino_t n;
	errcode_t code = ext2fs_new_inode(x->fs, EXT2_ROOT_INO, (int)mode, NULL, &n);
	if (code)
		return code;
	ext2fs_inode_alloc_stats2(x->fs, n, 1, 0);
	*ino = n;
	return 0;
}

int ext4_file_begin(struct ext4 *x, uint32_t *ino, struct err *err)
{
	struct ext2_inode inode = { .i_mode = LINUX_S_IFREG | 0600, .i_links_count = 1 };
	ext2_extent_handle_t extents;
	errcode_t code = new_inode(x, LINUX_S_IFREG, ino);

	if (!code) {
		/* an empty tree of extents in the inode */
		code = ext2fs_extent_open2(x->fs, *ino, &inode, &extents);
		if (!code)
			ext2fs_extent_free(extents);
	}
	if (!code)
		code = ext2fs_write_new_inode(x->fs, *ino, &inode);
	if (!code)
		code = ext2fs_file_open(x->fs, *ino, EXT2_FILE_WRITE, &x->file);
	x->open_ino = *ino;
	return code ? bad(err, code, "make a file") : 0;
}

int ext4_file_write(struct ext4 *x, uint64_t offset, const void *data, size_t n, struct err *err)
{
	errcode_t code = ext2fs_file_llseek(x->file, offset, EXT2_SEEK_SET, NULL);

	for (const char *p = data; !code && n;) {
		unsigned piece = n > (1u << 30) ? 1u << 30 : (unsigned)n, written = 0;
		code = ext2fs_file_write(x->file, p, piece, &written);
		p += written;
		n -= written;
	}
	return code ? bad(err, code, "write a file") : 0;
}

int ext4_file_end(struct ext4 *x, uint64_t size, struct err *err)
{
	errcode_t code = ext2fs_file_set_size2(x->file, size);
	errcode_t closing = ext2fs_file_close(x->file);

	x->file = NULL;
	code = code ? code : closing;
	return code ? bad(err, code, "write a file") : 0;
}

int ext4_forget(struct ext4 *x, uint32_t ino, struct err *err)
{
	struct ext2_inode inode;
	errcode_t code = ext2fs_read_inode(x->fs, ino, &inode);

	if (!code && ext2fs_inode_has_valid_blocks2(x->fs, &inode))
		code = ext2fs_punch(x->fs, ino, &inode, NULL, 0, ~0ULL);
	if (!code) {
		memset(&inode, 0, sizeof(inode));
		inode.i_dtime = 1;
		code = ext2fs_write_inode(x->fs, ino, &inode);
	}
	if (!code)
		ext2fs_inode_alloc_stats2(x->fs, ino, -1, 0);
	return code ? bad(err, code, "remove a file") : 0;
}

/* ---- names ---- */

static int name_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	default:
		return EXT2_FT_REG_FILE;
	}
}

int ext4_link(struct ext4 *x, uint32_t parent, const char *name, uint32_t ino, mode_t mode, struct err *err)
{
	errcode_t code = ext2fs_link(x->fs, parent, name, ino, name_type(mode));
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(x->fs, parent);
		if (!code)
			code = ext2fs_link(x->fs, parent, name, ino, name_type(mode));
	}
	return code ? bad(err, code, "name a file") : 0;
}

static errcode_t set_xattrs(struct ext4 *x, uint32_t ino, const struct ext4_meta *meta)
{
	struct ext2_xattr_handle *h = NULL;
	errcode_t code = ext2fs_xattrs_open(x->fs, ino, &h);

	if (!code)
		code = ext2fs_xattrs_read(h);
	for (size_t i = 0; !code && i < meta->xattr_count; i++)
		code = ext2fs_xattr_set(h, meta->xattrs[i].name, meta->xattrs[i].value, meta->xattrs[i].n);
	if (!code)
		code = ext2fs_xattrs_write(h);
	if (h)
		ext2fs_xattrs_close(&h);
	return code;
}

int ext4_set(struct ext4 *x, uint32_t ino, const struct ext4_meta *meta, unsigned links, struct err *err)
{
	struct ext2_inode inode;
	errcode_t code = ext2fs_read_inode(x->fs, ino, &inode);
	int64_t time = meta->mtime < 0 ? 0 : meta->mtime > MTIME_MAX ? MTIME_MAX : meta->mtime;

	if (!code) {
		inode.i_mode = (uint16_t)((inode.i_mode & S_IFMT) | (meta->mode & 07777));
		inode.i_uid = (uint16_t)meta->uid;
		ext2fs_set_i_uid_high(inode, (uint16_t)(meta->uid >> 16));
		inode.i_gid = (uint16_t)meta->gid;
		ext2fs_set_i_gid_high(inode, (uint16_t)(meta->gid >> 16));
		inode.i_mtime = inode.i_atime = inode.i_ctime = (uint32_t)time;
		if (links)
			inode.i_links_count = (uint16_t)links;
		code = ext2fs_write_inode(x->fs, ino, &inode);
	}
	if (!code && meta->xattr_count)
		code = set_xattrs(x, ino, meta);
	return code ? bad(err, code, "set the owner of a file") : 0;
}

int ext4_node(struct ext4 *x, const struct ext4_meta *meta, uint32_t *ino, struct err *err)
{
	struct ext2_inode inode = { .i_mode = (uint16_t)meta->mode, .i_links_count = 1 };
	unsigned high = major(meta->rdev), low = minor(meta->rdev);
	errcode_t code = new_inode(x, meta->mode, ino);

	/* old and new form of device numbers, as debugfs writes them */
	if (high < 256 && low < 256)
		inode.i_block[0] = high * 256 + low;
	else
		inode.i_block[1] = (low & 0xff) | (high << 8) | ((low & ~0xffu) << 12);
	if (!code)
		code = ext2fs_write_new_inode(x->fs, *ino, &inode);
	return code ? bad(err, code, "make a device") : 0;
}

int ext4_symlink(struct ext4 *x, const char *target, uint32_t *ino, struct err *err)
{
	ext2_ino_t n;
	errcode_t code = ext2fs_new_inode(x->fs, EXT2_ROOT_INO, LINUX_S_IFLNK | 0777, NULL, &n);
	if (!code)
		code = ext2fs_symlink(x->fs, EXT2_ROOT_INO, n, NULL, target);
	*ino = n;
	return code ? bad(err, code, "make a symlink") : 0;
}

int ext4_mkdir(struct ext4 *x, uint32_t parent, const char *name, uint32_t *ino, struct err *err)
{
	ext2_ino_t n;
	errcode_t code = ext2fs_new_inode(x->fs, parent, LINUX_S_IFDIR | 0755, NULL, &n);
	if (!code)
		code = ext2fs_mkdir(x->fs, parent, n, name);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(x->fs, parent);
		if (!code)
			code = ext2fs_mkdir(x->fs, parent, n, name);
	}
	*ino = n;
	return code ? bad(err, code, "make a folder") : 0;
}
