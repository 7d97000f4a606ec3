/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/* The state of a VM as a tree: what was put comes back, all of it is kept by gc, and what is none is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/store/blocks.h"
#include "shared/store/gc.h"
#include "shared/store/remote.h"
#include "shared/store/tree.h"
#include "shared/store/vmstate.h"
#include "tests/unit/store_data.h"
#include "tests/unit/store_dir.h"

struct one {
	bool given;
	uint8_t with;
};

static int one_next(void *arg, struct blocks_run *run, struct err *err)
{
	struct one *o = arg;
	(void)err;
	*run = (struct blocks_run){ .first = 3, .count = 1 };
	bool more = !o->given;
	o->given = true;
	return more;
}

static int one_read(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	const struct one *o = arg;
	(void)place, (void)err;
	fill_xorshift(data, n, o->with);
	return 0;
}

static struct hash image(struct store *s, uint8_t with)
{
	struct err err = ERR_INIT;
	struct one o = { false, with };
	const struct blocks_source source = { one_next, one_read, &o };
	const struct blocks_shape shape = { 1 << 20, 8192 };
	struct hash id;
	assert_int_equal(blocks_write(s, NULL, &shape, &source, &id, &err), 0);
	return id;
}

/* Put it, sweep, and look at it again. */
static void there_and_back(struct store *s, const struct vmstate *v)
{
	struct err err = ERR_INIT;
	struct hash id;
	struct vmstate got;
	struct store_swept swept;
	struct blocks_shape shape;
	uint64_t faults = 0;
	assert_int_equal(vmstate_put(s, v, &id, &err), 0);
	assert_int_equal(store_end(s, &err), 0);
	assert_int_equal(store_pin(s, "vm", &id, &err), 0);
	assert_int_equal(gc_run(s, false, true, &swept, &err), 0);
	assert_int_equal(gc_fsck(s, NULL, NULL, &faults, &err), 0);
	assert_int_equal(faults, 0);
	assert_int_equal(vmstate_open(s, &id, &got, &err), 0);
	assert_int_equal(got.info.len, v->info.len);
	assert_memory_equal(got.info.p, v->info.p, v->info.len);
	assert_int_equal(got.state.len, v->state.len);
	assert_memory_equal(got.state.p, v->state.p, v->state.len);
	assert_true(got.has_ram == v->has_ram && got.has_disk == v->has_disk);
	if (v->has_ram) {
		assert_memory_equal(&got.ram, &v->ram, sizeof(v->ram));
		assert_int_equal(blocks_shape(s, &got.ram, &shape, &err), 0);
	}
	if (v->has_disk)
		assert_memory_equal(&got.disk, &v->disk, sizeof(v->disk));
	assert_true(got.has_fs == v->has_fs);
	if (v->has_fs)
		assert_memory_equal(&got.fs, &v->fs, sizeof(v->fs));
	vmstate_free(&got);
}

static void round_trips(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	for (unsigned i = 0; i < 16; i++) {
		struct vmstate v = { .info = BUF_INIT, .state = BUF_INIT, .has_ram = i & 1, .has_disk = i & 2, .has_fs = i & 8 };
		buf_fmt(&v.info, "{\"number\": %u}", i);
		for (unsigned k = 0; i & 4 && k < 100000; k++)
			buf_fmt(&v.state, "%u,", k);
		assert_int_equal(store_begin(s, true, &err), 0);
		v.ram = image(s, 1);
		v.disk = image(s, 2);
		v.fs = i & 1 ? object_empty : image(s, 3);
		there_and_back(s, &v);
		vmstate_free(&v);
	}
}

/* ---- to another store, as any tree ---- */

static int receive(void *arg, const void *data, size_t n, struct err *err)
{
	return remote_receiver_add(arg, data, n, err);
}

