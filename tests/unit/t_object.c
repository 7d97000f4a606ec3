/* link: shared/store/object.c shared/store/hash*.c | */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "shared/store/object.h"
#include "tests/unit/store_data.h"

static struct entry file(const char *text)
{
	return (struct entry){ .mode = OBJECT_FILE_MODE, .size = strlen(text), .data = (const uint8_t *)text };
}

static struct entry special(uint32_t mode, const char *text)
{
	struct entry e = file(text);
	e.mode = mode;
	return e;
}

static struct entry symlink_to(const char *target)
{
	struct entry e = file(target);
	e.mode = OBJECT_LINK_MODE;
	e.link = target;
	e.link_len = strlen(target);
	return e;
}

static struct child child_file(const char *name, struct entry e)
{
	return (struct child){ .name = name, .name_len = (uint16_t)strlen(name), .has_file = true, .file = e };
}

static struct child child_dir(const char *name, struct hash dir)
{
	return (struct child){ .name = name, .name_len = (uint16_t)strlen(name), .has_dir = true, .dir = dir };
}

static struct hash encode(const struct child *children, uint32_t n, struct buf *out)
{
	struct err err = ERR_INIT;
	struct hash h;
	buf_clear(out);
	assert_int_equal(node_encode(children, n, out, &err), 0);
	hash_of(out->p, out->len, &h);
	return h;
}

static void check_id(struct hash h, const char *hex)
{
	char text[HASH_HEX + 1];
	assert_string_equal(hash_hex(&h, text), hex);
}

static void published_ids(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	struct hash h = encode(NULL, 0, &b);
	check_id(h, EMPTY_TREE);
	assert_true(hash_eq(&h, &object_empty));

	struct child base = child_file("a", file("base"));
	check_id(encode(&base, 1, &b), A_BASE);
	auto_buf hex = BUF_INIT;
	buf_hex(&hex, b.p, b.len);
	assert_string_equal(hex.p, A_BASE_BYTES);
	entry_id(&base.file, &h);
	check_id(h, ENTRY_BASE);
	buf_clear(&b);
	entry_encode(&base.file, &b);
	hash_of(b.p, b.len, &h);
	check_id(h, ENTRY_BASE);

	struct child note = child_file("note.txt", file("hello snapshot"));
	h = encode(&note, 1, &b);
	check_id(h, DATA_NOTE_SUB);
	struct child data = child_dir("data", h);
	check_id(encode(&data, 1, &b), DATA_NOTE);

	struct child c = child_file("c.txt", file("hello\n"));
	struct child both[2] = { child_file("a.txt", file("A")), child_dir("b", encode(&c, 1, &b)) };
	check_id(encode(both, 2, &b), A_AND_B_C);

	struct child empty = child_file("f", file(""));
	check_id(encode(&empty, 1, &b), EMPTY_FILE);
	struct child link = child_file("link", symlink_to("/t"));
	check_id(encode(&link, 1, &b), LINK_T);

	struct child y = child_file("b", file("y")), a = child_file("a", file("x"));
	a.has_dir = true;
	a.dir = encode(&y, 1, &b);
	check_id(encode(&a, 1, &b), FILE_AND_DIR);
}

static void published_ids_of_zeros(void **state)
{
	(void)state;
	auto_buf b = BUF_INIT;
	auto_free uint8_t *zeros = mem_zalloc(OBJECT_INLINE_MAX + 1);
	struct child z = child_file("z", (struct entry){ .mode = OBJECT_FILE_MODE, .size = OBJECT_INLINE_MAX, .data = zeros });
	check_id(encode(&z, 1, &b), ZEROS_INLINE);
	struct hash chunk;
	hash_of(zeros, OBJECT_INLINE_MAX + 1, &chunk);
	check_id(chunk, ZEROS_CHUNK);
	z.file = (struct entry){
		.mode = OBJECT_FILE_MODE, .size = OBJECT_INLINE_MAX + 1, .chunked = true, .chunks = 1, .data = chunk.b
	};
	check_id(encode(&z, 1, &b), ZEROS_CHUNKED);
}

