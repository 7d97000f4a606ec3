#include "daemon/vm/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"

/*
 * Guest kernel command line. mitigations=off: they guard the guest's kernel from its own users, who own the whole VM;
 * what guards the host is the host's. init_on_alloc=0: for the same reason, and zeroing every page twice is dear in emulation.
 * No word on KASLR: an ELF kernel that QEMU starts directly is not relocated, and all VMs of a template share its layout anyway.
 * reboot=t panic=-1: a guest that ends or dies must end QEMU (-no-reboot) and not hang. console=ttyS0: the boot is on record in
 * the template; a restored VM's serial port leads nowhere, so a hostile guest fills no disk with it.
 */
#define KERNEL_WORDS                                                                                                               \
	"quiet mitigations=off init_on_alloc=0 cryptomgr.notests random.trust_cpu=on audit=0 reboot=t panic=-1 " IDLE_WORDS        \
	" console=ttyS0"
/*
 * What woke an idle guest, most often first, each time for about 0.5 ms of the host's under TCG: kcompactd twice a second, to see
 * whether it should compact ahead of need (it still does on need); per-CPU statistics folded into the global ones once a second,
 * now once a minute (how wrong these may be is bounded by the kernel, not by the interval); the soft lockup watchdog every four
 * seconds (a busy host is no bug of the guest's). An idle VM with one CPU: 0.22 % of a core before, 0.02 % with these words, of
 * which most is compaction; with two CPUs 0.1 %. Timers stay exact: nanosleep of 1 ms to 1 s is late by 0.2 to 1.2 ms.
 */
#define IDLE_WORDS "nowatchdog sysctl.vm.compaction_proactiveness=0 sysctl.vm.stat_interval=60"
/* Emulation has no clock that the kernel could calibrate against in reasonable time; the guest's rdtsc is the host's. */
#define TCG_WORDS " tsc_early_khz=%llu lpj=4000000 no_timer_check tsc=reliable clocksource=tsc"

#define MACHINE "microvm,x-option-roms=off,memory-backend=ram,suppress-vmdesc=on"

struct args {
	char **v;
	size_t n;
};

static void add(struct args *a, const char *s)
{
	a->v = mem_grow((void *)a->v, a->n + 2, sizeof(*a->v));
	a->v[a->n++] = mem_strdup(s);
	a->v[a->n] = NULL;
}

static void add2(struct args *a, const char *option, const char *value)
{
	add(a, option);
	add(a, value);
}

