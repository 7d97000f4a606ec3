/* link: daemon/image/unpack.c daemon/image/oci.c daemon/image/layer.c daemon/image/merge.c daemon/image/tar.c daemon/image/ext4.c daemon/image/hash.c daemon/image/run.c daemon/image/sparse.c | -larchive -l:libext2fs.a -l:libcom_err.a -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <fcntl.h>
#include <unistd.h>
#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "daemon/image/run.h"
#include "daemon/image/unpack.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Layers are written by libarchive, disks are read by e2fsck and debugfs. */

#define LAYERS 4
#define SPACE ((size_t)8 << 20)

struct kit {
	char dir[64];
	struct archive *a;
	char *space;
	size_t used;
	struct oci_manifest manifest;
	struct oci_config config;
	struct unpack_facts facts;
	struct err err;
};

static void layer_begin(struct kit *k, int filter)
{
	k->a = archive_write_new();
	archive_write_set_format_pax_restricted(k->a);
	archive_write_add_filter(k->a, filter);
	archive_write_set_bytes_in_last_block(k->a, 1);
	assert_int_equal(archive_write_open_memory(k->a, k->space, SPACE, &k->used), ARCHIVE_OK);
}

/* link: of a symlink, or with a mode of 0 of a hard link */
static void put(struct kit *k, const char *path, mode_t mode, unsigned uid, const char *data, const char *link)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, mode ? mode : S_IFREG | 0644);
	archive_entry_set_uid(e, uid);
	archive_entry_set_gid(e, uid ? uid + 1 : 0);
	archive_entry_set_mtime(e, 1234567890, 0);
	archive_entry_set_rdev(e, makedev(300, 700));
	archive_entry_set_size(e, data ? (la_int64_t)strlen(data) : 0);
	if (link && mode)
		archive_entry_set_symlink(e, link);
	else if (link)
		archive_entry_set_hardlink(e, link);
	if (strstr(path, "capable")) {
		static const unsigned char cap[20] = { 1, 0, 0, 2, 0, 4 };
		archive_entry_xattr_add_entry(e, "security.capability", cap, sizeof(cap));
		archive_entry_xattr_add_entry(e, "trusted.overlay.opaque", "y", 1);
	}
	assert_int_equal(archive_write_header(k->a, e), ARCHIVE_OK);
	if (data)
		assert_int_equal(archive_write_data(k->a, data, strlen(data)), strlen(data));
	archive_entry_free(e);
}

static void file(struct kit *k, const char *path, const char *data)
{
	put(k, path, S_IFREG | 0644, 0, data, NULL);
}

static void folder(struct kit *k, const char *path)
{
	put(k, path, S_IFDIR | 0755, 0, NULL, NULL);
}

static int read_space(struct kit *k, size_t *at, const void **data)
{
	size_t n = k->used - *at > 1000 ? 1000 : k->used - *at;
	*data = k->space + *at;
	*at += n;
	return (int)n;
}

struct reader {
	struct kit *k;
	size_t at;
};

static ssize_t on_read(void *arg, const void **data, struct err *err)
{
	struct reader *r = arg;
	(void)err;
	return read_space(r->k, &r->at, data);
}

/* The tar becomes a blob, the manifest's and the configuration's next layer. */
static void layer_end(struct kit *k)
{
	struct reader r = { k, 0 };
	char plain[HASH_HEX];
	size_t i = k->manifest.layer_count++;
	assert_int_equal(archive_write_close(k->a), ARCHIVE_OK);
	archive_write_free(k->a);
	struct oci_blob *b = &k->manifest.layers[i];
	*b = (struct oci_blob){ .size = (int64_t)k->used };
	hash_bytes(k->space, k->used, b->sha);
	auto_free char *path = fs_join(k->dir, b->sha);
	assert_int_equal(fs_write_atomic(path, k->space, k->used, 0600, &k->err), 0);
	struct tar *t = tar_open(on_read, &r, &k->err);
	struct tar_entry e;
	while (tar_next(t, &e, &k->err) == 1)
		;
	assert_int_equal(tar_end(t, plain, &k->err), 0);
	tar_free(t);
	k->config.layers[i] = mem_strdup(plain);
	k->config.layer_count++;
}