/* A node with one of everything. */
static void encode_all(struct buf *out)
{
	static const struct hash chunks[3] = { { { 1 } }, { { 2 } }, { { 3 } } };
	struct child all[] = {
		child_dir("\x01", object_empty),
		child_file("blk", special(S_IFBLK | 0660, "8:0")),
		child_file("chr", special(S_IFCHR | 0600, "4294967295:7")),
		child_file("dir", special(S_IFDIR | 01777, "")),
		child_file("fifo", special(S_IFIFO | 0600, "")),
		child_file("large",
			(struct entry){ .mode = 04755, .size = 9000000, .chunked = true, .chunks = 3, .data = chunks[0].b }),
		child_file("link", symlink_to("../x")),
		child_file("run", special(0755, "#!/bin/sh\n")),
		child_file("sock", special(S_IFSOCK | 0600, "")),
		child_file("\xff\xfe", file("not UTF-8")),
	};
	all[3].has_dir = true;
	all[3].dir = object_empty;
	encode(all, ARRAY_LEN(all), out);
}

static void round_trip(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT, again = BUF_INIT;
	struct node node;
	encode_all(&b);
	assert_int_equal(node_decode(b.p, b.len, &node, &err), 0);
	assert_int_equal(node.count, 10);
	encode(node.children, node.count, &again);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.p, b.p, b.len);

	const struct child *large = node_find(&node, "large", 5), *link = node_find(&node, "link", 4);
	assert_true(large && large->file.chunked && large->file.chunks == 3 && large->file.data[2 * HASH_LEN] == 3);
	assert_true(entry_is_file(&large->file) && !entry_is_special(&large->file));
	assert_true(link && entry_is_link(&link->file) && link->file.link_len == 4 && memcmp(link->file.link, "../x", 4) == 0);
	assert_true(entry_is_dir_mode(&node_find(&node, "dir", 3)->file));
	assert_true(entry_is_special(&node_find(&node, "fifo", 4)->file));
	assert_null(node_find(&node, "larg", 4));
	assert_null(node_find(&node, "larger", 6));
	assert_null(node_find(&node, "", 0));
	for (uint32_t i = 0; i < node.count; i++) {
		const struct child *c = &node.children[i];
		assert_ptr_equal(node_find(&node, c->name, c->name_len), c);
		for (uint32_t k = 0; k < node.count; k++)
			assert_int_equal(child_eq(c, &node.children[k]), i == k);
	}
	node_free(&node);
	assert_null(node.children);
}

/* The shortest children there can be, so many that nothing else matters: the count is believed up to the last byte. */
static void smallest_children(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	struct node node;
	struct child all[200];
	char names[200];
	for (unsigned i = 0; i < 200; i++) {
		names[i] = (char)('0' + i);
		all[i] = (struct child){ .name = &names[i], .name_len = 1, .has_file = true, .file = file("") };
	}
	encode(all, 200, &b);
	assert_int_equal(node_decode(b.p, b.len, &node, &err), 0);
	assert_int_equal(node.count, 200);
	node_free(&node);
}

