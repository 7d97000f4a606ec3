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
	"quiet mitigations=off init_on_alloc=0 cryptomgr.notests random.trust_cpu=on audit=0 reboot=t panic=-1 console=ttyS0"
/* Emulation has no clock that the kernel could calibrate against in reasonable time; the guest's rdtsc is the host's. */
#define TCG_WORDS " tsc_early_khz=%llu lpj=4000000 no_timer_check tsc=reliable clocksource=tsc"

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

/* In QEMU's option syntax a comma in a value is doubled. Allocated. */
static char *quoted(const char *path)
{
	auto_buf b = BUF_INIT;

	for (; *path; path++) {
		buf_ch(&b, *path);
		if (*path == ',')
			buf_ch(&b, ',');
	}
	return mem_strdup(b.p);
}

static void add_core(struct args *a, const struct machine *m)
{
	auto_free char *ram = quoted(m->ram);

	add(a, m->qemu);
	addf(a, "-name", "sbx-%s", m->name);
	add(a, "-nodefaults");
	add(a, "-no-user-config");
	add(a, "-no-reboot");
	add2(a, "-display", "none");
	/* option ROMs are only needed to start a bzImage */
	add2(a, "-machine", "microvm,x-option-roms=off,memory-backend=ram");
	addf(a, "-object", "memory-backend-file,id=ram,mem-path=%s,size=%uM,share=%s", ram, m->memory_mb,
		m->ram_shared ? "on" : "off");
	addf(a, "-m", "%uM", m->memory_mb);
	addf(a, "-smp", "%u", m->vcpus);
	/* the translation buffer is private memory: a busy guest must not grow it to an eighth of the host's */
	add2(a, "-accel", m->accel == VM_ACCEL_KVM ? "kvm" : "tcg,thread=multi,tb-size=64");
	add2(a, "-cpu", m->accel == VM_ACCEL_KVM ? "host" : "max");
	add2(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

static void add_devices(struct args *a, const struct machine *m)
{
	auto_free char *disk = quoted(m->disk);

	add2(a, "-device", "virtio-serial-device,max_ports=2");
	addf(a, "-chardev", "socket,id=agent,fd=%d,server=on,wait=off", m->agent_fd);
	add2(a, "-device", "virtserialport,chardev=agent,name=agent");
	/* cache=unsafe: the guest's flushes need not reach the platter, since its memory would not survive what they guard
	 * against; whoever freezes a VM syncs the file */
	/* A full host disk is an I/O error in the guest: QEMU's default stops the VM, and nobody would continue it. */
	addf(a, "-drive", "if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap,werror=report,rerror=report,file=%s", disk);
	add2(a, "-device", "virtio-blk-device,drive=disk");
	if (m->fs_disk) {
		auto_free char *fs = quoted(m->fs_disk);
		addf(a, "-drive", "if=none,id=fs,format=raw,read-only=on,werror=report,rerror=report,file=%s", fs);
	} else {
		addf(a, "-drive", "if=none,id=fs,driver=null-co,read-zeroes=on,read-only=on,size=%llu",
			(unsigned long long)MACHINE_FS_SIZE);
	}
	add2(a, "-device", "virtio-blk-device,id=fs,drive=fs");
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
	auto_free char *console = quoted(m->console);

	add2(a, "-kernel", m->kernel);
	add2(a, "-initrd", m->initrd);
	if (m->accel == VM_ACCEL_KVM)
		add2(a, "-append", KERNEL_WORDS);
	else
		addf(a, "-append", KERNEL_WORDS TCG_WORDS, (unsigned long long)m->tsc_khz);
	addf(a, "-chardev", "file,id=console,path=%s", console);
	add2(a, "-serial", "chardev:console");
}

char **machine_argv(const struct machine *m)
{
	struct args a = { 0 };

	add_core(&a, m);
	add_devices(&a, m);
	if (m->kernel) {
		add_boot(&a, m);
	} else {
		add2(&a, "-serial", "null");
		add2(&a, "-incoming", "defer");
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