static int open_blob(void *arg, const struct oci_blob *blob, struct err *err)
{
	struct kit *k = arg;
	auto_free char *path = fs_join(k->dir, blob->sha);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_NOT_FOUND, "no blob") : fd;
}

static int unpack(struct kit *k)
{
	struct unpack_source from = { .open = open_blob, .arg = k };
	auto_free char *disk = fs_join(k->dir, "disk");
	struct unpack_job job = { .disk = disk, .facts = &k->facts };
	unlink(disk);
	return unpack_layers(&from, &k->manifest, &k->config, &job, &k->err);
}

static void check_disk(struct kit *k)
{
	auto_free char *disk = fs_join(k->dir, "disk");
	auto_buf out = BUF_INIT;
	const char *const argv[] = { "e2fsck", "-f", "-n", disk, NULL };
	struct run run = { .argv = argv, .timeout_ms = 30000 };
	if (run_capture(&run, &out, &k->err))
		fail_msg("%s: %s", k->err.msg, out.p);
}

/* Answer of debugfs, in static memory of the kit's last call. */
static const char *ask(struct kit *k, struct buf *out, const char *fmt, const char *path)
{
	auto_free char *disk = fs_join(k->dir, "disk");
	auto_buf command = BUF_INIT;
	for (; *fmt; fmt++) {
		if (*fmt == '@')
			buf_str(&command, path);
		else
			buf_ch(&command, *fmt);
	}
	const char *const argv[] = { "debugfs", "-R", command.p, disk, NULL };
	struct run run = { .argv = argv, .timeout_ms = 10000, .max_output = SPACE };
	buf_clear(out);
	assert_int_equal(run_capture(&run, out, &k->err), 0);
	return out->p;
}

static void holds(struct kit *k, const char *path, const char *content)
{
	auto_buf out = BUF_INIT;
	assert_string_equal(ask(k, &out, "cat \"@\"", path), content);
}

static void is(struct kit *k, const char *path, const char *words)
{
	auto_buf out = BUF_INIT;
	const char *text = ask(k, &out, "stat \"@\"", path);
	auto_free char *copy = mem_strdup(words);
	for (char *rest = copy, *word; (word = strsep(&rest, "|"));)
		if (!strstr(text, word))
			fail_msg("'%s' of %s not in: %s", word, path, text);
}

static void absent(struct kit *k, const char *path)
{
	auto_buf out = BUF_INIT;
	assert_null(strstr(ask(k, &out, "stat \"@\"", path), "Inode:"));
}

static int setup(void **state)
{
	struct kit *k = mem_zalloc(sizeof(*k));
	snprintf(k->dir, sizeof(k->dir), "/tmp/sbx-unpack.XXXXXX");
	assert_non_null(mkdtemp(k->dir));
	k->space = mem_array(SPACE, 1);
	k->manifest.layers = mem_array(LAYERS, sizeof(*k->manifest.layers));
	k->config.layers = mem_array(LAYERS + 1, sizeof(char *));
	k->config.workdir = mem_strdup("");
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;
	fs_remove_tree(k->dir, NULL);
	oci_manifest_free(&k->manifest);
	oci_config_free(&k->config);
	free(k->space);
	free(k);
	return 0;
}

