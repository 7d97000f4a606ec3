#include "tests/unit/carry_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/core/host.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static const char *const uids[HOSTS] = { "hosta", "hostb" };
static const char *const addresses[HOSTS] = { "10.0.0.1:1", "10.0.0.2:2" };
static const char *const verbs[CARRY_VERBS] = { "create", "pause", "resume", "stop", "start", "resize", "delete", "snapshot",
	"unsnapshot", "list", "points", "agent", "uses" };

/* ---- the hosts ---- */

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static struct carry *start(void *self, const struct carry_ask *ask, carry_cb *cb, void *arg, struct err *err)
{
	struct carry_kit *k = self;
	if (k->refuse) {
		err_set(err, ERR_IO, "no call can begin");
		return NULL;
	}
	struct carry *c = mem_zalloc(sizeof(*c)), **p = &k->calls;
	*c = (struct carry){ .verb = ask->verb,
		.host = copy(ask->host),
		.address = copy(ask->address),
		.id = copy(ask->id),
		.name = copy(ask->name),
		.range = copy(ask->range),
		.team = ask->team,
		.force = ask->force,
		.replace = ask->replace,
		.cb = cb,
		.arg = arg };
	if (ask->row) {
		c->image = copy(ask->row->image);
		c->vcpus = ask->row->vcpus;
		c->memory_mb = ask->row->memory_mb;
		c->disk_mb = ask->row->disk_mb;
	}
	for (int i = 0; i < HOSTS; i++)
		if (!strcmp(c->host, uids[i]))
			assert_string_equal(c->address, addresses[i]);
	while (*p)
		p = &(*p)->next;
	*p = c;
	k->asked++;
	return c;
}

static void unlink_call(struct carry_kit *k, struct carry *c)
{
	struct carry **p = &k->calls;
	while (*p && *p != c)
		p = &(*p)->next;
	assert_ptr_equal(*p, c); /* neither answered nor cancelled before */
	*p = c->next;
}

static void free_call(struct carry *c)
{
	char *const texts[] = { c->host, c->address, c->id, c->name, c->range, c->image };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	free(c);
}

static void cancel(void *self, struct carry *c)
{
	struct carry_kit *k = self;
	unlink_call(k, c);
	free_call(c);
	k->cancelled++;
}

void carry_kit_waits(struct carry_kit *k, const char *want)
{
	auto_buf text = BUF_INIT;
	for (const struct carry *c = k->calls; c; c = c->next)
		buf_fmt(&text, "%s %s; ", verbs[c->verb], c->host);
	assert_string_equal(text.p, want);
}

struct carry *carry_kit_call(struct carry_kit *k, enum carry_verb verb)
{
	struct carry *c = k->calls;
	while (c && c->verb != verb)
		c = c->next;
	if (!c)
		fail_msg("nobody has asked for '%s'", verbs[verb]);
	return c;
}

void carry_kit_answer(struct carry_kit *k, enum carry_verb verb, const struct carry_answer *answer)
{
	struct carry *c = carry_kit_call(k, verb);
	unlink_call(k, c);
	c->cb(c->arg, answer);
	free_call(c);
	carry_kit_turn(k);
}

void carry_kit_done(struct carry_kit *k, enum carry_verb verb, const struct carry_box *box)
{
	const struct carry_answer answer = { .heard = true, .boxes = box, .box_count = box ? 1 : 0, .fd = -1 };
	carry_kit_answer(k, verb, &answer);
}

void carry_kit_list(struct carry_kit *k, const struct carry_box *boxes, size_t n)
{
	const struct carry_answer answer = { .heard = true, .boxes = boxes, .box_count = n, .fd = -1 };
	carry_kit_answer(k, CARRY_LIST, &answer);
}

void carry_kit_agent(struct carry_kit *k)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	if (k->agent >= 0)
		close(k->agent);
	k->agent = ends[0];
	const struct carry_answer answer = { .heard = true, .fd = ends[1] };
	carry_kit_answer(k, CARRY_AGENT, &answer);
}

static void fail_with(struct carry_kit *k, enum carry_verb verb, enum err_code code, bool heard)
{
	struct err err = ERR_INIT;
	err_set(&err, code, heard ? "the host refuses" : "nothing was heard");
	const struct carry_answer answer = { .err = &err, .heard = heard, .fd = -1 };
	carry_kit_answer(k, verb, &answer);
}

void carry_kit_refuse(struct carry_kit *k, enum carry_verb verb, enum err_code code)
{
	fail_with(k, verb, code, true);
}

void carry_kit_deaf(struct carry_kit *k, enum carry_verb verb)
{
	fail_with(k, verb, ERR_TIMEOUT, false);
}

