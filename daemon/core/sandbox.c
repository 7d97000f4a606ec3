#include "daemon/core/sandbox.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/audit.h"
#include "daemon/core/catalog.h"
#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/core/lend.h"
#include "daemon/core/remote.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/egress.h"

enum { RELINK_MS = 200 };

static const char *const state_names[SANDBOX_STATES] = {
	[SANDBOX_CREATING] = "creating",
	[SANDBOX_RUNNING] = "running",
	[SANDBOX_PAUSING] = "pausing",
	[SANDBOX_PAUSED] = "paused",
	[SANDBOX_RESUMING] = "resuming",
	[SANDBOX_STOPPING] = "stopping",
	[SANDBOX_STOPPED] = "stopped",
	[SANDBOX_STARTING] = "starting",
	[SANDBOX_POOLED] = "pooled",
	[SANDBOX_MISSING] = "missing",
	[SANDBOX_DELETING] = "deleting",
};

const char *sandbox_state_name(enum sandbox_state state)
{
	return state_names[state];
}

int sandbox_state_parse(const char *word)
{
	for (int i = 0; i < SANDBOX_STATES; i++)
		if (!strcmp(state_names[i], word))
			return i;
	return -1;
}

#define ALLOW "allow:"

int net_parse(const char *text, enum net_mode *mode, const char **rules, struct err *err)
{
	*rules = NULL;
	if (!strcmp(text, "none") || !strcmp(text, "full")) {
		*mode = *text == 'f' ? NET_FULL : NET_NONE;
		return 0;
	}
	if (!str_starts(text, ALLOW)) {
		err_set(err, ERR_INVALID, "'%s' is no network", text);
		return err_hint(err, "it is none, full, or allow:HOST[:PORT],...");
	}
	struct egress *checked = mem_zalloc(sizeof(*checked));
	int rc = egress_parse(text + strlen(ALLOW), checked, err);
	egress_release(checked);
	free(checked);
	*mode = NET_ALLOW;
	*rules = text + strlen(ALLOW);
	return rc;
}

char *net_text(const struct db_sandbox *row)
{
	if (row->net == NET_ALLOW)
		return mem_printf(ALLOW "%s", row->net_rules ? row->net_rules : "");
	return mem_strdup(row->net == NET_FULL ? "full" : "none");
}

/* ---- the list ---- */

const struct db_sandbox *sandbox_row(const struct sandbox *sb)
{
	return &sb->row;
}

enum sandbox_state sandbox_state(const struct sandbox *sb)
{
	return sb->state;
}

const char *sandbox_user(const struct sandbox *sb)
{
	return sb->user;
}

const char *sandbox_workdir(const struct sandbox *sb)
{
	return sb->workdir;
}

const char *sandbox_host(const struct sandbox *sb)
{
	return sb->host;
}

enum sandbox_state sandbox_shown_state(const struct sandbox *sb)
{
	return sb->state == SANDBOX_POOLED && !sb->pool_ready ? SANDBOX_CREATING : sb->state;
}

struct eventlog *sandbox_log(struct sandbox *sb)
{
	return sb->log;
}

void sandbox_usage(const struct sandbox *sb, int64_t *memory_kb, int64_t *disk_kb)
{
	auto_free char *disk = fs_join(sb->dir, "disk.qcow2");
	*memory_kb = sb->vm ? proc_private_kb(vm_pid(sb->vm)) : 0;
	*disk_kb = fs_allocated(disk) / 1024;
}

size_t sandbox_count(const struct core *core)
{
	return core->count;
}

struct sandbox *sandbox_at(const struct core *core, size_t i)
{
	return i < core->count ? core->boxes[i] : NULL;
}

