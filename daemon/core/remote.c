#include "daemon/core/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/core/carrier.h"
#include "daemon/core/host.h"
#include "daemon/core/metrics.h"
#include "daemon/core/remote_snapshot.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { REDIAL_MS = 1000 };

/* ---- asking its host ---- */

/* Its record, if it can be asked at all. */
static int find_host(struct core *core, int64_t id, struct db_host *out, struct err *err)
{
	if (core->closing)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is going down");
	int found = db_host_by_id(core->db, id, out, err);
	if (found < 0)
		return -1;
	if (!found)
		return err_set(err, ERR_UNAVAILABLE, "the host that carries it was removed");
	if (host_is_up(out) && core->carrier)
		return 0;
	err_set(err, ERR_UNAVAILABLE, "host '%s', which carries it, is not heard of", out->uid);
	err_hint(err, "it goes on when the host is back; see: sbx host inspect %s", out->uid);
	db_host_release(out);
	return -1;
}

/* Is it there, as far as we know? */
static bool is_up(struct core *core, int64_t id)
{
	struct db_host row;
	if (db_host_by_id(core->db, id, &row, NULL) != 1)
		return true; /* removed, which ends what it carries; or nobody knows */
	bool up = host_is_up(&row);
	db_host_release(&row);
	return up;
}

char *remote_host_id(struct core *core, int64_t host)
{
	struct db_host row;
	if (db_host_by_id(core->db, host, &row, NULL) != 1)
		return mem_strdup("");
	char *uid = mem_steal(&row.uid);
	db_host_release(&row);
	return uid;
}

static struct carry *start(struct core *core, int64_t host, struct carry_ask *ask, carry_cb *cb, void *arg, struct err *err)
{
	struct db_host row = { 0 };
	if (find_host(core, host, &row, err))
		return NULL;
	ask->host = row.uid;
	ask->address = row.address;
	struct carry *call = core->carrier->start(core->carrier->self, ask, cb, arg, err);
	db_host_release(&row);
	return call;
}

static void tell(struct sandbox *sb, const struct carry_answer *answer)
{
	remote_then *then = sb->then;
	sb->call = NULL;
	sb->then = NULL;
	then(sb, answer);
}

static void on_answer(void *arg, const struct carry_answer *answer)
{
	tell(arg, answer);
}

static void on_unasked(uv_timer_t *timer)
{
	struct sandbox *sb = timer->data;
	struct err err = sb->refusal;
	const struct carry_answer answer = { .err = &err, .fd = -1 };
	tell(sb, &answer);
}

void remote_ask(struct sandbox *sb, struct carry_ask *ask, remote_then *then)
{
	struct err err = ERR_INIT;
	ask->id = sb->row.id;
	ask->team = sb->row.account;
	ask->row = &sb->row;
	sb->then = then;
	sb->call = start(sb->core, sb->row.host, ask, on_answer, sb, &err);
	if (sb->call)
		return;
	sb->refusal = err;
	uv_timer_start(&sb->deadline, on_unasked, 0, 0);
}

static void cancel(struct sandbox *sb, struct carry **call)
{
	if (*call)
		sb->core->carrier->cancel(sb->core->carrier->self, *call);
	*call = NULL;
}

void remote_drop(struct sandbox *sb)
{
	cancel(sb, &sb->call);
	cancel(sb, &sb->dial);
	sb->then = NULL;
	sb->connected = NULL;
}

/* ---- its agent ---- */

static void on_agent(void *arg, const struct carry_answer *answer)
{
	struct sandbox *sb = arg;
	remote_then *connected = sb->connected;
	struct err err = ERR_INIT;
	sb->dial = NULL;
	sb->connected = NULL;
	if (!answer->err && sandbox_adopt_link(sb, answer->fd, &err)) {
		log_warn("core", "%s: %s", sb->row.id, err.msg);
		sandbox_relink(sb, REDIAL_MS);
	}
	if (answer->err) {
		log_debug("core", "%s: %s", sb->row.id, answer->err->msg);
		sandbox_relink(sb, REDIAL_MS);
		if (answer->heard) /* it is not as we believe */
			remote_compare(sb->core, sb->row.host);
	}
	if (connected)
		connected(sb, answer);
}

