#include "daemon/core/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "daemon/core/disk.h"
#include "daemon/core/internal.h"
#include "daemon/core/remote.h"
#include "daemon/core/remote_snapshot.h"
#include "daemon/core/team.h"
#include "daemon/core/vault.h"
#include "daemon/vm/accel.h"
#include "daemon/vm/keep.h"
#include "daemon/vm/machine.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/remote.h"

#define PIN "vm/"

int snapshot_check_name(const char *name, struct err *err)
{
	size_t n = strlen(name);
	bool ok = n > 0 && n <= SNAPSHOT_NAME_MAX && isalnum((unsigned char)*name);

	for (const char *p = name; *p; p++)
		ok &= isalnum((unsigned char)*p) || strchr("._-", *p);
	if (ok)
		return 0;
	err_set(err, ERR_INVALID, "'%.80s' cannot be the name of a snapshot", name);
	return err_hint(err, "letters, digits, '.', '_' and '-', at most %d, a letter or digit first", SNAPSHOT_NAME_MAX);
}

int snapshot_taken(const char *name, struct err *err)
{
	err_set(err, ERR_CONFLICT, "there is a snapshot '%s' already", name);
	err_word(err, "already_exists");
	return err_hint(err, "replace it with --replace, or remove it: sbx snapshot rm %s", name);
}

/* ---- whose they are ---- */

/* A pin's name is the snapshot's own, after the number of a team that is not the local one: "vm/base" and "vm/7:base". */
static char *pin_name(int64_t team, const char *name)
{
	return team == TEAM_LOCAL ? mem_strdup(name) : mem_printf("%lld:%s", (long long)team, name);
}

static const char *plain_name(const char *name)
{
	const char *colon = strchr(name, ':');
	return colon ? colon + 1 : name;
}

static int64_t team_of(const char *name)
{
	return strchr(name, ':') ? strtoll(name, NULL, 10) : TEAM_LOCAL;
}

/* ---- jobs in the store ---- */

/* One in a worker thread, with a handle of the store of its own. */
struct job {
	struct vault *vault;
	uv_work_t work;
	int64_t team;
	char *name; /* of its pin; NULL: all of the team */
	struct hash tree;
	bool replace, makes;					     /* the store, if there is none */
	bool removed;						     /* from another machine */
	int (*run)(struct job *j, struct store *s, struct err *err); /* s NULL: there is no store */
	struct snapshot *list;
	size_t n;
	bool failed;
	struct err err;
	snapshots_cb *cb;
	void *arg;
};

static void list_free(struct snapshot *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *const texts[] = { list[i].name, list[i].image, list[i].parent, list[i].accel };
		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			free(texts[k]);
	}
	free(list);
}

static int no_such(const char *name, struct err *err)
{
	err_set(err, ERR_NOT_FOUND, "no snapshot '%s'", plain_name(name));
	return err_hint(err, "list them with: sbx snapshot ls");
}

static void job_work(uv_work_t *work)
{
	struct job *j = work->data;

	/* a question can be answered on a full disk, too */
	bool none = !j->makes && !vault_exists(j->vault);
	struct store *s = none ? NULL : vault_open(j->vault, &j->err);
	j->failed = (!none && !s) || j->run(j, s, &j->err);
	store_close(s);
}

static void job_done(uv_work_t *work, int status)
{
	struct job *j = work->data;

	(void)status;
	if (vault_closing(j->vault)) { /* whatever it found, nothing may go on from there: core is gone */
		err_clear(&j->err);
		j->failed = err_set(&j->err, ERR_UNAVAILABLE, "the daemon is going down") != 0;
	}
	j->cb(j->arg, j->list, j->failed ? 0 : j->n, j->failed ? &j->err : NULL);
	list_free(j->list, j->n);
	vault_let_go(j->vault);
	free(j->name);
	free(j);
}

static struct job *job_new(struct core *core, int64_t team, const char *name, snapshots_cb *cb, void *arg)
{
	struct job *j = mem_zalloc(sizeof(*j));

