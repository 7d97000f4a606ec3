/* link: cli/unpack.c cli/pack.c | -larchive */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>

#include "cli/pack.h"
#include "cli/unpack.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

/* A folder of its own for each test: root/out is the target, root/outside must never change. */
struct world {
	char root[64];
	struct buf tar;
	size_t at, step;
	int skipped;
	struct archive *a;
	struct err err;
};

static int set_up(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	(void)snprintf(w->root, sizeof(w->root), "/tmp/t_unpack.XXXXXX");
	if (!mkdtemp(w->root) || chdir(w->root) || mkdir("out", 0755) || mkdir("outside", 0755))
		return -1;
	buf_init(&w->tar);
	w->step = 1000;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	buf_free(&w->tar);
	int rc = chdir("/") || fs_remove_tree(w->root, NULL);
	free(w);
	return rc;
}

/* ---- making archives ---- */

static la_ssize_t add_bytes(struct archive *a, void *arg, const void *data, size_t n)
{
	(void)a;
	buf_add(arg, data, n);
	return (la_ssize_t)n;
}

static void begin(struct world *w)
{
	w->a = archive_write_new();
	archive_write_set_format_pax(w->a);
	archive_write_set_options(w->a, "hdrcharset=BINARY");
	archive_write_set_bytes_in_last_block(w->a, 1);
	assert_int_equal(archive_write_open2(w->a, &w->tar, NULL, add_bytes, NULL, NULL), ARCHIVE_OK);
}

struct item {
	const char *path;
	mode_t type;
	int mode;
	const char *data; /* content, or target of a link */
	const char *hardlink;
};

static void add(struct world *w, struct item i)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, i.path);
	archive_entry_set_filetype(e, i.type);
	archive_entry_set_perm(e, (mode_t)i.mode);
	archive_entry_set_mtime(e, 1000000000, 123456789);
	bool file = i.type == AE_IFREG && i.data && !i.hardlink;
	archive_entry_set_size(e, file ? (la_int64_t)strlen(i.data) : 0);
	if (i.hardlink)
		archive_entry_set_hardlink(e, i.hardlink);
	else if (i.type == AE_IFLNK)
		archive_entry_set_symlink(e, i.data);
	assert_true(archive_write_header(w->a, e) >= ARCHIVE_WARN);
	if (file)
		assert_int_equal(archive_write_data(w->a, i.data, strlen(i.data)), strlen(i.data));
	archive_entry_free(e);
}

static void end(struct world *w)
{
	assert_int_equal(archive_write_close(w->a), ARCHIVE_OK);
	archive_write_free(w->a);
}

static void file(struct world *w, const char *path, const char *data)
{
	add(w, (struct item){ .path = path, .type = AE_IFREG, .mode = 0644, .data = data });
}

static void folder(struct world *w, const char *path)
{
	add(w, (struct item){ .path = path, .type = AE_IFDIR, .mode = 0755 });
}

static void link_to(struct world *w, const char *path, const char *to)
{
	add(w, (struct item){ .path = path, .type = AE_IFLNK, .mode = 0777, .data = to });
}

/* ---- unpacking them ---- */

static ssize_t next_bytes(void *arg, const void **data, struct err *err)
{
	struct world *w = arg;
	(void)err;
	size_t n = w->tar.len - w->at < w->step ? w->tar.len - w->at : w->step;
	*data = w->tar.p + w->at;
	w->at += n;
	return (ssize_t)n;
}

static void on_skipped(void *arg, const char *path, const char *why)
{
	struct world *w = arg;
	(void)path;
	(void)why;
	w->skipped++;
}

