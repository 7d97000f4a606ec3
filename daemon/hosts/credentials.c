#include "daemon/hosts/credentials.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { FILE_MAX = 64 * 1024, ID_MAX = 64 };

enum kind {
	TEXT_ID,   /* stands in paths */
	TEXT_WORD, /* in headers */
	TEXT_PEM,
};

struct field {
	const char *key;
	char **member;
	enum kind kind;
	bool optional;
};
enum { FIELDS = 9 };

static bool has_only(const char *text, const char *good)
{
	return text[strspn(text, good)] == '\0';
}

static bool is_good(const char *text, enum kind kind)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	if (!text || !*text)
		return false;
	if (kind == TEXT_ID)
		return strlen(text) <= ID_MAX && has_only(text, letters);
	for (; *text; text++)
		if (kind == TEXT_WORD && (*text <= ' ' || *text > '~'))
			return false;
	return true;
}

static void list_fields(struct credentials *c, struct field out[FIELDS])
{
	const struct field all[FIELDS] = {
		{ "control", &c->control, TEXT_WORD, false },
		{ "id", &c->id, TEXT_ID, false },
		{ "address", &c->address, TEXT_WORD, false },
		{ "token", &c->token, TEXT_WORD, false },
		{ "refresh_token", &c->refresh_token, TEXT_WORD, false },
		{ "request", &c->request, TEXT_WORD, true },
		{ "cert_pem", &c->cert, TEXT_PEM, false },
		{ "key_pem", &c->key, TEXT_PEM, false },
		{ "ca_cert_pem", &c->ca, TEXT_PEM, false },
	};
	for (size_t i = 0; i < FIELDS; i++)
		out[i] = all[i];
}

void credentials_free(struct credentials *c)
{
	struct field fields[FIELDS];
	list_fields(c, fields);
	for (size_t i = 0; i < FIELDS; i++)
		free(*fields[i].member);
	*c = (struct credentials){ 0 };
}

static int damaged(struct err *err, const char *path, const char *what)
{
	err_set(err, ERR_INVALID, "'%s' is damaged: %s", path, what);
	return err_hint(err, "remove it, and register the host anew with a token of: sbx host add");
}

static int take_fields(struct credentials *c, const js *doc, const char *path, struct err *err)
{
	struct field fields[FIELDS];
	list_fields(c, fields);
	for (size_t i = 0; i < FIELDS; i++) {
		const js *value = js_get(doc, fields[i].key);
		const char *text = js_str(value, NULL);
		auto_free char *what = mem_printf("it has no good '%s'", fields[i].key);
		if (!is_good(text, fields[i].kind) && (value || !fields[i].optional))
			return damaged(err, path, what);
		*fields[i].member = text ? mem_strdup(text) : NULL;
	}
	return js_int(js_get(doc, "issued_ms"), &c->issued_ms) ? damaged(err, path, "it has no good 'issued_ms'") : 0;
}

int credentials_read(const char *home, struct credentials *out, struct err *err)
{
	auto_free char *path = fs_join(home, "host.json");
	auto_buf text = BUF_INIT;
	struct err why = ERR_INIT;
	*out = (struct credentials){ 0 };
	if (fs_read(path, FILE_MAX, &text, &why)) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		if (why.code == ERR_TOO_LARGE)
			return damaged(err, path, "it is too large");
		if (err)
			*err = why;
		return -1;
	}
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, &why);
	if (!doc)
		return damaged(err, path, why.msg);
	return take_fields(out, doc, path, err) ? -1 : 1;
}

int credentials_write(const char *home, const struct credentials *c, struct err *err)
{
	struct credentials all = *c;
	struct field fields[FIELDS];
	auto_free char *path = fs_join(home, "host.json");
	auto_buf text = BUF_INIT;
	struct jw w;
	list_fields(&all, fields);
	jw_init(&w, &text);
	jw_obj(&w);
	for (size_t i = 0; i < FIELDS; i++)
		if (*fields[i].member)
			jw_kstr(&w, fields[i].key, *fields[i].member);
	jw_kint(&w, "issued_ms", c->issued_ms);
	jw_obj_end(&w);
	buf_ch(&text, '\n');
	if (buf_failed(&text))
		return err_set(err, ERR_INTERNAL, "no memory for '%s'", path);
	return fs_write_atomic(path, text.p, text.len, 0600, err);
}

bool credentials_exist(const char *home)
{
	auto_free char *path = fs_join(home, "host.json");
	return fs_exists(path);
}

int credentials_remove(const char *home, struct err *err)
{
	auto_free char *path = fs_join(home, "host.json");
	return unlink(path) && errno != ENOENT ? err_sys(err, errno, "cannot remove '%s'", path) : 0;
}

int credentials_take(struct credentials *c, const js *answer, struct err *err)
{
	const struct {
		char **member;
		enum kind kind;
		const char *text;
	} news[] = {
		{ &c->id, TEXT_ID, js_str(js_get(js_get(answer, "host"), "id"), NULL) },
		{ &c->token, TEXT_WORD, js_str(js_get(answer, "token"), NULL) },
		{ &c->refresh_token, TEXT_WORD, js_str(js_get(answer, "refresh_token"), NULL) },
		{ &c->cert, TEXT_PEM, js_str(js_get(answer, "cert_pem"), NULL) },
		{ &c->key, TEXT_PEM, js_str(js_get(answer, "key_pem"), NULL) },
		{ &c->ca, TEXT_PEM, js_str(js_get(answer, "ca_cert_pem"), NULL) },
	};
	for (size_t i = 0; i < ARRAY_LEN(news); i++)
		if (!is_good(news[i].text, news[i].kind))
			return err_set(err, ERR_PROTOCOL, "the control plane's answer is not as it must be");
	for (size_t i = 0; i < ARRAY_LEN(news); i++) {
		free(*news[i].member);
		*news[i].member = mem_strdup(news[i].text);
	}
	free(mem_steal(&c->request));
	c->issued_ms = clock_wall_ms();
	return 0;
}
