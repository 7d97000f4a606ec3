/*
 * launch: from a disk and a state, or a kernel, to a VM that answers and knows who it is. Every way to "running" goes through here.
 *
 *   held process -> record of its pid -> go -> agent's hello -> configure -> (mount) -> done
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/vm/machine.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum {
	RESTORE_MS = 30000, /* from the start of the VM to its first answer */
	BOOT_MS = 180000,   /* an init system, in emulation, on a busy machine */
	LAST_WORDS_MS = 500,
	SEED_BYTES = 64,
	QEMU_LOG_MAX = 64 * 1024,
};

char *launch_mac(void)
{
	uint8_t mac[6];
	rand_bytes(mac, sizeof(mac));
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02); /* locally administered, unicast */
	return mem_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* ---- its end ---- */

void launch_drop(struct sandbox *sb)
{
	sb->launched = NULL;
	uv_timer_stop(&sb->deadline);
	link_stream_close(sb->configure);
	sb->configure = NULL;
}

static void finish(struct sandbox *sb, const struct err *err)
{
	launch_cb *done = sb->launched;
	launch_drop(sb);
	if (!err)
		sb->used_ms = clock_mono_ms();
	done(sb, err);
}

static void on_failed(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	struct err err = sb->failure;
	finish(sb, &err);
}

/* The VM goes first: whoever is told may try again at once. */
void launch_fail(struct sandbox *sb, const struct err *err)
{
	if (!sb->launched)
		return;
	sb->failure = *err;
	link_stream_close(sb->configure);
	sb->configure = NULL;
	link_close(sb->link);
	sb->link = NULL;
	if (sb->vm) {
		uv_timer_stop(&sb->deadline);
		vm_kill(sb->vm); /* launch_vm_ended goes on */
	} else {
		uv_timer_start(&sb->deadline, on_failed, 0, 0);
	}
}

/* A VM that should have come up has ended; the last line of its complaints is why, the ones before may be mere warnings. */
static void ended_early(struct sandbox *sb, struct err *err)
{
	auto_free char *path = fs_join(sb->dir, "qemu.log");
	auto_buf text = BUF_INIT;
	err_set(err, ERR_INTERNAL, "the VM ended while it was being started");
	if (fs_read(path, QEMU_LOG_MAX, &text, NULL) != 0)
		return;
	while (text.len > 0 && text.p[text.len - 1] == '\n')
		text.p[--text.len] = '\0';
	const char *nl = strrchr(text.p, '\n');
	if (text.len > 0)
		err_set(err, ERR_INTERNAL, "the VM ended while it was being started: %s", nl ? nl + 1 : text.p);
}

void launch_vm_ended(struct sandbox *sb)
{
	struct err err = sb->failure;
	link_close(sb->link);
	sb->link = NULL;
	if (err.code == ERR_OK || !uv_is_active((uv_handle_t *)&sb->deadline)) { /* not what a broken link made us wait for */
		if (err.code == ERR_OK)
			ended_early(sb, &err);
	} else {
		ended_early(sb, &err);
	}
	finish(sb, &err);
}

static void on_no_last_words(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	struct err why = sb->failure;
	launch_fail(sb, &why);
}

void launch_link_down(struct sandbox *sb, const struct err *why)
{
	/* Mostly the VM is ending too, and what its process said last, which comes with its end, says more. */
	sb->failure = *why;
	uv_timer_start(&sb->deadline, on_no_last_words, LAST_WORDS_MS, 0);
}

static void on_deadline(uv_timer_t *timer)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = timer->data;
	err_set(&err, ERR_TIMEOUT, "the VM did not answer within %lld s", (long long)sb->launch_ms / 1000);
	err_hint(&err, "see what is wrong with: sbx doctor");
	launch_fail(sb, &err);
}

/* ---- last step: the guest is told who it is ---- */

static void ignore_data(void *arg, enum wire_channel ch, const uint8_t *data, size_t n)
{
	struct sandbox *sb = arg;
	(void)data;
	link_stream_consumed(sb->configure, ch, n);
}

static void start_step(struct sandbox *sb, const struct buf *record, const struct link_stream_ops *ops)
{
	struct err err = ERR_INIT;
	sb->configure = link_stream_open(sb->link, record, ops, sb, &err);
	if (!sb->configure)
		launch_fail(sb, &err);
	else
		link_stream_eof(sb->configure);
}

static void on_configured(void *arg, const struct link_exit *e);

static const struct link_stream_ops step_ops = { .on_data = ignore_data, .on_exit = on_configured };

static void start_mount(struct sandbox *sb)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_MOUNT);
	wire_rec_str(&r, WT_PATH, sb->fs.path);
	sb->mounting = false;
	start_step(sb, &r, &step_ops);
}

/* After it was told who it is, although it will be told again: the emulator has then translated that too, which is more than half
 * of the time that a create from the pool would take. */
static void start_warm(struct sandbox *sb)
{
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_EXEC);
	wire_rec_str(&r, WT_ARG, "true");
	sb->warm = false;
	sb->warmed = true;
	start_step(sb, &r, &step_ops);
}

