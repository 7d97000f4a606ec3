/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/*
 * Names of labels, and the bytes of a label's file: as they are, or as changes to a good one. Reading and moving on neither crash
 * nor hang, and a head is only ever one that was written.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/label_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

static char dir[40];

static void clean_up(void)
{
	fs_remove_tree(dir, NULL);
}

static struct store *make_store(void)
{
	static struct store *s;
	if (s)
		return s;
	snprintf(dir, sizeof(dir), "%s/sbx-f_label-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	CHECK(mkdtemp(dir) && !atexit(clean_up));
	s = store_open(dir, true, NULL);
	CHECK(s);
	return s;
}

static void check_name(const uint8_t *data, size_t size)
{
	auto_free char *name = mem_strndup((const char *)data, size);
	struct hash h;
	if (label_check(name, NULL))
		return;
	size_t n = strlen(name);
	CHECK(n && n <= LABEL_MAX && !hash_parse(name, &h) && name[0] != '/' && name[n - 1] != '/' && !strstr(name, "//"));
	CHECK(strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 && !strstr(name, "/../"));
	for (size_t i = 0; i < n; i++)
		CHECK((unsigned char)name[i] >= 0x20 && name[i] != 0x7f);
}

/* Three moves of "x": to 1.., to 2.., to 3... */
static void good_file(struct buf *out)
{
	struct hash h[4] = { { { 0 } } };
	for (int i = 1; i < 4; i++) {
		memset(h[i].b, i, HASH_LEN);
		struct label_record r = { .op = i == 1 ? LABEL_CREATE : LABEL_PUSH,
			.flags = i == 1 ? 0 : LABEL_FROM | LABEL_TEXT,
			.at = i,
			.from = i == 1 ? NULL : &h[i - 1],
			.to = &h[i],
			.name = "x",
			.name_len = 1,
			.message = "m",
			.message_len = i > 1 };
		label_record_render(&r, out);
	}
}

static void apply(struct buf *b, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3) {
		size_t at = (size_t)(data[0] | data[1] << 8);
		if (at >= 0xff00)
			b->len = b->len > (at & 0xff) ? b->len - (at & 0xff) : 0;
		else if (b->len)
			b->p[at % b->len] = (char)(b->p[at % b->len] ^ data[2]);
	}
}

static bool written(const struct hash *h)
{
	for (int i = 1; i < HASH_LEN; i++)
		if (h->b[i] != h->b[0])
			return false;
	return h->b[0] >= 1 && h->b[0] <= 9;
}

static void use(struct store *s)
{
	struct err err = ERR_INIT;
	struct hash head;
	struct label_log log;
	struct label_list list;
	struct label_move m = { .name = "x", .op = LABEL_RESET, .any = true, .missing_ok = true };
	if (!label_head(s, "x", &head, &err))
		CHECK(written(&head));
	else
		CHECK(err.code == ERR_NOT_FOUND || err.code == ERR_IO);
	if (!label_log(s, "x", SIZE_MAX, &log, &err)) {
		for (size_t i = 0; i < log.n; i++)
			CHECK(written(&log.v[i].to));
		label_log_free(&log);
	}
	if (!label_list(s, &list, &err))
		label_list_free(&list);
	memset(m.to.b, 9, HASH_LEN);
	CHECK(!label_move(s, &m, NULL, NULL, &err));
	CHECK(!label_head(s, "x", &head, &err) && hash_eq(&head, &m.to));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store *s = make_store();
	char file[HASH_HEX + 1];
	auto_buf bytes = BUF_INIT;
	if (!size)
		return 0;
	check_name(data + 1, size - 1);
	if (data[0] & 1) {
		buf_add(&bytes, data + 1, size - 1);
	} else {
		good_file(&bytes);
		apply(&bytes, data + 1, size - 1);
	}
	label_file_name("x", file);
	auto_free char *path = mem_printf("%s/labels/%s", store_path(s), file);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && !fs_write_all(fd, bytes.p, bytes.len, NULL));
	use(s);
	return 0;
}
