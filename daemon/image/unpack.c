#include "daemon/image/unpack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/ext4.h"
#include "daemon/image/layer.h"
#include "daemon/image/merge.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { BLOCK = 256 << 10, TICK_MS = 200 };

/* A blob that is read once, from end to end. */
struct blob_in {
	int fd;
	const struct unpack_source *from;
	const struct oci_blob *blob;
	struct hash_run *hash;
	uint64_t bytes;
	char *block;
};

static int blob_open(struct blob_in *in, const struct unpack_source *from, const struct oci_blob *blob, struct err *err)
{
	*in = (struct blob_in){ .from = from, .blob = blob };
	in->fd = from->open(from->arg, blob, err);
	if (in->fd < 0)
		return -1;
	in->hash = hash_begin();
	in->block = mem_array(BLOCK, 1);
	return 0;
}

static ssize_t blob_read(void *arg, const void **data, struct err *err)
{
	struct blob_in *in = arg;
	ssize_t n;

	do
		n = read(in->fd, in->block, BLOCK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, errno, "cannot read a blob");
	in->bytes += (uint64_t)n;
	if (in->blob->size >= 0 && in->bytes > (uint64_t)in->blob->size)
		return err_set(err, ERR_INVALID, "blob sha256:%.12s is longer than the image says", in->blob->sha);
	hash_add(in->hash, in->block, (size_t)n);
	*data = in->block;
	return n;
}

/* Read what is left; was it the blob that the image names? */
static int blob_check(struct blob_in *in, struct err *err)
{
	const void *data;
	ssize_t n;
	char sha[HASH_HEX];

	while ((n = blob_read(in, &data, err)) > 0)
		;
	if (n < 0)
		return -1;
	hash_end(in->hash, sha);
	in->hash = NULL;
	bool short_ = in->blob->size >= 0 && in->bytes != (uint64_t)in->blob->size;
	if (short_ || (in->blob->sha[0] && strcmp(sha, in->blob->sha) != 0)) {
		if (in->from->drop)
			in->from->drop(in->from->arg, in->blob);
		err_set(err, ERR_INVALID, "blob sha256:%.12s is not what its name says", in->blob->sha);
		return err_hint(err, "the image is damaged, or somebody changed it: get it anew");
	}
	return 0;
}

static void blob_close(struct blob_in *in)
{
	if (in->fd >= 0)
		close(in->fd);
	hash_end(in->hash, NULL);
	free(in->block);
}

int unpack_document(const struct unpack_source *from, const struct oci_blob *blob, struct buf *out, struct err *err)
{
	struct blob_in in;
	const void *data;
	ssize_t n = 0;

	if (blob_open(&in, from, blob, err))
		return -1;
	while (out->len <= OCI_DOCUMENT_MAX && (n = blob_read(&in, &data, err)) > 0)
		buf_add(out, data, (size_t)n);
	int rc = n < 0 ? -1 : 0;
	if (!rc && (out->len > OCI_DOCUMENT_MAX || buf_failed(out)))
		rc = err_set(err, ERR_TOO_LARGE, "a document of the image is larger than %zu bytes", OCI_DOCUMENT_MAX);
	rc = rc ? rc : blob_check(&in, err);
	blob_close(&in);
	return rc;
}

/* ---- the disk ---- */

struct unpacking {
	const struct unpack_job *job;
	struct ext4 *disk;
	struct merge *tree;
	struct layer_target target;
	char label[80];
	int64_t told_ms;
};

static void say(const struct unpack_job *job, const char *phase, const char *text)
{
	if (job->progress)
		job->progress(job->arg, phase, text);
}

static void on_tick(void *arg, uint64_t bytes)
{
	struct unpacking *u = arg;
	int64_t now = clock_mono_ms();

	if (now - u->told_ms < TICK_MS)
		return;
	u->told_ms = now;
	auto_free char *text = mem_printf("%s, %llu MB", u->label, (unsigned long long)bytes / 1000000);
	say(u->job, "unpack", text);
}

static int begin(struct unpacking *u, const struct unpack_job *job, struct err *err)
{
	*u = (struct unpacking){ .job = job, .told_ms = clock_mono_ms() };
	u->disk = ext4_create(job->disk, err);
	if (!u->disk)
		return -1;
	u->tree = merge_new(u->disk);
	u->target = (struct layer_target){ .disk = u->disk, .tree = u->tree, .tick = on_tick, .arg = u };
	return 0;
}

/* The folder that commands start in: others make it when they start a container. */
static int add_workdir(struct merge *tree, const char *workdir, struct err *err)
{
	auto_buf path = BUF_INIT;

	merge_begin_layer(tree);
	if (layer_path(workdir, &path, err))
		return -1;
	return path.len ? merge_need_folder(tree, path.p, 0755, err) : 0;
}

static int finish(struct unpacking *u, const char *workdir, struct err *err)
{
	say(u->job, "disk", "ext4");
	u->job->facts->shell = merge_has_file(u->tree, "bin/sh");
	u->job->facts->systemd = merge_has_file(u->tree, "lib/systemd/systemd") && merge_has_file(u->tree, "sbin/init");
	return add_workdir(u->tree, workdir, err) || merge_write(u->tree, err) || ext4_finish(u->disk, err) ? -1 : 0;
}

static void end(struct unpacking *u, int rc)
{
	merge_free(u->tree);
	ext4_free(u->disk);
	if (rc)
		unlink(u->job->disk);
}

static int apply(
	struct unpacking *u, const struct unpack_source *from, const struct oci_blob *blob, const char *sha, struct err *err)
{
	struct blob_in in;
	char got[HASH_HEX] = "";

	if (blob_open(&in, from, blob, err))
		return -1;
	struct tar *t = tar_open(blob_read, &in, err);
	int rc = t ? layer_apply(t, NULL, true, &u->target, err) : -1;
	rc = rc ? rc : tar_end(t, got, err);
	tar_free(t);
	rc = rc ? rc : blob_check(&in, err);
	blob_close(&in);
	if (!rc && strcmp(got, sha) != 0) {
		err_set(err, ERR_INVALID, "a layer is not the one that the configuration names (%.12s, not %.12s)", got, sha);
		rc = err_hint(err, "the image is damaged, or somebody changed it: get it anew");
	}
	return rc;
}

int unpack_layers(const struct unpack_source *from, const struct oci_manifest *manifest, const struct oci_config *config,
	const struct unpack_job *job, struct err *err)
{
	struct unpacking u;
	int rc = 0;

	if (manifest->layer_count != config->layer_count)
		return err_set(err, ERR_INVALID, "the manifest has %zu layers, the configuration %zu", manifest->layer_count,
			config->layer_count);
	if (begin(&u, job, err))
		return -1;
	for (size_t i = 0; !rc && i < manifest->layer_count; i++) {
		snprintf(u.label, sizeof(u.label), "layer %zu of %zu", i + 1, manifest->layer_count);
		say(job, "unpack", u.label);
		rc = apply(&u, from, &manifest->layers[i], config->layers[i], err);
	}
	rc = rc ? rc : finish(&u, config->workdir, err);
	end(&u, rc);
	return rc;
}

int unpack_plain(struct tar *t, const struct tar_entry *first, const struct unpack_job *job, char sha[HASH_HEX], struct err *err)
{
	struct unpacking u;

	if (begin(&u, job, err))
		return -1;
	snprintf(u.label, sizeof(u.label), "root file system");
	int rc = layer_apply(t, first, false, &u.target, err) || tar_end(t, sha, err) ? -1 : 0;
	rc = rc ? rc : finish(&u, "", err);
	end(&u, rc);
	return rc;
}