struct sandbox *sandbox_find(struct core *core, int64_t team, const char *id_or_name, struct err *err)
{
	struct sandbox *by_name = NULL;
	int64_t owner = team == TEAM_ANY ? TEAM_LOCAL : team;
	for (size_t i = 0; i < core->count; i++) {
		struct sandbox *sb = core->boxes[i];
		if (team != TEAM_ANY && sb->row.account != team)
			continue;
		if (!strcmp(sb->row.id, id_or_name))
			return sb;
		if (sb->row.account == owner && str_same(sb->row.name, id_or_name))
			by_name = sb;
	}
	if (!by_name) {
		err_set(err, ERR_NOT_FOUND, "no sandbox '%s'", id_or_name);
		err_hint(err, "list them with: sbx ls");
	}
	return by_name;
}

int sandbox_past(struct core *core, int64_t team, const char *id, struct db_past *out, struct err *err)
{
	return db_past_get(core->db, team, id, out, err);
}

struct sandbox *sandbox_load(struct core *core, struct db_sandbox *row, enum sandbox_state state)
{
	struct sandbox *sb = mem_zalloc(sizeof(*sb));
	sb->core = core;
	sb->row = db_sandbox_move(row);
	sb->state = state;
	sb->dir = fs_join(core->vms_dir, sb->row.id);
	sb->used_ms = clock_mono_ms();
	uv_timer_t *const timers[] = { &sb->expiry, &sb->deadline, &sb->relink };
	for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
		uv_timer_init(core->config.loop, timers[i]);
		timers[i]->data = sb;
	}
	sb->handles = ARRAY_LEN(timers);
	if (is_remote(sb))
		sb->host = remote_host_id(core, sb->row.host);
	catalog_defaults(core, sb->row.image_digest, &sb->user, &sb->workdir);
	if (core->count == core->cap) {
		core->cap = core->cap ? 2 * core->cap : 16;
		core->boxes = mem_grow(core->boxes, core->cap, sizeof(struct sandbox *));
	}
	core->boxes[core->count++] = sb;
	return sb;
}

void sandbox_to_end(struct sandbox *sb)
{
	struct core *core = sb->core;
	size_t i = 0;
	while (core->boxes[i] != sb)
		i++;
	memmove(&core->boxes[i], &core->boxes[i + 1], (core->count - i - 1) * sizeof(struct sandbox *));
	core->boxes[core->count - 1] = sb;
}

static void on_handle_closed(uv_handle_t *h)
{
	struct sandbox *sb = h->data;
	if (--sb->handles > 0)
		return;
	template_free(&sb->tmpl);
	db_sandbox_release(&sb->row);
	db_fs_release(&sb->fs);
	free(sb->fs_ref);
	free(sb->dir);
	free(sb->user);
	free(sb->workdir);
	free(sb->host);
	free(sb);
}

/* Tell those who wait for its creation or its end; err NULL when it was removed. */
static void tell_waiters(struct sandbox *sb, const struct err *err)
{
	struct deletion *list = sb->deletions;
	sb->deletions = NULL;
	if (sb->created_cb)
		create_undone(sb);
	if (sb->fork)
		fork_child_gone(sb);
	while (list) {
		struct deletion *d = list;
		list = d->next;
		if (d->cb)
			d->cb(d->arg, err);
		free(d);
	}
}

void sandbox_unload(struct sandbox *sb)
{
	struct core *core = sb->core;
	struct err going = ERR_INIT;
	err_set(&going, ERR_UNAVAILABLE, "the daemon is going down");
	if (sb->failure.code == ERR_OK)
		sb->failure = going;
	tell_waiters(sb, &going); /* nobody is left when it was removed the usual way */
	for (size_t i = 0; i < core->count; i++) {
		if (core->boxes[i] == sb) {
			memmove(&core->boxes[i], &core->boxes[i + 1], (core->count - i - 1) * sizeof(struct sandbox *));
			core->count--;
			break;
		}
	}
	op_leave(sb, &going);
	create_forget(sb);
	ports_free(sb);
	launch_drop(sb);
	remote_drop(sb);
	lend_end(sb);
	link_close(sb->link);
	sb->link = NULL;
	vm_free(sb->vm);
	sb->vm = NULL;
	eventlog_free(sb->log);
	sb->log = NULL;
	metrics_box_free(sb->metrics);
	sb->metrics = NULL;
	uv_close((uv_handle_t *)&sb->expiry, on_handle_closed);
	uv_close((uv_handle_t *)&sb->deadline, on_handle_closed);
	uv_close((uv_handle_t *)&sb->relink, on_handle_closed);
}