void remote_dial(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = { .verb = CARRY_AGENT, .id = sb->row.id, .team = sb->row.account };
	if (sb->dial)
		return;
	sb->dial = start(sb->core, sb->row.host, &ask, on_agent, sb, &err);
	if (!sb->dial)
		sandbox_relink(sb, REDIAL_MS);
}

/* As remote_dial; then is called when it is connected or cannot be, which may be at once. */
static void dial_then(struct sandbox *sb, remote_then *then)
{
	static const struct carry_answer nothing = { .fd = -1 };
	sb->connected = then;
	remote_dial(sb);
	if (sb->dial)
		return;
	sb->connected = NULL;
	then(sb, &nothing);
}

/* ---- create ---- */

static void take_text(char **member, const char *text)
{
	free(*member);
	*member = text ? mem_strdup(text) : NULL;
}

/* Its image may be known only there. Not in the record: told again with every comparison. */
static void take_defaults(struct sandbox *sb, const struct carry_box *box)
{
	take_text(&sb->user, box->user);
	take_text(&sb->workdir, box->workdir);
}

/* What it runs with. */
static void take_run(struct sandbox *sb, const struct carry_box *box)
{
	take_text(&sb->row.accel, box->accel);
	take_text(&sb->row.image_digest, box->digest);
	take_text(&sb->row.mac, box->mac);
	take_defaults(sb, box);
	sb->row.run_vcpus = box->run_vcpus;
	sb->row.run_memory_mb = box->run_memory_mb;
}

/* And what it is to run with, which its image may have decided. */
static void take_box(struct sandbox *sb, const struct carry_box *box)
{
	take_run(sb, box);
	sb->row.vcpus = box->vcpus;
	sb->row.memory_mb = box->memory_mb;
}

static void create_connected(struct sandbox *sb, const struct carry_answer *answer)
{
	create_phase(sb, "agent");
	if (answer->err)
		create_fail(sb, answer->err);
	else
		create_finish(sb);
}

static void created(struct sandbox *sb, const struct carry_answer *answer)
{
	struct err err = ERR_INIT;
	if (answer->err || !answer->box_count) {
		err_set(&err, ERR_PROTOCOL, "host '%s' does not say what it made", sb->host);
		create_fail(sb, answer->err ? answer->err : &err);
		return;
	}
	create_phase(sb, "host");
	take_box(sb, &answer->boxes[0]);
	dial_then(sb, create_connected);
}

void remote_create(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = { .verb = CARRY_CREATE };
	auto_free char *log = fs_join(sb->dir, "events.log");
	if (mkdir(sb->dir, 0700)) {
		err_sys(&err, errno, "cannot make '%s'", sb->dir);
		create_fail(sb, &err);
		return;
	}
	sb->log = eventlog_new(log);
	remote_ask(sb, &ask, created);
}

/* ---- operations ---- */

/* What it is now is for its host to say. */
static void op_failed(struct sandbox *sb, const struct carry_answer *answer)
{
	struct err err = *answer->err, ignored = ERR_INIT;
	struct op *op = sb->op;
	if (sb->state != op->was && sandbox_set_state(sb, op->was, NULL, &ignored))
		sb->state = op->was;
	if (op->was == SANDBOX_RUNNING && !sb->link)
		sandbox_relink(sb, REDIAL_MS); /* it went while nobody looked */
	op_end(sb, &err);
	remote_compare(sb->core, sb->row.host);
}

static void op_done(struct sandbox *sb, enum sandbox_state state)
{
	struct err err = ERR_INIT;
	int rc = sandbox_set_state(sb, state, NULL, &err);
	if (rc) {
		log_error("core", "%s: %s", sb->row.id, err.msg);
		sb->state = state; /* the record says that it was under way: the next start of the daemon asks the host */
	}
	op_end(sb, NULL);
}

static void let_link_go(struct sandbox *sb)
{
	cancel(sb, &sb->dial);
	uv_timer_stop(&sb->relink);
	link_close(sb->link);
	sb->link = NULL;
}

