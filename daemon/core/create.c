/*
 * create: from nothing to running, or back to nothing.
 *
 *   record (state creating: the name is taken) -> (tree to mount, as an image) -> image and template (built if need be) -> base ->
 *   files -> launch.c -> record (state running) -> callback
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
#include "daemon/core/place.h"
#include "daemon/core/pool.h"
#include "daemon/core/port.h"
#include "daemon/core/remote.h"
#include "daemon/core/snapshot.h"
#include "daemon/image/resolve.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { ID_LENGTH = 12 };

void create_fail(struct sandbox *sb, const struct err *err)
{
	if (sb->state != SANDBOX_CREATING && sb->state != SANDBOX_POOLED)
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

void create_phase(struct sandbox *sb, const char *name)
{
	if (!sb->asked_us || sb->phase_count == CREATE_PHASES || sb->state != SANDBOX_CREATING)
		return;
	sb->phases[sb->phase_count].name = name;
	sb->phases[sb->phase_count++].us = clock_mono_us() - sb->asked_us;
}

bool sandbox_phase(const struct sandbox *sb, size_t i, const char **name, int64_t *us)
{
	if (i >= sb->phase_count)
		return false;
	*name = sb->phases[i].name;
	*us = sb->phases[i].us;
	return true;
}

static void tell_created(struct sandbox *sb)
{
	sandbox_created_cb *cb = sb->created_cb;
	sb->created_cb = NULL;
	cb(sb->created_arg, sb, NULL);
}

/* ---- into the pool, and out of it ---- */

static void hold_work(struct op *op)
{
	op->failed = freeze_hold(op->dir, &op->err) != 0;
}

static void held(struct sandbox *sb, struct op *op)
{
	struct err err = op->err;
	bool failed = op->failed;
	op_end(sb, failed ? &err : NULL);
	if (failed) {
		create_fail(sb, &err);
		return;
	}
	sb->pool_ready = true;
	tell_created(sb);
}

/* It has run its first command. */
static void hold(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	struct op *op = op_begin(sb, OP_HOLD, NULL, NULL, &err);
	if (op)
		op_work(op, hold_work, held);
	else
		create_fail(sb, &err);
}

static void on_launched(struct sandbox *sb, const struct err *launch_err);

static void release_work(struct op *op)
{
	op->failed = freeze_release(op->dir, &op->err) != 0;
}

static void released(struct sandbox *sb, struct op *op)
{
	struct err err = op->err;
	bool failed = op->failed;
	op_end(sb, failed ? &err : NULL);
	create_phase(sb, "release");
	if (failed || launch_configure(sb, on_launched, &err))
		create_fail(sb, &err);
}

void create_finish(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	sb->row.create_us = clock_mono_us() - sb->asked_us;
	if (sandbox_set_state(sb, SANDBOX_RUNNING, NULL, &err)) {
		create_fail(sb, &err);
		return;
	}
	pool_busy(sb->core->pool);
	eventlog_add(sb->log, "created", "from image %s in %lld ms", sb->row.image, (long long)sb->row.create_us / 1000);
	sandbox_arm_expiry(sb);
	tell_created(sb);
}

static void on_launched(struct sandbox *sb, const struct err *launch_err)
{
	if (launch_err) {
		create_fail(sb, launch_err);
		return;
	}
	create_phase(sb, "identity");
	if (sb->state == SANDBOX_POOLED)
		hold(sb);
	else
		create_finish(sb);
}

/* ---- the VM ---- */

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

/* A snapshot's shape and environment are not known before. */
static void take_shape(struct sandbox *sb, const struct base *base)
{
	char **env = merge_env(base->info.env, sb->row.env);

	sb->row.vcpus = base->info.vcpus;
	sb->row.memory_mb = base->info.memory_mb;
	drop_list(sb->row.env);
	sb->row.env = env;
}

static int start_vm(struct sandbox *sb, const struct base *base, struct err *err)
{
	auto_free char *log = fs_join(sb->dir, "events.log");
	auto_free char *disk = fs_join(sb->dir, "disk.qcow2");
	const struct launch how = { .base = base,
		.state = base->state,
		.top = "disk.qcow2",
		.ram_fd = base->ram_fd,
		.vcpus = (unsigned)base->info.vcpus,
		.memory_mb = (unsigned)base->info.memory_mb,
		.fresh = !str_starts(sb->row.image, SNAPSHOT_IMAGE),
		.mount = !str_starts(sb->row.image, SNAPSHOT_IMAGE),
		.warm = sb->state == SANDBOX_POOLED };

	create_phase(sb, "memory");
	take_shape(sb, base);
	if (mkdir(sb->dir, 0700) != 0)
		return err_sys(err, errno, "cannot make '%s'", sb->dir);
	sb->log = eventlog_new(log);
	if (vm_overlay(disk, &base->disk[0], err) || mount_keep(sb, err) || launch_begin(sb, &how, on_launched, err))
		return -1;
	create_phase(sb, "process");
	return 0;
}

