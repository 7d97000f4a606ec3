#include "daemon/image/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/layer.h"
#include "daemon/image/library.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define MEMBERS_MAX 20000u
#define INDEX_DEPTH 3 /* an index may name an index */
#define LINKS_MAX 8

/* A file of the archive that is being read: kept as a numbered file of ours, so that its name is no path of the host. */
struct member {
	char *name;
	char *link; /* another member, or NULL: it has contents */
	size_t number;
};

struct archive_in {
	const struct import_place *place;
	char *dir;
	struct member *members;
	size_t count;
};

static char *member_path(const struct archive_in *a, size_t number)
{
	return mem_printf("%s/%zu", a->dir, number);
}

static const struct member *find_member(const struct archive_in *a, const char *name)
{
	const struct member *found = NULL;

	for (int i = 0; i < LINKS_MAX; i++) {
		found = NULL;
		for (size_t k = 0; k < a->count; k++) /* the last of a name counts */
			if (!strcmp(a->members[k].name, name))
				found = &a->members[k];
		if (!found || !found->link)
			return found;
		name = found->link;
	}
	return NULL;
}

/* ---- taking the archive apart ---- */

static int keep_contents(const struct archive_in *a, struct tar *t, size_t number, struct err *err)
{
	auto_free char *path = member_path(a, number);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const void *data;
	size_t n;
	uint64_t at;
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "cannot make '%s'", path);
	while ((rc = tar_data(t, &data, &n, &at, err)) == 1)
		if (lseek(fd, (off_t)at, SEEK_SET) < 0 || fs_write_all(fd, data, n, err))
			return err_prefix(err, "'%s'", path);
	return rc;
}

/* What a link of the archive leads to, as a name in it: relative to its folder when it is a symlink. */
static int link_target(const char *name, const struct tar_entry *e, struct buf *out, struct err *err)
{
	const char *slash = strrchr(name, '/');
	const char *target = e->hard_link ? e->hard_link : e->symlink;
	auto_free char *folder = mem_strndup(name, slash && !e->hard_link ? (size_t)(slash - name) : 0);

	/* "../" leads to the folder above, and never out */
	while (!e->hard_link && str_starts(target, "../")) {
		char *up = strrchr(folder, '/');
		*(up ? up : folder) = '\0';
		target += strlen("../");
	}
	auto_free char *joined = mem_printf("%s/%s", folder, target);
	return layer_path(joined, out, err);
}

static int keep_member(struct archive_in *a, struct tar *t, const struct tar_entry *e, struct err *err)
{
	auto_buf name = BUF_INIT;
	auto_buf link = BUF_INIT;
	bool is_link = e->hard_link || e->symlink;

	if (!is_link && !S_ISREG(e->meta.mode))
		return 0;
	if (layer_path(e->path, &name, err) || (is_link && link_target(name.p, e, &link, err)))
		return -1;
	if (a->count >= MEMBERS_MAX)
		return err_set(err, ERR_TOO_LARGE, "the archive has more than %u files", MEMBERS_MAX);
	if (!is_link && keep_contents(a, t, a->count, err))
		return -1;
	if ((a->count & (a->count - 1)) == 0)
		a->members = mem_grow(a->members, a->count ? a->count * 2 : 1, sizeof(*a->members));
	a->members[a->count] =
		(struct member){ .name = mem_strdup(name.p), .link = is_link ? mem_strdup(link.p) : NULL, .number = a->count };
	a->count++;
	return 0;
}

static int keep_all(struct archive_in *a, struct tar *t, const struct tar_entry *first, struct err *err)
{
	struct tar_entry e;
	char sha[HASH_HEX];
	int rc = fs_mkdirs(a->dir, 0700, err) || keep_member(a, t, first, err) ? -1 : 1;

	while (rc == 1 && (rc = tar_next(t, &e, err)) == 1)
		rc = keep_member(a, t, &e, err) ? -1 : 1;
	return rc ? -1 : tar_end(t, sha, err);
}

static void archive_free(struct archive_in *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free(a->members[i].name);
		free(a->members[i].link);
	}
	free(a->members);
	if (a->dir)
		fs_remove_tree(a->dir, NULL);
	free(a->dir);
}

static int open_member(void *arg, const struct oci_blob *blob, struct err *err)
{
	const struct archive_in *a = arg;
	auto_free char *by_sha = mem_printf("blobs/sha256/%s", blob->sha);
	auto_buf name = BUF_INIT;

	if (layer_path(blob->path ? blob->path : by_sha, &name, err))
		return -1;
	const struct member *m = find_member(a, name.p);
	if (!m)
		return err_set(err, ERR_INVALID, "the archive lacks '%s'", name.p);
	auto_free char *path = member_path(a, m->number);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "cannot read '%s'", path) : fd;
}

/* ---- what it is ---- */

/* The first entry of an archive of images is a blob, one of the documents, or a folder of docker's, named by a hash. */
static bool is_archive_of_images(const char *path)
{
	static const char *const documents[] = { "oci-layout", "index.json", "manifest.json", "repositories" };

	for (size_t i = 0; i < ARRAY_LEN(documents); i++)
		if (!strcmp(path, documents[i]))
			return true;
	return !strcmp(path, "blobs") || str_starts(path, "blobs/") || strspn(path, "0123456789abcdef") == HASH_HEX - 1;
}

