/* What the modules of daemon/core share among themselves. */
#ifndef SBX_CORE_INTERNAL_H
#define SBX_CORE_INTERNAL_H

#include "daemon/core/builder.h"
#include "daemon/core/core.h"
#include "daemon/core/eventlog.h"
#include "daemon/core/sandbox.h"
#include "daemon/db/db.h"
#include "daemon/vm/link.h"
#include "daemon/vm/vm.h"

struct core {
	struct core_config config;
	char *home, *cache, *program, *vms_dir;
	int lock_fd;
	struct db *db;
	struct builder *builder;
	struct vault *vault;
	struct sandbox **boxes; /* oldest first */
	size_t count, cap;
	int64_t started_ms;
	bool closing;
};

struct deletion {
	struct deletion *next;
	sandbox_deleted_cb *cb;
	void *arg;
};

struct sandbox {
	struct core *core;
	struct db_sandbox row;
	enum sandbox_state state;
	char *dir;
	struct vm *vm;
	struct link *link;
	struct eventlog *log;
	uv_timer_t expiry, deadline, relink; /* end of its time; of a create; next try to reach the agent */
	unsigned handles;
	struct db_fs fs; /* path NULL: nothing is mounted */
	/* while creating */
	char *fs_ref; /* what is to be mounted, as it was asked for */
	struct mount_wait *mount_wait;
	struct template tmpl;
	struct build_wait *build;
	struct link_stream *configure;
	sandbox_created_cb *created_cb;
	void *created_arg;
	struct err failure; /* why a create is being undone */
	int64_t asked_us;
	/* while deleting */
	struct deletion *deletions;
	bool deletion_failed;
};

/* A link to a sandbox that can take streams, or NULL with err. */
struct link *sandbox_link(struct sandbox *sb, struct err *err);

/* An object for a record (which moves into it), listed in core; its folder and log are opened, nothing is started. */
struct sandbox *sandbox_load(struct core *core, struct db_sandbox *row, enum sandbox_state state);
/* Take it off the list and free it; handles close by the loop. Its VM, if any, lives on. */
void sandbox_unload(struct sandbox *sb);
/* Record a new state durably. */
int sandbox_set_state(struct sandbox *sb, enum sandbox_state state, const char *reason, struct err *err);
/* Connect to the agent; on_up is handled by the sandbox itself. */
int sandbox_open_link(struct sandbox *sb, bool fresh, struct err *err);
/* Start the clock of timeout_s. */
void sandbox_arm_expiry(struct sandbox *sb);
vm_exit_cb sandbox_vm_ended;
/* The steps of a create (create.c): the guest answered; the create failed for this reason and is to be undone; undone. */
void create_link_up(struct sandbox *sb);
void create_fail(struct sandbox *sb, const struct err *err);
void create_undone(struct sandbox *sb);
/* Trees of the store (mount.c): have the tree of a sandbox that is being created pinned and made into an image, then go on; the
 * drive for its VM (allocated; NULL: none); it does not wait any more; it is gone; a pin's name (allocated). */
void mount_prepare(struct sandbox *sb, void (*next)(struct sandbox *sb));
char *mount_disk(const struct sandbox *sb);
void mount_forget(struct sandbox *sb);
void mount_removed(struct sandbox *sb);
char *mount_pin(const struct sandbox *sb, const char *suffix);
/* At the start: read the records; let go of what belongs to no sandbox any more. */
int mount_recover(struct core *core, struct err *err);
void mount_sweep(struct core *core);
/* -1 for an unknown word */
int sandbox_state_parse(const char *word);

#endif