static void keeps_what_a_file_is(void **state)
{
	struct kit *k = *state;
	char longer[200] = "";
	memset(longer, 'x', sizeof(longer) - 1);
	layer_begin(k, ARCHIVE_FILTER_GZIP);
	put(k, "./", S_IFDIR | 0755, 0, NULL, NULL);
	put(k, "./home/u", S_IFDIR | 0750, 1000, NULL, NULL);
	put(k, "home/u/f", S_IFREG | 04711, 100000, "content", NULL);
	put(k, "bin/capable", S_IFREG | 0755, 0, "x", NULL);
	put(k, "short", S_IFLNK | 0777, 5, NULL, "home/u");
	put(k, "long", S_IFLNK | 0777, 0, NULL, longer);
	put(k, "dev/c", S_IFCHR | 0660, 7, NULL, NULL);
	put(k, "dev/b", S_IFBLK | 0660, 0, NULL, NULL);
	put(k, "dev/p", S_IFIFO | 0600, 0, NULL, NULL);
	file(k, "empty", "");
	file(k, "with space and \"quotes\"", "q");
	layer_end(k);
	layer_begin(k, ARCHIVE_FILTER_ZSTD);
	put(k, "across", 0, 0, NULL, "home/u/f");
	file(k, "second", "2");
	layer_end(k);
	free(k->config.workdir);
	k->config.workdir = mem_strdup("/srv/app");
	assert_int_equal(unpack(k), 0);
	check_disk(k);
	is(k, "/home/u", "Type: directory|Mode:  0750|User:  1000   Group:  1001");
	is(k, "/home/u/f", "Type: regular|Mode:  04711|User: 100000   Group: 100001|Links: 2|mtime: 0x499602d2");
	holds(k, "/home/u/f", "content");
	holds(k, "/across", "content");
	is(k, "/bin/capable", "security.capability (20)");
	auto_buf out = BUF_INIT;
	assert_null(strstr(ask(k, &out, "stat @", "/bin/capable"), "trusted"));
	is(k, "/short", "Type: symlink|User:     5|Fast link dest: \"home/u\"");
	is(k, "/long", "Type: symlink|Size: 199");
	is(k, "/dev/c", "Type: character special|Mode:  0660|User:     7|major/minor number: 300:700");
	is(k, "/dev/b", "Type: block special");
	is(k, "/dev/p", "Type: FIFO|Mode:  0600");
	is(k, "/empty", "Type: regular|Size: 0");
	holds(k, "/second", "2");
	is(k, "/srv/app", "Type: directory|Mode:  0755"); /* where its commands start */
	assert_false(k->facts.shell);
	is(k, "/", "Mode:  0755");
	assert_non_null(strstr(ask(k, &out, "ls -p @", "/"), "with space and \"quotes\""));
}

static void whiteouts(void **state)
{
	struct kit *k = *state;
	static const char *const below[] = { "a/gone", "a/stays", "b/x", "b/y/z", "c/old", "d/old", "d/keep/old", "e" };
	layer_begin(k, ARCHIVE_FILTER_NONE);
	for (size_t i = 0; i < ARRAY_LEN(below); i++)
		file(k, below[i], "1");
	put(k, "linked", 0, 0, NULL, "a/gone");
	put(k, "bend", S_IFLNK | 0777, 0, NULL, "a");
	layer_end(k);
	layer_begin(k, ARCHIVE_FILTER_NONE);
	file(k, "a/.wh.gone", "");
	file(k, "a/.wh.never", "");
	file(k, "nofolder/.wh.never", "");
	file(k, ".wh.b", "");
	file(k, "c/new", "2");
	file(k, "c/.wh..wh..opq", ""); /* what came before it in this layer stays */
	file(k, "d/keep/new", "2");
	file(k, "d/.wh..wh..opq", "");
	file(k, "e", "2");
	file(k, ".wh.e", ""); /* only what is below */
	file(k, ".wh..wh.plnk", "");
	layer_end(k);
	layer_begin(k, ARCHIVE_FILTER_NONE);
	file(k, "b", "a file now");
	folder(k, "e");
	layer_end(k);
	assert_int_equal(unpack(k), 0);
	check_disk(k);
	static const char *const gone[] = { "/a/gone", "/c/old", "/d/old", "/d/keep/old", "/.wh.b", "/.wh..wh.plnk",
		"/c/.wh..wh..opq" };
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		absent(k, gone[i]);
	holds(k, "/a/stays", "1");
	holds(k, "/linked", "1"); /* the other name of what went */
	is(k, "/linked", "Links: 1");
	holds(k, "/b", "a file now");
	holds(k, "/c/new", "2");
	holds(k, "/d/keep/new", "2");
	is(k, "/e", "Type: directory");
}

