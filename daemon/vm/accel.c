#include "daemon/vm/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "daemon/image/run.h"
#include "daemon/vm/boot.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define JSON_MAX ((size_t)64 << 10)
#define CPUINFO_MAX ((size_t)16 << 20)
enum { KVM_BOOT_MS = 5000, KVM_BOOT_MB = 256, VERSION_MS = 10000, TSC_MEASURE_MS = 100, TSC_TRIES = 16 };

static const char *const names[] = { [VM_ACCEL_TCG] = "tcg", [VM_ACCEL_KVM] = "kvm" };

const char *accel_name(enum vm_accel accel)
{
	return names[accel];
}

void accel_facts_free(struct accel_facts *f)
{
	free(f->qemu);
	f->qemu = NULL;
}

/* 0 and *out for a known name. */
static int accel_from_name(const char *name, enum vm_accel *out)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(name, names[i])) {
			*out = (enum vm_accel)i;
			return 0;
		}
	}
	return -1;
}

static int apply_override(struct accel_facts *f, struct err *err)
{
	const char *set = getenv("SBX_ACCEL"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */

	if (!set || !*set)
		return 0;
	if (accel_from_name(set, &f->accel))
		return err_set(err, ERR_INVALID, "SBX_ACCEL is '%s', not 'tcg' or 'kvm'", set);
	snprintf(f->reason, sizeof(f->reason), "SBX_ACCEL asks for it");
	return 0;
}

/* What the remembered facts are valid for. */
static int read_identity(struct accel_facts *f, struct err *err)
{
	struct stat st;
	auto_buf id = BUF_INIT;

	f->qemu = machine_find_qemu(err);
	if (!f->qemu)
		return -1;
	if (stat(f->qemu, &st))
		return err_sys(err, errno, "cannot read '%s'", f->qemu);
	snprintf(f->qemu_id, sizeof(f->qemu_id), "%lld:%lld:%llu", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		(unsigned long long)st.st_ino);
	if (fs_read("/proc/sys/kernel/random/boot_id", sizeof(f->boot_id), &id, err))
		return -1;
	snprintf(f->boot_id, sizeof(f->boot_id), "%.*s", (int)strcspn(id.p, "\n"), id.p);
	return 0;
}

int accel_facts_read(const char *cache, struct accel_facts *out, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(cache, "accel.json");
	int64_t khz = 0;

	*out = (struct accel_facts){ 0 };
	if (read_identity(out, err))
		return -1;
	if (fs_read(path, JSON_MAX, &text, NULL))
		return 0;
	auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
	if (strcmp(js_str(js_get(v, "bootId"), ""), out->boot_id) != 0 ||
		strcmp(js_str(js_get(v, "qemuId"), ""), out->qemu_id) != 0 ||
		accel_from_name(js_str(js_get(v, "accel"), ""), &out->accel) || js_int(js_get(v, "tscKhz"), &khz) || khz <= 0)
		return 0;
	out->tsc_khz = (uint64_t)khz;
	snprintf(out->version, sizeof(out->version), "%s", js_str(js_get(v, "qemuVersion"), ""));
	snprintf(out->reason, sizeof(out->reason), "%s", js_str(js_get(v, "reason"), ""));
	return apply_override(out, err) ? -1 : 1;
}

static int facts_save(const char *cache, const struct accel_facts *f, struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *path = fs_join(cache, "accel.json");
	struct jw w;

	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "accel", accel_name(f->accel));
	jw_kstr(&w, "reason", f->reason);
	jw_kstr(&w, "qemu", f->qemu);
	jw_kstr(&w, "qemuId", f->qemu_id);
	jw_kstr(&w, "qemuVersion", f->version);
	jw_kint(&w, "tscKhz", (int64_t)f->tsc_khz);
	jw_kstr(&w, "bootId", f->boot_id);
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	return fs_write_atomic(path, text.p, text.len, 0644, err);
}

static int qemu_version(struct accel_facts *f, struct err *err)
{
	static const char before[] = "version ";
	const char *const argv[] = { f->qemu, "--version", NULL };
	struct run run = { .argv = argv, .timeout_ms = VERSION_MS, .max_output = JSON_MAX };
	auto_buf text = BUF_INIT;

	if (run_capture(&run, &text, err))
		return -1;
	const char *p = strstr(text.p, before);
	if (!p)
		return err_set(err, ERR_INVALID, "'%s' does not tell its version", f->qemu);
	p += sizeof(before) - 1;
	snprintf(f->version, sizeof(f->version), "%.*s", (int)strcspn(p, "\n"), p);
	return 0;
}

/* ---- the time stamp counter ---- */

struct instant {
	uint64_t tsc;
	int64_t ns;
};

/* Both clocks at the same time, as nearly as can be: the try with the shortest gap around it. */
static struct instant instant_now(void)
{
	struct instant best = { 0, 0 };
	uint64_t shortest = UINT64_MAX;

