/* Channels: where a team wants to hear its news. */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/people.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/core/channel.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define WEBHOOK "webhook"
enum { SECRET_DIGITS = 64 };

/* ---- words ---- */

static void write_members(struct jw *w, const struct db_channel *c)
{
	jw_kstr(w, "id", c->uid);
	jw_kstr(w, "name", c->name);
	jw_kstr(w, "provider", c->provider);
	jw_key(w, "events");
	jw_arr(w);
	for (size_t i = 0; c->events && c->events[i]; i++)
		jw_str(w, c->events[i]);
	jw_arr_end(w);
	api_write_time(w, "createdAt", c->created_ms);
	api_write_time(w, "updatedAt", c->changed_ms);
}

static void reply_channel(struct http_req *r, const struct db_channel *c)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	write_members(&w, c);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void reply_secret(struct http_req *r, int status, const struct db_channel *c, const char *secret)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	write_members(&w, c);
	jw_kstr(&w, "secret", secret);
	jw_obj_end(&w);
	http_add_header(r, "Cache-Control", "no-store");
	http_reply_json(r, status, &out);
}

/* The channel of the path, by id or name; false when the error has been answered. */
static bool enter(struct http_req *r, struct db_channel *out)
{
	struct db_channel *all;
	size_t n, pick = SIZE_MAX;
	struct err err = ERR_INIT;
	const char *word = http_param(r, "channel");
	if (!people_only(r))
		return false;
	if (channel_list(people_core(r), http_team(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].uid, word) || (pick == SIZE_MAX && !strcmp(all[i].name, word)))
			pick = i;
	if (pick != SIZE_MAX) {
		*out = all[pick];
		all[pick] = (struct db_channel){ 0 };
	}
	db_channels_release(all, n);
	if (pick != SIZE_MAX)
		return true;
	err_set(&err, ERR_NOT_FOUND, "there is no channel '%s'", word);
	err_hint(&err, "list those of your team with: sbx channel ls");
	http_reply_err(r, &err);
	return false;
}

static void note(struct http_req *r, enum audit_kind kind, const struct db_channel *c)
{
	const struct identity *who = http_identity(r);
	auto_free char *name = mem_printf("name=%s", c->name), *provider = mem_printf("provider=%s", c->provider);
	char *const metadata[] = { name, provider, NULL };
	audit_note(people_core(r), kind, who, who->team, c->uid, metadata);
}

/* ---- operations ---- */

