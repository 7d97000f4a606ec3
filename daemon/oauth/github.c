#include "daemon/oauth/github.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/util.h"

static void pair(struct buf *out, const char *name, const char *value)
{
	buf_fmt(out, "%s=", name);
	buf_url(out, value);
}

/* Where GitHub sends the browser back to. */
static void return_pair(const struct oauth_config *c, struct buf *out)
{
	auto_buf to = BUF_INIT;
	buf_fmt(&to, "%s/auth/oauth/github/callback", c->here);
	pair(out, "&redirect_uri", to.p);
}

void github_page(const struct oauth_config *c, const char *state, struct buf *out)
{
	buf_fmt(out, "%s/login/oauth/authorize?response_type=code", c->site);
	pair(out, "&client_id", c->client_id);
	return_pair(c, out);
	pair(out, "&scope", "user:email");
	pair(out, "&state", state);
}

void github_token_form(const struct oauth_config *c, const char *code, struct buf *out)
{
	pair(out, "client_id", c->client_id);
	pair(out, "&client_secret", c->client_secret);
	pair(out, "&code", code);
	return_pair(c, out);
}

/* ---- answers ---- */

static js *parse(const char *json, size_t n, enum js_type type, struct err *err)
{
	struct js_limits limits = { .bytes = 64u << 10, .depth = 16, .members = 8192 };
	js *v = js_parse(json, n, limits, NULL);
	if (js_type(v) == type)
		return v;
	js_free(v);
	err_set(err, ERR_PROTOCOL, "the answer is not the JSON that it should be");
	return NULL;
}

int github_read_token(const char *json, size_t n, char out[GITHUB_TOKEN_MAX + 1], struct err *err)
{
	auto_js *v = parse(json, n, JS_OBJECT, err);
	if (!v)
		return -1;
	const char *token = js_str(js_get(v, "access_token"), ""), *fault = js_str(js_get(v, "error"), NULL);
	if (fault)
		return err_set(err, ERR_PROTOCOL, "the code was refused: %.100s", fault);
	size_t length = strlen(token);
	if (length < 1 || length > GITHUB_TOKEN_MAX)
		return err_set(err, ERR_PROTOCOL, "the answer has no token, or one that cannot be");
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return err_set(err, ERR_PROTOCOL, "the token has characters that cannot be sent");
	memcpy(out, token, length + 1);
	return 0;
}

static bool is_email(const char *s, size_t size)
{
	const char *at = strchr(s, '@');
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return false;
	return at && at > s && at[1] && strlen(s) < size;
}

/* As much of the text as fits and is one line; what is left of it begins and ends with no blank. */
static void take_line(char *out, size_t size, const char *s)
{
	size_t n = 0;
	for (size_t left = strlen(s); left > 0;) {
		size_t len = utf8_len(s, left);
		bool control = len == 1 && ((unsigned char)*s < ' ' || *s == 0x7f);
		if (len == 0 || n + len >= size)
			break;
		if (!control && (n > 0 || *s != ' ')) {
			memcpy(out + n, s, len);
			n += len;
		}
		s += len;
		left -= len;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

int github_read_user(const char *json, size_t n, struct oauth_profile *out, struct err *err)
{
	auto_js *v = parse(json, n, JS_OBJECT, err);
	int64_t id = 0;
	if (!v)
		return -1;
	*out = (struct oauth_profile){ 0 };
	if (js_int(js_get(v, "id"), &id) || id < 1)
		return err_set(err, ERR_PROTOCOL, "the profile has no number");
	snprintf(out->subject, sizeof(out->subject), "%lld", (long long)id);
	take_line(out->name, sizeof(out->name), js_str(js_get(v, "name"), ""));
	if (!*out->name)
		take_line(out->name, sizeof(out->name), js_str(js_get(v, "login"), ""));
	if (!*out->name)
		return err_set(err, ERR_PROTOCOL, "the profile has no name");
	const char *email = js_str(js_get(v, "email"), "");
	if (*email && !is_email(email, sizeof(out->email)))
		return err_set(err, ERR_PROTOCOL, "the address of the profile cannot be one");
	str_copy(out->email, sizeof(out->email), email);
	return 0;
}

int github_read_emails(const char *json, size_t n, struct oauth_profile *out, struct err *err)
{
	auto_js *v = parse(json, n, JS_ARRAY, err);
	if (!v)
		return -1;
	js_each (it, v) {
		const char *email = js_str(js_get(it, "email"), "");
		if (js_bool(js_get(it, "primary"), false) && js_bool(js_get(it, "verified"), false) &&
			is_email(email, sizeof(out->email))) {
			str_copy(out->email, sizeof(out->email), email);
			return 0;
		}
	}
	return err_set(err, ERR_PROTOCOL, "no address is primary and verified");
}