int sandbox_set_state(struct sandbox *sb, enum sandbox_state state, const char *reason, struct err *err)
{
	struct db_sandbox row = sb->row;
	enum sandbox_state was = sb->state;
	sb->changed = ++sb->core->changes;
	row.state = (char *)(uintptr_t)state_names[state];
	row.reason = (char *)(uintptr_t)reason;
	row.changed_ms = clock_wall_ms();
	bool came_up = was != SANDBOX_PAUSING && was != SANDBOX_STOPPING && was != SANDBOX_RUNNING && was != SANDBOX_MISSING;
	if (state == SANDBOX_RUNNING && came_up)
		row.started_ms = row.active_ms = row.changed_ms;
	if (db_sandbox_update(sb->core->db, &row, err))
		return -1;
	free(sb->row.state);
	free(sb->row.reason);
	sb->row.changed_ms = row.changed_ms;
	sb->row.started_ms = row.started_ms;
	sb->row.active_ms = row.active_ms;
	sb->row.state = mem_strdup(state_names[state]);
	sb->row.reason = reason ? mem_strdup(reason) : NULL;
	sb->state = state;
	ports_update(sb);
	metrics_wake(sb->core->metrics);
	return 0;
}

/* ---- the agent ---- */

static void on_link_up(void *arg)
{
	struct sandbox *sb = arg;
	if (sb->launched)
		launch_link_up(sb);
	else
		log_debug("core", "%s: connected to its agent", sb->row.id);
}

/* Its VM lives, and nothing is wrong with a connection to its agent. */
static bool has_guest(const struct sandbox *sb)
{
	return (sb->vm || is_remote(sb)) && !sb->lent && (sb->state == SANDBOX_RUNNING || sb->state == SANDBOX_POOLED);
}

static void on_relink(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	struct err err = ERR_INIT;
	if (has_guest(sb) && !sb->link && sandbox_open_link(sb, false, &err))
		log_warn("core", "%s: %s", sb->row.id, err.msg);
}

void sandbox_relink(struct sandbox *sb, uint64_t ms)
{
	uv_timer_start(&sb->relink, on_relink, ms, 0);
}

static void on_link_down(void *arg, const struct err *why)
{
	struct sandbox *sb = arg;
	sb->link = NULL;
	if (sb->launched) {
		launch_link_down(sb, why);
	} else if (has_guest(sb)) {
		/* Mostly the VM is ending, and the process's end comes next; else the agent is reached again. */
		log_debug("core", "%s: %s", sb->row.id, why->msg);
		sandbox_relink(sb, RELINK_MS);
	}
}

static const struct link_ops link_ops = { .on_up = on_link_up, .on_down = on_link_down };

void sandbox_touch(struct sandbox *sb)
{
	sb->used_ms = clock_mono_ms();
	sb->row.active_ms = clock_wall_ms();
}

int sandbox_adopt_link(struct sandbox *sb, int fd, struct err *err)
{
	sb->link = link_adopt(sb->core->config.loop, fd, &link_ops, sb, err);
	return sb->link ? 0 : -1;
}

int sandbox_open_link(struct sandbox *sb, bool fresh, struct err *err)
{
	if (is_remote(sb)) {
		remote_dial(sb);
		return 0;
	}
	auto_free char *path = vm_agent_socket(sb->dir);
	sb->link = link_open(sb->core->config.loop, path, fresh, &link_ops, sb, err);
	return sb->link ? 0 : -1;
}

