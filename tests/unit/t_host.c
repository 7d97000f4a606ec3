/* link: tests/unit/core_kit.c daemon/core/host.c daemon/core/audit.c daemon/core/team.c daemon/core/account.c daemon/core/password.c daemon/core/identity.c daemon/core/secret.c daemon/image/hash.c daemon/db/[a-z]*.c shared/net/crypto.c shared/net/tcp.c | -luv -lsqlite3 -lcrypt -lcrypto -Wl,--wrap=clock_wall_ms */
/* Hosts: who may announce, see and manage them, how they come in and renew what they came in with, and who is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/host.h"
#include "daemon/core/remote.h"
#include "daemon/db/table.h"
#include "daemon/image/hash.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/core_kit.h"

static int64_t now_ms = 1000000;

int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void)
{
	return now_ms;
}

/* ---- what the rest of core would do ---- */

static int64_t lost, compared; /* numbers of hosts, summed up */

void remote_lost(struct core *core, int64_t host)
{
	assert_non_null(core);
	lost += host;
}

void remote_compare(struct core *core, int64_t host)
{
	assert_non_null(core);
	compared += host;
}

struct sandbox *sandbox_find(struct core *core, int64_t team, const char *id, struct err *err)
{
	(void)err;
	assert_int_equal(team, TEAM_ANY);
	for (size_t i = 0; i < core->count; i++)
		if (!strcmp(core->boxes[i]->row.id, id))
			return core->boxes[i];
	return NULL;
}

void drop_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free((void *)list);
}

static enum err_code code_of(int rc, const struct err *err)
{
	return rc == 0 ? ERR_OK : err->code;
}

/* ---- the cast: a team with hosts of its own, and another ---- */

enum person { ADMIN_OF_ALL, OWNER, ADMIN, MEMBER, KEY, FOREIGN, PERSONS };

struct cast {
	struct core_kit *k;
	struct identity who[PERSONS];
	char *team_uid;
};

static char *uid_of(struct core_kit *k, int64_t team)
{
	struct db_team row;
	struct err err = ERR_INIT;
	assert_int_equal(team_get(k->core, team, &row, &err), 0);
	char *uid = mem_strdup(row.uid);
	db_team_release(&row);
	return uid;
}

static void cast_init(struct cast *c, struct core_kit *k)
{
	struct err err = ERR_INIT;
	*c = (struct cast){ .k = k };
	c->who[ADMIN_OF_ALL] = core_kit_person(k, "root@b.c");
	c->who[ADMIN_OF_ALL].admin = true;
	c->who[OWNER] = core_kit_person(k, "owner@b.c");
	int64_t team = c->who[OWNER].team;
	for (enum person p = ADMIN; p <= MEMBER; p++) {
		struct identity own = core_kit_person(k, p == ADMIN ? "admin@b.c" : "member@b.c");
		c->who[p] = core_kit_member(k, team, own.user, p == ADMIN ? ROLE_ADMIN : ROLE_MEMBER);
	}
	c->who[KEY] = (struct identity){ .kind = IDENTITY_KEY, .team = team };
	c->who[FOREIGN] = core_kit_person(k, "foreign@b.c");
	assert_int_equal(db_team_set_byoc(k->core->db, team, &err), 0);
	assert_int_equal(db_team_set_byoc(k->core->db, c->who[FOREIGN].team, &err), 0);
	c->team_uid = uid_of(k, team);
}

static enum err_code create(struct cast *c, enum person p, const char *type, const char *team_uid)
{
	struct err err = ERR_INIT;
	struct db_host host;
	char token[HOST_TOKEN_LEN + 1];
	const struct host_spec spec = { .type = type, .team_uid = team_uid, .provider = "p", .zone = "z" };
	int rc = host_create(c->k->core, &c->who[p], &spec, &host, token, &err);
	if (rc == 0) {
		assert_string_equal(host.type, type);
		assert_string_equal(host.status, "pending");
		assert_int_equal(host.team, team_uid ? c->who[OWNER].team : 0);
		assert_int_equal(host.created_by, c->who[p].user);
		assert_int_equal(strspn(token, "0123456789abcdef"), HOST_TOKEN_LEN);
		db_host_release(&host);
	}
	return code_of(rc, &err);
}

