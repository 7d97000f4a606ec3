#include "daemon/hosts/credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { FILE_MAX = 64 * 1024 };

struct field {
	const char *key;
	char **member;
	bool optional;
};
enum { FIELDS = 9 };

static void list_fields(struct credentials *c, struct field out[FIELDS])
{
	const struct field all[FIELDS] = {
		{ "control", &c->control, false },
		{ "id", &c->id, false },
		{ "address", &c->address, false },
		{ "token", &c->token, false },
		{ "refresh_token", &c->refresh_token, false },
		{ "request", &c->request, true },
		{ "cert_pem", &c->cert, false },
		{ "key_pem", &c->key, false },
		{ "ca_cert_pem", &c->ca, false },
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

static int take_fields(struct credentials *c, const js *doc, const char *path, struct err *err)
{
	struct field fields[FIELDS];
	list_fields(c, fields);
	for (size_t i = 0; i < FIELDS; i++) {
		const char *text = js_str(js_get(doc, fields[i].key), NULL);
		if (!text && !fields[i].optional) {
			err_set(err, ERR_INVALID, "'%s' is damaged: it has no '%s'", path, fields[i].key);
			return err_hint(err, "remove it, and register the host anew with a token of: sbx host add");
		}
		*fields[i].member = text ? mem_strdup(text) : NULL;
	}
	return js_int(js_get(doc, "issued_ms"), &c->issued_ms) ? err_set(err, ERR_INVALID, "'%s' is damaged", path) : 0;
}

int credentials_read(const char *home, struct credentials *out, struct err *err)
{
	auto_free char *path = fs_join(home, "host.json");
	auto_buf text = BUF_INIT;
	*out = (struct credentials){ 0 };
	if (!fs_exists(path))
		return 0;
	if (fs_read(path, FILE_MAX, &text, err))
		return -1;
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return err_prefix(err, "'%s'", path);
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

int credentials_remove(const char *home, struct err *err)
{
	auto_free char *path = fs_join(home, "host.json");
	return unlink(path) && errno != ENOENT ? err_sys(err, errno, "cannot remove '%s'", path) : 0;
}

int credentials_take(struct credentials *c, const js *answer, struct err *err)
{
	const struct {
		char **member;
		const char *text;
	} news[] = {
		{ &c->id, js_str(js_get(js_get(answer, "host"), "id"), NULL) },
		{ &c->token, js_str(js_get(answer, "token"), NULL) },
		{ &c->refresh_token, js_str(js_get(answer, "refresh_token"), NULL) },
		{ &c->cert, js_str(js_get(answer, "cert_pem"), NULL) },
		{ &c->key, js_str(js_get(answer, "key_pem"), NULL) },
		{ &c->ca, js_str(js_get(answer, "ca_cert_pem"), NULL) },
	};
	for (size_t i = 0; i < ARRAY_LEN(news); i++)
		if (!news[i].text)
			return err_set(err, ERR_PROTOCOL, "the control plane's answer is not as it must be");
	for (size_t i = 0; i < ARRAY_LEN(news); i++) {
		free(*news[i].member);
		*news[i].member = mem_strdup(news[i].text);
	}
	free(mem_steal(&c->request));
	c->issued_ms = clock_wall_ms();
	return 0;
}
