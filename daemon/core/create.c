/*
 * create: from nothing to running, or back to nothing.
 *
 *   record (state creating: the name is taken) -> (tree to mount, as an image) -> image and template (built if need be) -> files ->
 *   held process -> record of its pid -> go -> agent's hello -> configure -> (mount) -> record (state running) -> callback
 *
 * After a crash at any arrow the record says creating, and recovery undoes what there is. A failure at any arrow goes
 * through create_fail, which deletes the sandbox like any other and calls back when that is done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/core/catalog.h"
#include "daemon/core/internal.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum {
	ID_LENGTH = 12,
	DEADLINE_MS = 30000, /* from the start of the VM to its first answer */
	SEED_BYTES = 64,
};

void create_fail(struct sandbox *sb, const struct err *err)
{
	if (sb->state != SANDBOX_CREATING)
		return; /* already on its way out */
	sb->failure = *err;
	sandbox_delete(sb, NULL, NULL);
}

void create_undone(struct sandbox *sb)
{
	sandbox_created_cb *cb = sb->created_cb;
	sb->created_cb = NULL;
	cb(sb->created_arg, NULL, &sb->failure);
}

/* ---- last steps: the guest is told who it is, and mounts what it shall have ---- */

static void finish(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	uv_timer_stop(&sb->deadline);
	sb->row.create_us = clock_mono_us() - sb->asked_us;
	if (sandbox_set_state(sb, SANDBOX_RUNNING, NULL, &err)) {
		create_fail(sb, &err);
		return;
	}
	eventlog_add(sb->log, "created", "from image %s in %lld ms", sb->row.image, (long long)sb->row.create_us / 1000);
	sandbox_arm_expiry(sb);
	sandbox_created_cb *cb = sb->created_cb;
	sb->created_cb = NULL;
	cb(sb->created_arg, sb, NULL);
}

static void ignore_data(void *arg, enum wire_channel ch, const uint8_t *data, size_t n)
{
	struct sandbox *sb = arg;
	(void)data;
	link_stream_consumed(sb->configure, ch, n);
}

/* The stream has ended; false when that was not well, and dealt with. */
static bool step_done(struct sandbox *sb, const struct link_exit *e, const char *what)
{
	struct err err = ERR_INIT;
	link_stream_close(sb->configure);
	sb->configure = NULL;
	if (e->link_lost)
		return false; /* the link tells why, next */
	if (!e->sys && !e->code)
		return true;
	err_set(&err, ERR_INTERNAL, "the guest could not %s: %s", what, e->message[0] ? e->message : "no reason given");
	create_fail(sb, &err);
	return false;
}

static void on_mounted(void *arg, const struct link_exit *e)
{
	struct sandbox *sb = arg;
	if (step_done(sb, e, "mount the tree"))
		finish(sb);
}

static void on_configured(void *arg, const struct link_exit *e);

static const struct link_stream_ops configure_ops = { .on_data = ignore_data, .on_exit = on_configured };
static const struct link_stream_ops mount_ops = { .on_data = ignore_data, .on_exit = on_mounted };

static void start_step(struct sandbox *sb, const struct buf *record, const struct link_stream_ops *ops)
{
	struct err err = ERR_INIT;
	sb->configure = link_stream_open(sb->link, record, ops, sb, &err);
	if (!sb->configure)
		create_fail(sb, &err);
	else
		link_stream_eof(sb->configure);
}

static void on_configured(void *arg, const struct link_exit *e)
{
	struct sandbox *sb = arg;
	if (!step_done(sb, e, "be set up"))
		return;
	if (!sb->fs.path) {
		finish(sb);
		return;
	}
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_MOUNT);
	wire_rec_str(&r, WT_PATH, sb->fs.path);
	start_step(sb, &r, &mount_ops);
}

void create_link_up(struct sandbox *sb)
{
	uint8_t seed[SEED_BYTES], mac[6];
	rand_bytes(seed, sizeof(seed));
	rand_bytes(mac, sizeof(mac));
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02); /* locally administered, unicast */
	auto_free char *mac_text = mem_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	auto_buf r = BUF_INIT;
	wire_rec_u64(&r, WT_OP, WIRE_OP_CONFIGURE);
	wire_rec_str(&r, WT_ID, sb->row.id);
	wire_rec_str(&r, WT_HOSTNAME, sb->row.name ? sb->row.name : sb->row.id);
	wire_rec_bytes(&r, WT_SEED, seed, sizeof(seed));
	wire_rec_u64(&r, WT_WALL_MS, (uint64_t)clock_wall_ms());
	wire_rec_str(&r, WT_MAC, mac_text);
	if (sb->row.net == NET_FULL) {
		/* The addresses of libslirp's virtual network, see daemon/netd. */
		wire_rec_str(&r, WT_IP, "10.0.2.15/24");
		wire_rec_str(&r, WT_GATEWAY, "10.0.2.2");
		wire_rec_str(&r, WT_DNS, "10.0.2.3");
	}
	for (size_t i = 0; sb->row.env[i]; i++)
		wire_rec_str(&r, WT_ENV, sb->row.env[i]);
	start_step(sb, &r, &configure_ops);
}

/* ---- the VM ---- */

static void on_deadline(uv_timer_t *timer)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_TIMEOUT, "the VM did not answer within %d s", DEADLINE_MS / 1000);
	err_hint(&err, "see what is wrong with: sbx doctor");
	create_fail(timer->data, &err);
}