struct link *sandbox_link(struct sandbox *sb, struct err *err)
{
	const char *id = sb->row.id;
	if (sb->state == SANDBOX_RUNNING && sb->link) {
		return sb->link;
	}
	if (sb->lent) {
		err_set(err, ERR_UNAVAILABLE, "sandbox '%s' is in the hands of the control plane of this host", id);
		err_hint(err, "use it there");
	} else if (sb->state == SANDBOX_RUNNING) {
		err_set(err, ERR_UNAVAILABLE, "sandbox '%s' is not connected at the moment", id);
		err_hint(err, "try again");
	} else {
		err_set(err, ERR_STATE, "sandbox '%s' is %s", id, sandbox_state_name(sb->state));
		if (sb->state == SANDBOX_STOPPED)
			err_hint(err, "start it with: sbx start %s (what happened: sbx logs %s)", id, id);
		else if (sb->state == SANDBOX_PAUSED)
			err_hint(err, "resume it with: sbx resume %s", id);
		else if (sb->state == SANDBOX_MISSING)
			err_hint(err, "its host is not heard of; see: sbx host ls");
		else
			err_hint(err, "wait, or remove it: sbx rm %s", id);
	}
	return NULL;
}

int sandbox_usable(struct sandbox *sb, struct err *err)
{
	return sandbox_link(sb, err) ? 0 : -1;
}

/* ---- its end ---- */

int sandbox_remember(const struct sandbox *sb, struct err *err)
{
	const struct db_sandbox *row = &sb->row;
	bool failed = sb->created_cb && sb->failure.code != ERR_OK;
	if (!row->template)
		return 0;
	struct db_past past = { .id = row->id,
		.account = row->account,
		.name = row->name,
		.image = row->image,
		.template = row->template,
		.state = (char *)(uintptr_t)(failed ? "error" : "stopped"),
		.reason = failed ? (char *)(uintptr_t)sb->failure.msg : NULL,
		.vcpus = row->vcpus,
		.memory_mb = row->memory_mb,
		.idle_s = row->idle_s,
		.created_ms = row->created_ms,
		.started_ms = row->started_ms,
		.active_ms = row->active_ms,
		.ended_ms = clock_wall_ms() };
	return db_past_put(sb->core->db, &past, err);
}

static void finish_deletion(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	struct core *core = sb->core;
	struct err removed = ERR_INIT;
	err_set(&removed, ERR_CONFLICT, "sandbox '%s' was removed", sb->row.id);
	if (sb->vm || sb->call || !op_drop(sb, &removed))
		return; /* the end of the VM, or of the worker, comes here again */
	int rc = fs_remove_tree(sb->dir, &err);
	if (rc == 0)
		rc = sandbox_remember(sb, &err);
	if (rc == 0)
		rc = db_sandbox_delete(core->db, sb->row.id, &err);
	if (rc)
		log_error("core", "%s: cannot remove: %s", sb->row.id,
			err.msg); /* stays in state deleting: retried at the next start */
	if (rc == 0)
		mount_removed(sb);
	tell_waiters(sb, rc ? &err : NULL);
	if (rc == 0) {
		bool layers = sb->row.layers && sb->row.layers[0];
		sandbox_unload(sb);
		if (layers)
			disk_sweep(core);
	} else {
		sb->deletion_failed = true;
	}
}

void sandbox_deletion_due(struct sandbox *sb)
{
	finish_deletion(sb);
}

static void on_deletion_due(uv_timer_t *timer)
{
	finish_deletion(timer->data);
}

void sandbox_ended_by_itself(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	eventlog_add(sb->log, "stopped", "the VM process ended");
	if (sandbox_set_state(sb, SANDBOX_STOPPED, "the VM process ended", &err)) {
		/* The record still names a process that is gone: the next start comes to the same. */
		log_error("core", "%s: %s", sb->row.id, err.msg);
		sb->state = SANDBOX_STOPPED;
	}
}