static void paused(struct sandbox *sb, const struct carry_answer *answer)
{
	if (answer->err) {
		op_failed(sb, answer);
		return;
	}
	let_link_go(sb);
	sb->row.idled = sb->op->idle;
	eventlog_add(sb->log, "paused", "%s, in %lld ms", sb->op->idle ? "for idleness" : "on request",
		(long long)(clock_mono_ms() - sb->op->since_ms));
	op_done(sb, SANDBOX_PAUSED);
}

void remote_pause(struct sandbox *sb)
{
	struct carry_ask ask = { .verb = CARRY_PAUSE };
	remote_ask(sb, &ask, paused);
}

static void op_connected(struct sandbox *sb, const struct carry_answer *answer)
{
	(void)answer; /* it runs; if it is not connected it will be */
	sb->row.idled = 0;
	sb->used_ms = clock_mono_ms();
	eventlog_add(sb->log, sb->op->kind == OP_RESUME ? "resumed" : "started", "in %lld ms",
		(long long)(clock_mono_ms() - sb->op->since_ms));
	op_done(sb, SANDBOX_RUNNING);
}

static void came_up(struct sandbox *sb, const struct carry_answer *answer)
{
	if (answer->err) {
		op_failed(sb, answer);
		return;
	}
	if (answer->box_count)
		take_run(sb, &answer->boxes[0]);
	dial_then(sb, op_connected);
}

void remote_resume(struct sandbox *sb)
{
	struct carry_ask ask = { .verb = CARRY_RESUME };
	remote_ask(sb, &ask, came_up);
}

void remote_start_vm(struct sandbox *sb)
{
	struct carry_ask ask = { .verb = CARRY_START };
	remote_ask(sb, &ask, came_up);
}

static void stopped(struct sandbox *sb, const struct carry_answer *answer)
{
	if (answer->err) {
		op_failed(sb, answer);
		return;
	}
	let_link_go(sb);
	sb->row.idled = 0;
	eventlog_add(sb->log, "stopped", "on request");
	op_done(sb, SANDBOX_STOPPED);
}

void remote_stop(struct sandbox *sb, bool force)
{
	struct carry_ask ask = { .verb = CARRY_STOP, .force = force };
	remote_ask(sb, &ask, stopped);
}

static void deleted(struct sandbox *sb, const struct carry_answer *answer)
{
	bool gone = !answer->err || !answer->heard || answer->err->code == ERR_NOT_FOUND;
	if (!gone)
		log_error("core", "%s: its host cannot remove it: %s", sb->row.id, answer->err->msg);
	sandbox_deletion_due(sb);
}

void remote_resize(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = { .verb = CARRY_RESIZE, .id = sb->row.id, .team = sb->row.account, .row = &sb->row };
	sb->changed = ++sb->core->changes;
	if (remote_errand(sb->core, sb->row.host, &ask, NULL, NULL, &err))
		log_warn("core", "%s: %s", sb->row.id, err.msg);
}

void remote_delete(struct sandbox *sb)
{
	struct carry_ask ask = { .verb = CARRY_DELETE };
	remote_ask(sb, &ask, deleted);
}

/* ---- errands: what is asked of a host beside any operation ---- */

struct errand {
	struct errand *next;
	struct core *core;
	struct carry *call;
	int64_t host, asked; /* asked: how many changes there were then */
	bool again;	     /* once it is answered */
	errand_cb *cb;
	void *arg;
};

static void errand_unlink(struct errand *e)
{
	struct errand **p = &e->core->errands;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
}

/* It is on the list no more. */
static void end_errand(struct errand *e, const struct carry_answer *answer)
{
	if (e->cb)
		e->cb(e->arg, e->core, e, answer);
	else if (answer->err && !e->core->closing)
		log_warn("core", "a host has not done what was asked of it: %s", answer->err->msg);
	free(e);
}

static void on_errand(void *arg, const struct carry_answer *answer)
{
	struct errand *e = arg;
	errand_unlink(e);
	end_errand(e, answer);
}

int remote_errand(struct core *core, int64_t host, struct carry_ask *ask, errand_cb *cb, void *arg, struct err *err)
{
	struct errand *e = mem_zalloc(sizeof(*e));
	*e = (struct errand){ .core = core, .host = host, .asked = core->changes, .cb = cb, .arg = arg };
	e->call = start(core, host, ask, on_errand, e, err);
	if (!e->call) {
		free(e);
		return -1;
	}
	e->next = core->errands;
	core->errands = e;
	return 0;
}

