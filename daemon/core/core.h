/*
 * core: the domain of the daemon: sandboxes, commands, keys, builds. It knows no HTTP, no JSON and no SQL.
 *
 * Everything acknowledged is in the database first. On start the records are compared with the processes that really
 * run: half-made sandboxes are undone, running ones adopted, the rest marked stopped.
 * Thread: the loop's, for all of daemon/core. Callbacks come from the loop, never from inside the call that asked.
 */
#ifndef SBX_CORE_CORE_H
#define SBX_CORE_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "shared/base/err.h"

struct core;
struct builder;
struct vault;
struct notify_config;

struct core_config {
	uv_loop_t *loop;
	const char *home, *cache; /* absolute */
	const char *program;	  /* this executable, started as `program --build ...` */
	unsigned pool_size;	  /* VMs that wait, a shape (pool.h) */
	unsigned password_cost;	  /* of bcrypt (password.h); 0: as usual */
	int64_t host_lost_ms;	  /* without a heartbeat, until a host counts as unreachable (host.h); 0: as usual */
	const struct notify_config *notify; /* how channels deliver (notify/deliver.h); NULL: as usual. Copied */
};

/* Open the state in home (made if missing) and recover what is recorded there. CONFLICT when another daemon has it. */
struct core *core_new(const struct core_config *config, struct err *err);
/* Let go of everything and leave VMs running. The loop must run on until its handles have closed. */
void core_close(struct core *core);

const struct core_config *core_config(const struct core *core);
int64_t core_started_ms(const struct core *core);
struct builder *core_builder(struct core *core);
struct vault *core_vault(struct core *core); /* vault.h */
/* The key for a purpose that is not core's own (secret.h): 32 bytes. */
void core_derive(const struct core *core, const char *purpose, uint8_t out[32]);

#endif