static int start_vm(struct sandbox *sb, struct err *err)
{
	struct core *core = sb->core;
	auto_free char *fs_disk = mount_disk(sb);
	struct vm_config config = {
		.id = sb->row.id, .dir = sb->dir, .tmpl = &sb->tmpl, .net = sb->row.net == NET_FULL, .fs_disk = fs_disk
	};
	if (mkdir(sb->dir, 0700) != 0)
		return err_sys(err, errno, "cannot make '%s'", sb->dir);
	auto_free char *log = fs_join(sb->dir, "events.log");
	sb->log = eventlog_new(log);
	if (vm_files(&config, err))
		return -1;
	sb->vm = vm_spawn(core->config.loop, &config, sandbox_vm_ended, sb, err);
	if (!sb->vm)
		return -1;
	sb->row.pid = vm_pid(sb->vm);
	sb->row.start_time = (int64_t)vm_start_time(sb->vm);
	free(sb->row.template_key);
	free(sb->row.accel);
	sb->row.template_key = mem_strdup(sb->tmpl.key);
	sb->row.accel = mem_strdup(accel_name(sb->tmpl.accel));
	if (sandbox_set_state(sb, SANDBOX_CREATING, NULL, err) || vm_go(sb->vm, err))
		return -1;
	uv_timer_start(&sb->deadline, on_deadline, DEADLINE_MS, 0);
	return sandbox_open_link(sb, true, err);
}

/* 1 the template stands, 0 it must be built, -1 err. */
static int find_template(struct sandbox *sb, struct err *err)
{
	struct image image;
	int found = image_find(sb->core->cache, sb->row.image, &image, err);
	if (found != 1)
		return found;
	found = template_find(sb->core->cache, &image, (unsigned)sb->row.vcpus, (unsigned)sb->row.memory_mb, &sb->tmpl, err);
	image_free(&image);
	return found;
}

static void on_built(void *arg, const struct err *build_err)
{
	struct sandbox *sb = arg;
	sb->build = NULL;
	struct err err = ERR_INIT;
	if (build_err) {
		create_fail(sb, build_err);
		return;
	}
	int found = find_template(sb, &err);
	if (found == 0)
		err_set(&err, ERR_INTERNAL, "image '%s' was built but cannot be found", sb->row.image);
	if (found != 1 || start_vm(sb, &err))
		create_fail(sb, &err);
}

static const struct build_ops build_ops = { .on_done = on_built };

static void begin_vm(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	int found = find_template(sb, &err);
	if (found == 0) {
		struct build_goal goal = { sb->row.image, (unsigned)sb->row.vcpus, (unsigned)sb->row.memory_mb };
		sb->build = builder_wait(sb->core->builder, &goal, &build_ops, sb, &err);
		if (!sb->build)
			create_fail(sb, &err);
	} else if (found < 0 || start_vm(sb, &err)) {
		create_fail(sb, &err);
	}
}

/* The first step happens from the loop, so that no callback comes from inside sandbox_create. */
static void on_begin(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	if (sb->fs.path)
		mount_prepare(sb, begin_vm);
	else
		begin_vm(sb);
}

/* ---- the request ---- */

static char **copy_list(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	char **copy = mem_array(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = mem_strdup(list[i]);
	return copy;
}

struct sandbox *sandbox_create(
	struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err)
{
	if (catalog_check(spec->image, err))
		return NULL;
	struct err ignored = ERR_INIT;
	if (spec->name && sandbox_find(core, spec->name, &ignored)) {
		err_set(err, ERR_CONFLICT, "a sandbox named '%s' already exists", spec->name);
		err_hint(err, "choose another name, or remove it with: sbx rm %s", spec->name);
		return NULL;
	}
	char id[ID_LENGTH + 1];
	rand_id(id, ID_LENGTH);
	/* Unique and growing, so that lists have one order and cursors hold. */
	int64_t now = clock_wall_ms();
	if (core->count > 0 && now <= core->boxes[core->count - 1]->row.created_ms)
		now = core->boxes[core->count - 1]->row.created_ms + 1;
	struct db_sandbox row = {
		.id = mem_strdup(id),
		.name = spec->name ? mem_strdup(spec->name) : NULL,
		.image = mem_strdup(spec->image),
		.state = mem_strdup(sandbox_state_name(SANDBOX_CREATING)),
		.env = copy_list(spec->env),
		.labels = copy_list(spec->labels),
		.vcpus = spec->vcpus,
		.memory_mb = spec->memory_mb,
		.timeout_s = spec->timeout_s,
		.net = spec->net,
		.account = spec->account,
		.created_ms = now,
		.expires_ms = spec->timeout_s ? now + spec->timeout_s * 1000 : 0,
	};
	if (db_sandbox_insert(core->db, &row, err)) {
		db_sandbox_release(&row);
		return NULL;
	}
	struct sandbox *sb = sandbox_load(core, &row, SANDBOX_CREATING);
	sb->created_cb = cb;
	sb->created_arg = arg;
	sb->asked_us = clock_mono_us();
	if (spec->fs_ref) {
		sb->fs = (struct db_fs){ .sandbox = mem_strdup(id), .path = mem_strdup(spec->fs_path) };
		sb->fs_ref = mem_strdup(spec->fs_ref);
		for (size_t n = strlen(sb->fs.path); n > 1 && sb->fs.path[n - 1] == '/'; n--)
			sb->fs.path[n - 1] = '\0';
	}
	uv_timer_start(&sb->deadline, on_begin, 0, 0);
	return sb;
}
