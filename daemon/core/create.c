/*
 * create: from nothing to running, or back to nothing.
 *
 *   record (state creating: the name is taken) -> image and template (built if need be) -> base -> files -> launch.c ->
 *   record (state running) -> callback
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

enum { ID_LENGTH = 12 };

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

static void on_launched(struct sandbox *sb, const struct err *launch_err)
{
	struct err err = ERR_INIT;
	if (launch_err) {
		create_fail(sb, launch_err);
		return;
	}
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

/* ---- the VM ---- */

static int start_vm(struct sandbox *sb, const struct base *base, struct err *err)
{
	auto_free char *log = fs_join(sb->dir, "events.log");
	auto_free char *disk = fs_join(sb->dir, "disk.qcow2");
	const struct launch how = { .base = base,
		.state = base->state,
		.top = "disk.qcow2",
		.ram_fd = base->ram_fd,
		.vcpus = base->vcpus,
		.memory_mb = base->memory_mb,
		.fresh = true };

	if (mkdir(sb->dir, 0700) != 0)
		return err_sys(err, errno, "cannot make '%s'", sb->dir);
	sb->log = eventlog_new(log);
	return vm_overlay(disk, &base->disk[0], err) || launch_begin(sb, &how, on_launched, err) ? -1 : 0;
}

static void on_base(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;
	struct err err = ERR_INIT;
	sb->base_wait = NULL;
	if (!base)
		create_fail(sb, base_err);
	else if (start_vm(sb, base, &err))
		create_fail(sb, &err);
}

/* The template stands: keep its files here, and its memory in memory. */
static int use_template(struct sandbox *sb, struct err *err)
{
	struct bases *bases = sb->core->bases;
	free(sb->row.template_key);
	sb->row.template_key = mem_strdup(sb->tmpl.key);
	if (base_keep(bases, &sb->tmpl, err))
		return -1;
	struct base *base = base_ready(bases, sb->tmpl.key);
	if (base)
		return start_vm(sb, base, err);
	sb->base_wait = base_load(bases, sb->tmpl.key, on_base, sb);
	return 0;
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
	if (found != 1 || use_template(sb, &err))
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
		struct build_goal goal = { sb->row.image, (unsigned)sb->row.vcpus, (unsigned)sb->row.memory_mb };
		sb->build = builder_wait(sb->core->builder, &goal, &build_ops, sb, &err);
		if (!sb->build)
			create_fail(sb, &err);
	} else if (found < 0 || use_template(sb, &err)) {
		create_fail(sb, &err);
	}
}

/* ---- the request ---- */

char **copy_list(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	char **copy = mem_array(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = mem_strdup(list[i]);
	return copy;
}

int create_check_name(struct core *core, const char *name, struct err *err)
{
	struct err ignored = ERR_INIT;
	if (!name || !sandbox_find(core, name, &ignored))
		return 0;
	err_set(err, ERR_CONFLICT, "a sandbox named '%s' already exists", name);
	return err_hint(err, "choose another name, or remove it with: sbx rm %s", name);
}

struct sandbox *create_record(struct core *core, struct db_sandbox *row, struct err *err)
{
	char id[ID_LENGTH + 1];
	rand_id(id, ID_LENGTH);
	/* Unique and growing, so that lists have one order and cursors hold. */
	int64_t now = clock_wall_ms();
	if (core->count > 0 && now <= core->boxes[core->count - 1]->row.created_ms)
		now = core->boxes[core->count - 1]->row.created_ms + 1;
	row->id = mem_strdup(id);
	row->state = mem_strdup(sandbox_state_name(SANDBOX_CREATING));
	row->mac = launch_mac();
	row->created_ms = now;
	row->expires_ms = row->timeout_s ? now + row->timeout_s * 1000 : 0;
	if (db_sandbox_insert(core->db, row, err)) {
		db_sandbox_release(row);
		return NULL;
	}
	struct sandbox *sb = sandbox_load(core, row, SANDBOX_CREATING);
	sb->asked_us = clock_mono_us();
	return sb;
}

struct sandbox *sandbox_create(
	struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err)
{
	if (catalog_check(spec->image, err) || create_check_name(core, spec->name, err))
		return NULL;
	struct db_sandbox row = {
		.name = spec->name ? mem_strdup(spec->name) : NULL,
		.image = mem_strdup(spec->image),
		.env = copy_list(spec->env),
		.labels = copy_list(spec->labels),
		.vcpus = spec->vcpus,
		.memory_mb = spec->memory_mb,
		.timeout_s = spec->timeout_s,
		.idle_s = spec->idle_s,
		.net = spec->net,
		.account = spec->account,
	};
	struct sandbox *sb = create_record(core, &row, err);
	if (!sb)
		return NULL;
	sb->created_cb = cb;
	sb->created_arg = arg;
	uv_timer_start(&sb->deadline, on_begin, 0, 0);
	return sb;
}
