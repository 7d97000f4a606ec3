#include "daemon/image/cpio.h"

#include <string.h>
#include <sys/stat.h>

void cpio_init(struct cpio *c, struct buf *out)
{
	c->out = out;
	c->inode = 1;
}

static void pad(struct buf *b, size_t start)
{
	while ((b->len - start) % 4 && !b->failed)
		buf_ch(b, '\0');
}

static void entry(struct cpio *c, const char *name, unsigned mode, const void *data, size_t n)
{
	size_t start = c->out->len;
	unsigned links = S_ISDIR(mode) ? 2 : 1;

	/* magic, inode, mode, uid, gid, links, mtime, size, device (2), node (2), length of the name, checksum */
	buf_fmt(c->out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c->inode++, mode, 0u, 0u, links, 0u,
		(unsigned)n, 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
	buf_add(c->out, name, strlen(name) + 1);
	pad(c->out, start);
	buf_add(c->out, data, n);
	pad(c->out, start);
}

void cpio_dir(struct cpio *c, const char *name, unsigned perm)
{
	entry(c, name, S_IFDIR | perm, "", 0);
}

void cpio_file(struct cpio *c, const char *name, unsigned perm, const void *data, size_t n)
{
	entry(c, name, S_IFREG | perm, data, n);
}

void cpio_end(struct cpio *c)
{
	entry(c, "TRAILER!!!", 0, "", 0);
}
