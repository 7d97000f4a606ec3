#include "daemon/core/host.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/audit.h"
#include "daemon/core/internal.h"
#include "daemon/core/remote.h"
#include "daemon/core/team.h"
#include "daemon/image/hash.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/tcp.h"

#define TYPE_REGULAR "regular"
#define TYPE_BYOC "byoc"
#define STATUS_PENDING "pending"
#define STATUS_ONLINE "online"
#define STATUS_LOST "unreachable"

enum { FAMILY = 16 };
static const int64_t refresh_life_ms = 60LL * 86400 * 1000;

static int no_such(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no such host");
}

/* ---- who may what ---- */

static bool may_see(const struct identity *who, const struct db_host *host)
{
	return who->admin || (!strcmp(host->type, TYPE_BYOC) && host->team == who->team);
}

int host_manage(const struct identity *who, const struct db_host *host, bool by_role, struct err *err)
{
	if (who->admin)
		return 0;
	if (strcmp(host->type, TYPE_BYOC) != 0 || host->team != who->team)
		return err_set(err, ERR_FORBIDDEN, "the host is not your team's");
	return by_role ? team_require(who, ROLE_ADMIN, err) : 0;
}

int host_find(struct core *core, const char *uid, struct db_host *out, struct err *err)
{
	int found = db_host_get(core->db, uid, out, err);
	return found == 1 ? 0 : found < 0 ? -1 : no_such(err);
}

static int find_by_id(struct core *core, int64_t id, struct db_host *out, struct err *err)
{
	int found = db_host_by_id(core->db, id, out, err);
	return found == 1 ? 0 : found < 0 ? -1 : no_such(err);
}

int host_get(struct core *core, const struct identity *who, const char *uid, struct db_host *out, struct err *err)
{
	if (host_find(core, uid, out, err))
		return -1;
	if (may_see(who, out))
		return 0;
	db_host_release(out);
	return no_such(err);
}

int host_list(struct core *core, const struct identity *who, struct db_host **out, size_t *n, struct err *err)
{
	return db_host_list(core->db, who->admin ? TEAM_ANY : who->team, out, n, err);
}

/* ---- announcing ---- */

static void make_token(char token[HOST_TOKEN_LEN + 1], char hash[HASH_HEX])
{
	rand_hex(token, HOST_TOKEN_LEN);
	hash_bytes(token, HOST_TOKEN_LEN, hash);
}

static int issue(struct core *core, const struct db_host *host, char token[HOST_TOKEN_LEN + 1], struct err *err)
{
	char hash[HASH_HEX];
	make_token(token, hash);
	return db_host_token_insert(core->db, hash, host->id, clock_wall_ms() + HOST_TOKEN_LIFE_MS, err);
}

/* The team that a host is to be for, 0 for none. */
static int check_spec(struct core *core, const struct identity *who, const struct host_spec *spec, int64_t *team, struct err *err)
{
	bool byoc = !strcmp(spec->type, TYPE_BYOC);
	struct db_team row;
	*team = 0;
	if (!byoc && strcmp(spec->type, TYPE_REGULAR) != 0)
		return err_set(err, ERR_INVALID, "'type' must be regular or byoc");
	if (byoc && !spec->team_uid)
		return err_set(err, ERR_INVALID, "'team_id' is required for byoc");
	if (!byoc && !who->admin)
		return err_set(err, ERR_FORBIDDEN, "only the operator adds regular hosts");
	if (!spec->team_uid)
		return 0;
	if (team_find(core, spec->team_uid, &row, err))
		return -1;
	*team = row.id;
	bool on = row.byoc != 0;
	db_team_release(&row);
	if (!who->admin && *team != who->team)
		return err_set(err, ERR_FORBIDDEN, "the team is not yours");
	if (!who->admin && team_require(who, ROLE_ADMIN, err))
		return -1;
	return on ? 0 : err_set(err, ERR_FORBIDDEN, "hosts of its own are not switched on for this team");
}

/* Both or none: whoever is told that it failed would try again. */
static int announce(struct core *core, struct db_host *host, char token[HOST_TOKEN_LEN + 1], struct err *err)
{
	if (db_begin(core->db, err))
		return -1;
	if (db_host_insert(core->db, host, err) || issue(core, host, token, err)) {
		db_rollback(core->db);
		return -1;
	}
	return db_commit(core->db, err);
}

