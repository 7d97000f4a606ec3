/*
 * pool: VMs that run for nobody yet, so that a create need not wait for one.
 *
 * Per shape (image, vCPUs, memory) that was asked for, `size` VMs have been restored and have run a command, so that the emulator
 * has translated what the next one needs; then their processors are held: waiting costs memory and nothing else. A create of that
 * shape takes one, lets it run and tells it who it is. They are made one at a time, when no create is under way, and given up when
 * the machine's memory gets short. In the database they are sandboxes in state pooled: what a daemon leaves, the next one removes.
 * Only VMs without network and without a store's tree are pooled.
 * Thread: the loop's.
 */
#ifndef SBX_CORE_POOL_H
#define SBX_CORE_POOL_H

#include "daemon/core/core.h"
#include "daemon/core/sandbox.h"

#define POOL_SIZE_MAX 64
#define POOL_SIZE_DEFAULT 2

struct pool;
struct pool *pool_new(struct core *core, unsigned size);
void pool_close(struct pool *p);
/* One that fits and is ready, in state pooled, or NULL. Remembers that this shape is asked for. */
struct sandbox *pool_take(struct pool *p, const struct db_sandbox *want);
/* An image of the user's is to go: neither keep VMs of it nor make any. */
void pool_forget(struct pool *p, const char *digest);
/* Once a second: make what is missing, give up what is too much. */
void pool_tick(struct pool *p, int64_t now_ms);
/* A create is under way or was just made: wait with making others. */
void pool_busy(struct pool *p);

#endif
