#include "daemon/api/wrenn/wrenn.h"

#include <string.h>
#include <time.h>

#include "daemon/core/catalog.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- what operations need ---- */

static bool takes(const struct contract *c, const struct ct_op *op, const char *scheme)
{
	for (uint32_t i = 0; i < op->security_count; i++)
		if (!strcmp(ct_s(c, c->schemes[c->index_pool[op->security + i] & ~CT_SCHEME_AND].id), scheme))
			return true;
	return false;
}

/* Some need a person, some a host; the others take whoever the server has let in, but no host. */
static int check_kind(struct http_req *r, const struct ct_op *op, struct err *err)
{
	const struct contract *c = &contract_wrenn;
	enum identity_kind kind = http_identity(r)->kind;
	if (op->flags & CT_OP_PUBLIC)
		return 0;
	if (takes(c, op, "hostTokenAuth") != (kind == IDENTITY_HOST))
		return err_set(err, ERR_UNAUTHORIZED, "this needs %s", kind == IDENTITY_HOST ? "a login" : "the token of a host");
	if (kind == IDENTITY_KEY && !takes(c, op, "apiKeyAuth")) {
		err_set(err, ERR_UNAUTHORIZED, "an API key is not enough for this");
		return err_hint(err, "log in, and send the token as a bearer token");
	}
	return 0;
}

/* What kind of thing the path's {id} is, by the operation's tag. */
static const struct {
	const char *tag, *prefix;
} kinds[] = { { "api-keys", UID_KEY }, { "teams", UID_TEAM }, { "capsules", UID_CAPSULE }, { "hosts", UID_HOST },
	{ "channels", UID_CHANNEL } };

static int check_ids(struct http_req *r, const struct ct_op *op, struct err *err)
{
	const struct contract *c = &contract_wrenn;
	const char *tag = ct_s(c, op->tag);
	for (uint32_t i = 0; i < op->param_count; i++) {
		const struct ct_param *p = &c->params[op->params + i];
		const char *name = ct_s(c, p->name), *prefix = !strcmp(name, "uid") ? UID_USER : NULL;
		for (size_t k = 0; k < ARRAY_LEN(kinds) && !strcmp(name, "id"); k++)
			if (!strcmp(kinds[k].tag, tag))
				prefix = kinds[k].prefix;
		if (p->in == CT_IN_PATH && prefix && !uid_parse(prefix, http_param(r, name), err))
			return -1;
	}
	return 0;
}

/* A team is managed with a token for that very team. */
static int check_team(struct http_req *r, const struct ct_op *op, struct err *err)
{
	struct db_team team;
	bool of_one = ct_find_param(&contract_wrenn, op, CT_IN_PATH, "id") != NULL;
	if (strcmp(ct_s(&contract_wrenn, op->tag), "teams") != 0 || !of_one)
		return 0;
	if (team_get(wrenn_core(r), http_team(r), &team, err))
		return -1;
	bool same = !strcmp(team.uid, wrenn_uid(r, UID_TEAM, "id"));
	db_team_release(&team);
	if (same)
		return 0;
	err_set(err, ERR_FORBIDDEN, "the token is for another team");
	return err_hint(err, "use switch-team first");
}

enum { RUNNING = 1, PAUSED = 2 };

/* The states in which a capsule takes an operation; what is not here takes it in all. */
static const struct {
	uint32_t op;
	unsigned states;
} needs[] = {
	{ WRENN_OP_PAUSE_CAPSULE, RUNNING },
	{ WRENN_OP_RESUME_CAPSULE, PAUSED },
	{ WRENN_OP_PING_CAPSULE, RUNNING },
	{ WRENN_OP_EXEC_COMMAND, RUNNING },
	{ WRENN_OP_EXEC_STREAM, RUNNING },
	{ WRENN_OP_PTY_SESSION, RUNNING },
	{ WRENN_OP_LIST_PROCESSES, RUNNING },
	{ WRENN_OP_KILL_PROCESS, RUNNING },
	{ WRENN_OP_CONNECT_PROCESS, RUNNING },
	{ WRENN_OP_UPLOAD_FILE, RUNNING },
	{ WRENN_OP_DOWNLOAD_FILE, RUNNING },
	{ WRENN_OP_STREAM_UPLOAD_FILE, RUNNING },
	{ WRENN_OP_STREAM_DOWNLOAD_FILE, RUNNING },
	{ WRENN_OP_LIST_DIR, RUNNING },
	{ WRENN_OP_MAKE_DIR, RUNNING },
	{ WRENN_OP_REMOVE_PATH, RUNNING },
};

/* One that is over: 1 when it was this team's. */
static int is_past(struct http_req *r, const char *id, struct err *err)
{
	struct db_past past;
	int rc = sandbox_past(wrenn_core(r), http_team(r), id, &past, err);
	if (rc == 1)
		db_past_release(&past);
	return rc;
}