struct errand *remote_owed(const struct core *core, int64_t host, errand_cb *cb)
{
	struct errand *e = core->errands;
	while (e && (e->cb != cb || e->host != host))
		e = e->next;
	return e;
}

int64_t errand_host(const struct errand *e)
{
	return e->host;
}

void remote_close(struct core *core)
{
	struct err going = ERR_INIT;
	const struct carry_answer answer = { .err = &going, .fd = -1 };
	err_set(&going, ERR_UNAVAILABLE, "the daemon is going down");
	while (core->errands) {
		struct errand *e = core->errands;
		core->errands = e->next;
		core->carrier->cancel(core->carrier->self, e->call);
		end_errand(e, &answer);
	}
}

/* ---- what they use ---- */

struct points_wait {
	metrics_cb *cb;
	void *arg;
};

static void on_points(void *arg, struct core *core, const struct errand *e, const struct carry_answer *answer)
{
	struct points_wait *w = arg;
	(void)core;
	(void)e;
	w->cb(w->arg, answer->points, answer->err ? 0 : answer->point_count, answer->err);
	free(w);
}

int metrics_ask(const struct sandbox *sb, const char *range, metrics_cb *cb, void *arg, struct err *err)
{
	struct carry_ask ask = { .verb = CARRY_POINTS, .id = sb->row.id, .team = sb->row.account, .range = range };
	struct points_wait *w = mem_zalloc(sizeof(*w));
	*w = (struct points_wait){ cb, arg };
	if (remote_errand(sb->core, sb->row.host, &ask, on_points, w, err) == 0)
		return 0;
	free(w);
	return -1;
}

/* ---- what a host has, and what we know ---- */

static void set_state(struct sandbox *sb, enum sandbox_state state, const char *reason)
{
	struct err err = ERR_INIT;
	if (state != SANDBOX_RUNNING)
		let_link_go(sb);
	log_info("core", "%s: is %s on its host, and was %s", sb->row.id, sandbox_state_name(state), sandbox_state_name(sb->state));
	if (sandbox_set_state(sb, state, reason, &err))
		log_error("core", "%s: %s", sb->row.id, err.msg);
	else
		eventlog_add(sb->log, sandbox_state_name(state), "%s", reason ? reason : "as its host says");
}

static const struct carry_box *find_box(const struct carry_answer *answer, const char *id)
{
	for (size_t i = 0; i < answer->box_count; i++)
		if (!strcmp(answer->boxes[i].id, id))
			return &answer->boxes[i];
	return NULL;
}

/* box NULL: the host does not have it. */
static void compare_one(struct sandbox *sb, const struct carry_box *box, int64_t asked)
{
	int there = box ? sandbox_state_parse(box->state) : -1;
	bool rests = sb->state == SANDBOX_RUNNING || sb->state == SANDBOX_PAUSED || sb->state == SANDBOX_STOPPED ||
		sb->state == SANDBOX_MISSING;
	bool rests_there = there == SANDBOX_RUNNING || there == SANDBOX_PAUSED || there == SANDBOX_STOPPED;
	if (!rests || sb->op || sb->call || sb->changed > asked)
		return;
	if (!box && sb->state != SANDBOX_STOPPED)
		set_state(sb, SANDBOX_STOPPED, "its host does not have it any more");
	else if (box && rests_there && there != (int)sb->state) {
		take_run(sb, box);
		set_state(sb, (enum sandbox_state)there, there == SANDBOX_RUNNING ? NULL : box->reason);
	}
	if (box)
		take_defaults(sb, box);
	if (box && (box->vcpus != sb->row.vcpus || box->memory_mb != sb->row.memory_mb))
		remote_resize(sb); /* it was not there when that was asked */
	if (sb->state == SANDBOX_RUNNING && !sb->link && !uv_is_active((uv_handle_t *)&sb->relink))
		remote_dial(sb); /* else it is tried soon: a refusal would bring us here at once, and again */
}