static void t_create(void **state)
{
	static const enum err_code byoc[PERSONS] = { [MEMBER] = ERR_FORBIDDEN, [KEY] = ERR_FORBIDDEN, [FOREIGN] = ERR_FORBIDDEN };
	struct cast c;
	struct err err = ERR_INIT;
	struct db_team off;
	cast_init(&c, *state);
	assert_int_equal(team_create(c.k->core, "Off", c.who[OWNER].user, &off, &err), 0);
	for (enum person p = ADMIN_OF_ALL; p < PERSONS; p++) {
		assert_int_equal(create(&c, p, "byoc", c.team_uid), byoc[p]);
		assert_int_equal(create(&c, p, "regular", NULL), p == ADMIN_OF_ALL ? ERR_OK : ERR_FORBIDDEN);
		assert_int_equal(create(&c, p, "byoc", NULL), ERR_INVALID);
		assert_int_equal(create(&c, p, "other", c.team_uid), ERR_INVALID);
		assert_int_equal(create(&c, p, "byoc", "nosuchteam"), ERR_NOT_FOUND);
		assert_int_equal(create(&c, p, "byoc", off.uid), ERR_FORBIDDEN);
	}
	assert_int_equal(create(&c, ADMIN_OF_ALL, "regular", off.uid), ERR_FORBIDDEN);
	db_team_release(&off);
	auto_free char *notes = core_kit_notes(c.k, c.who[OWNER].team);
	assert_string_equal(notes, "host/create/admin/user;host/create/admin/user;host/create/admin/user;");
	free(c.team_uid);
}

struct made {
	char uid[16], token[HOST_TOKEN_LEN + 1];
};

static struct made make(struct cast *c, enum person p, bool byoc)
{
	struct err err = ERR_INIT;
	struct db_host host;
	struct made m = { 0 };
	const struct host_spec spec = { .type = byoc ? "byoc" : "regular", .team_uid = byoc ? c->team_uid : NULL };
	assert_int_equal(host_create(c->k->core, &c->who[p], &spec, &host, m.token, &err), 0);
	memcpy(m.uid, host.uid, strlen(host.uid) + 1);
	db_host_release(&host);
	return m;
}

static const struct host_machine machine = {
	.address = "10.0.0.1:1", .arch = "x86_64", .cpu_cores = 8, .memory_mb = 9, .disk_gb = 10
};

static enum err_code register_with(struct cast *c, const char *token, char refresh[HOST_TOKEN_LEN + 1])
{
	struct err err = ERR_INIT;
	struct db_host host;
	int rc = host_register(c->k->core, token, &machine, &host, refresh, &err);
	if (rc == 0)
		db_host_release(&host);
	return code_of(rc, &err);
}

static void t_see_and_manage(void **state)
{
	struct cast c;
	cast_init(&c, *state);
	struct made own = make(&c, OWNER, true), regular = make(&c, ADMIN_OF_ALL, false);
	for (enum person p = ADMIN_OF_ALL; p < PERSONS; p++) {
		struct err err = ERR_INIT;
		struct db_host host, *all;
		size_t n;
		char token[HOST_TOKEN_LEN + 1];
		bool sees = p != FOREIGN, manages = p == ADMIN_OF_ALL || p == OWNER || p == ADMIN;
		enum err_code want = !sees ? ERR_NOT_FOUND : ERR_OK;
		assert_int_equal(host_list(c.k->core, &c.who[p], &all, &n, &err), 0);
		assert_int_equal(n, p == ADMIN_OF_ALL ? 2 : sees ? 1 : 0);
		db_hosts_release(all, n);
		assert_int_equal(code_of(host_get(c.k->core, &c.who[p], own.uid, &host, &err), &err), want);
		if (sees) {
			assert_int_equal(host_manage(&c.who[p], &host, false, &err), 0);
			assert_int_equal(host_manage(&c.who[p], &host, true, &err) == 0, manages);
			db_host_release(&host);
		}
		assert_int_equal(code_of(host_get(c.k->core, &c.who[p], regular.uid, &host, &err), &err),
			p == ADMIN_OF_ALL ? ERR_OK : ERR_NOT_FOUND);
		if (p == ADMIN_OF_ALL)
			db_host_release(&host);
		assert_int_equal(host_find(c.k->core, regular.uid, &host, &err), 0);
		if (p != ADMIN_OF_ALL)
			assert_int_equal(host_manage(&c.who[p], &host, false, &err), -1);
		db_host_release(&host);
		/* another token */
		want = !sees ? ERR_NOT_FOUND : manages ? ERR_OK : ERR_FORBIDDEN;
		assert_int_equal(code_of(host_retoken(c.k->core, &c.who[p], own.uid, &host, token, &err), &err), want);
		if (want == ERR_OK)
			db_host_release(&host);
		/* tags: of any who sees it */
		want = sees ? ERR_OK : ERR_NOT_FOUND;
		assert_int_equal(code_of(host_tag_add(c.k->core, &c.who[p], own.uid, "gpu", &err), &err), want);
		assert_int_equal(code_of(host_tag_add(c.k->core, &c.who[p], own.uid, "", &err), &err), sees ? ERR_INVALID : want);
		assert_int_equal(code_of(host_tag_remove(c.k->core, &c.who[p], own.uid, "gpu", &err), &err), want);
		struct db_host_tag *tags;
		assert_int_equal(code_of(host_tags(c.k->core, &c.who[p], own.uid, &tags, &n, &err), &err), want);
		if (sees)
			db_host_tags_release(tags, n);
	}
	free(c.team_uid);
}