void sbx_listChannels(struct http_req *r)
{
	struct db_channel *all;
	size_t n;
	struct err err = ERR_INIT;
	if (!people_only(r))
		return;
	if (channel_list(people_core(r), http_team(r), &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "channels");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		write_members(&w, &all[i]);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	db_channels_release(all, n);
	http_reply_json(r, 200, &out);
}

void sbx_createChannel(struct http_req *r)
{
	const js *body = http_body(r);
	struct db_channel made;
	struct err err = ERR_INIT;
	auto_free char *secret = NULL;
	if (!people_only(r))
		return;
	char **events = api_strings(js_get(body, "events")), **config = api_pairs(js_get(body, "config"));
	const struct channel_spec spec = { .name = js_str(js_get(body, "name"), ""),
		.provider = js_str(js_get(body, "provider"), ""),
		.events = events,
		.config = config };
	int rc = channel_create(people_core(r), http_team(r), &spec, &made, &secret, &err);
	api_free_list(events);
	api_free_list(config);
	if (rc) {
		http_reply_err(r, &err);
		return;
	}
	note(r, AUDIT_CHANNEL_CREATE, &made);
	reply_secret(r, 201, &made, secret);
	db_channel_release(&made);
}

void sbx_getChannel(struct http_req *r)
{
	struct db_channel c;
	if (!enter(r, &c))
		return;
	reply_channel(r, &c);
	db_channel_release(&c);
}

void sbx_updateChannel(struct http_req *r)
{
	const js *body = http_body(r);
	struct db_channel c, now;
	struct err err = ERR_INIT;
	if (!enter(r, &c))
		return;
	char **events = api_strings(js_get(body, "events"));
	const char *name = js_str(js_get(body, "name"), c.name);
	const struct channel_change change = { name, events ? events : c.events };
	int rc = channel_update(people_core(r), http_team(r), c.uid, &change, &now, &err);
	api_free_list(events);
	db_channel_release(&c);
	if (rc) {
		http_reply_err(r, &err);
		return;
	}
	note(r, AUDIT_CHANNEL_UPDATE, &now);
	reply_channel(r, &now);
	db_channel_release(&now);
}

/* A webhook has to have a secret; who brings none gets one, and must be able to learn it. */
static char *add_secret(const char *provider, char ***config)
{
	size_t n = 0;
	for (; (*config)[n]; n++)
		if (str_starts((*config)[n], "secret=") && strlen((*config)[n]) > strlen("secret="))
			return NULL;
	if (strcmp(provider, WEBHOOK) != 0)
		return NULL;
	char *secret = mem_array(SECRET_DIGITS + 1, 1);
	rand_hex(secret, SECRET_DIGITS);
	*config = mem_grow(*config, n + 2, sizeof(**config));
	(*config)[n] = mem_printf("secret=%s", secret);
	(*config)[n + 1] = NULL;
	return secret;
}

void sbx_configureChannel(struct http_req *r)
{
	struct db_channel c, now;
	struct err err = ERR_INIT;
	if (!enter(r, &c))
		return;
	char **config = api_pairs(js_get(http_body(r), "config"));
	auto_free char *secret = add_secret(c.provider, &config);
	int rc = channel_configure(people_core(r), http_team(r), c.uid, config, &now, &err);
	api_free_list(config);
	db_channel_release(&c);
	if (rc) {
		http_reply_err(r, &err);
		return;
	}
	note(r, AUDIT_CHANNEL_ROTATE, &now);
	reply_secret(r, 200, &now, secret);
	db_channel_release(&now);
}

void sbx_deleteChannel(struct http_req *r)
{
	struct db_channel c;
	struct err err = ERR_INIT;
	if (!enter(r, &c))
		return;
	int rc = channel_delete(people_core(r), http_team(r), c.uid, &err);
	if (rc == 0)
		note(r, AUDIT_CHANNEL_DELETE, &c);
	db_channel_release(&c);
	people_reply_done(r, rc, &err);
}

/* ---- a test message ---- */

static void on_tested(void *arg, const struct err *err)
{
	struct call *c = arg;
	struct http_req *r = call_end(c);
	auto_buf out = BUF_INIT;
	struct jw w;
	if (r && err) {
		http_reply_err(r, err);
	} else if (r) {
		jw_init(&w, &out);
		jw_obj(&w);
		jw_kstr(&w, "status", "ok");
		jw_obj_end(&w);
		http_reply_json(r, 200, &out);
	}
	free(c);
}

/* rc: of what was to send it; when that was refused nobody will call back. */
static void test_end(struct call *c, int rc, const struct err *err)
{
	if (rc)
		on_tested(c, err);
}

void sbx_testChannel(struct http_req *r)
{
	const js *body = http_body(r);
	struct err err = ERR_INIT;
	if (!people_only(r))
		return;
	char **config = api_pairs(js_get(body, "config"));
	const struct channel_spec spec = { .name = "test", .provider = js_str(js_get(body, "provider"), ""), .config = config };
	struct call *c = call_new(r);
	test_end(c, channel_test(people_core(r), &spec, on_tested, c, &err), &err);
	api_free_list(config);
}

void sbx_testSavedChannel(struct http_req *r)
{
	struct db_channel saved;
	struct err err = ERR_INIT;
	if (!enter(r, &saved))
		return;
	struct call *c = call_new(r);
	test_end(c, channel_test_saved(people_core(r), http_team(r), saved.uid, on_tested, c, &err), &err);
	db_channel_release(&saved);
}
