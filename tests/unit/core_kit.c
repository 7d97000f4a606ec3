/* CORE_KIT: daemon/core/{account,password,team,identity,secret}.c daemon/db/[a-z]*.c shared/net/crypto.c */
#include "tests/unit/core_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/channel.h"
#include "daemon/core/host.h"
#include "daemon/core/password.h"
#include "daemon/core/snapshot.h"
#include "daemon/db/audit.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- what the rest of core would do ---- */

static struct core_kit *kit; /* of the test that runs */

void sandbox_delete(struct sandbox *sb, sandbox_deleted_cb *cb, void *arg)
{
	assert_null(cb);
	assert_null(arg);
	kit->deleted += sb->state != SANDBOX_DELETING;
	sb->state = SANDBOX_DELETING;
}

void snapshot_drop_teams(struct core *core, const int64_t *teams, size_t n)
{
	assert_ptr_equal(core, kit->core);
	for (size_t i = 0; i < n; i++)
		buf_fmt(&kit->dropped, "%lld;", (long long)teams[i]);
}

void channel_announce(struct core *core, const char *event, const struct db_audit *note)
{
	assert_ptr_equal(core, kit->core);
	buf_fmt(&kit->news, "%s %s %s;", event, note->resource_id, note->status);
}

char **copy_list(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	char **copy = mem_array(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = mem_strdup(list[i]);
	return copy;
}

/* ---- the kit ---- */

int core_kit_setup(void **state)
{
	struct core_kit *k = mem_zalloc(sizeof(*k));
	struct err err = ERR_INIT;
	/* in memory if there is room: every change waits for the disk */
	snprintf(k->dir, sizeof(k->dir), "%s/sbx-t-core-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(k->dir));
	auto_free char *path = fs_join(k->dir, "db.sqlite");
	buf_init(&k->news);
	buf_init(&k->dropped);
	assert_int_equal(uv_loop_init(&k->loop), 0);
	k->core = mem_zalloc(sizeof(*k->core));
	k->core->config.loop = &k->loop;
	k->core->config.password_cost = PASSWORD_COST_MIN;
	k->core->host_lost_ms = HOST_LOST_MS;
	k->core->db = db_open(path, &err);
	assert_non_null(k->core->db);
	assert_int_equal(secret_open(&k->core->secret, k->dir, &err), 0);
	k->core->accounts = accounts_new(k->core);
	kit = k;
	*state = k;
	return 0;
}

int core_kit_teardown(void **state)
{
	struct core_kit *k = *state;
	struct core *core = k->core;
	accounts_close(core->accounts);
	uv_run(&k->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&k->loop), 0);
	for (size_t i = 0; i < core->count; i++) {
		db_sandbox_release(&core->boxes[i]->row);
		free(core->boxes[i]);
	}
	free(core->boxes);
	db_close(core->db);
	free(core);
	buf_free(&k->news);
	buf_free(&k->dropped);
	assert_int_equal(fs_remove_tree(k->dir, NULL), 0);
	free(k);
	kit = NULL;
	return 0;
}

struct sandbox *core_kit_box(struct core_kit *k, int64_t team, enum sandbox_state state, int64_t vcpus, int64_t memory_mb)
{
	struct core *core = k->core;
	struct sandbox *sb = mem_zalloc(sizeof(*sb));
	sb->core = core;
	sb->state = state;
	sb->row = (struct db_sandbox){ .id = mem_printf("box%zu", core->count),
		.image = mem_strdup("base"),
		.account = team,
		.vcpus = vcpus,
		.memory_mb = memory_mb };
	core->boxes = mem_grow(core->boxes, core->count + 1, sizeof(struct sandbox *));
	core->boxes[core->count++] = sb;
	return sb;
}

void core_kit_until(struct core_kit *k, const bool *done)
{
	while (!*done && uv_loop_alive(&k->loop))
		uv_run(&k->loop, UV_RUN_ONCE);
	assert_true(*done);
}

struct identity core_kit_member(struct core_kit *k, int64_t team, int64_t user, enum role role)
{
	struct err err = ERR_INIT;
	struct db_user row;
	assert_int_equal(db_user_by_id(k->core->db, user, &row, &err), 1);
	struct identity who = { .kind = IDENTITY_USER, .team = team, .user = user, .role = role };
	str_copy(who.id, sizeof(who.id), row.uid);
	str_copy(who.name, sizeof(who.name), row.name);
	db_user_release(&row);
	return who;
}

struct identity core_kit_person(struct core_kit *k, const char *email)
{
	struct err err = ERR_INIT;
	struct db_member m;
	const struct account_profile profile = { .provider = "kit", .subject = email, .email = email, .name = email };
	assert_int_equal(account_by_login(k->core, &profile, &m, &err), 0);
	struct identity who = core_kit_member(k, m.team, m.user, role_parse(m.role));
	db_member_release(&m);
	return who;
}

char *core_kit_notes(struct core_kit *k, int64_t team)
{
	const struct db_audit_query q = { .team = team, .admin = 1, .limit = 1000 };
	struct db_audit *all;
	struct err err = ERR_INIT;
	size_t n;
	auto_buf text = BUF_INIT;
	assert_int_equal(db_audit_list(k->core->db, &q, &all, &n, &err), 0);
	for (size_t i = n; i-- > 0;)
		buf_fmt(&text, "%s/%s/%s/%s;", all[i].resource_type, all[i].action, all[i].scope, all[i].actor_type);
	db_audits_release(all, n);
	return mem_strdup(text.p);
}
