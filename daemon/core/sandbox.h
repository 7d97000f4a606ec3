/*
 * sandbox: one microVM as its users know it: a name, a state, and what it may do.
 *
 *   (nothing) -> creating -> running -> deleting -> (nothing)
 *                    |          |          ^
 *                    |          v          |
 *                    |       stopped ------+      the VM process ended by itself
 *                    +---------------------+      a create failed or was called off
 *
 * creating and deleting are never seen after a restart: recovery finishes the deletion.
 */
#ifndef SBX_CORE_SANDBOX_H
#define SBX_CORE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/db/db.h"
#include "shared/base/err.h"

enum sandbox_state { SANDBOX_CREATING, SANDBOX_RUNNING, SANDBOX_STOPPED, SANDBOX_DELETING, SANDBOX_STATES };
enum net_mode { NET_NONE, NET_FULL, NET_MODES };

const char *sandbox_state_name(enum sandbox_state state);
const char *net_mode_name(enum net_mode mode);
/* -1 for an unknown word. */
int net_mode_parse(const char *word);

struct sandbox;
struct eventlog;

/* Its record: id, name, image, shape, times. Valid until the sandbox is gone. */
const struct db_sandbox *sandbox_row(const struct sandbox *sb);
enum sandbox_state sandbox_state(const struct sandbox *sb);
struct eventlog *sandbox_log(struct sandbox *sb);
/* Host memory and disk that are this sandbox's alone, in KiB; 0 when it does not run. */
void sandbox_usage(const struct sandbox *sb, int64_t *memory_kb, int64_t *disk_kb);

/* By id or name; NULL with NOT_FOUND and a hint. */
struct sandbox *sandbox_find(struct core *core, const char *id_or_name, struct err *err);
size_t sandbox_count(const struct core *core);
/* i-th, oldest first. */
struct sandbox *sandbox_at(const struct core *core, size_t i);

/* 0 when commands can be run in it now, else -1 with STATE or UNAVAILABLE. */
int sandbox_usable(struct sandbox *sb, struct err *err);

struct sandbox_spec {
	const char *name; /* or NULL */
	const char *image;
	char *const *env, *const *labels; /* "K=V", NULL-terminated, or NULL */
	unsigned vcpus, memory_mb;
	int64_t timeout_s; /* 0 = never */
	enum net_mode net;
	int64_t account;
	const char *fs_ref, *fs_path; /* a tree of the store (store/ref.h) and where it is mounted (absolute), or NULL */
};

/* Runs, or err says why not and nothing is left of it. sb is NULL on failure. */
typedef void sandbox_created_cb(void *arg, struct sandbox *sb, const struct err *err);
/* All or nothing. Returns the sandbox in state creating (the name is taken from now on), or NULL with err (CONFLICT, NOT_FOUND,
 * NO_SPACE ...) in which case cb is not called. The image is built first when it must be. */
struct sandbox *sandbox_create(
	struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err);

typedef void sandbox_deleted_cb(void *arg, const struct err *err); /* err NULL when all went well */
/* End the VM at once and remove the record and files; works in any state, also while creating (whose callback then gets an
 * error) and while its VM is stuck. cb may be NULL. */
void sandbox_delete(struct sandbox *sb, sandbox_deleted_cb *cb, void *arg);

#endif