void carry_kit_settle(struct carry_kit *k)
{
	while (k->calls)
		if (k->calls->verb == CARRY_LIST)
			carry_kit_list(k, NULL, 0);
		else
			carry_kit_done(k, CARRY_UNSNAPSHOT, NULL);
}

/* ---- whether they are there ---- */

void carry_kit_lose(struct carry_kit *k, int i)
{
	struct err err = ERR_INIT;
	k->core->started_ms = 0;
	assert_int_equal(db_host_beat(k->core->db, k->host[i], clock_wall_ms() - HOST_LOST_MS - 1, &err), 0);
	host_check(k->core);
}

void carry_kit_find(struct carry_kit *k, int i)
{
	struct err err = ERR_INIT;
	struct identity who;
	assert_int_equal(host_identify(k->core, uids[i], &who, &err), 0);
	assert_int_equal(host_beat(k->core, &who, uids[i], &err), 0);
}

bool carry_kit_hung_up(struct carry_kit *k)
{
	char bytes[4096];
	ssize_t n;
	carry_kit_turn(k);
	assert_true(k->agent >= 0);
	while ((n = read(k->agent, bytes, sizeof(bytes))) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

/* ---- the kit ---- */

void carry_kit_turn(struct carry_kit *k)
{
	for (int i = 0; i < 4; i++)
		uv_run(&k->loop, UV_RUN_NOWAIT);
}

void carry_kit_until(struct carry_kit *k, const unsigned *n, unsigned want)
{
	int64_t end = clock_mono_ms() + 20000;
	while (*n != want && clock_mono_ms() < end)
		uv_run(&k->loop, UV_RUN_ONCE);
	assert_int_equal(*n, want);
}

struct db *carry_kit_db(struct carry_kit *k)
{
	struct err err = ERR_INIT;
	auto_free char *path = fs_join(k->dir, "db.sqlite");
	assert_null(k->core);
	struct db *db = db_open(path, &err);
	assert_non_null(db);
	return db;
}

void carry_kit_open(struct carry_kit *k, bool carry)
{
	struct err err = ERR_INIT;
	const struct core_config config = {
		.loop = &k->loop, .home = k->dir, .cache = k->dir, .program = "/bin/false", .password_cost = 4
	};
	k->core = core_new(&config, &err);
	if (!k->core)
		fail_msg("%s", err.msg);
	k->core->host_checked_ms = clock_mono_ms(); /* when the test wants it, not in a second */
	if (carry)
		core_carry(k->core, &k->carrier);
	carry_kit_turn(k);
}

void carry_kit_close(struct carry_kit *k)
{
	core_close(k->core);
	assert_null(k->calls); /* all of them cancelled */
	k->core = NULL;
	uv_run(&k->loop, UV_RUN_DEFAULT);
	if (k->agent >= 0)
		close(k->agent);
	k->agent = -1;
}

static void add_hosts(struct carry_kit *k)
{
	struct err err = ERR_INIT;
	struct db *db = carry_kit_db(k);
	for (int i = 0; i < HOSTS; i++) {
		struct db_host row = { .uid = (char *)(uintptr_t)uids[i],
			.type = (char *)(uintptr_t) "regular",
			.status = (char *)(uintptr_t) "online",
			.address = (char *)(uintptr_t)addresses[i],
			.heartbeat_ms = clock_wall_ms(),
			.created_ms = i + 1 };
		assert_int_equal(db_host_insert(db, &row, &err), 0);
		k->host[i] = row.id;
	}
	db_close(db);
}

int carry_kit_setup(void **state)
{
	struct carry_kit *k = mem_zalloc(sizeof(*k));
	log_set_level(LOG_ERROR_);
	snprintf(k->dir, sizeof(k->dir), "%s/sbx-t-carry-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(k->dir));
	assert_int_equal(uv_loop_init(&k->loop), 0);
	k->carrier = (struct carrier){ .self = k, .start = start, .cancel = cancel };
	k->agent = -1;
	*state = k;
	add_hosts(k);
	carry_kit_open(k, true);
	carry_kit_list(k, NULL, 0);
	carry_kit_list(k, NULL, 0);
	carry_kit_waits(k, "");
	k->asked = 0;
	return 0;
}

int carry_kit_teardown(void **state)
{
	struct carry_kit *k = *state;
	if (k->core)
		carry_kit_close(k);
	assert_int_equal(uv_loop_close(&k->loop), 0);
	assert_int_equal(fs_remove_tree(k->dir, NULL), 0);
	free(k);
	return 0;
}