static int add_up(void *arg, const struct blocks_run *run, const uint8_t *data, struct err *err)
{
	(void)data, (void)err;
	*(uint64_t *)arg += run->count; /* of one leaf, so from one thread */
	return 0;
}

static int count_faults(struct store *s, const struct hash *id)
{
	struct err err = ERR_INIT;
	uint64_t faults = 0;
	assert_int_equal(store_pin(s, "vm", id, &err), 0);
	assert_int_equal(gc_fsck(s, NULL, NULL, &faults, &err), 0);
	return (int)faults;
}

static void travels(void **state)
{
	struct store *here = *state, *there;
	void *other;
	struct err err = ERR_INIT;
	struct hash id;
	struct vmstate v = { .info = BUF_INIT, .state = BUF_INIT, .has_ram = true, .has_disk = true }, got;
	struct remote_counts sent, came;
	assert_int_equal(store_dir_setup(&other), 0);
	there = other;
	assert_int_equal(store_begin(here, true, &err), 0);
	buf_str(&v.info, "{}");
	v.ram = image(here, 1);
	v.disk = image(here, 2);
	assert_int_equal(vmstate_put(here, &v, &id, &err), 0);
	assert_int_equal(store_end(here, &err), 0);
	assert_int_equal(store_hold(there, &err), 0);
	struct remote_receiver *r = remote_receiver_new(there, &err);
	const struct remote_peer to = { .write = receive, .arg = r };
	if (remote_send(here, &id, 1, &to, &sent, &err) || remote_receiver_end(r, &came, &err))
		fail_msg("%s", err.msg);
	remote_receiver_free(r);
	store_release(there);
	assert_true(sent.objects == came.objects && sent.objects > 0);
	assert_int_equal(count_faults(there, &id), 0);
	assert_int_equal(vmstate_open(there, &id, &got, &err), 0);
	uint64_t blocks = 0;
	assert_int_equal(blocks_each(there, NULL, &got.ram, add_up, &blocks, &err), 0);
	assert_int_equal(blocks, 1);
	vmstate_free(&got);
	vmstate_free(&v);
	assert_int_equal(store_dir_teardown(&other), 0);
}

static void refusals(void **state)
{
	struct store *s = *state;
	struct err err = ERR_INIT;
	const struct entry text = { .mode = 0644, .size = 2, .data = (const uint8_t *)"{}" };
	const struct entry link = {
		.mode = OBJECT_LINK_MODE, .size = 2, .data = (const uint8_t *)"{}", .link = "{}", .link_len = 2
	};
	const struct tree_edit cases[][2] = {
		{ { .path = "state", .file = &text }, { .path = "state", .file = &text } },
		{ { .path = "vm.json", .file = &text }, { .path = "other", .file = &text } },
		{ { .path = "vm.json", .file = &text }, { .path = "ram", .file = &text } },
		{ { .path = "vm.json", .file = &text }, { .path = "state/x", .file = &text } },
		{ { .path = "vm.json", .file = &link }, { .path = "state", .file = &text } },
	};
	struct vmstate v;
	struct hash id;
	assert_int_equal(store_begin(s, true, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(tree_apply(s, &object_empty, cases[i], 2, &id, &err), 0);
		assert_int_equal(vmstate_open(s, &id, &v, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		vmstate_free(&v);
	}
	memset(&id, 9, sizeof(id));
	assert_int_equal(vmstate_open(s, &id, &v, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	vmstate_free(&v);
	assert_non_null(buf_reserve(&v.info, VMSTATE_INFO_MAX + 1));
	memset(v.info.p, ' ', VMSTATE_INFO_MAX + 1);
	buf_commit(&v.info, VMSTATE_INFO_MAX + 1);
	assert_int_equal(vmstate_put(s, &v, &id, &err), -1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	vmstate_free(&v);
	store_abort(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trips, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(travels, store_dir_setup, store_dir_teardown),
		cmocka_unit_test_setup_teardown(refusals, store_dir_setup, store_dir_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
