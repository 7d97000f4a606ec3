/* The log of who did what in a team. */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/people.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

static void write_note(struct jw *w, const struct db_audit *row)
{
	auto_free char *id = mem_printf("%lld", (long long)row->id);
	jw_obj(w);
	jw_kstr(w, "id", id);
	api_write_time(w, "createdAt", row->created_ms);
	jw_key(w, "actor");
	jw_obj(w);
	jw_kstr(w, "kind", row->actor_type);
	jw_kstr(w, "id", row->actor_id);
	jw_kstr(w, "name", row->actor_name);
	jw_obj_end(w);
	jw_kstr(w, "type", row->resource_type);
	jw_kstr(w, "resource", row->resource_id);
	jw_kstr(w, "action", row->action);
	jw_kstr(w, "status", row->status);
	jw_kstr(w, "scope", row->scope);
	api_write_pairs(w, "metadata", row->metadata);
	jw_obj_end(w);
}

/* Where the page begins: a cursor, which is the time and the id of the last row before it, wins over a time. */
static int parse_start(struct http_req *r, struct db_audit_query *q, struct err *err)
{
	const char *cursor = http_query(r, "cursor"), *before = http_query(r, "before");
	if (!cursor && before) {
		if (clock_parse(before, &q->before_ms))
			return err_set(err, ERR_INVALID, "'before' is no time");
		q->before_ms = q->before_ms > 0 ? q->before_ms : 1; /* 0 is no limit */
	}
	if (!cursor)
		return 0;
	char *end;
	q->before_ms = strtoll(cursor, &end, 10);
	bool good = end > cursor && *end == '-';
	const char *id = end + good;
	q->before_id = strtoll(id, &end, 10);
	if (good && end > id && *end == '\0' && q->before_ms > 0 && q->before_id > 0)
		return 0;
	return err_set(err, ERR_INVALID, "'cursor' is not one that this API gave");
}

/* One row more than is asked for tells whether there is another page. */
static void reply_page(struct http_req *r, const struct db_audit *rows, size_t n, size_t limit, int64_t since_ms)
{
	auto_buf out = BUF_INIT;
	auto_free char *next = NULL;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "notes");
	jw_arr(&w);
	for (size_t i = 0; i < n && rows[i].created_ms >= since_ms; i++) {
		if (i == limit) {
			next = mem_printf("%lld-%lld", (long long)rows[i - 1].created_ms, (long long)rows[i - 1].id);
			break;
		}
		write_note(&w, &rows[i]);
	}
	jw_arr_end(&w);
	jw_kstr(&w, "nextCursor", next);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void sbx_listAudit(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	int64_t limit = http_query_int(r, "limit", 100), since_ms = 0;
	const char *since = http_query(r, "since");
	struct db_audit *rows;
	size_t n;
	struct err err = ERR_INIT;
	struct db_audit_query q = { .team = who->team, .admin = who->role >= ROLE_ADMIN, .limit = limit + 1 };
	if (!people_only(r))
		return;
	if (parse_start(r, &q, &err) ||
		(since && clock_parse(since, &since_ms) && err_set(&err, ERR_INVALID, "'since' is no time"))) {
		http_reply_err(r, &err);
		return;
	}
	char **types = api_words(http_query(r, "type")), **actions = api_words(http_query(r, "action"));
	q.types = types;
	q.actions = actions;
	int rc = audit_list(people_core(r), &q, &rows, &n, &err);
	api_free_list(types);
	api_free_list(actions);
	if (rc) {
		http_reply_err(r, &err);
		return;
	}
	reply_page(r, rows, n, (size_t)limit, since_ms);
	db_audits_release(rows, n);
}