	*j = (struct job){ .vault = core->vault, .team = team, .name = name ? pin_name(team, name) : NULL, .cb = cb, .arg = arg };
	vault_keep(j->vault);
	j->work.data = j;
	return j;
}

static void job_start(struct core *core, struct job *j, int (*run)(struct job *j, struct store *s, struct err *err))
{
	j->run = run;
	uv_queue_work(core->config.loop, &j->work, job_work, job_done);
}

static int add(struct job *j, struct store *s, const char *name, const struct hash *tree, struct err *err)
{
	struct vm_info info;
	uint64_t disk = 0;

	if (keep_info(s, tree, &info, &disk, err)) {
		vm_info_free(&info);
		return -1;
	}
	char *image = mem_steal(&info.image), *parent = mem_steal(&info.parent);
	j->list = mem_grow(j->list, j->n + 1, sizeof(*j->list));
	j->list[j->n++] = (struct snapshot){ .name = mem_strdup(plain_name(name)),
		.tree = *tree,
		.image = image,
		.parent = parent,
		.accel = mem_strdup(accel_name(info.accel)),
		.vcpus = info.vcpus,
		.memory_mb = info.memory_mb,
		.created_ms = info.created_ms,
		.disk = disk,
		.stored = info.stored };
	vm_info_free(&info);
	return 0;
}

struct search {
	struct job *j;
	struct store *s;
};