/* The classic hole: a symlink of one layer, and names of the next that go through it. */
static void links_lead_nowhere_but_inside(void **state)
{
	struct kit *k = *state;
	auto_free char *outside = fs_join(k->dir, "outside");
	auto_free char *victim = fs_join(outside, "victim");
	auto_free char *inside = fs_join(outside, "pwned");
	auto_free char *up = mem_printf("../../../../../../..%s", outside);
	assert_int_equal(fs_mkdirs(outside, 0755, &k->err), 0);
	assert_int_equal(fs_write_atomic(victim, "safe", 4, 0600, &k->err), 0);
	layer_begin(k, ARCHIVE_FILTER_NONE);
	put(k, "evil", S_IFLNK | 0777, 0, NULL, outside);
	put(k, "etc/up", S_IFLNK | 0777, 0, NULL, up);
	put(k, "lib", S_IFLNK | 0777, 0, NULL, "usr/lib");
	file(k, "/absolute", "a");
	file(k, "usr/lib/a", "a");
	layer_end(k);
	layer_begin(k, ARCHIVE_FILTER_NONE);
	file(k, "evil/pwned", "from layer 2");
	file(k, "etc/up/pwned2", "from layer 2");
	file(k, "evil/.wh.victim", "");
	file(k, "lib/b", "b");
	put(k, "dangling", S_IFLNK | 0777, 0, NULL, "/nowhere/at/all");
	file(k, "dangling/x", "x");
	layer_end(k);
	assert_int_equal(unpack(k), 0);
	check_disk(k);
	assert_false(fs_exists(inside));
	assert_true(fs_exists(victim));
	holds(k, inside, "from layer 2"); /* that path, in the image */
	holds(k, "/absolute", "a");
	holds(k, "/usr/lib/b", "b");
	holds(k, "/nowhere/at/all/x", "x");
	is(k, "/lib", "Type: symlink");
}

static void refuse(struct kit *k, const char *words)
{
	assert_int_equal(unpack(k), -1);
	if (!strstr(k->err.msg, words))
		fail_msg("no '%s' in: %s", words, k->err.msg);
	auto_free char *disk = fs_join(k->dir, "disk");
	assert_false(fs_exists(disk));
}

/* One layer that holds one entry, and is refused. */
static void refuse_entry(struct kit *k, const char *path, mode_t mode, const char *link, const char *words)
{
	k->manifest.layer_count = k->config.layer_count = 0;
	free(k->config.layers[0]);
	k->config.layers[0] = NULL;
	layer_begin(k, ARCHIVE_FILTER_NONE);
	put(k, "loop", S_IFLNK | 0777, 0, NULL, "loop2");
	put(k, "loop2", S_IFLNK | 0777, 0, NULL, "/loop");
	file(k, "file", "x");
	put(k, path, mode, 0, NULL, link);
	layer_end(k);
	refuse(k, words);
}

static void refuses_bad_entries(void **state)
{
	struct kit *k = *state;
	char deep[2000] = "";
	char name[400] = "";
	for (size_t i = 0; i < 600; i++)
		memcpy(deep + 2 * i, "d/", 3);
	memset(name, 'n', sizeof(name) - 1);
	refuse_entry(k, "../out", S_IFREG | 0644, NULL, "leads out of it");
	refuse_entry(k, "a/../../out", S_IFDIR | 0755, NULL, "leads out of it");
	refuse_entry(k, "hard", 0, "../../../etc/passwd", "leads out of it");
	refuse_entry(k, "hard", 0, "/etc/passwd", "no file of it");
	refuse_entry(k, "hard", 0, "loop/x", "in a circle");
	refuse_entry(k, "loop/x", S_IFREG | 0644, NULL, "in a circle");
	refuse_entry(k, "file/x", S_IFREG | 0644, NULL, "no folder");
	refuse_entry(k, deep, S_IFDIR | 0755, NULL, "too deep");
	refuse_entry(k, name, S_IFREG | 0644, NULL, "too long a name");
	refuse_entry(k, ".wh...", S_IFREG | 0644, NULL, "names nothing");
	refuse_entry(k, ".", S_IFREG | 0644, NULL, "no folder");
}

