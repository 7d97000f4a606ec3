#include "daemon/core/core.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/core/account.h"
#include "daemon/core/channel.h"
#include "daemon/core/host.h"
#include "daemon/core/importer.h"
#include "daemon/core/internal.h"
#include "daemon/core/pool.h"
#include "daemon/core/recover.h"
#include "daemon/core/remote.h"
#include "daemon/core/team.h"
#include "daemon/core/usage.h"
#include "daemon/core/vault.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { TICK_MS = 1000, SWEEP_MS = 60000, LOCK_MS = 5000, LOCK_STEP_MS = 20 };

/* A daemon that was just killed has the lock until the kernel is done with the last of its threads, which may be copying a disk,
 * and with VMMs that it had not let start: that is waited for. */
static int lock_home(const char *path, struct err *err)
{
	int64_t end = clock_mono_ms() + LOCK_MS;

	for (;;) {
		struct err failure = ERR_INIT;
		int fd = fs_lock(path, false, &failure);
		if (fd >= 0)
			return fd;
		if (failure.code != ERR_CONFLICT || clock_mono_ms() >= end) {
			if (err)
				*err = failure;
			return -1;
		}
		poll(NULL, 0, LOCK_STEP_MS);
	}
}

static int open_state(struct core *core, struct err *err)
{
	if (fs_mkdirs(core->home, 0700, err) || fs_mkdirs(core->vms_dir, 0700, err))
		return -1;
	auto_free char *lock = fs_join(core->home, "sbxd.lock");
	core->lock_fd = lock_home(lock, err);
	if (core->lock_fd < 0) {
		if (err && err->code == ERR_CONFLICT) {
			err_set(err, ERR_CONFLICT, "another sbxd serves '%s'", core->home);
			err_hint(err, "stop it with: sbx down");
		}
		return -1;
	}
	auto_free char *path = fs_join(core->home, "db.sqlite");
	importer_sweep(core);
	fs_sweep_temporaries(core->home);
	core->db = db_open(path, err);
	return core->db ? secret_open(&core->secret, core->home, err) : -1;
}

/* Once a second. */
static void on_tick(uv_timer_t *timer)
{
	struct core *core = timer->data;
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < core->count; i++)
		sandbox_tick(core->boxes[i], now);
	pool_tick(core->pool, now);
	usage_tick(core, clock_wall_ms());
	if (now - core->host_checked_ms >= core->host_lost_ms / 3) {
		core->host_checked_ms = now;
		host_check(core);
		remote_compare_all(core);
	}
	if (now - core->swept_ms < SWEEP_MS)
		return;
	core->swept_ms = now;
	bases_sweep(core->bases);
}

static void core_free(struct core *core)
{
	importer_release(core);
	builder_free(core->builder);
	db_close(core->db);
	if (core->lock_fd >= 0)
		close(core->lock_fd);
	free(core->boxes);
	free(core->home);
	free(core->cache);
	free(core->program);
	free(core->vms_dir);
	free(core);
}

static void on_tick_closed(uv_handle_t *handle)
{
	core_free(handle->data);
}

struct core *core_new(const struct core_config *config, struct err *err)
{
	struct core *core = mem_zalloc(sizeof(*core));
	core->home = mem_strdup(config->home);
	core->cache = mem_strdup(config->cache);
	core->program = mem_strdup(config->program);
	core->vms_dir = fs_join(config->home, "vms");
	core->config = (struct core_config){ .loop = config->loop,
		.home = core->home,
		.cache = core->cache,
		.program = core->program,
		.pool_size = config->pool_size,
		.password_cost = config->password_cost };
	core->lock_fd = -1;
	core->host_lost_ms = config->host_lost_ms ? config->host_lost_ms : HOST_LOST_MS;
	core->started_ms = clock_wall_ms();
	core->builder = builder_new(&core->config);
	auto_free char *store = fs_join(core->home, "store");
	core->vault = vault_new(config->loop, store);
	core->bases = bases_new(core);
	core->pool = pool_new(core, config->pool_size);
	uv_timer_init(config->loop, &core->tick);
	core->tick.data = core;
	core->accounts = accounts_new(core);
	core->metrics = metrics_new(core);
	core->courier = courier_new(core, config->notify, err);
	metrics_wake(core->metrics);
	if (!core->courier || open_state(core, err) || core_recover(core, err) || team_sweep(core, err)) {
		core_close(core);
		return NULL;
	}
	courier_wake(core->courier);
	uv_timer_start(&core->tick, on_tick, TICK_MS, TICK_MS);
	return core;
}

void core_close(struct core *core)
{
	core->closing = true;
	remote_close(core);
	core_release_all(core);
	vault_close(core->vault);
	bases_close(core->bases);
	pool_close(core->pool);
	accounts_close(core->accounts);
	courier_close(core->courier);
	metrics_close(core->metrics);
	uv_close((uv_handle_t *)&core->tick, on_tick_closed); /* core goes with it */
}

const struct core_config *core_config(const struct core *core)
{
	return &core->config;
}

int64_t core_started_ms(const struct core *core)
{
	return core->started_ms;
}

void core_derive(const struct core *core, const char *purpose, uint8_t out[32])
{
	secret_derive(&core->secret, purpose, out);
}

struct vault *core_vault(struct core *core)
{
	return core->vault;
}

struct builder *core_builder(struct core *core)
{
	return core->builder;
}