static int add_pin(void *arg, const char *pin, const struct hash *tree)
{
	struct search *search = arg;
	const char *name = pin + strlen(PIN);
	struct err err = ERR_INIT;

	if (!str_starts(pin, PIN) || (search->j->name ? strcmp(search->j->name, name) != 0 : team_of(name) != search->j->team))
		return 0;
	if (add(search->j, search->s, name, tree, &err)) /* one that is damaged does not hide the others */
		log_warn("core", "snapshot '%s': %s", name, err.msg);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct snapshot *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static int run_list(struct job *j, struct store *s, struct err *err)
{
	struct search search = { j, s };

	if (s && store_each_pin(s, add_pin, &search, err))
		return -1;
	if (j->name && !j->n)
		return no_such(j->name, err);
	if (j->n)
		qsort(j->list, j->n, sizeof(*j->list), by_name);
	return 0;
}

static void add_far(struct job *j, const struct db_host_snapshot *row)
{
	struct snapshot shot;
	remote_snapshot_show(row, &shot);
	char **const texts[] = { &shot.name, &shot.image, &shot.parent, &shot.accel };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = *texts[i] ? mem_strdup(*texts[i]) : NULL;
	j->list = mem_grow(j->list, j->n + 1, sizeof(*j->list));
	j->list[j->n++] = shot;
}

/* Those that other machines keep. */
static int list_far(struct core *core, struct job *j, const char *name, struct err *err)
{
	struct db_host_snapshot *rows;
	size_t n;
	if (db_host_snapshot_list(core->db, j->team, &rows, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!name || !strcmp(rows[i].name, name))
			add_far(j, &rows[i]);
	db_host_snapshots_release(rows, n);
	return 0;
}

void snapshot_list(struct core *core, int64_t team, const char *name, snapshots_cb *cb, void *arg)
{
	struct job *j = job_new(core, team, name, cb, arg);
	struct err err = ERR_INIT;
	if (list_far(core, j, name, &err))
		log_warn("core", "%s", err.msg);
	job_start(core, j, run_list);
}

struct finding {
	const char *pin;
	struct hash tree;
	bool found;
};

static int find_pin(void *arg, const char *pin, const struct hash *tree)
{
	struct finding *f = arg;

	f->found = !strcmp(pin, f->pin);
	if (f->found)
		f->tree = *tree;
	return f->found;
}

/* 1 and its tree, 0 there is none, -1. */
static int find(struct store *s, const char *name, struct hash *tree, struct err *err)
{
	auto_free char *pin = mem_printf(PIN "%s", name);
	struct finding f = { .pin = pin };

	if (s && store_each_pin(s, find_pin, &f, err) < 0)
		return -1;
	*tree = f.tree;
	return f.found;
}

static int check_free(struct store *s, const char *name, bool replace, struct err *err)
{
	struct hash old;
	int there = find(s, name, &old, err);

	if (there <= 0 || replace)
		return there < 0 ? -1 : 0;
	return snapshot_taken(plain_name(name), err);
}

/* Within a write: of two at once, one finds the name taken. */
static int pin(struct store *s, const char *name, const struct hash *tree, bool replace, struct err *err)
{
	auto_free char *text = mem_printf(PIN "%s", name);

	return check_free(s, name, replace, err) || store_pin(s, text, tree, err) ? -1 : 0;
}

/* All that it leads to: who sent it may have left something out. */
static int check_whole(struct store *s, const struct hash *tree, struct err *err)
{
	struct remote_haver *haver = remote_haver_new(s);
	char hex[HASH_HEX + 1];
	bool whole = false;
	int r = remote_have(haver, tree, 1, &whole, err);

	remote_haver_free(haver);
	if (r || whole)
		return r;
	return err_set(err, ERR_NOT_FOUND, "not all of the tree '%s' is in the store", hash_hex(tree, hex));
}

static int adopt(struct job *j, struct store *s, struct err *err)
{
	if (check_whole(s, &j->tree, err) || add(j, s, j->name, &j->tree, err) || store_begin(s, true, err))
		return -1;
	if (!pin(s, j->name, &j->tree, j->replace, err))
		return store_end(s, err);
	store_abort(s);
	return -1;
}

static int run_adopt(struct job *j, struct store *s, struct err *err)
{
	if (snapshot_check_name(j->name, err) || store_hold(s, err))
		return -1;
	int r = adopt(j, s, err);
	store_release(s);
	return r;
}

void snapshot_adopt(struct core *core, const char *name, const struct hash *tree, bool replace, snapshots_cb *cb, void *arg)
{
	struct job *j = job_new(core, TEAM_LOCAL, name, cb, arg);

	j->tree = *tree;
	j->replace = replace;
	j->makes = true;
	job_start(core, j, run_adopt);
}

static int run_remove(struct job *j, struct store *s, struct err *err)
{
	auto_free char *text = mem_printf(PIN "%s", j->name);
	struct hash tree;
	int there = find(s, j->name, &tree, err);

	if (there < 0)
		return -1;
	if (there)
		return store_unpin(s, text, err);
	return j->removed ? 0 : no_such(j->name, err);
}

void snapshot_remove(struct core *core, int64_t team, const char *name, snapshots_cb *cb, void *arg)
{
	struct job *j = job_new(core, team, name, cb, arg);
	struct err err = ERR_INIT;
	int far = remote_snapshot_remove(core, team, name, &err);
	j->removed = far == 1;
	if (far < 0)
		log_warn("core", "%s", err.msg);
	job_start(core, j, run_remove);
}

int snapshot_is_home(struct vault *v, int64_t team, const char *name, struct err *err)
{
	auto_free char *text = pin_name(team, name);
	struct hash tree;

	if (!vault_exists(v))
		return 0;
	struct store *s = vault_open(v, err);
	int there = s ? find(s, text, &tree, err) : -1;
	store_close(s);
	return there;
}

int snapshot_drop_home(struct vault *v, int64_t team, const char *name, struct err *err)
{
	auto_free char *plain = pin_name(team, name);
	auto_free char *text = mem_printf(PIN "%s", plain);
	struct store *s = vault_open(v, err);
	int r = s ? store_unpin(s, text, err) : -1;

	store_close(s);
	return r;
}

/* ---- those of teams that are gone ---- */

struct drop {
	struct job job; /* first */
	int64_t *teams; /* ascending */
	size_t team_count;
	char **pins;
	size_t n;
};

static int note_pin(void *arg, const char *pin, const struct hash *tree)
{
	struct drop *d = arg;

	(void)tree;
	if (!str_starts(pin, PIN) || !team_among(d->teams, d->team_count, team_of(pin + strlen(PIN))))
		return 0;
	d->pins = mem_grow(d->pins, d->n + 1, sizeof(*d->pins));
	d->pins[d->n++] = mem_strdup(pin);
	return 0;
}

static int run_drop(struct job *j, struct store *s, struct err *err)
{
	struct drop *d = (struct drop *)j;

	if (!s)
		return 0;
	if (store_each_pin(s, note_pin, d, err))
		return -1;
	for (size_t i = 0; i < d->n; i++) {
		struct err why = ERR_INIT;
		if (!store_unpin(s, d->pins[i], &why) || why.code == ERR_NOT_FOUND)
			continue;
		*err = why;
		return -1;
	}
	return 0;
}

static void on_dropped(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct drop *d = arg;

	(void)list;
	(void)n;
	if (err)
		log_warn("core", "snapshots of teams that are deleted stay until the next start: %s", err->msg);
	for (size_t i = 0; i < d->n; i++)
		free(d->pins[i]);
	free(d->pins);
	free(d->teams);
}

/* Those that other machines keep. */
static void drop_far(struct core *core, int64_t team)
{
	struct db_host_snapshot *rows;
	struct err err = ERR_INIT;
	size_t n;
	if (db_host_snapshot_list(core->db, team, &rows, &n, &err)) {
		log_warn("core", "%s", err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (remote_snapshot_remove(core, team, rows[i].name, &err) < 0)
			log_warn("core", "%s", err.msg);
	db_host_snapshots_release(rows, n);
}

void snapshot_drop_teams(struct core *core, const int64_t *teams, size_t n)
{
	struct drop *d = mem_zalloc(sizeof(*d));

	for (size_t i = 0; i < n; i++)
		drop_far(core, teams[i]);
	*d = (struct drop){
		.job = { .vault = core->vault, .cb = on_dropped, .arg = d }, .teams = mem_array(n, sizeof(*teams)), .team_count = n
	};
	memcpy(d->teams, teams, n * sizeof(*teams));
	vault_keep(d->job.vault);
	d->job.work.data = &d->job;
	job_start(core, &d->job, run_drop);
}

/* ---- taking one ---- */

/* Beside the operation, what its worker needs. */
struct shot {
	struct vault *vault;
	char *name, *base;
	bool replace, running, copy;
	bool booted;
	char **disks; /* the files that its disk is made of, the top first: at the instant of the freeze */
	struct vm_info info;
	struct hash tree;
	uint64_t disk;
	snapshots_cb *cb;
	void *arg;
};

static void shot_free(void *more)
{
	struct shot *t = more;

	vault_let_go(t->vault);
	drop_list(t->disks);
	vm_info_free(&t->info);
	free(t->name);
	free(t->base);
	free(t);
}

static void on_shot_over(void *arg, struct sandbox *sb, const struct err *err)
{
	struct shot *t = arg;
	struct err left = ERR_INIT;
	struct snapshot shot = { .name = (char *)(uintptr_t)plain_name(t->name),
		.tree = t->tree,
		.image = t->info.image,
		.parent = t->info.parent,
		.accel = (char *)(uintptr_t)accel_name(t->info.accel),
		.vcpus = t->info.vcpus,
		.memory_mb = t->info.memory_mb,
		.created_ms = t->info.created_ms,
		.disk = t->disk,
		.stored = t->info.stored };

	if (!err && remote_snapshot_remove(sb->core, sb->row.account, shot.name, &left) < 0) /* it has taken its place */
		log_warn("core", "%s", left.msg);
	t->cb(t->arg, &shot, err ? 0 : 1, err);
	/* its team was deleted meanwhile, with its snapshots, among which this one was not yet */
	const int64_t team = sb->row.account;
	if (sb->state == SANDBOX_DELETING && team_is_gone(sb->core, team))
		snapshot_drop_teams(sb->core, &team, 1);
}

static int put(struct shot *t, int state_fd, struct store *s, struct err *err)
{
	struct keep k = { .base = t->base,
		.booted = t->booted,
		.stream_fd = state_fd,
		.disks = (const char *const *)t->disks,
		.info = &t->info };

	while (k.disks[k.disk_count])
		k.disk_count++;
	if (store_begin(s, true, err))
		return -1;
	if (keep_put(s, &k, &t->tree, &t->disk, err) || pin(s, t->name, &t->tree, t->replace, err)) {
		store_abort(s);
		return -1;
	}
	return store_end(s, err);
}

static int put_in_store(struct shot *t, int state_fd, struct err *err)
{
	struct store *s = vault_open(t->vault, err);
	int r = s ? store_hold(s, err) : -1;

	if (!r) {
		r = put(t, state_fd, s, err);
		store_release(s);
	}
	store_close(s);
	return r;
}

static void store_work(struct op *op)
{
	op->failed = put_in_store(op->more, op->freeze.out_fd, &op->err) != 0;
}

/* The copy of its disk was for the store only. */
static void remove_copy(const struct shot *t)
{
	if (t->copy && t->running)
		unlink(t->disks[0]);
}

static void stored(struct sandbox *sb, struct op *op)
{
	struct shot *t = op->more;
	struct err err = op->err;

	remove_copy(t);
	if (!op->failed)
		eventlog_add(sb->log, "snapshot", "%s, stopped for %lld ms, in the store after %lld ms", plain_name(t->name),
			(long long)op->freeze.stopped_us / 1000, (long long)(clock_mono_ms() - op->since_ms));
	op_end(sb, op->failed ? &err : NULL);
}

/* A name that is taken is no reason to stop anybody. */
static int check_name_free(const struct shot *t, struct err *err)
{
	struct store *s = vault_open(t->vault, err);
	int r = s ? check_free(s, t->name, t->replace, err) : -1;

	store_close(s);
	return r;
}

static void freeze_work(struct op *op)
{
	const struct shot *t = op->more;

	op->failed = check_name_free(t, &op->err) || (t->running && freeze_run(&op->freeze, &op->err));
}

static void frozen(struct sandbox *sb, struct op *op)
{
	struct shot *t = op->more;
	struct err err = op->err;

	if (!t->copy)
		disk_settle(sb, !op->failed || op->freeze.switched);
	if (op->failed) {
		remove_copy(t);
		op_end(sb, &err);
		return;
	}
	op_work(op, store_work, stored);
}

static void snapshot_on(void *arg, struct base *base, const struct err *base_err)
{
	struct sandbox *sb = arg;
	struct op *op = sb->op;
	struct shot *t = op->more;
	struct err err = ERR_INIT;

	sb->base_wait = NULL;
	if (!base) {
		op_end(sb, base_err);
		return;
	}
	t->base = mem_strdup(base->dir);
	t->running = sb->state == SANDBOX_RUNNING;
	t->copy = !t->running || disk_is_small(sb); /* nobody writes to a paused one's while the operation lasts */
	t->booted = sb->row.booted;
	t->info = (struct vm_info){ .image = mem_strdup(sb->row.image),
		.qemu = base->info.qemu ? mem_strdup(base->info.qemu) : NULL,
		.accel = base->info.accel,
		.vcpus = sb->row.run_vcpus,
		.memory_mb = sb->row.run_memory_mb,
		.machine = MACHINE_VERSION,
		.tsc_khz = base->info.tsc_khz,
		.created_ms = clock_wall_ms(),
		.name = mem_strdup(plain_name(t->name)),
		.parent = mem_strdup(sb->row.id),
		.env = copy_list(sb->row.env) };
	mount_describe(sb, &t->info);
	const char *top = t->running ? "snapshot.qcow2" : "disk.qcow2";
	auto_free char *copy = fs_join(sb->dir, top);
	if (op_freeze(sb, t->copy ? copy : NULL, &err)) {
		op_end(sb, &err);
		return;
	}
	t->disks = disk_paths(sb, t->copy ? top : NULL); /* what is not copied has just become the first layer */
	op_work(op, freeze_work, frozen);
}

int sandbox_snapshot(struct sandbox *sb, const char *name, bool replace, snapshots_cb *cb, void *arg, struct err *err)
{
	int64_t elsewhere;
	if (snapshot_check_name(name, err))
		return -1;
	if (is_remote(sb))
		return remote_snapshot(sb, name, replace, cb, arg, err);
	if (remote_snapshot_check(sb->core, sb->row.account, name, replace, &elsewhere, err))
		return -1;
	struct op *op = op_begin(sb, OP_SNAPSHOT, on_shot_over, NULL, err);
	if (!op)
		return -1;
	struct shot *t = mem_zalloc(sizeof(*t));
	*t = (struct shot){
		.vault = sb->core->vault, .name = pin_name(sb->row.account, name), .replace = replace, .cb = cb, .arg = arg
	};
	vault_keep(t->vault);
	op->arg = op->more = t;
	op->more_free = shot_free;
	sb->base_wait = base_load(sb->core->bases, sb->row.template_key, snapshot_on, sb);
	return 0;
}

/* ---- what is created from one ---- */

struct use {
	struct job job; /* first */
	char *dir;
	snapshot_base_cb *cb;
	void *arg;
	char *key;
};

/* Under the lock of the folder. */
static int make_locked(struct use *u, struct store *s, struct err *err)
{
	auto_free char *tmp = mem_printf("%s/.tmp-%s", u->dir, u->key);
	auto_free char *dir = mem_printf("%s/%s", u->dir, u->key);
	auto_free char *json = fs_join(dir, "base.json");

	if (fs_exists(json))
		return 0;
	if (fs_remove_tree(tmp, err) || fs_remove_tree(dir, err) || fs_mkdirs(tmp, 0700, err))
		return -1;
	int r = keep_take(s, &u->job.tree, tmp, err);
	if (!r && rename(tmp, dir))
		r = err_sys(err, errno, "cannot rename '%s'", tmp);
	if (r)
		fs_remove_tree(tmp, NULL);
	return r;
}

/* Several may be created from a snapshot at once: one makes the base, the others wait for it. */
static int make_base(struct use *u, struct store *s, struct err *err)
{
	if (fs_mkdirs(u->dir, 0700, err))
		return -1;
	auto_fd int lock = open(u->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;
	do
		r = lock < 0 ? -1 : flock(lock, LOCK_EX);
	while (r && errno == EINTR);
	return r ? err_sys(err, errno, "cannot lock '%s'", u->dir) : make_locked(u, s, err);
}

static int run_use(struct job *j, struct store *s, struct err *err)
{
	struct use *u = (struct use *)j;
	char hex[HASH_HEX + 1];
	int there = find(s, j->name, &j->tree, err);

	if (there <= 0)
		return there ? -1 : no_such(j->name, err);
	/* enough of it that no other tree can be made to fit */
	u->key = mem_printf("%c%.16s", SNAPSHOT_KEY, hash_hex(&j->tree, hex));
	return make_base(u, s, err);
}

static void on_used(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct use *u = arg;

	(void)list;
	(void)n;
	u->cb(u->arg, u->key, err);
	free(u->dir);
	free(u->key);
}

void snapshot_base(struct core *core, int64_t team, const char *name, snapshot_base_cb *cb, void *arg)
{
	struct use *u = mem_zalloc(sizeof(*u));

	*u = (struct use){ .job = { .vault = core->vault, .name = pin_name(team, name), .cb = on_used, .arg = u },
		.dir = fs_join(core->home, "bases"),
		.cb = cb,
		.arg = arg };
	vault_keep(u->job.vault);
	u->job.work.data = &u->job;
	job_start(core, &u->job, run_use);
}