/* What it has and nobody knows of; those that it cannot be asked for now are for the next time. */
static void remove_orphans(struct core *core, int64_t host, const struct carry_answer *answer)
{
	struct err err = ERR_INIT;
	size_t n = 0;
	for (size_t i = 0; i < answer->box_count && err.code == ERR_OK; i++) {
		struct carry_ask ask = { .verb = CARRY_DELETE, .team = TEAM_ANY, .id = answer->boxes[i].id };
		if (!sandbox_find(core, TEAM_ANY, ask.id, NULL))
			n += remote_errand(core, host, &ask, NULL, NULL, &err) == 0;
	}
	if (n)
		log_info("core", "%zu sandboxes that a host has and nobody knows of are removed there", n);
}

static void compare(void *arg, struct core *core, const struct errand *e, const struct carry_answer *answer)
{
	(void)arg;
	if (answer->err) {
		log_debug("core", "a host does not say what it carries: %s", answer->err->msg);
		return;
	}
	for (size_t i = 0; i < core->count; i++)
		if (core->boxes[i]->row.host == e->host)
			compare_one(core->boxes[i], find_box(answer, core->boxes[i]->row.id), e->asked);
	remove_orphans(core, e->host, answer);
	remote_snapshot_sweep(core, e->host);
	if (e->again)
		remote_compare(core, e->host);
}

void remote_compare(struct core *core, int64_t host)
{
	struct err err = ERR_INIT;
	struct carry_ask ask = { .verb = CARRY_LIST, .team = TEAM_ANY };
	struct errand *e = remote_owed(core, host, compare);
	if (e) {
		e->again |= e->asked != core->changes; /* the answer is under way, and may be old */
		return;
	}
	if (core->closing || !remote_errand(core, host, &ask, compare, NULL, &err))
		return;
	log_debug("core", "%s", err.msg);
	if (!is_up(core, host)) /* also for what came to run since it was lost, or did when we ended */
		remote_lost(core, host);
}

void remote_compare_all(struct core *core)
{
	struct db_host *all;
	size_t n;
	struct err err = ERR_INIT;
	if (!core->carrier)
		return;
	if (db_host_list(core->db, TEAM_ANY, &all, &n, &err)) {
		log_warn("core", "%s", err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++)
		remote_compare(core, all[i].id);
	db_hosts_release(all, n);
}

void remote_lost(struct core *core, int64_t host)
{
	for (size_t i = 0; i < core->count; i++) {
		struct sandbox *sb = core->boxes[i];
		if (sb->row.host == host && sb->state == SANDBOX_RUNNING && !sb->op)
			set_state(sb, SANDBOX_MISSING, "its host is not heard of");
	}
}

/* ---- the start of the daemon ---- */

/* What was under way when the daemon ended is as before, until the host says otherwise. */
static enum sandbox_state state_before(enum sandbox_state state)
{
	switch (state) {
	case SANDBOX_PAUSING:
	case SANDBOX_STOPPING:
		return SANDBOX_RUNNING;
	case SANDBOX_RESUMING:
		return SANDBOX_PAUSED;
	case SANDBOX_STARTING:
		return SANDBOX_STOPPED;
	default:
		return state;
	}
}

static void look_after(struct sandbox *sb)
{
	struct err err = ERR_INIT;
	enum sandbox_state state = state_before(sb->state);
	if (state == SANDBOX_CREATING || state == SANDBOX_DELETING) {
		if (state == SANDBOX_CREATING) /* nobody was told of it */
			take_text(&sb->row.template, NULL);
		sb->deletion_failed = true; /* nothing is under way */
		sandbox_delete(sb, NULL, NULL);
		return;
	}
	if (state != sb->state && sandbox_set_state(sb, state, NULL, &err))
		log_error("core", "%s: %s", sb->row.id, err.msg);
	sandbox_arm_expiry(sb);
	if (state == SANDBOX_RUNNING)
		remote_dial(sb);
}

void core_carry(struct core *core, const struct carrier *carrier)
{
	core->carrier = carrier;
	for (size_t i = core->count; i-- > 0;)
		if (is_remote(core->boxes[i]))
			look_after(core->boxes[i]);
	remote_compare_all(core);
}