static int read_named(const struct unpack_source *from, const char *name, struct buf *out, struct err *err)
{
	struct oci_blob blob = { .size = -1, .path = mem_strdup(name) };
	int rc = unpack_document(from, &blob, out, err);
	free(blob.path);
	return rc;
}

/* From index.json down to a manifest. */
static int follow_index(const struct unpack_source *from, struct oci_manifest *out, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct oci_blob chosen;
	int rc = read_named(from, "index.json", &text, err) ? -1 : 1;

	for (int depth = 0; rc == 1 && depth < INDEX_DEPTH; depth++) {
		rc = oci_read_manifest(text.p, text.len, out, &chosen, err);
		if (rc != 1)
			break;
		buf_clear(&text);
		rc = unpack_document(from, &chosen, &text, err) ? -1 : 1;
	}
	if (rc == 1)
		rc = oci_read_manifest(text.p, text.len, out, &chosen, err);
	return rc == 1 ? err_set(err, ERR_INVALID, "an index that names an index, and so on") : rc;
}

int import_manifest(const struct unpack_source *from, const struct oci_manifest *manifest, const struct import_place *place,
	const char *source, char digest[HASH_HEX], struct err *err)
{
	auto_buf text = BUF_INIT;
	struct oci_config config;
	auto_free char *dir = fs_join(place->scratch, "image");
	auto_free char *disk = fs_join(dir, "rootfs.ext4");
	struct unpack_facts facts = { 0 };
	struct unpack_job job = { .disk = disk, .facts = &facts, .progress = place->progress, .arg = place->arg };

	if (unpack_document(from, &manifest->config, &text, err) || oci_read_config(text.p, text.len, &config, err))
		return -1;
	int rc = fs_mkdirs(dir, 0700, err);
	rc = rc ? rc : unpack_layers(from, manifest, &config, &job, err);
	oci_config_free(&config);
	struct library_facts about = { source, facts.shell, facts.systemd };
	return rc ? rc : library_add(place->home, dir, &text, &about, digest, err);
}

static int import_archive(
	struct archive_in *a, struct tar *t, const struct tar_entry *first, char digest[HASH_HEX], struct err *err)
{
	struct unpack_source from = { .open = open_member, .arg = a };
	struct oci_manifest manifest = { 0 };
	auto_buf text = BUF_INIT;
	const char *source = "OCI layout";
	int rc;

	if (a->place->progress)
		a->place->progress(a->place->arg, "receive", "archive of an image");
	if (keep_all(a, t, first, err))
		return -1;
	if (find_member(a, "index.json")) {
		rc = follow_index(&from, &manifest, err);
	} else if (find_member(a, "manifest.json")) {
		source = "docker save";
		rc = read_named(&from, "manifest.json", &text, err) || oci_read_saved(text.p, text.len, &manifest, err) ? -1 : 0;
	} else {
		rc = err_set(err, ERR_INVALID, "the archive has neither index.json nor manifest.json");
		err_hint(err, "it must be an OCI layout, the output of 'docker save', or a root file system");
	}
	rc = rc ? rc : import_manifest(&from, &manifest, a->place, source, digest, err);
	oci_manifest_free(&manifest);
	return rc;
}

static int import_plain(
	struct tar *t, const struct tar_entry *first, const struct import_place *place, char digest[HASH_HEX], struct err *err)
{
	char sha[HASH_HEX];
	auto_buf config = BUF_INIT;
	auto_free char *dir = fs_join(place->scratch, "image");
	auto_free char *disk = fs_join(dir, "rootfs.ext4");
	struct unpack_facts facts = { 0 };
	struct unpack_job job = { .disk = disk, .facts = &facts, .progress = place->progress, .arg = place->arg };

	if (place->progress)
		place->progress(place->arg, "receive", "root file system");
	if (fs_mkdirs(dir, 0700, err) || unpack_plain(t, first, &job, sha, err))
		return -1;
	oci_write_plain(sha, &config);
	struct library_facts about = { "root file system", facts.shell, facts.systemd };
	return library_add(place->home, dir, &config, &about, digest, err);
}

int import_stream(tar_read *read, void *arg, const struct import_place *place, char digest[HASH_HEX], struct err *err)
{
	struct archive_in a = { .place = place, .dir = fs_join(place->scratch, "blobs") };
	struct tar_entry first;
	auto_buf path = BUF_INIT;
	struct tar *t = tar_open(read, arg, err);
	int rc = t ? 1 : -1;

	/* "./" comes first when a folder was packed; its owner is root's in any case */
	while (rc == 1 && path.len == 0) {
		rc = tar_next(t, &first, err);
		if (rc == 1 && layer_path(first.path, &path, err))
			rc = -1;
	}
	if (rc < 0 && err && err->code == ERR_INVALID && !err->hint[0])
		err_hint(err, "it must be a tar, plain or packed: an OCI layout, of 'docker save', or a root file system");
	if (rc == 0)
		rc = err_set(err, ERR_INVALID, "the archive is empty, or no tar");
	else if (rc == 1)
		rc = is_archive_of_images(path.p) ? import_archive(&a, t, &first, digest, err)
						  : import_plain(t, &first, place, digest, err);
	tar_free(t);
	archive_free(&a);
	return rc;
}