static int wrong_state(const char *id, const char *state, unsigned states, struct err *err)
{
	err_set(err, ERR_STATE, "sandbox is not %s", states == RUNNING ? "running" : "paused");
	return err_hint(err, "%s%s is %s", UID_CAPSULE, id, state);
}

static int check_capsule(struct http_req *r, struct err *err)
{
	unsigned states = 0;
	struct err gone = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(needs); i++)
		if (needs[i].op == (uint32_t)http_op(r))
			states = needs[i].states;
	if (!states)
		return 0;
	const char *id = wrenn_uid(r, UID_CAPSULE, "id");
	struct sandbox *sb = sandbox_find(wrenn_core(r), http_team(r), id, &gone);
	if (!sb || strcmp(sandbox_row(sb)->id, id) != 0) {
		int past = is_past(r, id, err);
		return past < 0 ? -1
			: past	? wrong_state(id, "over", states, err)
				: err_set(err, ERR_NOT_FOUND, "sandbox not found");
	}
	enum sandbox_state now = sandbox_state(sb);
	unsigned is = now == SANDBOX_RUNNING ? RUNNING : now == SANDBOX_PAUSED ? PAUSED : 0;
	return is & states ? 0 : wrong_state(id, wrenn_status(sb), states, err);
}

bool wrenn_admit(struct http_req *r)
{
	struct err err = ERR_INIT;
	const struct ct_op *op = &contract_wrenn.ops[http_op(r)];
	if (!check_kind(r, op, &err) && !check_ids(r, op, &err) && !check_team(r, op, &err) && !check_capsule(r, &err))
		return true;
	http_reply_err(r, &err);
	return false;
}

/* ---- things of the path ---- */

const char *wrenn_uid(struct http_req *r, const char *prefix, const char *param)
{
	const char *uid = uid_parse(prefix, http_param(r, param), NULL);
	return uid ? uid : "";
}

struct sandbox *wrenn_capsule(struct http_req *r)
{
	struct err err = ERR_INIT;
	const char *id = wrenn_uid(r, UID_CAPSULE, "id");
	struct sandbox *sb = sandbox_find(wrenn_core(r), http_team(r), id, &err);
	if (sb && !strcmp(sandbox_row(sb)->id, id))
		return sb;
	err_set(&err, ERR_NOT_FOUND, "sandbox not found");
	http_reply_err(r, &err);
	return NULL;
}

struct sandbox *wrenn_guest(struct http_req *r)
{
	struct sandbox *sb = wrenn_capsule(r);
	struct err err = ERR_INIT;
	if (!sb)
		return NULL;
	if (sandbox_state(sb) == SANDBOX_RUNNING)
		return api_wake(r, sb);
	wrong_state(sandbox_row(sb)->id, wrenn_status(sb), RUNNING, &err);
	http_reply_err(r, &err);
	return NULL;
}

bool wrenn_is_platform(struct core *core, const char *template)
{
	struct catalog_image image;
	if (!strcmp(template, WRENN_MINIMAL))
		return true;
	if (catalog_get(core, template, &image, NULL))
		return false;
	catalog_release(&image);
	return true;
}

/* ---- words ---- */

void wrenn_kid(struct jw *w, const char *key, const char *prefix, const char *uid)
{
	char text[UID_TEXT];
	if (uid)
		jw_kstr(w, key, uid_format(prefix, uid, text));
}

void wrenn_time(struct jw *w, int64_t wall_ms)
{
	char text[32] = "";
	struct tm tm;
	time_t s = (time_t)(wall_ms / 1000);
	if (gmtime_r(&s, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	jw_str(w, text);
}

void wrenn_ktime(struct jw *w, const char *key, int64_t wall_ms)
{
	if (!wall_ms)
		return;
	jw_key(w, key);
	wrenn_time(w, wall_ms);
}

void wrenn_kopt(struct jw *w, const char *key, const char *text)
{
	if (text)
		jw_kstr(w, key, text);
}

void wrenn_reply_done(struct http_req *r, int rc, const struct err *err)
{
	if (rc)
		http_reply_err(r, err);
	else
		http_reply_empty(r, 204);
}

void wrenn_reply_list(struct http_req *r, wrenn_write_row *write, const void *rows, size_t n, size_t size)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write(&w, wrenn_core(r), (const char *)rows + i * size);
	jw_arr_end(&w);
	http_reply_json(r, 200, &out);
}

struct err wrenn_failure(const struct err *err)
{
	struct err said = *err;
	if (said.word && !strcmp(said.word, DB_FAILED))
		return said; /* our own failure */
	if (said.code == ERR_INTERNAL || said.code == ERR_IO || said.code == ERR_NO_SPACE)
		err_word(&said, "upstream");
	return said;
}

void wrenn_reply_guest_err(struct http_req *r, const struct err *err)
{
	struct err said = *err;
	if (said.code != ERR_TIMEOUT && said.code != ERR_UNAVAILABLE)
		err_word(&said, "upstream");
	http_reply_err(r, &said);
}
