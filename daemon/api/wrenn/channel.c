/* Places to which news are sent. */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>

#include "daemon/api/call.h"
#include "daemon/core/channel.h"
#include "shared/base/mem.h"

static void write_channel(struct jw *w, struct core *core, const struct db_channel *c, const char *secret)
{
	struct db_team team;
	jw_obj(w);
	wrenn_kid(w, "id", UID_CHANNEL, c->uid);
	if (team_get(core, c->team, &team, NULL) == 0) {
		wrenn_kid(w, "team_id", UID_TEAM, team.uid);
		db_team_release(&team);
	}
	jw_kstr(w, "name", c->name);
	jw_kstr(w, "provider", c->provider);
	jw_key(w, "events");
	jw_arr(w);
	for (size_t i = 0; c->events[i]; i++)
		jw_str(w, c->events[i]);
	jw_arr_end(w);
	wrenn_ktime(w, "created_at", c->created_ms);
	wrenn_ktime(w, "updated_at", c->changed_ms);
	wrenn_kopt(w, "secret", secret);
	jw_obj_end(w);
}

static void write_row(struct jw *w, struct core *core, const void *row)
{
	write_channel(w, core, row, NULL);
}

static void reply_channel(struct http_req *r, int status, struct db_channel *c, const char *secret)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_channel(&w, wrenn_core(r), c, secret);
	db_channel_release(c);
	http_reply_json(r, status, &out);
}

/* What a body says of a channel; lists are its own. */
struct words {
	struct channel_spec spec;
	char **events, **config;
};

static void words_read(struct words *q, const js *body)
{
	q->events = api_strings(js_get(body, "events"));
	q->config = api_pairs(js_get(body, "config"));
	q->spec = (struct channel_spec){ .name = js_str(js_get(body, "name"), ""),
		.provider = js_str(js_get(body, "provider"), ""),
		.events = q->events,
		.config = q->config };
}

static void words_free(struct words *q)
{
	api_free_list(q->events);
	api_free_list(q->config);
}

void wrenn_createChannel(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	struct words q;
	struct db_channel channel;
	auto_free char *secret = NULL;
	struct err err = ERR_INIT;
	words_read(&q, http_body(r));
	if (channel_create(wrenn_core(r), who->team, &q.spec, &channel, &secret, &err)) {
		http_reply_err(r, &err);
	} else {
		auto_free char *name = mem_printf("name=%s", channel.name), *provider = mem_printf("provider=%s", channel.provider);
		char *const metadata[] = { name, provider, NULL };
		audit_note(wrenn_core(r), AUDIT_CHANNEL_CREATE, who, who->team, channel.uid, metadata);
		reply_channel(r, 201, &channel, secret);
	}
	words_free(&q);
}

void wrenn_listChannels(struct http_req *r)
{
	struct db_channel *all;
	size_t n;
	struct err err = ERR_INIT;
	if (channel_list(wrenn_core(r), http_team(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	wrenn_reply_list(r, write_row, all, n, sizeof(*all));
	db_channels_release(all, n);
}

void wrenn_getChannel(struct http_req *r)
{
	struct db_channel channel;
	struct err err = ERR_INIT;
	if (channel_get(wrenn_core(r), http_team(r), wrenn_uid(r, UID_CHANNEL, "id"), &channel, &err))
		http_reply_err(r, &err);
	else
		reply_channel(r, 200, &channel, NULL);
}

void wrenn_updateChannel(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_CHANNEL, "id");
	struct words q;
	struct db_channel channel;
	struct err err = ERR_INIT;
	words_read(&q, http_body(r));
	const struct channel_change change = { q.spec.name, q.events };
	if (channel_update(wrenn_core(r), who->team, uid, &change, &channel, &err)) {
		http_reply_err(r, &err);
	} else {
		audit_note(wrenn_core(r), AUDIT_CHANNEL_UPDATE, who, who->team, uid, NULL);
		reply_channel(r, 200, &channel, NULL);
	}
	words_free(&q);
}

void wrenn_rotateChannelConfig(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_CHANNEL, "id");
	struct words q;
	struct db_channel channel;
	struct err err = ERR_INIT;
	words_read(&q, http_body(r));
	if (channel_configure(wrenn_core(r), who->team, uid, q.config, &channel, &err)) {
		http_reply_err(r, &err);
	} else {
		audit_note(wrenn_core(r), AUDIT_CHANNEL_ROTATE, who, who->team, uid, NULL);
		reply_channel(r, 200, &channel, NULL);
	}
	words_free(&q);
}

void wrenn_deleteChannel(struct http_req *r)
{
	const struct identity *who = http_identity(r);
	const char *uid = wrenn_uid(r, UID_CHANNEL, "id");
	struct err err = ERR_INIT;
	int rc = channel_delete(wrenn_core(r), who->team, uid, &err);
	if (rc == 0)
		audit_note(wrenn_core(r), AUDIT_CHANNEL_DELETE, who, who->team, uid, NULL);
	wrenn_reply_done(r, rc, &err);
}

/* ---- trying one out ---- */

static void on_tested(void *arg, const struct err *err)
{
	struct call *call = arg;
	struct http_req *r = call_end(call);
	struct err said = err ? *err : (struct err)ERR_INIT;
	auto_buf out = BUF_INIT;
	free(call);
	if (!r)
		return;
	if (err) {
		if (said.code != ERR_INVALID && said.code != ERR_FORBIDDEN)
			err_word(&said, "delivery_failed");
		if (said.code == ERR_FORBIDDEN)
			said.code = ERR_INVALID; /* an address that nobody may name */
		http_reply_err(r, &said);
		return;
	}
	buf_str(&out, "{\"status\":\"ok\"}");
	http_reply_json(r, 200, &out);
}

void wrenn_testChannel(struct http_req *r)
{
	struct words q;
	struct err err = ERR_INIT;
	words_read(&q, http_body(r));
	struct call *call = call_new(r);
	if (channel_test(wrenn_core(r), &q.spec, on_tested, call, &err)) {
		call_end(call);
		free(call);
		http_reply_err(r, &err);
	}
	words_free(&q);
}
