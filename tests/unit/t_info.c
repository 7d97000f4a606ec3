/* link: daemon/vm/info.c daemon/vm/accel.c daemon/vm/probe.c daemon/vm/boot.c daemon/vm/qemu.c daemon/vm/group.c daemon/vm/qmp.c daemon/vm/proc.c daemon/vm/spawn.c daemon/vm/jail*.c daemon/vm/ram.c shared/net/sock.c daemon/image/run.c daemon/vm/machine.c daemon/vm/qcow2.c shared/wire/[a-z]*.c | -luv */
/* What is known of a frozen machine: what was written is read, and what is none is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/vm/info.h"

static void round_trip(void **state)
{
	char image[] = "deb\"ian:12", qemu[] = "7.2.22", name[] = "warm", parent[] = "abc", one[] = "A=1",
	     two[] = "B=\xc3\xa4 \\ \n";
	char *env[] = { one, two, NULL };
	const struct vm_info info = { .image = image,
		.qemu = qemu,
		.accel = VM_ACCEL_KVM,
		.vcpus = 16,
		.memory_mb = 16384,
		.machine = 7,
		.tsc_khz = 2450000,
		.created_ms = 1790000000123,
		.name = name,
		.parent = parent,
		.env = env,
		.stored = 1 << 20 };
	struct err err = ERR_INIT;
	struct vm_info got;
	auto_buf text = BUF_INIT, again = BUF_INIT;
	(void)state;
	vm_info_write(&info, &text);
	assert_int_equal(vm_info_read(text.p, text.len, &got, &err), 0);
	assert_string_equal(got.image, image);
	assert_string_equal(got.qemu, qemu);
	assert_int_equal(got.accel, VM_ACCEL_KVM);
	assert_true(got.vcpus == 16 && got.memory_mb == 16384 && got.machine == 7 && got.tsc_khz == 2450000);
	assert_true(got.created_ms == info.created_ms && got.stored == info.stored);
	assert_string_equal(got.name, name);
	assert_string_equal(got.parent, parent);
	assert_string_equal(got.env[0], one);
	assert_string_equal(got.env[1], two);
	assert_null(got.env[2]);
	vm_info_write(&got, &again);
	assert_string_equal(text.p, again.p);
	vm_info_free(&got);
}

/* A template's, which has no name; members that are not known, or not what they should be. */
static void what_is_missing(void **state)
{
	static const char text[] = "{\"vcpus\":1,\"memoryMb\":128,\"machine\":1,\"env\":[1,\"A=1\",null],\"name\":7,"
				   "\"storedBytes\":-1,\"new\":{\"x\":[]}}";
	struct err err = ERR_INIT;
	struct vm_info got;
	(void)state;
	assert_int_equal(vm_info_read(text, strlen(text), &got, &err), 0);
	assert_null(got.name);
	assert_null(got.parent);
	assert_int_equal(got.stored, 0);
	assert_string_equal(got.image, "");
	assert_int_equal(got.accel, VM_ACCEL_TCG);
	assert_string_equal(got.env[0], "A=1");
	assert_null(got.env[1]);
	vm_info_free(&got);
}

static void refusals(void **state)
{
	static const char *const texts[] = { "", "{", "null", "[]", "\"x\"", "{}", "{\"vcpus\":1,\"memoryMb\":128}",
		"{\"vcpus\":0,\"memoryMb\":128,\"machine\":1}", "{\"vcpus\":256,\"memoryMb\":128,\"machine\":1}",
		"{\"vcpus\":1,\"memoryMb\":0,\"machine\":1}", "{\"vcpus\":1,\"memoryMb\":1048577,\"machine\":1}",
		"{\"vcpus\":1.5,\"memoryMb\":128,\"machine\":1}", "{\"vcpus\":\"x\",\"memoryMb\":128,\"machine\":1}",
		"{\"vcpus\":1,\"memoryMb\":99999999999999999999,\"machine\":1}" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct err err = ERR_INIT;
		struct vm_info got;
		assert_int_equal(vm_info_read(texts[i], strlen(texts[i]), &got, &err), -1);
		assert_int_equal(err.code, ERR_INVALID);
		vm_info_free(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(what_is_missing),
		cmocka_unit_test(refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