static int unpack_as(struct world *w, const char *name)
{
	struct unpack_ops ops = { .read = next_bytes, .skipped = on_skipped, .arg = w };
	auto_fd int dir = open("out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unpack_target target = { .dir_fd = dir, .top = "x", .name = name };
	w->at = 0;
	err_clear(&w->err);
	return unpack_tree(&target, &ops, &w->err);
}

static void assert_content(const char *path, const char *want)
{
	auto_buf text = BUF_INIT;
	struct err err = ERR_INIT;
	assert_int_equal(fs_read(path, 100000, &text, &err), 0);
	assert_string_equal(text.p, want);
}

static void assert_untouched(void)
{
	struct err err = ERR_INIT;
	assert_int_equal(rmdir("outside"), 0); /* works only while it is empty */
	assert_int_equal(fs_mkdirs("outside", 0755, &err), 0);
	assert_false(fs_exists("evil"));
	assert_false(fs_exists("/tmp/evil-of-t_unpack"));
}

/* ---- tests ---- */

static void test_tree(void **state)
{
	struct world *w = *state;
	begin(w);
	add(w, (struct item){ .path = "x", .type = AE_IFDIR, .mode = 0500 });
	add(w, (struct item){ .path = "x/run", .type = AE_IFREG, .mode = 06755, .data = "#!" });
	folder(w, "x/sub/");
	file(w, "./x//sub/./deep", "deep");
	file(w, "x/made/on/the/way", "way");
	link_to(w, "x/link", "/etc/passwd");
	add(w, (struct item){ .path = "x/hard", .type = AE_IFREG, .mode = 0755, .hardlink = "x/run" });
	file(w, "x/bytes-\xff\xfe", "raw");
	file(w, "x/umlaut-\xc3\xa4", "utf8");
	end(w);
	for (w->step = 1; w->step < 3000; w->step *= 7) {
		assert_int_equal(unpack_as(w, "top"), 0);
		assert_content("out/top/sub/deep", "deep");
		assert_content("out/top/made/on/the/way", "way");
		assert_content("out/top/bytes-\xff\xfe", "raw");
		assert_content("out/top/umlaut-\xc3\xa4", "utf8");
	}
	struct stat st, hard;
	assert_int_equal(stat("out/top/run", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_int_equal(stat("out/top/hard", &hard), 0);
	assert_int_equal(hard.st_ino, st.st_ino);
	assert_int_equal(hard.st_nlink, 2);
	assert_int_equal(stat("out/top", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0500);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(chmod("out/top", 0700), 0);
	char target[32] = "";
	assert_true(readlink("out/top/link", target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/etc/passwd");
}

static void test_contents(void **state)
{
	struct world *w = *state;
	begin(w);
	add(w, (struct item){ .path = "x", .type = AE_IFDIR, .mode = 0 });
	file(w, "x/a", "a");
	end(w);
	assert_int_equal(unpack_as(w, NULL), 0);
	assert_content("out/a", "a");
	struct stat st;
	assert_int_equal(stat("out", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void test_single_file(void **state)
{
	struct world *w = *state;
	begin(w);
	file(w, "x", "new");
	end(w);
	struct err err = ERR_INIT;
	assert_int_equal(fs_write_atomic("out/f", "old", 3, 0600, &err), 0);
	assert_int_equal(unpack_as(w, "f"), 0);
	assert_content("out/f", "new");
	/* a file does not take the place of a folder, empty or not */
	assert_int_equal(mkdir("out/d", 0755), 0);
	assert_int_equal(unpack_as(w, "d"), -1);
	assert_int_equal(w->err.code, ERR_CONFLICT);
	assert_int_equal(rmdir("out/d"), 0);
}

static void test_outside_names(void **state)
{
	struct world *w = *state;
	static const char *const names[] = { "/tmp/evil-of-t_unpack", "../evil", "x/../../evil", "x/../evil", "y", "y/x", "xx", ".",
		"..", "x/a/../../../evil" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		buf_clear(&w->tar);
		begin(w);
		file(w, names[i], "evil");
		end(w);
		assert_int_equal(unpack_as(w, "top"), -1);
		assert_int_equal(w->err.code, ERR_PROTOCOL);
		assert_untouched();
		assert_int_equal(unpack_as(w, NULL), -1);
		assert_untouched();
	}
}

/* Links that the archive itself made must not be a way out for the entries after them. */
static void test_through_links(void **state)
{
	struct world *w = *state;
	static const char *const targets[] = { "../../outside", "../../../..", "/", "." };
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		buf_clear(&w->tar);
		begin(w);
		folder(w, "x");
		link_to(w, "x/l", targets[i]);
		file(w, "x/l/evil", "evil");
		end(w);
		assert_int_equal(unpack_as(w, "top"), -1);
		assert_int_equal(w->err.code, ERR_CONFLICT);
		assert_untouched();
		assert_false(fs_exists("out/top/evil"));
	}
	/* a folder entry over such a link: refused, and the link's target keeps its mode */
	buf_clear(&w->tar);
	begin(w);
	link_to(w, "x", "../outside");
	add(w, (struct item){ .path = "x", .type = AE_IFDIR, .mode = 0 });
	file(w, "x/evil", "evil");
	end(w);
	assert_int_equal(unpack_as(w, "top2"), -1);
	assert_untouched();
	/* a file entry over a link replaces the link, not what it points to */
	buf_clear(&w->tar);
	begin(w);
	link_to(w, "x", "../outside/evil");
	file(w, "x", "mine");
	end(w);
	assert_int_equal(unpack_as(w, "top3"), 0);
	assert_content("out/top3", "mine");
	assert_untouched();
}

/* A link that was there before, in the target, is not followed either. */
static void test_existing_links(void **state)
{
	struct world *w = *state;
	assert_int_equal(symlink("../outside", "out/top"), 0);
	begin(w);
	folder(w, "x");
	file(w, "x/evil", "evil");
	end(w);
	assert_int_equal(unpack_as(w, "top"), -1);
	assert_int_equal(w->err.code, ERR_CONFLICT);
	assert_untouched();
}

static void test_hard_links_out(void **state)
{
	struct world *w = *state;
	static const char *const targets[] = { "/etc/passwd", "../secret", "x/../../secret", "y", "x/l/secret" };
	struct err err = ERR_INIT;
	assert_int_equal(fs_write_atomic("secret", "s", 1, 0600, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		buf_clear(&w->tar);
		begin(w);
		folder(w, "x");
		link_to(w, "x/l", "../..");
		add(w, (struct item){ .path = "x/evil", .type = AE_IFREG, .mode = 0644, .hardlink = targets[i] });
		end(w);
		assert_int_equal(unpack_as(w, "top"), -1);
		assert_false(fs_exists("out/top/evil"));
	}
	struct stat st;
	assert_int_equal(stat("secret", &st), 0);
	assert_int_equal(st.st_nlink, 1);
}

static void test_devices(void **state)
{
	struct world *w = *state;
	begin(w);
	folder(w, "x");
	add(w, (struct item){ .path = "x/fifo", .type = AE_IFIFO, .mode = 0666 });
	add(w, (struct item){ .path = "x/null", .type = AE_IFCHR, .mode = 0666 });
	add(w, (struct item){ .path = "x/disk", .type = AE_IFBLK, .mode = 0666 });
	file(w, "x/f", "f");
	end(w);
	assert_int_equal(unpack_as(w, "top"), 0);
	assert_int_equal(w->skipped, 3);
	assert_content("out/top/f", "f");
	assert_false(fs_exists("out/top/null"));
}

static void test_broken(void **state)
{
	struct world *w = *state;
	begin(w);
	folder(w, "x");
	file(w, "x/f", "some content that is long enough to be cut in two");
	end(w);
	size_t whole = w->tar.len;
	/* cut within the last entry's data: an error, and no half file under its name */
	w->tar.len = whole - 1024 - 512 + 20;
	assert_int_equal(unpack_as(w, "top"), -1);
	assert_false(fs_exists("out/top/f"));
	w->tar.len = 0;
	assert_int_equal(unpack_as(w, "top"), -1);
	memset(w->tar.p, 'z', 2000);
	w->tar.len = 2000;
	assert_int_equal(unpack_as(w, "top"), -1);
	assert_int_equal(w->err.code, ERR_PROTOCOL);
	/* nothing of ours is left lying about */
	assert_int_equal(rmdir("out/top"), 0);
}

/* ---- packing, and back again ---- */

static int keep_bytes(void *arg, const void *data, size_t n, struct err *err)
{
	struct world *w = arg;
	(void)err;
	buf_add(&w->tar, data, n);
	return 0;
}

static int stop_at_once(void *arg, const void *data, size_t n, struct err *err)
{
	(void)arg;
	(void)data;
	(void)n;
	(void)err;
	return 1;
}

static void make_source(void)
{
	struct err err = ERR_INIT;
	struct timespec times[2] = { { 1234567890, 987654321 }, { 1234567890, 987654321 } };
	assert_int_equal(mkdir("src", 0755), 0);
	assert_int_equal(mkdir("src/sub", 0711), 0);
	assert_int_equal(fs_write_atomic("src/sub/f-\xff", "content", 7, 0640, &err), 0);
	assert_int_equal(link("src/sub/f-\xff", "src/again"), 0);
	assert_int_equal(symlink("sub/nowhere", "src/link"), 0);
	assert_int_equal(mkfifo("src/fifo", 0600), 0);
	char name[201];
	memset(name, 'n', 200);
	name[200] = '\0';
	auto_free char *longer = mem_printf("src/sub/%s", name);
	assert_int_equal(fs_write_atomic(longer, "long", 4, 0600, &err), 0);
	assert_int_equal(utimensat(AT_FDCWD, "src/again", times, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, "src/sub", times, 0), 0);
}

static void test_round_trip(void **state)
{
	struct world *w = *state;
	make_source();
	struct pack_ops ops = { .write = keep_bytes, .skipped = on_skipped, .arg = w };
	struct pack_source source = { .dir_fd = AT_FDCWD, .name = "src", .top = "x" };
	assert_int_equal(pack_tree(&source, &ops, &w->err), 0);
	assert_int_equal(w->skipped, 1);
	assert_int_equal(unpack_as(w, "copy"), 0);
	struct stat a, b;
	assert_int_equal(stat("out/copy/again", &a), 0);
	assert_int_equal(stat("out/copy/sub/f-\xff", &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_mode & 07777, 0640);
	assert_int_equal(a.st_mtim.tv_nsec, 987654321);
	assert_content("out/copy/again", "content");
	assert_int_equal(stat("out/copy/sub", &a), 0);
	assert_int_equal(a.st_mode & 07777, 0711);
	assert_int_equal(a.st_mtim.tv_sec, 1234567890);
	char target[32] = "";
	assert_true(readlink("out/copy/link", target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "sub/nowhere");
	assert_false(fs_exists("out/copy/fifo"));
}

static void test_pack_stops(void **state)
{
	struct world *w = *state;
	make_source();
	struct pack_ops ops = { .write = stop_at_once, .skipped = on_skipped, .arg = w };
	struct pack_source source = { .dir_fd = AT_FDCWD, .name = "src", .top = "x" };
	assert_int_equal(pack_tree(&source, &ops, &w->err), 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_tree),
		CASE(test_contents),
		CASE(test_single_file),
		CASE(test_outside_names),
		CASE(test_through_links),
		CASE(test_existing_links),
		CASE(test_hard_links_out),
		CASE(test_devices),
		CASE(test_broken),
		CASE(test_round_trip),
		CASE(test_pack_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