int host_create(struct core *core, const struct identity *who, const struct host_spec *spec, struct db_host *out,
	char token[HOST_TOKEN_LEN + 1], struct err *err)
{
	char uid[UID_LENGTH + 1];
	int64_t team, now = clock_wall_ms();
	if (check_spec(core, who, spec, &team, err))
		return -1;
	rand_id(uid, UID_LENGTH);
	*out = (struct db_host){ .uid = mem_strdup(uid),
		.type = mem_strdup(spec->type),
		.team = team,
		.provider = spec->provider ? mem_strdup(spec->provider) : NULL,
		.zone = spec->zone ? mem_strdup(spec->zone) : NULL,
		.status = mem_strdup(STATUS_PENDING),
		.created_by = who->user,
		.created_ms = now,
		.changed_ms = now };
	if (announce(core, out, token, err)) {
		db_host_release(out);
		return -1;
	}
	audit_note(core, AUDIT_HOST_CREATE, who, team, out->uid, NULL);
	return 0;
}

/* The first time; or anew, when it is not heard of and may have lost its credentials. */
static bool may_register(const struct db_host *host)
{
	return strcmp(host->status, STATUS_ONLINE) != 0;
}

int host_retoken(struct core *core, const struct identity *who, const char *uid, struct db_host *out,
	char token[HOST_TOKEN_LEN + 1], struct err *err)
{
	if (host_get(core, who, uid, out, err))
		return -1;
	int rc = host_manage(who, out, true, err);
	if (rc == 0 && !may_register(out))
		rc = err_set(err, ERR_STATE, "the host has registered already");
	if (rc == 0)
		rc = issue(core, out, token, err);
	if (rc)
		db_host_release(out);
	return rc;
}

/* ---- its own words ---- */

static void set_text(char **member, const char *text)
{
	char *copy = text ? mem_strdup(text) : NULL;
	free(*member);
	*member = copy;
}

static int add_refresh(struct core *core, int64_t host, const char *family, const char *token, struct err *err)
{
	char hash[HASH_HEX];
	hash_bytes(token, HOST_TOKEN_LEN, hash);
	struct db_host_refresh row = {
		.hash = hash, .host = host, .family = (char *)(uintptr_t)family, .expires_ms = clock_wall_ms() + refresh_life_ms
	};
	return db_host_refresh_insert(core->db, &row, err);
}

struct arrival {
	const char *hash; /* of its token */
	const struct host_machine *machine;
	char refresh[HOST_TOKEN_LEN + 1];
	bool back; /* it had been here before */
};

/* All of it or nothing: a token that was taken has done its work. */
static int take_and_register(struct core *core, struct arrival *a, struct db_host *out, struct err *err)
{
	char family[FAMILY + 1];
	int64_t id, now = clock_wall_ms();
	int found = db_host_token_take(core->db, a->hash, now, &id, err);
	if (found <= 0)
		return found < 0 ? -1 : err_set(err, ERR_UNAUTHORIZED, "the registration token is invalid or has expired");
	if (find_by_id(core, id, out, err))
		return -1;
	if (!may_register(out)) {
		db_host_release(out);
		return err_set(err, ERR_NOT_FOUND, "the host has registered already");
	}
	a->back = !strcmp(out->status, STATUS_LOST);
	set_text(&out->address, a->machine->address);
	set_text(&out->arch, a->machine->arch);
	set_text(&out->status, STATUS_ONLINE);
	out->cpu_cores = a->machine->cpu_cores;
	out->memory_mb = a->machine->memory_mb;
	out->disk_gb = a->machine->disk_gb;
	out->heartbeat_ms = out->changed_ms = now;
	rand_id(family, FAMILY);
	rand_hex(a->refresh, HOST_TOKEN_LEN);
	if (db_host_refresh_revoke_all(core->db, id, now, err)) {
		db_host_release(out);
		return -1;
	}
	if (!db_host_update(core->db, out, err) && !add_refresh(core, id, family, a->refresh, err))
		return 0;
	db_host_release(out);
	return -1;
}

/* It was unreachable, and is not any more. */
static void came_back(struct core *core, const struct db_host *host)
{
	if (host->team)
		audit_note(core, AUDIT_HOST_UP, NULL, host->team, host->uid, NULL);
	remote_compare(core, host->id);
}

/* Where it is reached stands in its certificate. */
static int check_address(const char *address, struct err *err)
{
	auto_free char *name = NULL;
	int port;
	return tcp_split(address, &name, &port, err) ? err_prefix(err, "'address'") : 0;
}

