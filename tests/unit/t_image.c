/* link: daemon/image/[!f]*.c shared/net/[a-z]*.c | -larchive -l:libext2fs.a -l:libcom_err.a -lcrypto -llz4 -lcurl -lpthread */
/* The cache of images and kernels, as a build leaves it on disk. Real builds are in tests/e2e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/image/image.h"
#include "daemon/image/input.h"
#include "daemon/image/recipe.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

struct fixture {
	char *dir, *agent;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
	auto_free char *path = fs_join(f->dir, name);
	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0644, NULL), 0);
}

static int setup(void **state)
{
	char template[] = "/tmp/t_image.XXXXXX";
	struct fixture *f = mem_zalloc(sizeof(*f));
	static const char *const folders[] = { "kernels/1", "kernels/half", "images/debian-1", "images/debian-half" };

	f->dir = mem_strdup(mkdtemp(template));
	f->agent = fs_join(f->dir, "agent");
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		auto_free char *path = fs_join(f->dir, folders[i]);
		assert_int_equal(fs_mkdirs(path, 0755, NULL), 0);
	}
	put(f, "agent", "agent 1");
	setenv("SBX_AGENT", f->agent, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fs_remove_tree(f->dir, NULL);
	free(f->dir);
	free(f->agent);
	free(f);
	return 0;
}

/* A kernel for the agent of now. */
static void put_kernel(const struct fixture *f, const char *key)
{
	auto_buf text = BUF_INIT;
	struct input agent;
	struct jw w;

	assert_int_equal(input_agent(&agent, NULL), 0);
	assert_int_equal(input_hash(&agent, NULL), 0);
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "key", key);
	jw_kint(&w, "recipe", 1);
	jw_kstr(&w, "release", "6.1");
	input_write(&w, "agent", &agent);
	jw_kint(&w, "createdWallMs", 7);
	jw_obj_end(&w);
	put(f, "kernels/1/kernel.json", text.p);
	input_free(&agent);
}

static void put_image(const struct fixture *f, const char *key)
{
	auto_free char *text = mem_printf("{\"name\":\"debian\",\"key\":\"%s\",\"recipe\":%d,\"memoryMb\":384,"
					  "\"warm\":[\"true\",1,\"sync\"],\"createdWallMs\":8}",
		key, recipe_find("debian")->version);
	put(f, "images/debian-1/image.json", text);
}

/* An image is a root filesystem and a kernel: neither alone is found, and the key tells which two. */
static void both_halves(void **state)
{
	const struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct image image;

	assert_int_equal(image_find(f->dir, "debian", &image, &err), 0);
	put_image(f, "r1");
	assert_int_equal(image_find(f->dir, "debian", &image, &err), 0);
	put_kernel(f, "k1");
	assert_int_equal(image_find(f->dir, "debian", &image, &err), 1);
	assert_string_equal(image.name, "debian");
	assert_string_equal(image.kernel_version, "6.1");
	assert_int_equal(image.memory_mb, 384);
	assert_string_equal(image.warm[0], "true");
	assert_string_equal(image.warm[1], "sync");
	assert_null(image.warm[2]);
	assert_non_null(strstr(image.kernel, "/kernels/1/vmlinux"));
	assert_non_null(strstr(image.rootfs, "/images/debian-1/rootfs.ext4"));
	auto_free char *key = mem_strdup(image.key);
	image_free(&image);
	put_kernel(f, "k2");
	assert_int_equal(image_find(f->dir, "debian", &image, &err), 1);
	assert_string_not_equal(image.key, key);
	auto_free char *second = mem_strdup(image.key);
	image_free(&image);
	put_image(f, "r2");
	assert_int_equal(image_find(f->dir, "debian", &image, &err), 1);
	assert_string_not_equal(image.key, key);
	assert_string_not_equal(image.key, second);
	image_free(&image);
	assert_int_equal(image_find(f->dir, "code", &image, &err), 0);
}

/* One that was touched but is the same is still good, another one is not. */
static void new_agent(void **state)
{
	const struct fixture *f = *state;
	struct image image;

	put_image(f, "r1");
	put_kernel(f, "k1");
	put(f, "agent", "agent 1");
	assert_int_equal(image_find(f->dir, "debian", &image, NULL), 1);
	image_free(&image);
	put(f, "agent", "agent 2");
	assert_int_equal(image_find(f->dir, "debian", &image, NULL), 0);
	unlink(f->agent);
	struct err err = ERR_INIT;
	assert_int_equal(image_find(f->dir, "debian", &image, &err), -1);
	assert_non_null(strstr(err.hint, "SBX_AGENT"));
}

/* Any folder will do as a root filesystem. */
static void opens(void **state)
{
	const struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct image image;
	auto_free char *dir = fs_join(f->dir, "images/debian-1");
	auto_free char *half = fs_join(f->dir, "images/debian-half");

	put(f, "images/debian-1/image.json", "{\"name\":\"mine:1\",\"key\":\"k\"}");
	assert_int_equal(image_open(f->dir, dir, &image, &err), 0);
	put_kernel(f, "k1");
	assert_int_equal(image_open(f->dir, dir, &image, &err), 1);
	assert_string_equal(image.name, "mine:1");
	assert_int_equal(image.memory_mb, 256);
	assert_null(image.warm[0]);
	image_free(&image);
	assert_int_equal(image_open(f->dir, half, &image, &err), -1);
	put(f, "images/debian-half/image.json", "{");
	err_clear(&err);
	assert_int_equal(image_open(f->dir, half, &image, &err), -1);
	assert_non_null(strstr(err.msg, "image.json"));
}

/* Every recipe is whole, and its name leads to it. */
static void recipes(void **state)
{
	(void)state;
	size_t n = 0;

	for (const char *const *name = image_recipes(); *name; name++, n++) {
		const struct recipe *r = recipe_find(*name);
		assert_non_null(r);
		assert_string_equal(r->name, *name);
		assert_true(r->version > 0 && r->memory_mb >= 128 && r->warm[0] && r->make);
		assert_int_equal(image_memory_mb(*name), r->memory_mb);
	}
	assert_int_equal(n, 3);
	assert_null(recipe_find("nonsense"));
	struct err err = ERR_INIT;
	struct image image;
	assert_int_equal(image_build("/nonexistent", "nonsense", NULL, NULL, &image, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.hint, "base, debian, code"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(both_halves, setup, teardown),
		cmocka_unit_test_setup_teardown(new_agent, setup, teardown),
		cmocka_unit_test_setup_teardown(opens, setup, teardown), cmocka_unit_test(recipes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
