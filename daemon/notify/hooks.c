/* hooks: the chat services whose configuration is one URL. Addresses are built from its checked parts; the host is ours, whatever
 * host was given. */
#include <string.h>

#include "daemon/notify/internal.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

enum { DISCORD_EMBED = 2000, DISCORD_MESSAGE = 6000, DISCORD_COLOR = 5298687, TEAMS_SUMMARY = 21 };

/* The field webhook_url of a channel. */
static int webhook_url(struct notify_making *m, struct url *out)
{
	return url_split(notify_config_get(m->config, "webhook_url"), "webhook_url", out, m->err);
}

static size_t without_newlines(const char *s, size_t n)
{
	while (n && s[n - 1] == '\n')
		n--;
	return n;
}

/* Calls add for each line that is not empty. */
static void each_line(struct jw *w, const char *text, void (*add)(struct jw *w, const char *line, size_t n))
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		if (n)
			add(w, text, n);
		text += n + (text[n] == '\n');
	}
}

/* ---- discord ---- */

/* As notify_head, to the end of a line if there is one. */
static size_t head_lines(const char *s, size_t max)
{
	size_t n = notify_head(s, max);
	const char *newline = s[n] ? memrchr(s, '\n', n) : NULL;
	return newline && newline > s ? (size_t)(newline + 1 - s) : n;
}

/* One message, with as many embeds as it may have; returns what is left of the text. */
static const char *discord_message(struct buf *out, const char *text)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "embeds");
	jw_arr(&w);
	for (int i = 0; i < DISCORD_MESSAGE / DISCORD_EMBED && *text; i++) {
		size_t n = head_lines(text, DISCORD_EMBED);
		jw_obj(&w);
		jw_key(&w, "description");
		jw_strn(&w, text, without_newlines(text, n));
		jw_kint(&w, "color", DISCORD_COLOR);
		jw_obj_end(&w);
		text += n;
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	return text;
}

int notify_make_discord(struct notify_making *m)
{
	struct url url;
	struct url_part s[4];
	if (webhook_url(m, &url))
		return -1;
	if (url_segments(url.path, s, 4) != 4 || !url_part_is(s[0], "api") || !url_part_is(s[1], "webhooks") ||
		!url_part_has_only(s[2], URL_WORD "-_", 1) || !url_part_has_only(s[3], URL_WORD "-_.", 1))
		return err_set(m->err, ERR_INVALID, "the path in 'webhook_url' is not /api/webhooks/ID/TOKEN, which discord has");
	for (const char *rest = m->text; *rest;) {
		struct notify_request *rq = notify_add_request(m, "POST", "%s/api/webhooks/%.*s/%.*s",
			notify_origin(m->attempt->origins->discord, "https://discord.com"), URL_FMT(s[2]), URL_FMT(s[3]));
		rest = discord_message(&rq->body, rest);
	}
	return 0;
}

bool notify_accepts_discord(const struct notify_answer *a)
{
	return a->status == 204;
}

/* ---- slack ---- */

/* "<!channel>" in a name would call everybody: these three are escaped in Slack's texts. */
static void slack_line(struct jw *w, const char *line, size_t n)
{
	auto_buf safe = BUF_INIT;
	for (size_t i = 0; i < n; i++)
		if (line[i] == '&')
			buf_str(&safe, "&amp;");
		else if (line[i] == '<')
			buf_str(&safe, "&lt;");
		else if (line[i] == '>')
			buf_str(&safe, "&gt;");
		else
			buf_ch(&safe, line[i]);
	jw_obj(w);
	jw_kstr(w, "text", safe.p);
	jw_obj_end(w);
}

int notify_make_slack(struct notify_making *m)
{
	struct url url;
	struct url_part s[4];
	struct jw w;
	if (webhook_url(m, &url))
		return -1;
	if (url_segments(url.path, s, 4) != 4 || !url_part_is(s[0], "services") ||
		!url_part_has_only(s[1], URL_UPPER URL_DIGITS, 9) || !url_part_has_only(s[2], URL_UPPER URL_DIGITS, 9) ||
		!url_part_has_only(s[3], URL_WORD, 24))
		return err_set(m->err, ERR_INVALID, "the path in 'webhook_url' is not /services/T.../B.../..., which slack has");
	struct notify_request *rq = notify_add_request(
		m, "POST", "%s%.*s", notify_origin(m->attempt->origins->slack, "https://hooks.slack.com"), URL_FMT(url.path));
	jw_init(&w, &rq->body);
	jw_obj(&w);
	jw_kstr(&w, "text", "");
	jw_key(&w, "attachments");
	jw_arr(&w);
	each_line(&w, m->text, slack_line);
	jw_arr_end(&w);
	jw_obj_end(&w);
	return 0;
}

