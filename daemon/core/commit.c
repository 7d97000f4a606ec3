#include "daemon/core/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/image/library.h"
#include "daemon/image/sparse.h"
#include "daemon/vm/qcow2_raw.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Beside the operation, what its worker needs. */
struct commit {
	char *home, *source;
	char tag[CATALOG_TAG_SIZE];
	struct oci_config config;
	bool shell, systemd;
	char *raw;		     /* the lowest file of the disk */
	char *disks[DISK_CHAIN_MAX]; /* those above it, the top first */
	size_t disk_count;
	char digest[HASH_HEX];
	commit_cb *cb;
	void *arg;
};

static void commit_free(void *more)
{
	struct commit *c = more;

	for (size_t i = 0; i < c->disk_count; i++)
		free(c->disks[i]);
	oci_config_free(&c->config);
	free(c->raw);
	free(c->home);
	free(c->source);
	free(c);
}

static void on_commit_over(void *arg, struct sandbox *sb, const struct err *err)
{
	struct commit *c = arg;

	(void)sb;
	c->cb(c->arg, err ? NULL : c->tag, err);
}

/* ---- in the worker ---- */

static int write_disk(const struct commit *c, int fd, char sha[HASH_HEX], struct err *err)
{
	if (qcow2_apply((const char *const *)c->disks, c->disk_count, fd, err) || sparse_punch(fd, err))
		return -1;
	if (fsync(fd))
		return err_sys(err, errno, "cannot sync a disk");
	return sparse_hash(fd, sha, err);
}

static int make_image(struct commit *c, const char *dir, struct err *err)
{
	const struct library_facts facts = { .source = c->source, .shell = c->shell, .systemd = c->systemd };
	auto_free char *disk = fs_join(dir, "rootfs.ext4");
	auto_buf text = BUF_INIT;
	char sha[HASH_HEX];

	if (fs_copy_sparse(c->raw, disk, 0600, err))
		return -1;
	auto_fd int fd = open(disk, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", disk);
	if (write_disk(c, fd, sha, err))
		return -1;
	oci_write_config(&c->config, sha, &text);
	return library_add(c->home, dir, &text, &facts, c->digest, err);
}

static void commit_work(struct op *op)
{
	struct commit *c = op->more;
	auto_free char *scratch = library_scratch(c->home, &op->err);

	op->failed = !scratch || make_image(c, scratch, &op->err);
	/* it is away when it became the image */
	if (scratch)
		fs_remove_tree(scratch, NULL);
}

/* ---- in the loop ---- */

static void committed(struct sandbox *sb, struct op *op)
{
	struct commit *c = op->more;
	struct err err = op->err;

	if (!op->failed && library_tag(c->home, c->tag, c->digest, &err))
		op->failed = true;
	if (!op->failed)
		eventlog_add(
			sb->log, "image", "%s made of its disk in %lld ms", c->tag, (long long)(clock_mono_ms() - op->since_ms));
	op_end(sb, op->failed ? &err : NULL);
}

static void commit_on(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;
	struct commit *c = sb->op->more;
	struct disk_chain chain;
	struct err err = ERR_INIT;

	sb->base_wait = NULL;
	if (!base) {
		op_end(sb, base_err);
		return;
	}
	if (disk_chain(sb, base, "disk.qcow2", &chain, &err)) {
		op_end(sb, &err);
		return;
	}
	for (unsigned i = 0; i + 1 < chain.n; i++)
		c->disks[c->disk_count++] = mem_strdup(chain.v[i].path);
	c->raw = mem_strdup(chain.v[chain.n - 1].path);
	disk_chain_free(&chain);
	op_work(sb->op, commit_work, committed);
}

/* What library and templates will read must be readable: said now, by the reader. */
static int take_wishes(struct commit *c, const struct commit_spec *spec, struct err *err)
{
	static const char nothing[HASH_HEX] = "0000000000000000000000000000000000000000000000000000000000000000";
	const struct oci_config said = { .env = (char **)(uintptr_t)spec->env,
		.entrypoint = (char **)(uintptr_t)spec->entrypoint,
		.cmd = (char **)(uintptr_t)spec->cmd,
		.ports = (char **)(uintptr_t)spec->ports,
		.labels = (char **)(uintptr_t)spec->labels,
		.user = (char *)(uintptr_t)spec->user,
		.workdir = (char *)(uintptr_t)spec->workdir };
	auto_buf text = BUF_INIT;

	oci_write_config(&said, nothing, &text);
	return oci_read_config(text.p, text.len, &c->config, err);
}

int sandbox_commit(struct sandbox *sb, const struct commit_spec *spec, commit_cb *cb, void *arg, struct err *err)
{
	struct commit *c = mem_zalloc(sizeof(*c));

	*c = (struct commit){ .home = mem_strdup(sb->core->home),
		.source = mem_strdup(spec->source),
		.shell = spec->shell,
		.systemd = spec->systemd,
		.cb = cb,
		.arg = arg };
	struct op *op = NULL;
	if (!catalog_tag_name(spec->name, NULL, c->tag, err) && !take_wishes(c, spec, err))
		op = op_begin(sb, OP_COMMIT, on_commit_over, c, err);
	if (!op) {
		commit_free(c);
		return -1;
	}
	op->more = c;
	op->more_free = commit_free;
	sb->base_wait = base_load(sb->core->bases, sb->row.template_key, commit_on, sb);
	return 0;
}
