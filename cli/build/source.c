#include "cli/build/source.h"

#include <stdio.h>
#include <string.h>

#include "cli/ndjson.h"
#include "cli/registry_login.h"
#include "cli/term/status.h"
#include "shared/base/mem.h"

struct making {
	struct status status;
	js *image; /* NULL until it is done */
};

static int on_event(void *arg, const js *event, struct err *err)
{
	struct making *m = arg;
	auto_buf text = BUF_INIT;
	struct jw w;
	if (js_get(event, "error"))
		return client_api_error(js_get(event, "error"), 500, err);
	if (!js_bool(js_get(event, "done"), false)) {
		status_set(&m->status, "%s: %s", js_str(js_get(event, "phase"), ""), js_str(js_get(event, "message"), ""));
		return 0;
	}
	jw_init(&w, &text);
	jw_js(&w, js_get(event, "image"));
	m->image = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	return m->image ? 0 : -1;
}

/* A call that makes an image, with progress. */
static js *make(struct client *c, const struct call *call, struct err *err)
{
	struct making m = { .image = NULL };
	status_init(&m.status);
	int rc = ndjson_call(c, call, on_event, &m, err);
	status_clear(&m.status);
	if (rc == 0 && !m.image)
		err_set(err, ERR_PROTOCOL, "the daemon did not say how it ended");
	return m.image;
}

static js *pull(struct client *c, const char *reference, struct err *err)
{
	struct registry_login login;
	auto_buf body = BUF_INIT;
	struct jw w;
	int rc = registry_login_find(reference, NULL, NULL, &login, err);
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "reference", reference);
	if (rc == 0 && login.user.len) {
		jw_kstr(&w, "username", login.user.p);
		jw_kstr(&w, "password", login.password.p);
	}
	jw_obj_end(&w);
	registry_login_free(&login);
	if (rc)
		return NULL;
	(void)fprintf(stderr, "pulling '%s'\n", reference);
	struct call call = { .op = SBX_OP_PULL_IMAGE, .json = &body };
	return make(c, &call, err);
}

static js *find(struct client *c, const char *reference, struct err *err)
{
	struct err why = ERR_INIT;
	struct call get = { .op = SBX_OP_GET_IMAGE, .path = { reference } };
	struct call build = { .op = SBX_OP_BUILD_IMAGE, .path = { reference } };
	auto_js *image = strchr(reference, '/') ? NULL : client_json(c, &get, &why);
	if (!image && why.code != ERR_OK && why.code != ERR_NOT_FOUND && why.code != ERR_INVALID) {
		if (err)
			*err = why;
		return NULL;
	}
	if (!image)
		return pull(c, reference, err);
	/* one that is made by a recipe has a key when it is built, and another when the recipe has changed */
	return js_get(image, "digest") ? mem_steal(&image) : make(c, &build, err);
}

int source_find(struct client *c, const char *reference, char **name, char **digest, struct image_config *config, struct err *err)
{
	auto_js *image = find(c, reference, err);
	if (!image)
		return -1;
	const char *own = js_str(js_get(image, "digest"), NULL);
	*name = mem_strdup(own ? own : js_str(js_get(image, "name"), reference));
	*digest = mem_strdup(own ? own : js_str(js_get(image, "key"), ""));
	image_config_read(js_get(image, "config"), config);
	return 0;
}