static void t_delete(void **state)
{
	static const enum err_code want[PERSONS] = { [MEMBER] = ERR_FORBIDDEN, [KEY] = ERR_FORBIDDEN, [FOREIGN] = ERR_NOT_FOUND };
	struct cast c;
	char refresh[HOST_TOKEN_LEN + 1], next[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	for (enum person p = ADMIN_OF_ALL; p < PERSONS; p++) {
		struct err err = ERR_INIT;
		struct db_host host;
		struct identity who;
		struct made m = make(&c, OWNER, true), unused = make(&c, OWNER, true);
		assert_int_equal(register_with(&c, m.token, refresh), ERR_OK);
		assert_int_equal(code_of(host_delete(c.k->core, &c.who[p], m.uid, &err), &err), want[p]);
		assert_int_equal(host_find(c.k->core, m.uid, &host, &err), want[p] == ERR_OK ? -1 : 0);
		if (want[p] != ERR_OK) {
			db_host_release(&host);
			continue;
		}
		/* with all that it could come in by */
		assert_int_equal(code_of(host_refresh(c.k->core, refresh, NULL, &host, next, &err), &err), ERR_UNAUTHORIZED);
		assert_int_equal(code_of(host_identify(c.k->core, m.uid, &who, &err), &err), ERR_NOT_FOUND);
		assert_int_equal(host_delete(c.k->core, &c.who[p], unused.uid, &err), 0);
		assert_int_equal(register_with(&c, unused.token, refresh), ERR_UNAUTHORIZED);
	}
	free(c.team_uid);
}

/* ---- coming in ---- */

static void t_register(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	struct db_host host;
	char refresh[HOST_TOKEN_LEN + 1] = "", other[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	struct made m = make(&c, OWNER, true);
	/* what is not enough does not use up the token */
	const struct host_machine nowhere = { .address = "" }, none = { 0 };
	assert_int_equal(code_of(host_register(c.k->core, m.token, &nowhere, &host, refresh, &err), &err), ERR_INVALID);
	assert_int_equal(code_of(host_register(c.k->core, m.token, &none, &host, refresh, &err), &err), ERR_INVALID);
	assert_int_equal(register_with(&c, "", refresh), ERR_INVALID);
	static const char *const odd[] = { "h", "h:0", ":1", "h:65536", "a b:1", "a,DNS:evil:1", "::1:1", "[h]:1", "-h:1" };
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) { /* they cannot stand in a certificate */
		const struct host_machine there = { .address = odd[i] };
		assert_int_equal(code_of(host_register(c.k->core, m.token, &there, &host, refresh, &err), &err), ERR_INVALID);
	}
	for (size_t i = 0; i < HOST_TOKEN_LEN; i++) {
		char bad[HOST_TOKEN_LEN + 1];
		memcpy(bad, m.token, sizeof(bad));
		bad[i] = bad[i] == '0' ? '1' : '0';
		assert_int_equal(register_with(&c, bad, refresh), ERR_UNAUTHORIZED);
		bad[i] = '\0';
		assert_int_equal(register_with(&c, bad, refresh), i ? ERR_UNAUTHORIZED : ERR_INVALID);
	}
	now_ms += 3600 * 1000 - 1;
	assert_int_equal(host_register(c.k->core, m.token, &machine, &host, refresh, &err), 0);
	assert_string_equal(host.uid, m.uid);
	assert_string_equal(host.status, "online");
	assert_string_equal(host.address, "10.0.0.1:1");
	assert_string_equal(host.arch, "x86_64");
	assert_true(host.cpu_cores == 8 && host.memory_mb == 9 && host.disk_gb == 10 && host.heartbeat_ms == now_ms);
	db_host_release(&host);
	assert_int_equal(strspn(refresh, "0123456789abcdef"), HOST_TOKEN_LEN);
	assert_int_equal(register_with(&c, m.token, other), ERR_UNAUTHORIZED); /* used */
	/* a token that is too old */
	struct made late = make(&c, OWNER, true);
	now_ms += 3600 * 1000;
	assert_int_equal(register_with(&c, late.token, other), ERR_UNAUTHORIZED);
	free(c.team_uid);
}

/* Of several tokens one is enough: the others cannot take over a host that is there. */
static void t_second_token(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	struct db_host host;
	char refresh[HOST_TOKEN_LEN + 1], other[HOST_TOKEN_LEN + 1], token[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	struct made m = make(&c, OWNER, true);
	assert_int_equal(host_retoken(c.k->core, &c.who[ADMIN], m.uid, &host, token, &err), 0);
	db_host_release(&host);
	assert_int_equal(register_with(&c, m.token, refresh), ERR_OK);
	assert_int_equal(register_with(&c, token, other), ERR_NOT_FOUND);
	assert_int_equal(code_of(host_retoken(c.k->core, &c.who[ADMIN], m.uid, &host, token, &err), &err), ERR_STATE);
	assert_int_equal(host_refresh(c.k->core, refresh, NULL, &host, other, &err), 0);
	db_host_release(&host);
	free(c.team_uid);
}

static enum err_code renew(struct cast *c, const char *token, char next[HOST_TOKEN_LEN + 1])
{
	struct err err = ERR_INIT;
	struct db_host host;
	int rc = host_refresh(c->k->core, token, NULL, &host, next, &err);
	if (rc == 0)
		db_host_release(&host);
	return code_of(rc, &err);
}

/* Each works once; one that comes back a second time ends its whole family, and no other. */
static void t_refresh(void **state)
{
	struct cast c;
	char a[4][HOST_TOKEN_LEN + 1], b[2][HOST_TOKEN_LEN + 1], none[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	struct made first = make(&c, OWNER, true), second = make(&c, OWNER, true);
	assert_int_equal(register_with(&c, first.token, a[0]), ERR_OK);
	assert_int_equal(register_with(&c, second.token, b[0]), ERR_OK);
	assert_int_equal(renew(&c, "", none), ERR_INVALID);
	assert_int_equal(renew(&c, first.token, none), ERR_UNAUTHORIZED); /* for something else */
	assert_int_equal(renew(&c, a[0], a[1]), ERR_OK);
	assert_int_equal(renew(&c, a[1], a[2]), ERR_OK);
	assert_string_not_equal(a[0], a[1]);
	assert_string_not_equal(a[1], a[2]);
	assert_int_equal(renew(&c, a[0], none), ERR_UNAUTHORIZED);
	assert_int_equal(renew(&c, a[2], a[3]), ERR_UNAUTHORIZED); /* somebody has had a copy */
	assert_int_equal(renew(&c, b[0], b[1]), ERR_OK);
	now_ms += 60LL * 86400 * 1000 - 1;
	assert_int_equal(renew(&c, b[1], b[0]), ERR_OK);
	now_ms += 60LL * 86400 * 1000;
	assert_int_equal(renew(&c, b[0], b[1]), ERR_UNAUTHORIZED); /* too old */
	free(c.team_uid);
}

static enum err_code renew_as(struct cast *c, const char *token, const char *request, char next[HOST_TOKEN_LEN + 1])
{
	struct err err = ERR_INIT;
	struct db_host host;
	int rc = host_refresh(c->k->core, token, request, &host, next, &err);
	if (rc == 0)
		db_host_release(&host);
	return code_of(rc, &err);
}

/* A host, and its first refresh token. */
static struct made arrive(struct cast *c, char refresh[HOST_TOKEN_LEN + 1])
{
	struct made m = make(c, OWNER, true);
	assert_int_equal(register_with(c, m.token, refresh), ERR_OK);
	return m;
}

/* An answer that was lost can be had again, under the name of its request, until what it gave was used. */
static void t_refresh_again(void **state)
{
	struct cast c;
	char a[HOST_TOKEN_LEN + 1], b[HOST_TOKEN_LEN + 1], again[HOST_TOKEN_LEN + 1], d[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	arrive(&c, a);
	assert_int_equal(renew_as(&c, a, "one", b), ERR_OK);
	assert_int_equal(strspn(b, "0123456789abcdef"), HOST_TOKEN_LEN);
	assert_string_not_equal(a, b);
	for (int i = 0; i < 3; i++) {
		now_ms += 1000;
		assert_int_equal(renew_as(&c, a, "one", again), ERR_OK);
		assert_string_equal(again, b);
	}
	/* the same name for another exchange gives another token */
	assert_int_equal(renew_as(&c, b, "one", d), ERR_OK);
	assert_string_not_equal(d, b);
	assert_int_equal(renew_as(&c, b, "one", again), ERR_OK);
	assert_string_equal(again, d);
	/* b was used: who asks for it now has stolen one of them */
	assert_int_equal(renew_as(&c, a, "one", again), ERR_UNAUTHORIZED);
	assert_int_equal(renew_as(&c, d, "two", again), ERR_UNAUTHORIZED);
	assert_int_equal(renew_as(&c, b, "one", again), ERR_UNAUTHORIZED);
	free(c.team_uid);
}

/* Under another name or none it is another request: the family ends. */
static void t_refresh_other_name(void **state)
{
	static const char *const names[][2] = { { "one", "two" }, { "one", NULL }, { NULL, "one" }, { NULL, NULL }, { "one", "" },
		{ "one", "one " } };
	struct cast c;
	cast_init(&c, *state);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char a[HOST_TOKEN_LEN + 1], b[HOST_TOKEN_LEN + 1], other[HOST_TOKEN_LEN + 1], none[HOST_TOKEN_LEN + 1];
		arrive(&c, a);
		arrive(&c, other);
		assert_int_equal(renew_as(&c, a, names[i][0], b), ERR_OK);
		assert_int_equal(renew_as(&c, a, names[i][1], none), ERR_UNAUTHORIZED);
		assert_int_equal(renew_as(&c, b, "three", none), ERR_UNAUTHORIZED);
		assert_int_equal(renew_as(&c, a, names[i][0], none), ERR_UNAUTHORIZED);
		assert_int_equal(renew_as(&c, other, "one", none), ERR_OK); /* another's family goes on */
	}
	free(c.team_uid);
}

/* A name may be as long as a header, and what is kept of it is not. */
static void t_refresh_long_name(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	struct db_host_refresh row;
	char a[HOST_TOKEN_LEN + 1], b[HOST_TOKEN_LEN + 1], again[HOST_TOKEN_LEN + 1], name[8192], hash[HASH_HEX];
	cast_init(&c, *state);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	arrive(&c, a);
	assert_int_equal(renew_as(&c, a, name, b), ERR_OK);
	assert_int_equal(renew_as(&c, a, name, again), ERR_OK);
	assert_string_equal(again, b);
	hash_bytes(a, HOST_TOKEN_LEN, hash);
	assert_int_equal(db_host_refresh_get(c.k->core->db, hash, &row, &err), 1);
	assert_int_equal(strlen(row.request), HASH_HEX - 1);
	db_host_refresh_release(&row);
	name[0] = 'm';
	assert_int_equal(renew_as(&c, a, name, again), ERR_UNAUTHORIZED);
	free(c.team_uid);
}

/* ---- being there ---- */

static void status_is(struct cast *c, const struct made *m, const char *want)
{
	struct err err = ERR_INIT;
	struct db_host host;
	assert_int_equal(host_find(c->k->core, m->uid, &host, &err), 0);
	assert_string_equal(host.status, want);
	db_host_release(&host);
}

static void t_beat(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	char refresh[HOST_TOKEN_LEN + 1];
	struct identity own, other;
	cast_init(&c, *state);
	struct made byoc = make(&c, OWNER, true), regular = make(&c, ADMIN_OF_ALL, false), pending = make(&c, OWNER, true);
	assert_int_equal(register_with(&c, byoc.token, refresh), ERR_OK);
	assert_int_equal(register_with(&c, regular.token, refresh), ERR_OK);
	assert_int_equal(host_identify(c.k->core, byoc.uid, &own, &err), 0);
	assert_int_equal(host_identify(c.k->core, regular.uid, &other, &err), 0);
	assert_true(
		own.kind == IDENTITY_HOST && own.team == c.who[OWNER].team && own.role == ROLE_NONE && !own.admin && own.host > 0);
	assert_false(identity_is_operator(&other));
	assert_int_equal(code_of(host_beat(c.k->core, &own, regular.uid, &err), &err), ERR_FORBIDDEN);
	now_ms += HOST_LOST_MS;
	lost = compared = 0;
	host_check(c.k->core); /* just in time */
	assert_int_equal(lost, 0);
	status_is(&c, &byoc, "online");
	now_ms++;
	host_check(c.k->core);
	status_is(&c, &byoc, "unreachable");
	status_is(&c, &regular, "unreachable");
	status_is(&c, &pending, "pending");
	assert_int_equal(lost, own.host + other.host);
	host_check(c.k->core); /* told once */
	assert_int_equal(lost, own.host + other.host);
	auto_free char *down = mem_printf("host.down %s error;", byoc.uid);
	assert_string_equal(c.k->news.p, down); /* of nobody's hosts nobody hears */
	assert_int_equal(host_beat(c.k->core, &own, byoc.uid, &err), 0);
	assert_int_equal(host_beat(c.k->core, &own, byoc.uid, &err), 0);
	assert_int_equal(compared, own.host);
	assert_int_equal(host_beat(c.k->core, &other, regular.uid, &err), 0);
	assert_int_equal(compared, own.host + other.host);
	status_is(&c, &byoc, "online");
	status_is(&c, &regular, "online");
	auto_free char *up = mem_printf("%shost.up %s success;", down, byoc.uid);
	assert_string_equal(c.k->news.p, up);
	now_ms += HOST_LOST_MS;
	host_check(c.k->core); /* the beat counts */
	status_is(&c, &byoc, "online");
	/* who is not announced as there stays so */
	assert_int_equal(host_identify(c.k->core, pending.uid, &own, &err), 0);
	assert_int_equal(host_beat(c.k->core, &own, pending.uid, &err), 0);
	status_is(&c, &pending, "pending");
	assert_int_equal(host_delete(c.k->core, &c.who[OWNER], pending.uid, &err), 0);
	assert_int_equal(code_of(host_beat(c.k->core, &own, pending.uid, &err), &err), ERR_NOT_FOUND);
	free(c.team_uid);
}

/* Whoever is not heard of may have lost what it came in with: it comes in anew, and nothing of before is good any more. */
static void t_register_anew(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	struct db_host host;
	char old[HOST_TOKEN_LEN + 1], used[HOST_TOKEN_LEN + 1], fresh[HOST_TOKEN_LEN + 1], none[HOST_TOKEN_LEN + 1];
	char token[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	struct made m = arrive(&c, used);
	assert_int_equal(renew_as(&c, used, "one", old), ERR_OK);
	assert_int_equal(code_of(host_retoken(c.k->core, &c.who[OWNER], m.uid, &host, token, &err), &err), ERR_STATE);
	now_ms += HOST_LOST_MS + 1;
	lost = compared = 0;
	host_check(c.k->core);
	assert_int_equal(host_find(c.k->core, m.uid, &host, &err), 0);
	assert_int_equal(lost, host.id);
	db_host_release(&host);
	status_is(&c, &m, "unreachable");
	assert_int_equal(host_retoken(c.k->core, &c.who[OWNER], m.uid, &host, token, &err), 0);
	db_host_release(&host);
	/* an address that is none changes nothing */
	const struct host_machine nowhere = { .address = "nowhere" }, moved = { .address = "[fd00::1]:2", .cpu_cores = 3 };
	assert_int_equal(code_of(host_register(c.k->core, token, &nowhere, &host, fresh, &err), &err), ERR_INVALID);
	status_is(&c, &m, "unreachable");
	assert_int_equal(host_register(c.k->core, token, &moved, &host, fresh, &err), 0);
	assert_string_equal(host.uid, m.uid);
	assert_string_equal(host.address, "[fd00::1]:2");
	assert_true(host.cpu_cores == 3 && !host.arch && host.heartbeat_ms == now_ms);
	assert_int_equal(compared, host.id);
	db_host_release(&host);
	status_is(&c, &m, "online");
	assert_int_equal(renew_as(&c, used, "one", none), ERR_UNAUTHORIZED);
	assert_int_equal(renew_as(&c, old, "two", none), ERR_UNAUTHORIZED);
	assert_int_equal(renew_as(&c, fresh, "two", none), ERR_OK);
	assert_int_equal(register_with(&c, token, none), ERR_UNAUTHORIZED);
	auto_free char *news = mem_printf("host.down %s error;host.up %s success;", m.uid, m.uid);
	assert_string_equal(c.k->news.p, news);
	free(c.team_uid);
}

/* While there was no daemon nobody could be heard. */
static void t_check_after_start(void **state)
{
	struct cast c;
	char refresh[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	struct made m = arrive(&c, refresh);
	now_ms += 86400 * 1000;
	c.k->core->started_ms = now_ms;
	host_check(c.k->core);
	now_ms += HOST_LOST_MS;
	host_check(c.k->core);
	status_is(&c, &m, "online");
	now_ms++;
	host_check(c.k->core);
	status_is(&c, &m, "unreachable");
	free(c.team_uid);
}

/* What would end with it, and does: all but what is paused, stopped or ending. */
static void t_carries(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	struct db_host host;
	cast_init(&c, *state);
	struct made m = make(&c, OWNER, true);
	assert_int_equal(host_find(c.k->core, m.uid, &host, &err), 0);
	for (enum sandbox_state s = SANDBOX_CREATING; s < SANDBOX_STATES; s++) {
		core_kit_box(c.k, 1, s, 1, 1)->row.host = host.id;
		core_kit_box(c.k, 1, s, 1, 1);
	}
	char **ids = host_carries(c.k->core, &host);
	size_t n = 0;
	for (; ids[n]; n++)
		free(ids[n]);
	free(ids);
	assert_int_equal(n, SANDBOX_STATES - 3);
	db_host_release(&host);
	assert_int_equal(host_delete(c.k->core, &c.who[OWNER], m.uid, &err), 0);
	assert_int_equal(c.k->deleted, SANDBOX_STATES - 3);
	free(c.team_uid);
}

/* A database that fails: nothing is done by halves, and the reason is told. */
static void t_failures(void **state)
{
	struct cast c;
	struct err err = ERR_INIT;
	struct db_host host, *all;
	size_t n;
	char refresh[HOST_TOKEN_LEN + 1], next[HOST_TOKEN_LEN + 1];
	cast_init(&c, *state);
	struct made m = make(&c, OWNER, true), spare = make(&c, OWNER, true);
	assert_int_equal(register_with(&c, m.token, refresh), ERR_OK);
	sqlite3 *h = db_handle(c.k->core->db);
	assert_int_equal(sqlite3_exec(h, "ALTER TABLE host_token RENAME TO away", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(create(&c, OWNER, "byoc", c.team_uid), ERR_IO);
	assert_int_equal(sqlite3_exec(h, "ALTER TABLE away RENAME TO host_token", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(host_list(c.k->core, &c.who[OWNER], &all, &n, &err), 0);
	assert_int_equal(n, 2);
	db_hosts_release(all, n);
	assert_int_equal(sqlite3_exec(h, "ALTER TABLE host RENAME TO away", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(code_of(host_find(c.k->core, m.uid, &host, &err), &err), ERR_IO);
	assert_int_equal(renew(&c, refresh, next), ERR_IO);
	assert_int_equal(register_with(&c, spare.token, next), ERR_IO);
	assert_int_equal(sqlite3_exec(h, "ALTER TABLE away RENAME TO host", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(renew(&c, refresh, next), ERR_OK);
	assert_int_equal(register_with(&c, spare.token, next), ERR_OK);
	free(c.team_uid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(t_create),
		CORE_TEST(t_see_and_manage),
		CORE_TEST(t_delete),
		CORE_TEST(t_register),
		CORE_TEST(t_second_token),
		CORE_TEST(t_refresh),
		CORE_TEST(t_refresh_again),
		CORE_TEST(t_refresh_other_name),
		CORE_TEST(t_refresh_long_name),
		CORE_TEST(t_beat),
		CORE_TEST(t_register_anew),
		CORE_TEST(t_check_after_start),
		CORE_TEST(t_carries),
		CORE_TEST(t_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