int host_register(struct core *core, const char *token, const struct host_machine *machine, struct db_host *out,
	char refresh[HOST_TOKEN_LEN + 1], struct err *err)
{
	char hash[HASH_HEX];
	struct arrival a = { .hash = hash, .machine = machine };
	if (!*token || !machine->address || !*machine->address)
		return err_set(err, ERR_INVALID, "'token' and 'address' are required");
	if (check_address(machine->address, err))
		return -1;
	hash_bytes(token, strlen(token), hash);
	if (db_begin(core->db, err))
		return -1;
	if (take_and_register(core, &a, out, err)) {
		db_rollback(core->db);
		return -1;
	}
	if (!db_commit(core->db, err)) {
		str_copy(refresh, HOST_TOKEN_LEN + 1, a.refresh);
		if (a.back)
			came_back(core, out);
		return 0;
	}
	db_host_release(out);
	return -1;
}

/* What a token is exchanged for: only who has the token and its holder's name for the exchange can ask for it, and again. */
static void next_token(const struct core *core, const char *token, const char *request, char out[HOST_TOKEN_LEN + 1])
{
	uint8_t key[SECRET_SIZE];
	auto_free char *purpose = mem_printf("host refresh %s %s", token, request);
	secret_derive(&core->secret, purpose, key);
	auto_buf hex = BUF_INIT;
	buf_hex(&hex, key, sizeof(key));
	str_copy(out, HOST_TOKEN_LEN + 1, hex.p);
}

/* 1: the token was used up by this very request, and refresh, which it gave, was not used since; 0; -1. */
static int is_retry(struct core *core, const struct db_host_refresh *old, const char *request, const char *refresh, struct err *err)
{
	char hash[HASH_HEX];
	struct db_host_refresh next;
	if (!request)
		return 0;
	hash_bytes(request, strlen(request), hash);
	if (!str_same(old->request, hash))
		return 0;
	hash_bytes(refresh, HOST_TOKEN_LEN, hash);
	int found = db_host_refresh_get(core->db, hash, &next, err);
	if (found != 1)
		return found;
	found = next.revoked_ms == 0;
	db_host_refresh_release(&next);
	return found;
}

static int exchange(struct core *core, struct db_host_refresh *old, const char *request, const char *refresh, struct err *err)
{
	char hash[HASH_HEX];
	if (request)
		hash_bytes(request, strlen(request), hash);
	if (db_begin(core->db, err))
		return -1;
	old->revoked_ms = clock_wall_ms();
	set_text(&old->request, request ? hash : NULL);
	if (add_refresh(core, old->host, old->family, refresh, err) || db_host_refresh_use(core->db, old, err)) {
		db_rollback(core->db);
		return -1;
	}
	return db_commit(core->db, err);
}

static int rotate(struct core *core, struct db_host_refresh *old, const char *request, const char *refresh, struct err *err)
{
	int64_t now = clock_wall_ms();
	int retry = old->revoked_ms ? is_retry(core, old, request, refresh, err) : 0;
	if (retry)
		return retry > 0 ? 0 : -1;
	if (old->revoked_ms) {
		log_warn("host", "a refresh token came back after it was used: its family is revoked");
		if (db_host_refresh_revoke_family(core->db, old->family, now, err))
			return -1;
	}
	if (old->revoked_ms || old->expires_ms <= now)
		return err_set(err, ERR_UNAUTHORIZED, "the refresh token is invalid or has expired");
	return exchange(core, old, request, refresh, err);
}

int host_refresh(struct core *core, const char *token, const char *request, struct db_host *out, char refresh[HOST_TOKEN_LEN + 1],
	struct err *err)
{
	char hash[HASH_HEX];
	struct db_host_refresh old;
	if (!*token)
		return err_set(err, ERR_INVALID, "'refresh_token' is required");
	hash_bytes(token, strlen(token), hash);
	int found = db_host_refresh_get(core->db, hash, &old, err);
	if (found != 1)
		return found < 0 ? -1 : err_set(err, ERR_UNAUTHORIZED, "the refresh token is invalid or has expired");
	int rc = find_by_id(core, old.host, out, err);
	if (request)
		next_token(core, token, request, refresh);
	else
		rand_hex(refresh, HOST_TOKEN_LEN);
	if (rc == 0 && (rc = rotate(core, &old, request, refresh, err)))
		db_host_release(out);
	db_host_refresh_release(&old);
	return rc;
}

int host_identify(struct core *core, const char *uid, struct identity *who, struct err *err)
{
	struct db_host host;
	if (host_find(core, uid, &host, err))
		return -1;
	*who = (struct identity){ .kind = IDENTITY_HOST, .team = host.team, .host = host.id };
	str_copy(who->id, sizeof(who->id), host.uid);
	db_host_release(&host);
	return 0;
}