static void on_base(void *arg, struct base *base, const struct err *base_err);

static void load_base(struct sandbox *sb)
{
	sb->base_wait = base_load(sb->core->bases, sb->row.template_key, on_base, sb);
}

/* The machine was frozen with a tree mounted in it, and finds it again. */
static void use_mounted(struct sandbox *sb, const struct vm_info *info)
{
	sb->fs = (struct db_fs){ .sandbox = mem_strdup(sb->row.id),
		.path = mem_strdup(info->fs_path),
		.tree = mem_strdup(info->fs_tree),
		.label = info->fs_label ? mem_strdup(info->fs_label) : NULL };
	mount_prepare(sb, load_base);
}

static void on_base(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;
	struct err err = ERR_INIT;
	sb->base_wait = NULL;
	if (!base)
		create_fail(sb, base_err);
	else if (base->info.fs_tree && !sb->fs.path)
		use_mounted(sb, &base->info);
	else if (start_vm(sb, base, &err))
		create_fail(sb, &err);
}

/* The template stands: keep its files here, and its memory in memory. */
static int use_template(struct sandbox *sb, struct err *err)
{
	struct bases *bases = sb->core->bases;
	create_phase(sb, "template");
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

/* The tag may mean another image by now. */
static char *image_name(const struct sandbox *sb)
{
	return sb->row.image_digest ? mem_printf("sha256:%s", sb->row.image_digest) : mem_strdup(sb->row.image);
}

/* ---- from a snapshot ---- */

struct snapshot_wait {
	struct sandbox *sb; /* NULL: it went meanwhile */
};

static void on_snapshot_base(void *arg, const char *key, const struct err *base_err)
{
	struct snapshot_wait *w = arg;
	struct sandbox *sb = w->sb;

	free(w);
	if (!sb)
		return;
	sb->snapshot_wait = NULL;
	if (base_err) {
		create_fail(sb, base_err);
		return;
	}
	create_phase(sb, "snapshot");
	free(sb->row.template_key);
	sb->row.template_key = mem_strdup(key);
	sb->base_wait = base_load(sb->core->bases, key, on_base, sb);
}

static void use_snapshot(struct sandbox *sb)
{
	struct snapshot_wait *w = mem_zalloc(sizeof(*w));
	w->sb = sb;
	sb->snapshot_wait = w;
	snapshot_base(sb->core, sb->row.account, sb->row.image + strlen(SNAPSHOT_IMAGE), on_snapshot_base, w);
}

static bool is_snapshot(const struct sandbox *sb)
{
	return str_starts(sb->row.image, SNAPSHOT_IMAGE);
}

void create_forget(struct sandbox *sb)
{
	mount_forget(sb);
	builder_forget(sb->build);
	sb->build = NULL;
	base_forget(sb->base_wait);
	sb->base_wait = NULL;
	if (sb->snapshot_wait)
		sb->snapshot_wait->sb = NULL;
	sb->snapshot_wait = NULL;
}

/* 1 the template stands, 0 it must be built, -1 err. */
static int find_current(const struct sandbox *sb, struct template *out, struct err *err)
{
	struct image image;
	auto_free char *name = image_name(sb);
	int found = resolve_find(sb->core->home, sb->core->cache, name, &image, err);
	if (found != 1)
		return found;
	found = template_find(sb->core->cache, &image, (unsigned)sb->row.vcpus, (unsigned)sb->row.memory_mb, out, err);
	image_free(&image);
	return found;
}

static int find_template(struct sandbox *sb, struct err *err)
{
	template_free(&sb->tmpl);
	return find_current(sb, &sb->tmpl, err);
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

static void begin_vm(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	if (is_snapshot(sb)) {
		use_snapshot(sb);
		return;
	}
	int found = find_template(sb, &err);
	if (found == 0) {
		auto_free char *name = image_name(sb);
		struct build_goal goal = { name, (unsigned)sb->row.vcpus, (unsigned)sb->row.memory_mb };
		sb->build = builder_wait(sb->core->builder, &goal, &build_ops, sb, &err);
		if (!sb->build)
			create_fail(sb, &err);
	} else if (found < 0 || use_template(sb, &err)) {
		create_fail(sb, &err);
	}
}

/* The first step happens from the loop, so that no callback comes from inside sandbox_create. */
static void on_begin(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	if (is_remote(sb))
		remote_create(sb);
	else if (sb->fs.path)
		mount_prepare(sb, begin_vm);
	else
		begin_vm(sb);
}

/* ---- the request ---- */

char **copy_list(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	char **copy = mem_array(n + 1, sizeof(*copy));
	for (size_t i = 0; list && i < n; i++)
		copy[i] = mem_strdup(list[i]);
	return copy;
}

void drop_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free((void *)list);
}

int create_check_name(struct core *core, int64_t team, const char *name, struct err *err)
{
	struct err ignored = ERR_INIT;
	if (!name || !sandbox_find(core, team, name, &ignored))
		return 0;
	err_set(err, ERR_CONFLICT, "a sandbox named '%s' already exists", name);
	return err_hint(err, "choose another name, or remove it with: sbx rm %s", name);
}

/* Unique and growing, so that lists have one order and cursors hold. */
static int64_t next_ms(const struct core *core)
{
	int64_t now = clock_wall_ms(), last = core->count ? core->boxes[core->count - 1]->row.created_ms : 0;
	return now > last ? now : last + 1;
}

static struct sandbox *new_record(struct core *core, struct db_sandbox *row, enum sandbox_state state, struct err *err)
{
	char id[ID_LENGTH + 1];
	rand_id(id, ID_LENGTH);
	if (!row->id)
		row->id = mem_strdup(id);
	row->state = mem_strdup(sandbox_state_name(state));
	row->mac = launch_mac();
	row->created_ms = next_ms(core);
	row->expires_ms = row->timeout_s ? row->created_ms + row->timeout_s * 1000 : 0;
	if (db_sandbox_insert(core->db, row, err)) {
		db_sandbox_release(row);
		return NULL;
	}
	struct sandbox *sb = sandbox_load(core, row, state);
	sb->asked_us = clock_mono_us();
	return sb;
}

struct sandbox *create_record(struct core *core, struct db_sandbox *row, struct err *err)
{
	return new_record(core, row, SANDBOX_CREATING, err);
}

/* What its image is, which the host knows if it is another. */
static int choose_image(
	struct core *core, const struct sandbox_spec *spec, int64_t host, struct catalog_choice *out, struct err *err)
{
	*out = (struct catalog_choice){ 0 };
	if (spec->snapshot)
		return snapshot_check_name(spec->snapshot, err);
	return host > 0 ? 0 : catalog_choose(core, spec->image, out, err);
}

/* What is to be created, as a record; without an id, unless one is given. host: number of that which carries it. */
static int make_row(struct core *core, const struct sandbox_spec *spec, int64_t host, struct db_sandbox *row, struct err *err)
{
	struct catalog_choice choice;

	if (host > 0 && spec->fs_ref) {
		err_set(err, ERR_INVALID, "trees of the store can be mounted only in what runs on this machine itself");
		return -1;
	}
	if (spec->snapshot && spec->fs_ref) {
		err_set(err, ERR_INVALID, "what is made from a snapshot has the tree that was mounted in it, and no other");
		return -1;
	}
	if (create_check_name(core, spec->account, spec->name, err))
		return -1;
	if (choose_image(core, spec, host, &choice, err))
		return -1;
	char *digest = mem_steal(&choice.digest);
	*row = (struct db_sandbox){
		.id = spec->id ? mem_strdup(spec->id) : NULL,
		.host = host,
		.name = spec->name ? mem_strdup(spec->name) : NULL,
		.image = spec->snapshot ? mem_printf(SNAPSHOT_IMAGE "%s", spec->snapshot) : mem_strdup(spec->image),
		.image_digest = digest,
		.env = merge_env(choice.env, spec->env),
		.labels = copy_list(spec->labels),
		.layers = copy_list(NULL),
		.vcpus = spec->vcpus,
		.memory_mb = spec->memory_mb ? spec->memory_mb : choice.memory_mb,
		.timeout_s = spec->timeout_s,
		.idle_s = spec->idle_s,
		.net = spec->net,
		.net_rules = spec->net_rules ? mem_strdup(spec->net_rules) : NULL,
		.account = spec->account,
		.template = spec->template ? mem_strdup(spec->template) : NULL,
	};
	catalog_choice_free(&choice);
	return 0;
}

int create_pooled(struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err)
{
	struct db_sandbox row;
	if (make_row(core, spec, 0, &row, err))
		return -1;
	struct sandbox *sb = new_record(core, &row, SANDBOX_POOLED, err);
	if (!sb)
		return -1;
	sb->created_cb = cb;
	sb->created_arg = arg;
	uv_timer_start(&sb->deadline, on_begin, 0, 0);
	return 0;
}

bool create_is_current(const struct sandbox *sb)
{
	struct template tmpl = { 0 };
	bool current = find_current(sb, &tmpl, NULL) == 1 && sb->row.template_key && !strcmp(tmpl.key, sb->row.template_key);
	template_free(&tmpl);
	return current;
}

/* All of them, or the sandbox goes again. */
static int add_ports(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err)
{
	struct port_info added;
	size_t i = 0;
	while (i < spec->port_count && port_add(sb, &spec->ports[i], &added, err) == 0)
		i++;
	if (i == spec->port_count)
		return 0;
	sandbox_delete(sb, NULL, NULL);
	return -1;
}

/* The record of a pooled one becomes that of the sandbox that was asked for (from, which it is exchanged with). */
static int become(struct sandbox *sb, struct db_sandbox *want, struct err *err)
{
	struct db_sandbox row = sb->row;
	row.name = want->name;
	row.env = want->env;
	row.labels = want->labels;
	row.timeout_s = want->timeout_s;
	row.idle_s = want->idle_s;
	row.account = want->account;
	row.template = want->template;
	row.created_ms = next_ms(sb->core);
	row.expires_ms = want->timeout_s ? row.created_ms + want->timeout_s * 1000 : 0;
	if (db_sandbox_update(sb->core->db, &row, err))
		return -1;
	want->name = sb->row.name;
	want->env = sb->row.env;
	want->labels = sb->row.labels;
	want->template = sb->row.template;
	sb->row = row;
	return 0;
}

static int take_pooled(struct sandbox *sb, struct db_sandbox *want, struct err *err)
{
	if (become(sb, want, err))
		return -1;
	struct op *op = op_begin(sb, OP_TAKE, NULL, NULL, err);
	if (!op) { /* a pooled one that has a name: it is of no use any more */
		sandbox_delete(sb, NULL, NULL);
		return -1;
	}
	sandbox_to_end(sb);
	sb->pool_ready = false;
	sb->asked_us = clock_mono_us();
	sb->phase_count = 0;
	op_work(op, release_work, released);
	return 0;
}

static void set_mount(struct sandbox *sb, const struct sandbox_spec *spec)
{
	sb->fs = (struct db_fs){ .sandbox = mem_strdup(sb->row.id), .path = mem_strdup(spec->fs_path) };
	sb->fs_ref = mem_strdup(spec->fs_ref);
	for (size_t n = strlen(sb->fs.path); n > 1 && sb->fs.path[n - 1] == '/'; n--)
		sb->fs.path[n - 1] = '\0';
}

/* host: the number of the machine that is to carry it, 0 or HOST_CONTROL for this one. */
static int place(struct core *core, const struct sandbox_spec *spec, int64_t *host, struct err *err)
{
	struct db_host row;
	int placed = place_choose(core, spec, &row, err);
	*host = spec->id ? HOST_CONTROL : 0;
	if (placed != 1)
		return placed;
	*host = row.id;
	db_host_release(&row);
	return 0;
}

struct sandbox *sandbox_create(
	struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err)
{
	struct db_sandbox row;
	int64_t host;
	if (place(core, spec, &host, err) || make_row(core, spec, host, &row, err))
		return NULL;
	/* one in the pool has an empty drive, and an id */
	bool apart = spec->snapshot || spec->fs_ref || host;
	struct sandbox *sb = apart ? NULL : pool_take(core->pool, &row);
	bool pooled = sb != NULL;
	if (!pooled) {
		sb = create_record(core, &row, err);
	} else {
		if (take_pooled(sb, &row, err))
			sb = NULL;
		db_sandbox_release(&row);
	}
	if (!sb || add_ports(sb, spec, err))
		return NULL;
	sb->created_cb = cb;
	sb->created_arg = arg;
	if (spec->fs_ref)
		set_mount(sb, spec);
	if (!pooled)
		uv_timer_start(&sb->deadline, on_begin, 0, 0);
	return sb;
}
