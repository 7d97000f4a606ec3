/* bots: the chat services where we speak with an access token of our own. */
#include <string.h>

#include "daemon/notify/internal.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/crypto.h"

enum { TELEGRAM_TEXT = 4096, TOKEN_MAX = 4096, MATRIX_ID_MAX = 255 };

/* ---- telegram ---- */

/* CHAT or CHAT:THREAD: a number, or @name. */
static int telegram_chat(const char *text, struct url_part *chat, int64_t *thread, struct err *err)
{
	const char *colon = strchr(text, ':');
	*chat = (struct url_part){ text, colon ? (size_t)(colon - text) : strlen(text) };
	*thread = 0;
	size_t skip = text[0] == '-' || text[0] == '@';
	struct url_part rest = { text + skip, chat->n - (skip < chat->n ? skip : chat->n) };
	if (!url_part_has_only(rest, text[0] == '@' ? URL_WORD "_" : URL_DIGITS, 1) || chat->n > 64)
		return err_set(err, ERR_INVALID, "'chat_id' is neither a number nor @NAME, with or without :THREAD");
	if (colon && parse_int(colon + 1, "thread", 1, INT32_MAX, thread, NULL))
		return err_set(err, ERR_INVALID, "the thread behind ':' in 'chat_id' is no number");
	return 0;
}

static void telegram_body(struct buf *out, const char *text, struct url_part chat, int64_t thread)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "text");
	jw_strn(&w, text, notify_head(text, TELEGRAM_TEXT));
	jw_key(&w, "chat_id");
	jw_strn(&w, chat.p, chat.n);
	if (thread)
		jw_kint(&w, "message_thread_id", thread);
	jw_kbool(&w, "disable_web_page_preview", false);
	jw_kbool(&w, "disable_notification", false);
	jw_kint(&w, "reply_to_message_id", 0);
	jw_obj_end(&w);
}

int notify_make_telegram(struct notify_making *m)
{
	const char *token = notify_config_get(m->config, "bot_token"), *colon = strchr(token, ':');
	struct url_part chat;
	int64_t thread;
	if (!colon || strlen(token) > 256 ||
		!url_part_has_only((struct url_part){ token, (size_t)(colon - token) }, URL_DIGITS, 1) ||
		!url_part_has_only((struct url_part){ colon + 1, strlen(colon + 1) }, URL_WORD "-_", 1))
		return err_set(m->err, ERR_INVALID, "'bot_token' is not DIGITS:LETTERS, as those of telegram are");
	if (telegram_chat(notify_config_get(m->config, "chat_id"), &chat, &thread, m->err))
		return -1;
	struct notify_request *rq = notify_add_request(
		m, "POST", "%s/bot%s/sendMessage", notify_origin(m->attempt->origins->telegram, "https://api.telegram.org"), token);
	telegram_body(&rq->body, m->text, chat, thread);
	return 0;
}

bool notify_accepts_telegram(const struct notify_answer *a)
{
	auto_js *doc = js_parse(a->body, a->n, (struct js_limits){ .bytes = (size_t)64 << 10, .depth = 16, .members = 1000 }, NULL);
	return notify_accepts_2xx(a) && js_bool(js_get(doc, "ok"), false);
}

/* ---- matrix ---- */

/* The same for each attempt at one event: a homeserver drops what it has already, when only its answer was lost. */
static void matrix_transaction(const struct notify_event *event, const char *room, struct buf *out)
{
	uint8_t mac[CRYPTO_MAC];
	auto_buf json = BUF_INIT;
	if (notify_event_json(event, &json, NULL))
		out->failed = true;
	crypto_hmac(room, strlen(room), json.p, json.len, mac);
	buf_hex(out, mac, sizeof(mac) / 2);
}

/* Append the address of the room, with its transaction. */
static int matrix_url(struct notify_making *m, struct buf *out)
{
	const char *room = notify_config_get(m->config, "room_id");
	struct url url;
	if (url_split(notify_config_get(m->config, "homeserver_url"), "homeserver_url", &url, m->err))
		return -1;
	if (url.user.n || url.query.n)
		return err_set(m->err, ERR_INVALID, "'homeserver_url' must have no user and no query");
	if (room[0] != '!' || strlen(room) > MATRIX_ID_MAX)
		return err_set(m->err, ERR_INVALID, "'room_id' is not the id of a room, which begins with '!'");
	while (url.path.n && url.path.p[url.path.n - 1] == '/')
		url.path.n--;
	buf_fmt(out, "%.*s%.*s/_matrix/client/r0/rooms/", URL_FMT(url.origin), URL_FMT(url.path));
	buf_url(out, room);
	buf_str(out, "/send/m.room.message/");
	matrix_transaction(m->event, room, out);
	return buf_failed(out) ? err_set(m->err, ERR_LIMIT, "no memory for a message to matrix") : 0;
}

int notify_make_matrix(struct notify_making *m)
{
	const char *token = notify_config_get(m->config, "access_token");
	struct jw w;
	auto_buf url = BUF_INIT, authorization = BUF_INIT;
	if (strlen(token) > TOKEN_MAX)
		return err_set(m->err, ERR_INVALID, "'access_token' is longer than %d characters", TOKEN_MAX);
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return err_set(m->err, ERR_INVALID, "'access_token' has characters that no token has");
	if (matrix_url(m, &url))
		return -1;
	struct notify_request *rq = notify_add_request(m, "PUT", "%s", url.p);
	buf_fmt(&authorization, "Bearer %s", token);
	notify_add_header(rq, "Authorization", authorization.p);
	jw_init(&w, &rq->body);
	jw_obj(&w);
	jw_kstr(&w, "msgtype", "m.text");
	jw_kstr(&w, "body", m->text);
	jw_obj_end(&w);
	return 0;
}