void sandbox_vm_ended(struct vm *vm, void *arg)
{
	struct sandbox *sb = arg;
	struct err err = ERR_INIT;
	vm_free(vm);
	sb->vm = NULL;
	sb->row.pid = sb->row.start_time = 0;
	if (sb->state == SANDBOX_DELETING) {
		finish_deletion(sb);
		return;
	}
	if (sb->launched) {
		launch_vm_ended(sb);
		return;
	}
	link_close(sb->link);
	sb->link = NULL;
	uv_timer_stop(&sb->relink);
	if (sb->state == SANDBOX_POOLED) {
		sandbox_delete(sb, NULL, NULL);
		return;
	}
	if (op_vm_ended(sb))
		return;
	if (sb->state == SANDBOX_CREATING) { /* a child that waits for its siblings */
		err_set(&err, ERR_INTERNAL, "the VM of a child ended before all were there");
		create_fail(sb, &err);
		return;
	}
	sandbox_ended_by_itself(sb);
}

void sandbox_delete(struct sandbox *sb, sandbox_deleted_cb *cb, void *arg)
{
	struct deletion *d = mem_zalloc(sizeof(*d));
	*d = (struct deletion){ .next = sb->deletions, .cb = cb, .arg = arg };
	sb->deletions = d;
	if (sb->state == SANDBOX_DELETING && !sb->deletion_failed)
		return;
	sb->deletion_failed = false;
	if (sb->state == SANDBOX_CREATING && sb->failure.code == ERR_OK)
		err_set(&sb->failure, ERR_CONFLICT, "sandbox '%s' was removed while it was being created", sb->row.id);
	struct err err = ERR_INIT;
	if (sandbox_set_state(sb, SANDBOX_DELETING, NULL, &err)) {
		/* Going on is right: the record still says what to undo after a crash. */
		log_error("core", "%s: %s", sb->row.id, err.msg);
		sb->state = SANDBOX_DELETING;
	}
	uv_timer_stop(&sb->expiry);
	uv_timer_stop(&sb->relink);
	uv_timer_stop(&sb->deadline);
	create_forget(sb);
	launch_drop(sb);
	remote_drop(sb);
	lend_end(sb);
	link_close(sb->link);
	sb->link = NULL;
	if (sb->vm)
		vm_kill(sb->vm); /* sandbox_vm_ended goes on */
	else if (is_remote(sb))
		remote_delete(sb);
	else
		uv_timer_start(&sb->deadline, on_deletion_due, 0, 0);
}

static void on_idled(void *arg, struct sandbox *sb, const struct err *err)
{
	(void)arg;
	if (!err)
		audit_sandbox(AUDIT_SANDBOX_PAUSE, NULL, sb);
}

void sandbox_tick(struct sandbox *sb, int64_t now_ms)
{
	struct err err = ERR_INIT;
	if (sb->state != SANDBOX_RUNNING || sb->op || (sb->link && link_streams(sb->link))) {
		sb->used_ms = now_ms;
		return;
	}
	if (sb->row.idle_s > 0 && now_ms - sb->used_ms >= sb->row.idle_s * 1000 && sandbox_pause(sb, true, on_idled, NULL, &err))
		log_warn("core", "%s: %s", sb->row.id, err.msg);
}

static void on_expiry(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	log_info("core", "%s: its time of %lld s is over", sb->row.id, (long long)sb->row.timeout_s);
	sandbox_delete(sb, NULL, NULL);
}

void sandbox_arm_expiry(struct sandbox *sb)
{
	if (!sb->row.expires_ms)
		return;
	int64_t left = sb->row.expires_ms - clock_wall_ms();
	uv_timer_start(&sb->expiry, on_expiry, left > 0 ? (uint64_t)left : 0, 0);
}