static void refuses_what_was_changed(void **state)
{
	struct kit *k = *state;
	layer_begin(k, ARCHIVE_FILTER_GZIP);
	file(k, "a", "content");
	layer_end(k);
	struct oci_blob *b = &k->manifest.layers[0];
	auto_free char *path = fs_join(k->dir, b->sha);
	char *id = k->config.layers[0];
	id[0] = id[0] == 'a' ? 'b' : 'a';
	refuse(k, "not the one that the configuration names");
	id[0] = '0';
	b->size--;
	refuse(k, "longer than the image says");
	b->size += 2;
	refuse(k, "not what its name says");
	b->size--;
	assert_int_equal(truncate(path, b->size - 12), 0);
	assert_int_equal(unpack(k), -1);
	assert_int_equal(fs_write_atomic(path, "no tar at all, this is text", 27, 0600, &k->err), 0);
	b->size = 27;
	refuse(k, "bad archive");
	k->config.layer_count++;
	refuse(k, "the manifest has 1 layers, the configuration 2");
}

static void large_folders_and_files(void **state)
{
	struct kit *k = *state;
	char name[64];
	auto_free char *data = mem_array(3000001, 1);
	memset(data, 'z', 3000000);
	layer_begin(k, ARCHIVE_FILTER_ZSTD);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "many/a-rather-long-name-of-a-file-%d", i);
		file(k, name, "x");
	}
	file(k, "large", data);
	file(k, "replaced", data);
	layer_end(k);
	layer_begin(k, ARCHIVE_FILTER_NONE);
	file(k, "replaced", "small");
	layer_end(k);
	assert_int_equal(unpack(k), 0);
	check_disk(k);
	holds(k, "/many/a-rather-long-name-of-a-file-2999", "x");
	holds(k, "/large", data);
	holds(k, "/replaced", "small");
	/* sparse: the contents, the journal and some tables, and nothing of what was replaced */
	auto_free char *disk = fs_join(k->dir, "disk");
	assert_true(fs_allocated(disk) < (3000 * 4 + 3000 + 3000) * 1024 + (12 << 20));
}

/* A root file system is no layer: names that look like whiteouts are names. */
static void plain_root(void **state)
{
	struct kit *k = *state;
	struct reader r = { k, 0 };
	char sha[HASH_HEX];
	auto_free char *disk = fs_join(k->dir, "disk");
	struct unpack_job job = { .disk = disk, .facts = &k->facts };
	layer_begin(k, ARCHIVE_FILTER_GZIP);
	put(k, "bin", S_IFLNK | 0777, 0, NULL, "usr/bin");
	put(k, "usr/bin/sh", S_IFLNK | 0777, 0, NULL, "busybox");
	file(k, "usr/bin/busybox", "sh");
	put(k, "sbin/init", S_IFLNK | 0777, 0, NULL, "../usr/lib/systemd/systemd");
	put(k, "lib", S_IFLNK | 0777, 0, NULL, "/usr/lib");
	file(k, "usr/lib/systemd/systemd", "x");
	file(k, ".wh.x", "kept");
	layer_end(k);
	struct tar *t = tar_open(on_read, &r, &k->err);
	assert_int_equal(unpack_plain(t, NULL, &job, sha, &k->err), 0);
	tar_free(t);
	assert_string_equal(sha, k->config.layers[0]);
	check_disk(k);
	holds(k, "/usr/bin/busybox", "sh");
	holds(k, "/.wh.x", "kept");
	assert_true(k->facts.shell);
	assert_true(k->facts.systemd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_what_a_file_is, setup, teardown),
		cmocka_unit_test_setup_teardown(whiteouts, setup, teardown),
		cmocka_unit_test_setup_teardown(links_lead_nowhere_but_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_bad_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_what_was_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(large_folders_and_files, setup, teardown),
		cmocka_unit_test_setup_teardown(plain_root, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