static void addf(struct args *a, const char *option, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void addf(struct args *a, const char *option, const char *fmt, ...)
{
	auto_buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vfmt(&b, fmt, ap);
	va_end(ap);
	add2(a, option, b.p);
}

static void add_memory(struct args *a, const struct machine *m)
{
	/* opened anew for writing, even to be mapped private: the file must allow that, and be sealed (ram.h) */
	addf(a, "-object", "memory-backend-file,id=ram,mem-path=/proc/self/fd/%d,size=%uM,share=%s", m->ram_fd, m->memory_mb,
		m->ram_share ? "on" : "off");
	addf(a, "-m", "%uM", m->memory_mb);
}

static void add_core(struct args *a, const struct machine *m)
{
	add(a, m->qemu);
	addf(a, "-name", "sbx-%s", m->name);
	add(a, "-nodefaults");
	add(a, "-no-user-config");
	add(a, "-no-reboot");
	add2(a, "-display", "none");
	/* option ROMs are only needed to start a bzImage; the description of a state for people would be half of it. No PIT under
	 * TCG: this kernel never touches it, but from reset it runs freely, and QEMU wakes up for each of its edges, every 27 ms:
	 * 0.3 % of a core, more than half of an idle VM's cost */
	add2(a, "-machine", m->accel == VM_ACCEL_KVM ? MACHINE : MACHINE ",pit=off");
	/* a state is devices and nothing else: stream.h */
	add2(a, "-global", "migration.send-configuration=off");
	add_memory(a, m);
	addf(a, "-smp", "%u", m->vcpus);
	/* the translation buffer is private memory: a busy guest must not grow it to an eighth of the host's */
	add2(a, "-accel", m->accel == VM_ACCEL_KVM ? "kvm" : "tcg,thread=multi,tb-size=64");
	add2(a, "-cpu", m->accel == VM_ACCEL_KVM ? "host" : "max");
	add2(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

/* ---- disks ---- */

/* cache.no-flush: the guest's flushes need not reach the platter, since its memory would not survive what they guard against;
 * whoever freezes a VM syncs the file. */
#define CACHE "\"cache\":{\"no-flush\":true},\"discard\":\"unmap\""

static void put_file(struct buf *b, bool read_only, int fdset)
{
	buf_fmt(b, "\"read-only\":%s,\"file\":{\"driver\":\"file\",\"filename\":\"/dev/fdset/%d\",\"read-only\":%s," CACHE "}",
		read_only ? "true" : "false", fdset, read_only ? "true" : "false");
}

char *machine_top_json(unsigned node, unsigned fdset)
{
	auto_buf b = BUF_INIT;

	buf_fmt(&b, "{\"driver\":\"qcow2\",\"node-name\":\"" MACHINE_NODE "\",\"backing\":null," CACHE ",", node);
	put_file(&b, false, (int)fdset);
	buf_ch(&b, '}');
	return mem_strdup(b.p);
}

/* One file of a chain; `below` is the name of the node under it, or NULL. Sets of descriptors are numbered as those. */
static void add_node(struct args *a, const char *name, const struct machine_disk *d, bool read_only, const char *below)
{
	auto_buf b = BUF_INIT;

	addf(a, "-add-fd", "fd=%d,set=%d", d->fd, d->fd);
	buf_fmt(&b, "{\"driver\":\"%s\",\"node-name\":\"%s\"," CACHE ",", d->raw ? "raw" : "qcow2", name);
	if (!d->raw && below)
		buf_fmt(&b, "\"backing\":\"%s\",", below);
	else if (!d->raw)
		buf_str(&b, "\"backing\":null,");
	put_file(&b, read_only, d->fd);
	buf_ch(&b, '}');
	add2(a, "-blockdev", b.p);
}

/* The lowest first, since each names the one below. */
static void add_chain(struct args *a, const char *prefix, const struct machine_disk *chain, unsigned n, bool read_only)
{
	for (unsigned i = 0; i < n; i++) {
		auto_free char *name = mem_printf("%s%u", prefix, i);
		auto_free char *below = i ? mem_printf("%s%u", prefix, i - 1) : NULL;
		add_node(a, name, &chain[n - 1 - i], read_only || i + 1 < n, below);
	}
}

static void add_disks(struct args *a, const struct machine *m)
{
	add_chain(a, "disk", m->disk, m->disk_count, false);
	/* A full host disk is an I/O error in the guest: QEMU's default stops the VM, and nobody would continue it. */
	addf(a, "-device", "virtio-blk-device,id=disk,drive=disk%u,werror=report,rerror=report", m->disk_count - 1);
	if (m->fs_count)
		add_chain(a, "fs", m->fs, m->fs_count, true);
	else
		addf(a, "-blockdev",
			"{\"driver\":\"null-co\",\"node-name\":\"fs0\",\"size\":%llu,\"read-zeroes\":true,\"read-only\":true}",
			(unsigned long long)MACHINE_FS_SIZE);
	addf(a, "-device", "virtio-blk-device,id=fs,drive=fs%u,werror=report,rerror=report", m->fs_count ? m->fs_count - 1 : 0);
}

static void add_devices(struct args *a, const struct machine *m)
{
	add2(a, "-device", "virtio-serial-device,max_ports=2");
	addf(a, "-chardev", "socket,id=agent,fd=%d,server=on,wait=off", m->agent_fd);
	add2(a, "-device", "virtserialport,chardev=agent,name=agent");
	add_disks(a, m);
	if (m->net_fd >= 0) {
		addf(a, "-netdev", "socket,id=net,fd=%d", m->net_fd);
		add2(a, "-device", "virtio-net-device,netdev=net,mac=52:54:00:5b:78:01");
	} else {
		add2(a, "-device", "virtio-net-device,mac=52:54:00:5b:78:01");
	}
	addf(a, "-chardev", "socket,id=qmp,fd=%d,server=on,wait=off", m->qmp_fd);
	add2(a, "-mon", "chardev=qmp,mode=control");
}

static void add_boot(struct args *a, const struct machine *m)
{
	addf(a, "-kernel", "/proc/self/fd/%d", m->kernel_fd);
	addf(a, "-initrd", "/proc/self/fd/%d", m->initrd_fd);
	if (m->accel == VM_ACCEL_KVM)
		add2(a, "-append", KERNEL_WORDS);
	else
		addf(a, "-append", KERNEL_WORDS TCG_WORDS, (unsigned long long)m->tsc_khz);
	if (m->console_fd < 0) {
		add2(a, "-serial", "null");
		return;
	}
	addf(a, "-add-fd", "fd=%d,set=%d", m->console_fd, m->console_fd);
	addf(a, "-chardev", "file,id=console,path=/dev/fdset/%d", m->console_fd);
	add2(a, "-serial", "chardev:console");
}

char **machine_argv(const struct machine *m)
{
	struct args a = { 0 };

	add_core(&a, m);
	add_devices(&a, m);
	if (m->state_fd < 0) {
		add_boot(&a, m);
	} else {
		add2(&a, "-serial", "null");
		addf(&a, "-incoming", "fd:%d", m->state_fd);
	}
	return a.v;
}

void machine_argv_free(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free((void *)argv);
}

char *machine_find_qemu(struct err *err)
{
	const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */
	auto_free char *dirs = mem_printf("%s:/usr/bin:/usr/local/bin", path ? path : "");
	char *save = NULL;

	for (char *d = strtok_r(dirs, ":", &save); d; d = strtok_r(NULL, ":", &save)) {
		auto_free char *file = mem_printf("%s/" MACHINE_QEMU, d);
		if (d[0] == '/' && !access(file, X_OK))
			return mem_steal(&file);
	}
	err_set(err, ERR_NOT_FOUND, "'" MACHINE_QEMU "' is not installed");
	err_hint(err, "install the package qemu-system-x86");
	return NULL;
}