bool notify_accepts_slack(const struct notify_answer *a)
{
	return a->status == 200 && (a->n == 0 || (without_newlines(a->body, a->n) == 2 && !memcmp(a->body, "ok", 2)));
}

/* ---- teams ---- */

/* A random UUID, lower case. */
static bool is_uuid4(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? s[i] != '-' : !strchr("0123456789abcdef", s[i]))
			return false;
	}
	return n == 36 && s[14] == '4' && strchr("89ab", s[19]);
}

/* GROUP@TENANT */
static bool is_teams_group(struct url_part p)
{
	return p.n == 73 && p.p[36] == '@' && is_uuid4(p.p, 36) && is_uuid4(p.p + 37, 36);
}

static void teams_section(struct jw *w, const char *line, size_t n)
{
	jw_obj(w);
	jw_key(w, "text");
	jw_strn(w, line, n);
	jw_kbool(w, "startGroup", false);
	jw_obj_end(w);
}

static void teams_card(struct buf *out, const char *text)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "@type", "MessageCard");
	jw_kstr(&w, "@context", "http://schema.org/extensions");
	jw_kbool(&w, "markdown", true);
	jw_key(&w, "summary");
	jw_strn(&w, text, notify_head(text, TEAMS_SUMMARY));
	jw_key(&w, "sections");
	jw_arr(&w);
	each_line(&w, text, teams_section);
	jw_arr_end(&w);
	jw_obj_end(&w);
}

/* The tenant's own host serves .../webhookb2/GROUP@TENANT/IncomingWebhook/ALT/OWNER[/...]; the part in the middle is the same for
 * all. */
int notify_make_teams(struct notify_making *m)
{
	struct url url;
	struct url_part s[8];
	if (webhook_url(m, &url))
		return -1;
	size_t count = url_segments(url.path, s, ARRAY_LEN(s)), at = 0;
	count = count < ARRAY_LEN(s) ? count : ARRAY_LEN(s);
	while (at < count && !is_teams_group(s[at]))
		at++;
	if (at + 4 > count || !url_part_has_only(s[at + 2], "0123456789abcdef", 32) || s[at + 2].n != 32 ||
		!is_uuid4(s[at + 3].p, s[at + 3].n))
		return err_set(m->err, ERR_INVALID,
			"the path in 'webhook_url' has no GROUP@TENANT/IncomingWebhook/ID/OWNER, which those of teams have");
	struct notify_request *rq = notify_add_request(m, "POST", "%s/webhook/%.*s/IncomingWebhook/%.*s/%.*s",
		notify_origin(m->attempt->origins->teams, "https://outlook.office.com"), URL_FMT(s[at]), URL_FMT(s[at + 2]),
		URL_FMT(s[at + 3]));
	teams_card(&rq->body, m->text);
	return 0;
}

bool notify_accepts_teams(const struct notify_answer *a)
{
	return a->status == 200;
}

/* ---- googlechat ---- */

int notify_make_googlechat(struct notify_making *m)
{
	struct url url;
	struct url_part key, token;
	struct jw w;
	if (webhook_url(m, &url))
		return -1;
	if (!url_host_is(&url, "chat.googleapis.com"))
		return err_set(m->err, ERR_INVALID, "the host in 'webhook_url' is not chat.googleapis.com");
	if (!url_query(url.query, "key", &key) || !url_query(url.query, "token", &token))
		return err_set(m->err, ERR_INVALID, "'webhook_url' needs '?key=...&token=...' at its end");
	struct notify_request *rq = notify_add_request(m, "POST", "%s%.*s?key=%.*s&token=%.*s",
		notify_origin(m->attempt->origins->googlechat, "https://chat.googleapis.com"), URL_FMT(url.path), URL_FMT(key),
		URL_FMT(token));
	jw_init(&w, &rq->body);
	jw_obj(&w);
	jw_kstr(&w, "text", m->text);
	jw_obj_end(&w);
	return 0;
}
