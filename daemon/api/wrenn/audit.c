/* Who did what in a team, and who one is. */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>
#include <time.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { LIMIT_MAX = 200 };

/* An id as the kind of thing has it; a name as it is. */
static void write_id(struct jw *w, const char *key, const char *type, const char *uid)
{
	const char *prefix = uid_prefix(type);
	if (prefix)
		wrenn_kid(w, key, prefix, uid);
	else
		wrenn_kopt(w, key, uid);
}

static void write_entry(struct jw *w, const struct db_audit *row)
{
	auto_free char *number = mem_printf("%lld", (long long)row->id);
	jw_obj(w);
	wrenn_kid(w, "id", UID_AUDIT, number);
	jw_kstr(w, "actor_type", row->actor_type);
	write_id(w, "actor_id", row->actor_type, row->actor_id);
	wrenn_kopt(w, "actor_name", row->actor_name);
	jw_kstr(w, "resource_type", row->resource_type);
	write_id(w, "resource_id", row->resource_type, row->resource_id);
	jw_kstr(w, "action", row->action);
	jw_kstr(w, "scope", row->scope);
	jw_kstr(w, "status", row->status);
	if (row->metadata && row->metadata[0])
		api_write_pairs(w, "metadata", row->metadata);
	wrenn_ktime(w, "created_at", row->created_ms);
	jw_obj_end(w);
}

/* Times on the wire are whole seconds: a page ends within one, and the id tells where. */
static int read_cursor(struct http_req *r, struct db_audit_query *q, struct err *err)
{
	const char *before = http_query(r, "before"), *id = http_query(r, "before_id");
	struct tm tm = { 0 };
	if (!before)
		return 0;
	const char *rest = strptime(before, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return err_set(err, ERR_INVALID, "'before' must be a time");
	q->before_ms = (int64_t)timegm(&tm) * 1000;
	const char *number = id ? uid_parse(UID_AUDIT, id, err) : NULL;
	if (id && !number)
		return -1;
	q->before_id = number ? strtoll(number, NULL, 10) : 0;
	return 0;
}

static void reply_page(struct http_req *r, const struct db_audit *all, size_t n, size_t limit)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	size_t shown = n < limit ? n : limit;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "items");
	jw_arr(&w);
	for (size_t i = 0; i < shown; i++)
		write_entry(&w, &all[i]);
	jw_arr_end(&w);
	if (n > limit) {
		auto_free char *number = mem_printf("%lld", (long long)all[shown - 1].id);
		wrenn_ktime(&w, "next_before", all[shown - 1].created_ms);
		wrenn_kid(&w, "next_before_id", UID_AUDIT, number);
	}
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void wrenn_listAuditLogs(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	int64_t limit = http_query_int(r, "limit", 50);
	char **types = api_words(http_query(r, "resource_type")), **actions = api_words(http_query(r, "action"));
	struct db_audit *all;
	size_t n;
	struct err err = ERR_INIT;
	limit = limit > LIMIT_MAX ? LIMIT_MAX : limit;
	struct db_audit_query q = {
		.team = who->team, .admin = who->role >= ROLE_ADMIN, .types = types, .actions = actions, .limit = limit + 1
	};
	if (read_cursor(r, &q, &err) || audit_list(wrenn_core(r), &q, &all, &n, &err)) {
		http_reply_err(r, &err);
	} else {
		reply_page(r, all, n, (size_t)limit);
		db_audits_release(all, n);
	}
	api_free_list(types);
	api_free_list(actions);
}

void wrenn_getMe(struct http_req *r)
{
	struct db_user user;
	struct err err = ERR_INIT;
	if (account_user(wrenn_core(r), http_identity(r)->user, &user, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	wrenn_kid(&w, "id", UID_USER, user.uid);
	jw_kstr(&w, "email", user.email);
	jw_kstr(&w, "name", user.name);
	jw_kbool(&w, "has_password", user.password != NULL);
	wrenn_ktime(&w, "created_at", user.created_ms ? user.created_ms : 1000);
	jw_obj_end(&w);
	db_user_release(&user);
	http_reply_json(r, 200, &out);
}