	for (int i = 0; i < TSC_TRIES; i++) {
		struct timespec t;
		uint64_t before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		uint64_t after = __rdtsc();
		if (after - before < shortest) {
			shortest = after - before;
			best = (struct instant){ before + (after - before) / 2, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec };
		}
	}
	return best;
}

/* Within a few parts in a million over 100 ms. The kernel knows the rate but does not tell. */
static uint64_t measure_tsc_khz(void)
{
	struct timespec nap = { .tv_nsec = (long)TSC_MEASURE_MS * 1000000 };
	struct instant a = instant_now();

	nanosleep(&nap, NULL);
	struct instant b = instant_now();
	return (uint64_t)(((__uint128_t)(b.tsc - a.tsc) * 1000000 + (uint64_t)(b.ns - a.ns) / 2) / (uint64_t)(b.ns - a.ns));
}

/* ---- KVM ---- */

bool accel_cpu_can(const char *cpuinfo)
{
	const char *flags = strstr(cpuinfo, "\nflags");
	size_t n = flags ? strcspn(flags + 1, "\n") : 0;
	auto_free char *line = mem_printf("%.*s ", (int)n, flags ? flags + 1 : "");

	return strstr(line, " vmx ") || strstr(line, " svm ");
}

/* NULL when a guest reached its agent under KVM, else why not, in why. */
static const char *try_kvm_boot(const char *cache, const struct image *image, const struct accel_facts *f, char *why, size_t size)
{
	struct err err = ERR_INIT;
	struct boot boot;
	struct machine m = { .qemu = f->qemu, .accel = VM_ACCEL_KVM, .vcpus = 1, .memory_mb = KVM_BOOT_MB };
	auto_free char *parent = fs_join(cache, "templates");
	auto_free char *dir = mem_printf("%s/.kvm-%ld", parent, (long)getpid());
	int r = fs_mkdirs(dir, 0700, &err);

	if (!r) {
		r = boot_start(&boot, image, &m, dir, KVM_BOOT_MS, &err);
		if (!r)
			boot_end(&boot, 0);
	}
	fs_remove_tree(dir, NULL);
	if (!r)
		return NULL;
	snprintf(why, size, "kvm: no guest came up: %.180s", err.msg);
	return why;
}

static void decide(const char *cache, const struct image *image, struct accel_facts *f)
{
	auto_buf cpuinfo = BUF_INIT;
	char why[256];
	const char *obstacle = NULL;
	auto_fd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0) {
		snprintf(why, sizeof(why), "kvm: cannot open /dev/kvm: %s", strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
		obstacle = why;
	} else if (fs_read("/proc/cpuinfo", CPUINFO_MAX, &cpuinfo, NULL) || !accel_cpu_can(cpuinfo.p)) {
		obstacle = "kvm: /dev/kvm is there, but the processor shows neither vmx nor svm, so no ordinary guest runs on it";
	} else {
		obstacle = try_kvm_boot(cache, image, f, why, sizeof(why));
	}
	f->accel = obstacle ? VM_ACCEL_TCG : VM_ACCEL_KVM;
	snprintf(f->reason, sizeof(f->reason), "%s", obstacle ? obstacle : "a guest came up under kvm");
}

int accel_facts_get(const char *cache, const struct image *image, struct accel_facts *out, struct err *err)
{
	auto_free char *lock_path = fs_join(cache, ".lock-accel");
	int r = accel_facts_read(cache, out, err);

	if (r)
		return r < 0 ? -1 : 0;
	accel_facts_free(out);
	if (fs_mkdirs(cache, 0755, err))
		return -1;
	auto_fd int lock = fs_lock(lock_path, true, err);
	if (lock < 0)
		return -1;
	/* somebody else may have found out meanwhile */
	r = accel_facts_read(cache, out, err);
	if (r)
		return r < 0 ? -1 : 0;
	if (qemu_version(out, err))
		return -1;
	out->tsc_khz = measure_tsc_khz();
	decide(cache, image, out);
	if (facts_save(cache, out, err))
		return -1;
	return apply_override(out, err);
}

int accel_decide(const char *cache, const struct image *image, enum vm_accel *out, char reason[256], struct err *err)
{
	struct accel_facts f = { 0 };
	int r = accel_facts_get(cache, image, &f, err);

	if (!r) {
		*out = f.accel;
		snprintf(reason, 256, "%s", f.reason);
	}
	accel_facts_free(&f);
	return r;
}

int accel_known(const char *cache, enum vm_accel *out, char reason[256], struct err *err)
{
	struct accel_facts f = { 0 };
	int r = accel_facts_read(cache, &f, err);

	if (r == 1) {
		*out = f.accel;
		snprintf(reason, 256, "%s", f.reason);
	}
	accel_facts_free(&f);
	return r;
}
