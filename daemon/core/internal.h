/* What the modules of daemon/core share among themselves. */
#ifndef SBX_CORE_INTERNAL_H
#define SBX_CORE_INTERNAL_H

#include "daemon/core/base.h"
#include "daemon/core/builder.h"
#include "daemon/core/core.h"
#include "daemon/core/eventlog.h"
#include "daemon/core/metrics.h"
#include "daemon/core/sandbox.h"
#include "daemon/core/secret.h"
#include "daemon/db/db.h"
#include "daemon/vm/freeze.h"
#include "daemon/vm/link.h"
#include "daemon/vm/vm.h"

struct core {
	struct core_config config;
	char *home, *cache, *program, *vms_dir;
	int lock_fd;
	struct db *db;
	struct builder *builder;
	struct vault *vault;
	struct bases *bases;
	struct pool *pool;
	struct secret secret;
	struct accounts *accounts;
	struct courier *courier;       /* channel.c */
	const struct carrier *carrier; /* NULL until core_carry */
	struct errand *errands;	       /* remote.c */
	int64_t changes;	       /* of sandboxes, counted: what a host said before one of them is no news of it */
	uv_timer_t tick;	       /* once a second: idleness, sweeping */
	int64_t swept_ms, host_checked_ms, host_lost_ms, used_s;
	struct metrics *metrics;
	struct import *imports; /* importer.h */
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

enum op_kind { OP_PAUSE, OP_RESUME, OP_STOP, OP_START, OP_FORK, OP_SETTLE, OP_HOLD, OP_TAKE, OP_SNAPSHOT, OP_COMMIT, OP_KINDS };

struct fork;

/* One operation on a sandbox; while it works in another thread, that thread uses nothing but this and what it owns. */
struct op {
	struct sandbox *sb; /* NULL: it went while the worker was at work */
	enum op_kind kind;
	sandbox_done_cb *cb;
	void *arg;
	uv_work_t work;
	bool working;
	void (*run)(struct op *op); /* in the worker */
	void (*next)(struct sandbox *sb, struct op *op);
	void (*after)(struct sandbox *sb, struct op *op); /* from the loop, if sb is still there and not being deleted */
	char *dir, *memory, *disk;			  /* paths */
	char **paths;					  /* op_merge */
	struct freeze freeze;				  /* its descriptors are closed with the operation */
	/* The VM has ended meanwhile, or was ended by the operation. */
	void (*ended)(struct sandbox *sb, struct op *op);
	bool failed, idle;
	enum sandbox_state was; /* before it */
	int64_t since_ms;
	struct err err;
	/* What its worker needs beside this: freed with the operation, when no thread works on it any more. */
	void *more;
	void (*more_free)(void *more);
};

typedef void launch_cb(struct sandbox *sb, const struct err *err);
struct carry;
struct carry_answer;
typedef void remote_then(struct sandbox *sb, const struct carry_answer *answer);

#define CREATE_PHASES 8

struct sandbox {
	struct core *core;
	struct db_sandbox row;
	enum sandbox_state state;
	char *dir;
	char *user, *workdir; /* its image's defaults for commands, or NULL */
	struct vm *vm;
	struct link *link;
	struct eventlog *log;
	struct metrics_box *metrics;	     /* NULL until it was sampled */
	uv_timer_t expiry, deadline, relink; /* end of its time; of a launch; next try to reach the agent */
	unsigned handles;
	struct op *op;
	struct wake *wakes;
	int64_t used_ms; /* when it was seen in use last */
	/* while being launched */
	launch_cb *launched;
	struct link_stream *configure;
	bool pool_ready;   /* in state pooled: its processors are held */
	bool warm, warmed; /* run a command when the guest knows who it is; that is what runs */
	bool mounting;	   /* when it knows who it is, it is to mount its tree */
	int64_t launch_ms;
	struct err failure; /* why a create is being undone, or a launch has failed */
	struct db_fs fs;    /* path NULL: nothing is mounted */
	/* while creating */
	char *fs_ref; /* what is to be mounted, as it was asked for */
	struct mount_wait *mount_wait;
	struct template tmpl;
	struct build_wait *build;
	struct base_wait *base_wait;
	struct snapshot_wait *snapshot_wait;
	struct fork *fork; /* as a child */
	sandbox_created_cb *created_cb;
	void *created_arg;
	int64_t asked_us;
	struct {
		const char *name;
		int64_t us;
	} phases[CREATE_PHASES];
	size_t phase_count;
	struct port *ports;   /* port.c */
	unsigned relay_count; /* connections to its ports that are open */
	/* carried by another machine (remote.c): that one's id, what it is being asked, the connection to the agent that is being
	 * made */
	char *host;
	struct carry *call, *dial;
	remote_then *then, *connected;
	struct err refusal; /* why it could not even be asked */
	int64_t changed;    /* number of its last change */
	struct point use;   /* what it used (remote_use.c), and when that was; 0 = never */
	int64_t use_ms;
	struct join *lent;  /* lend.c */
	/* while deleting */
	struct deletion *deletions;
	bool deletion_failed;
};

/* ---- launch.c: from a disk and a state to a VM that knows who it is ---- */
struct launch {
	const struct base *base;
	const char *state;	     /* stream to restore, or NULL: boot */
	const char *top;	     /* of its disk: "disk.qcow2" or "disk.next" */
	const char *kernel, *initrd; /* to boot, instead of the base's own */
	int ram_fd;
	unsigned vcpus, memory_mb;
	bool fresh; /* nobody has spoken to this guest's agent */
	bool mount; /* its tree, if it has one, is not mounted yet */
	bool warm;
};
/* Begin; done is called from the loop. When it failed there is no VM any more. -1: not begun, nothing is left of it. */
int launch_begin(struct sandbox *sb, const struct launch *how, launch_cb *done, struct err *err);
/* Tell a guest that runs who it is, and call done. */
int launch_configure(struct sandbox *sb, launch_cb *done, struct err *err);
/* What happens to a VM that is being launched. */
void launch_link_up(struct sandbox *sb);
void launch_link_down(struct sandbox *sb, const struct err *why);
void launch_vm_ended(struct sandbox *sb);
/* It failed, for this reason. */
void launch_fail(struct sandbox *sb, const struct err *err);
/* Forget it; done is not called. */
void launch_drop(struct sandbox *sb);
/* A locally administered address, allocated. */
char *launch_mac(void);

/* ---- op.c ---- */
/* Refused unless the table has it from this state; else sb->op is the new one, and the state is what the table says meanwhile. */
struct op *op_begin(struct sandbox *sb, enum op_kind kind, sandbox_done_cb *cb, void *arg, struct err *err);
/* Let run() work in another thread and after() go on. */
void op_work(struct op *op, void (*run)(struct op *op), void (*after)(struct sandbox *sb, struct op *op));
/* Make one file of the many layers of a disk that nobody writes to, if there are many; then next goes on, from the loop or at once.
 */
void op_merge(struct sandbox *sb, void (*next)(struct sandbox *sb, struct op *op));
/* Prepare to have the state and the disk of a running or paused sandbox at one instant, for others to go on from. The state is in
 * op->freeze.out_fd, that of a running one after freeze_run(&op->freeze). The top of its disk is copied to the file `copy` by that
 * (a paused one's can just be read); copy NULL: disk_push, and disk_settle is up to the caller. -1: nothing has changed. */
int op_freeze(struct sandbox *sb, const char *copy, struct err *err);
/* It is over: frees sb->op, then tells. err NULL: it succeeded. */
void op_end(struct sandbox *sb, const struct err *err);
/* The sandbox is being removed: end the operation, unless a worker is at it (false), who will come back to sandbox_deletion_due. */
bool op_drop(struct sandbox *sb, const struct err *err);
/* The sandbox is being unloaded: tell, and end the operation; one that a worker is at stays until he is done, without a sandbox. */
void op_leave(struct sandbox *sb, const struct err *err);
/* The VM has ended: is that what the operation waits for? Then it goes on. */
bool op_vm_ended(struct sandbox *sb);
void sandbox_deletion_due(struct sandbox *sb);

/* ---- snapshot.c ---- */
/* Make a snapshot a base of this home, and call back with its key. */
#define SNAPSHOT_KEY 's' /* the first letter of the key of such a base; a template's begins with a hex digit */
typedef void snapshot_base_cb(void *arg, const char *key, const struct err *err);
void snapshot_base(struct core *core, int64_t team, const char *name, snapshot_base_cb *cb, void *arg);

/* ---- create.c, fork.c ---- */
/* A record with an id, a time and an address of its own, inserted; state creating. name may be NULL. */
struct sandbox *create_record(struct core *core, struct db_sandbox *row, struct err *err);
/* A phase of a create is over; nothing for what is no create. */
void create_phase(struct sandbox *sb, const char *name);
/* Let go of what a create waits for. */
void create_forget(struct sandbox *sb);
/* It is up: record that it runs, and tell. */
void create_finish(struct sandbox *sb);
/* A VM for the pool: cb when it is ready. */
int create_pooled(struct core *core, const struct sandbox_spec *spec, sandbox_created_cb *cb, void *arg, struct err *err);
/* Is it made from what a create would use now? */
bool create_is_current(const struct sandbox *sb);
int create_check_name(struct core *core, int64_t team, const char *name, struct err *err);
char **copy_list(char *const *list);
void drop_list(char **list);
void fork_child_gone(struct sandbox *child);

/* A link to a sandbox that can take streams, or NULL with err. */
struct link *sandbox_link(struct sandbox *sb, struct err *err);

/* An object for a record (which moves into it), listed in core; its folder and log are opened, nothing is started. */
struct sandbox *sandbox_load(struct core *core, struct db_sandbox *row, enum sandbox_state state);
/* It counts as the newest. */
void sandbox_to_end(struct sandbox *sb);
/* Take it off the list and free it; handles close by the loop. Its VM, if any, lives on. */
void sandbox_unload(struct sandbox *sb);
/* It is about to go: put down what its API tells of it for ever, if it does. */
int sandbox_remember(const struct sandbox *sb, struct err *err);
/* Record a new state durably. */
int sandbox_set_state(struct sandbox *sb, enum sandbox_state state, const char *reason, struct err *err);
/* Connect to the agent; on_up is handled by the sandbox itself. */
int sandbox_open_link(struct sandbox *sb, bool fresh, struct err *err);
/* The same on a connection that another machine gave (taken also when it fails); try again later. */
int sandbox_adopt_link(struct sandbox *sb, int fd, struct err *err);
void sandbox_relink(struct sandbox *sb, uint64_t ms);
/* Once a second: pause it when it has been idle for long enough. */
void sandbox_tick(struct sandbox *sb, int64_t now_ms);
/* Start the clock of timeout_s. */
void sandbox_arm_expiry(struct sandbox *sb);
vm_exit_cb sandbox_vm_ended;
/* It was running, and its VM has ended: it is stopped. */
void sandbox_ended_by_itself(struct sandbox *sb);
/* The create failed for this reason and is to be undone; undone. */
void create_fail(struct sandbox *sb, const struct err *err);
void create_undone(struct sandbox *sb);
/* Trees of the store (mount.c): have the tree of a sandbox that is being created pinned and made into an image, then go on; keep
 * the image in its folder, for as long as it is there; what a child of a fork has of its parent's; for a snapshot; the drive for
 * its VM (allocated; NULL: none); it does not wait any more; it is gone; a pin's name (allocated). */
void mount_prepare(struct sandbox *sb, void (*next)(struct sandbox *sb));
int mount_keep(const struct sandbox *sb, struct err *err);
int mount_share(struct sandbox *child, const struct sandbox *parent, struct err *err);
void mount_describe(const struct sandbox *sb, struct vm_info *out);
char *mount_disk(const struct sandbox *sb);
void mount_forget(struct sandbox *sb);
void mount_removed(struct sandbox *sb);
char *mount_pin(const struct sandbox *sb, const char *suffix);
/* At the start: read the records; let go of what belongs to no sandbox any more. */
int mount_recover(struct core *core, struct err *err);
void mount_sweep(struct core *core);
/* -1 for an unknown word */
int sandbox_state_parse(const char *word);

/* port.c. The recorded ports of all sandboxes, not opened yet. */
int ports_load(struct core *core, struct err *err);
/* Open or close the listeners as the sandbox's state has it. */
void ports_update(struct sandbox *sb);
/* Close and forget them; the record stays. */
void ports_free(struct sandbox *sb);

#endif