static int set_status(struct core *core, struct db_host *host, const char *status, struct err *err)
{
	set_text(&host->status, status);
	host->changed_ms = clock_wall_ms();
	return db_host_update(core->db, host, err);
}

int host_beat(struct core *core, const struct identity *who, const char *uid, struct err *err)
{
	struct db_host host;
	if (strcmp(who->id, uid) != 0)
		return err_set(err, ERR_FORBIDDEN, "the token is another host's");
	if (host_find(core, uid, &host, err))
		return -1;
	int rc = db_host_beat(core->db, host.id, clock_wall_ms(), err);
	if (rc == 0 && !strcmp(host.status, STATUS_LOST)) {
		host.heartbeat_ms = clock_wall_ms();
		rc = set_status(core, &host, STATUS_ONLINE, err);
		if (rc == 0)
			came_back(core, &host);
	}
	db_host_release(&host);
	return rc;
}

bool host_is_up(const struct db_host *host)
{
	return !strcmp(host->status, STATUS_ONLINE) && host->address && *host->address;
}

void host_check(struct core *core)
{
	struct db_host *all;
	size_t n;
	struct err err = ERR_INIT;
	int64_t now = clock_wall_ms();
	if (db_host_list(core->db, TEAM_ANY, &all, &n, &err)) {
		log_warn("host", "%s", err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		int64_t heard_ms = all[i].heartbeat_ms > core->started_ms ? all[i].heartbeat_ms : core->started_ms;
		if (strcmp(all[i].status, STATUS_ONLINE) != 0 || now - heard_ms <= core->host_lost_ms)
			continue;
		if (set_status(core, &all[i], STATUS_LOST, &err)) {
			log_warn("host", "%s", err.msg);
			continue;
		}
		if (all[i].team)
			audit_note(core, AUDIT_HOST_DOWN, NULL, all[i].team, all[i].uid, NULL);
		remote_lost(core, all[i].id);
	}
	db_hosts_release(all, n);
}

/* ---- its end, and its tags ---- */

char **host_carries(const struct core *core, const struct db_host *host)
{
	char **ids = mem_array(1, sizeof(*ids));
	size_t n = 0;
	for (size_t i = 0; i < core->count; i++) {
		const struct sandbox *sb = core->boxes[i];
		bool active = sb->state != SANDBOX_PAUSED && sb->state != SANDBOX_STOPPED && sb->state != SANDBOX_DELETING;
		if (sb->row.host != host->id || !active)
			continue;
		ids = mem_grow(ids, n + 2, sizeof(*ids));
		ids[n++] = mem_strdup(sb->row.id);
		ids[n] = NULL;
	}
	return ids;
}

/* They are asked of the host now: its address is known to what is under way. */
static void end_carried(struct core *core, const struct db_host *host)
{
	char **ids = host_carries(core, host);
	for (size_t i = 0; ids[i]; i++)
		sandbox_delete(sandbox_find(core, TEAM_ANY, ids[i], NULL), NULL, NULL);
	drop_list(ids);
}

int host_delete(struct core *core, const struct identity *who, const char *uid, struct err *err)
{
	struct db_host host;
	if (host_get(core, who, uid, &host, err))
		return -1;
	int rc = host_manage(who, &host, true, err);
	if (rc == 0)
		end_carried(core, &host);
	if (rc == 0)
		rc = db_host_delete(core->db, host.id, err);
	if (rc == 0)
		audit_note(core, AUDIT_HOST_DELETE, who, host.team, host.uid, NULL);
	db_host_release(&host);
	return rc;
}

int host_tags(struct core *core, const struct identity *who, const char *uid, struct db_host_tag **out, size_t *n, struct err *err)
{
	struct db_host host;
	if (host_get(core, who, uid, &host, err))
		return -1;
	int rc = db_host_tags(core->db, host.id, out, n, err);
	db_host_release(&host);
	return rc;
}

int host_tag_add(struct core *core, const struct identity *who, const char *uid, const char *tag, struct err *err)
{
	struct db_host host;
	if (host_get(core, who, uid, &host, err))
		return -1;
	int rc = *tag ? db_host_tag_add(core->db, host.id, tag, err) : err_set(err, ERR_INVALID, "'tag' is required");
	db_host_release(&host);
	return rc;
}

int host_tag_remove(struct core *core, const struct identity *who, const char *uid, const char *tag, struct err *err)
{
	struct db_host host;
	if (host_get(core, who, uid, &host, err))
		return -1;
	int rc = db_host_tag_remove(core->db, host.id, tag, err);
	db_host_release(&host);
	return rc;
}