/* Every cut, and every changed byte that is still accepted, says the same thing when it is written again. */
static void strict_for_every_byte(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT, again = BUF_INIT;
	struct node node;
	encode_all(&b);
	for (size_t n = 0; n < b.len; n++) {
		auto_free char *cut = mem_zalloc(n);
		memcpy(cut, b.p, n);
		assert_int_equal(node_decode(cut, n, &node, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
	}
	for (size_t i = 0; i < b.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
			if (node_decode(b.p, b.len, &node, &err) == 0) {
				encode(node.children, node.count, &again);
				assert_int_equal(again.len, b.len);
				assert_memory_equal(again.p, b.p, b.len);
				node_free(&node);
			}
			b.p[i] = (char)(b.p[i] ^ 1 << bit);
		}
	}
	buf_ch(&b, '\0');
	assert_int_equal(node_decode(b.p, b.len, &node, &err), -1);
}

static void refuse(struct child c)
{
	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	assert_int_equal(node_encode(&c, 1, &b, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(b.len, 0);
}

static void refuses_names(void **state)
{
	(void)state;
	char long_name[OBJECT_NAME_MAX + 2];
	memset(long_name, 'n', sizeof(long_name));
	long_name[OBJECT_NAME_MAX + 1] = '\0';
	const char *const bad[] = { "", ".", "..", "a/b", "/", long_name };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(object_name_ok(bad[i], strlen(bad[i])));
		refuse(child_file(bad[i], file("")));
	}
	assert_false(object_name_ok("a\0b", 3));
	assert_true(object_name_ok("...", 3));
	assert_true(object_name_ok(".a", 2));
	assert_true(object_name_ok(long_name, OBJECT_NAME_MAX));

	struct err err = ERR_INIT;
	auto_buf b = BUF_INIT;
	struct child twice[2] = { child_file("a", file("")), child_file("a", file("")) };
	assert_int_equal(node_encode(twice, 2, &b, &err), -1);
	struct child order[2] = { child_file("b", file("")), child_file("a", file("")) };
	assert_int_equal(node_encode(order, 2, &b, &err), -1);
	struct child prefix[2] = { child_file("ab", file("")), child_file("a", file("")) };
	assert_int_equal(node_encode(prefix, 2, &b, &err), -1);
}

static void refuses_entries(void **state)
{
	(void)state;
	static const struct hash id;
	static const uint32_t modes[] = { 0100644, 010000000, S_IFDIR | 0700, S_IFLNK | 0755, 0170000, OBJECT_LINK_MODE };
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		refuse(child_file("x", special(modes[i], "")));
	static const char *const devices[] = { "", "1", "1:", ":1", "01:1", "1:00", "1:2:3", "4294967296:0", "a:b", "1:2 ",
		"-1:2" };
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		refuse(child_file("x", special(S_IFCHR | 0600, devices[i])));
	refuse(child_file("x", special(S_IFIFO | 0600, "content")));
	refuse((struct child){ .name = "x", .name_len = 1 });

	struct child plain_dir = child_file("x", special(S_IFDIR | 0755, ""));
	plain_dir.has_dir = true;
	refuse(plain_dir);
	struct child link = child_file("x", symlink_to("target"));
	link.file.mode = 0644;
	refuse(link);
	link = child_file("x", symlink_to("target"));
	link.file.link = "tarGet";
	refuse(link);
	link.file.link_len = 3;
	refuse(link);
	struct entry nul = symlink_to("");
	nul.link = "a\0b";
	nul.data = (const uint8_t *)nul.link;
	nul.size = nul.link_len = 3;
	refuse(child_file("x", nul));

	struct entry chunked = { .mode = 0644, .size = OBJECT_INLINE_MAX, .chunked = true, .chunks = 1, .data = id.b };
	refuse(child_file("x", chunked));
	chunked.size++;
	chunked.chunks = 0;
	refuse(child_file("x", chunked));
	auto_free uint8_t *zeros = mem_zalloc(OBJECT_INLINE_MAX + 1);
	refuse(child_file("x", (struct entry){ .mode = 0644, .size = OBJECT_INLINE_MAX + 1, .data = zeros }));
}

/* Counts and lengths that would overflow or need much memory. */
static void refuses_huge_numbers(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct node node;
	auto_buf b = BUF_INIT;
	struct child base = child_file("a", file("base"));
	encode(&base, 1, &b);
	static const size_t lengths[] = { 0, 8, 22, 34 }; /* count, name, size, content */
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		for (unsigned byte = 0; byte < 8; byte++) {
			auto_buf bad = BUF_INIT;
			buf_add(&bad, b.p, b.len);
			bad.p[lengths[i] + byte] = (char)0xff;
			assert_int_equal(node_decode(bad.p, bad.len, &node, &err), -1);
			assert_int_equal(err.code, ERR_INVALID);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_ids),
		cmocka_unit_test(published_ids_of_zeros),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(smallest_children),
		cmocka_unit_test(strict_for_every_byte),
		cmocka_unit_test(refuses_names),
		cmocka_unit_test(refuses_entries),
		cmocka_unit_test(refuses_huge_numbers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
