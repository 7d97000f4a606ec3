/*
 * create: from nothing to running, or back to nothing.
 *
 *   record (state creating: the name is taken) -> image and template (built if need be) -> files -> held process ->
 *   record of its pid -> go -> agent's hello -> configure -> record (state running) -> callback
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
#include "daemon/image/resolve.h"
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

/* ---- last step: the guest is told who it is ---- */

static void on_configured(void *arg, const struct link_exit *e)
{
	struct sandbox *sb = arg;
	link_stream_close(sb->configure);
	sb->configure = NULL;
	struct err err = ERR_INIT;
	if (e->link_lost)
		return; /* the link tells why, next */
	if (e->sys || e->code) {
		err_set(&err, ERR_INTERNAL, "the guest could not be set up: %s", e->message[0] ? e->message : "no reason given");
		create_fail(sb, &err);
		return;
	}
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

static const struct link_stream_ops configure_ops = { .on_data = ignore_data, .on_exit = on_configured };

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
	struct err err = ERR_INIT;
	sb->configure = link_stream_open(sb->link, &r, &configure_ops, sb, &err);
	if (!sb->configure)
		create_fail(sb, &err);
	else
		link_stream_eof(sb->configure);
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
	struct vm_config config = { .id = sb->row.id, .dir = sb->dir, .tmpl = &sb->tmpl, .net = sb->row.net == NET_FULL };
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

/* The tag may mean another image by now. */
static char *image_name(const struct sandbox *sb)
{
	return sb->row.image_digest ? mem_printf("sha256:%s", sb->row.image_digest) : mem_strdup(sb->row.image);
}

/* 1 the template stands, 0 it must be built, -1 err. */
static int find_template(struct sandbox *sb, struct err *err)
{
	struct image image;
	auto_free char *name = image_name(sb);
	int found = resolve_find(sb->core->home, sb->core->cache, name, &image, err);
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

/* The first step happens from the loop, so that no callback comes from inside sandbox_create. */
static void on_begin(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	struct err err = ERR_INIT;
	int found = find_template(sb, &err);
	if (found == 0) {
		auto_free char *name = image_name(sb);
		struct build_goal goal = { name, (unsigned)sb->row.vcpus, (unsigned)sb->row.memory_mb };
		sb->build = builder_wait(sb->core->builder, &goal, &build_ops, sb, &err);
		if (!sb->build)
			create_fail(sb, &err);
	} else if (found < 0 || start_vm(sb, &err)) {
		create_fail(sb, &err);
	}
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

/* What the image sets and the client does not, then what the client sets. */
static char **merge_env(char *const *image, char *const *own)
{
	size_t n = 0, k = 0;
	while (image && image[n])
		n++;
	for (size_t i = 0; own && own[i]; i++)
		n++;
	char **env = mem_array(n + 1, sizeof(*env));
	for (size_t i = 0; image && image[i]; i++) {
		size_t name = strcspn(image[i], "=") + 1;
		bool set = false;
		for (size_t j = 0; own && own[j]; j++)
			set |= !strncmp(own[j], image[i], name);
		if (!set)
			env[k++] = mem_strdup(image[i]);
	}
	for (size_t i = 0; own && own[i]; i++)
		env[k++] = mem_strdup(own[i]);
	return env;
}

struct sandbox *sandbox_create(
	struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err)
{
	struct err ignored = ERR_INIT;
	struct catalog_choice choice;
	if (spec->name && sandbox_find(core, spec->name, &ignored)) {
		err_set(err, ERR_CONFLICT, "a sandbox named '%s' already exists", spec->name);
		err_hint(err, "choose another name, or remove it with: sbx rm %s", spec->name);
		return NULL;
	}
	if (catalog_choose(core, spec->image, &choice, err))
		return NULL;
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
		.image_digest = mem_steal(&choice.digest),
		.env = merge_env(choice.env, spec->env),
		.labels = copy_list(spec->labels),
		.vcpus = spec->vcpus,
		.memory_mb = spec->memory_mb ? spec->memory_mb : choice.memory_mb,
		.timeout_s = spec->timeout_s,
		.net = spec->net,
		.account = spec->account,
		.created_ms = now,
		.expires_ms = spec->timeout_s ? now + spec->timeout_s * 1000 : 0,
	};
	catalog_choice_free(&choice);
	if (db_sandbox_insert(core->db, &row, err)) {
		db_sandbox_release(&row);
		return NULL;
	}
	struct sandbox *sb = sandbox_load(core, &row, SANDBOX_CREATING);
	sb->created_cb = cb;
	sb->created_arg = arg;
	sb->asked_us = clock_mono_us();
	uv_timer_start(&sb->deadline, on_begin, 0, 0);
	return sb;
}