static void on_configured(void *arg, const struct link_exit *e)
{
	struct sandbox *sb = arg;
	link_stream_close(sb->configure);
	sb->configure = NULL;
	if (e->link_lost)
		return; /* the link tells why, next */
	if (!e->sys && (!e->code || sb->warmed)) {
		if (sb->mounting)
			start_mount(sb);
		else if (sb->warm)
			start_warm(sb);
		else
			finish(sb, NULL);
		return;
	}
	struct err err = ERR_INIT;
	err_set(&err, ERR_INTERNAL, "the guest could not be set up: %s", e->message[0] ? e->message : "no reason given");
	launch_fail(sb, &err);
}

static void put_identity(const struct sandbox *sb, struct buf *r)
{
	uint8_t seed[SEED_BYTES];
	rand_bytes(seed, sizeof(seed));
	wire_rec_u64(r, WT_OP, WIRE_OP_CONFIGURE);
	wire_rec_str(r, WT_ID, sb->row.id);
	wire_rec_str(r, WT_HOSTNAME, sb->row.name ? sb->row.name : sb->row.id);
	wire_rec_bytes(r, WT_SEED, seed, sizeof(seed));
	wire_rec_u64(r, WT_WALL_MS, (uint64_t)clock_wall_ms());
	wire_rec_str(r, WT_MAC, sb->row.mac);
	if (sb->row.net != NET_NONE) {
		/* The addresses of libslirp's virtual network, see daemon/netd. */
		wire_rec_str(r, WT_IP, "10.0.2.15/24");
		wire_rec_str(r, WT_GATEWAY, "10.0.2.2");
		wire_rec_str(r, WT_DNS, "10.0.2.3");
	}
	if (sb->row.disk_mb)
		wire_rec_u64(r, WT_GROW, 1);
	for (size_t i = 0; sb->row.env[i]; i++)
		wire_rec_str(r, WT_ENV, sb->row.env[i]);
}

void launch_link_up(struct sandbox *sb)
{
	auto_buf r = BUF_INIT;

	create_phase(sb, "guest");
	put_identity(sb, &r);
	start_step(sb, &r, &step_ops);
}

int launch_configure(struct sandbox *sb, launch_cb *done, struct err *err)
{
	if (!sb->link)
		return err_set(err, ERR_UNAVAILABLE, "the guest is not connected");
	err_clear(&sb->failure);
	sb->launched = done;
	sb->warm = sb->warmed = false;
	sb->launch_ms = RESTORE_MS;
	uv_timer_start(&sb->deadline, on_deadline, RESTORE_MS, 0);
	launch_link_up(sb);
	return 0;
}

/* ---- the VM ---- */

static int spawn(struct sandbox *sb, const struct launch *how, struct err *err)
{
	struct disk_chain chain;
	struct vm_config config = { .id = sb->row.id,
		.dir = sb->dir,
		.accel = how->base->info.accel,
		.vcpus = how->vcpus,
		.memory_mb = how->memory_mb,
		.ram_fd = how->ram_fd,
		.state = how->state,
		.kernel = how->kernel ? how->kernel : how->base->kernel,
		.initrd = how->initrd ? how->initrd : how->base->initrd,
		.tsc_khz = (uint64_t)how->base->info.tsc_khz,
		.net = sb->row.net != NET_NONE,
		.net_rules = sb->row.net_rules };

	if (how->state && how->base->info.machine != MACHINE_VERSION) {
		err_set(err, ERR_STATE, "this machine was frozen by another version of sbx, whose devices were others");
		return err_hint(err, "boot it from its disk: sbx stop %s && sbx start %s", sb->row.id, sb->row.id);
	}
	if (disk_chain(sb, how->base, how->top, &chain, err)) {
		disk_chain_free(&chain);
		return -1;
	}
	config.disk = chain.v;
	config.disk_count = chain.n;
	auto_free char *tree = mount_disk(sb);
	const struct vm_disk fs = { .path = tree, .raw = true };
	config.fs = &fs;
	config.fs_count = tree ? 1 : 0;
	sb->vm = vm_spawn(sb->core->config.loop, &config, sandbox_vm_ended, sb, err);
	disk_chain_free(&chain);
	return sb->vm ? 0 : -1;
}

int launch_begin(struct sandbox *sb, const struct launch *how, launch_cb *done, struct err *err)
{
	err_clear(&sb->failure);
	if (spawn(sb, how, err))
		return -1;
	sb->row.pid = vm_pid(sb->vm);
	sb->row.start_time = (int64_t)vm_start_time(sb->vm);
	sb->row.run_vcpus = how->vcpus;
	sb->row.run_memory_mb = how->memory_mb;
	free(sb->row.accel);
	sb->row.accel = mem_strdup(accel_name(how->base->info.accel));
	if (db_sandbox_update(sb->core->db, &sb->row, err) || vm_go(sb->vm, err) || sandbox_open_link(sb, how->fresh, err)) {
		vm_kill(sb->vm);
		vm_free(sb->vm);
		sb->vm = NULL;
		sb->row.pid = sb->row.start_time = 0;
		return -1;
	}
	sb->launched = done;
	sb->warm = how->warm;
	sb->mounting = how->mount && sb->fs.tree;
	sb->launch_ms = how->state ? RESTORE_MS : BOOT_MS;
	uv_timer_start(&sb->deadline, on_deadline, (uint64_t)sb->launch_ms, 0);
	return 0;
}
