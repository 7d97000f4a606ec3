#include "cli/build/builder.h"

#include <stdlib.h>
#include <string.h>

#include "cli/session.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define LIFE_S 86400 /* it goes even if we are killed */
#define ETC_MAX ((size_t)1 << 20)

/* A call with this body, which may take as long as it takes; the answer, NULL with err. */
static js *call(struct builder *b, enum sbx_op op, const struct buf *body, struct err *err)
{
	struct call call = { .op = op, .path = { b->sandbox }, .json = body };
	return client_json(b->c, &call, err);
}

int builder_make(struct builder *b, const struct builder_start *start, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	if (start->snapshot)
		jw_kstr(&w, "snapshot", start->snapshot);
	else
		jw_kstr(&w, "image", start->image);
	if (start->memory_mb && !start->snapshot)
		jw_kint(&w, "memoryMb", start->memory_mb);
	if (start->vcpus && !start->snapshot)
		jw_kint(&w, "vcpus", start->vcpus);
	jw_kint(&w, "timeoutSeconds", LIFE_S);
	jw_kstr(&w, "net", "full");
	jw_key(&w, "labels");
	jw_obj(&w);
	jw_kstr(&w, "sbx", "build");
	jw_obj_end(&w);
	jw_obj_end(&w);
	struct call create = { .op = SBX_OP_CREATE_SANDBOX, .json = &body };
	auto_js *v = client_json(b->c, &create, err);
	if (!v) {
		client_close(b->c); /* an unanswered create is undone by the daemon when its client goes */
		return -1;
	}
	b->sandbox = mem_strdup(js_str(js_get(v, "id"), ""));
	return 0;
}

void builder_remove(struct builder *b)
{
	struct err err = ERR_INIT;
	int outer = b->c->cancel_fd;
	if (!b->sandbox)
		return;
	client_close(b->c); /* what is under way is over */
	b->c->cancel_fd = -1;
	struct call remove = { .op = SBX_OP_DELETE_SANDBOX, .path = { b->sandbox } };
	if (client_call(b->c, &remove, NULL, &err) && err.code != ERR_NOT_FOUND) {
		err_prefix(&err, "cannot remove the sandbox '%s' of the build", b->sandbox);
		err_hint(&err, "try: sbx rm %s", b->sandbox);
		cli_error(b->cli, &err);
	}
	b->c->cancel_fd = outer;
	free(b->sandbox);
	b->sandbox = NULL;
}

/* ---- commands ---- */

int builder_run(struct builder *b, const struct image_config *config, const struct strings *command, struct err *err)
{
	struct strings all;
	struct session_result result;
	strings_copy(&all, &config->args);
	for (size_t i = 0; i < config->env.n; i++) {
		const char *pair = config->env.v[i];
		strings_set(&all, pair, strcspn(pair, "="), strchr(pair, '=') + 1);
	}
	const struct opt_list env = { .v = all.v, .n = all.n };
	const struct session_config session = { .op = SBX_OP_STREAM_EXEC,
		.sandbox = b->sandbox,
		.command = command->v,
		.command_count = command->n,
		.env = &env,
		.cwd = *config->workdir ? config->workdir : "/",
		.user = *config->user ? config->user : NULL,
		.to_stderr = true,
		.escape = { .ch = ESCAPE_NONE } };
	int rc = session_run(b->c, &session, &result, err);
	strings_free(&all);
	return rc ? -1 : result.code;
}

int builder_test(struct builder *b, const char *command, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_key(&w, "command");
	jw_arr(&w);
	jw_str(&w, "/bin/sh");
	jw_str(&w, "-c");
	jw_str(&w, command);
	jw_arr_end(&w);
	jw_kstr(&w, "cwd", "/");
	jw_obj_end(&w);
	auto_js *v = call(b, SBX_OP_EXEC_COMMAND, &body, err);
	return v ? js_num(js_get(v, "exitCode"), 1) == 0 : -1;
}

/* ---- files ---- */

int builder_is_folder(struct builder *b, const char *path, struct err *err)
{
	auto_free char *through = mem_printf("%s/.", path);
	struct call stat = { .op = SBX_OP_STAT_FILE, .path = { b->sandbox }, .query = { { "path", through }, { "user", "0" } } };
	struct err why = ERR_INIT;
	auto_js *v = client_json(b->c, &stat, &why);
	if (v)
		return 1;
	/* nothing there, or something that is no folder */
	if (why.code == ERR_NOT_FOUND || why.code == ERR_INVALID)
		return 0;
	if (err)
		*err = why;
	return -1;
}

int builder_mkdir(struct builder *b, const char *path, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "path", path);
	jw_kbool(&w, "parents", true);
	jw_kstr(&w, "user", "0");
	jw_obj_end(&w);
	auto_js *v = call(b, SBX_OP_MAKE_DIRECTORY, &body, err);
	return v ? 0 : -1;
}

/* The third field of the line "name:...", as passwd and group have it. */
static int find_number(struct builder *b, const char *file, const char *name, int64_t *out, struct err *err)
{
	struct call read = { .op = SBX_OP_READ_FILE, .path = { b->sandbox }, .query = { { "path", file }, { "user", "0" } } };
	auto_buf text = BUF_INIT;
	char *save = NULL;
	struct err why = ERR_INIT;
	if (client_call(b->c, &read, &text, &why) && why.code != ERR_NOT_FOUND)
		return err_set(err, why.code, "cannot read %s in the image: %s", file, why.msg);
	size_t n = strlen(name);
	for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, name, n) != 0 || line[n] != ':')
			continue;
		char *number = strchr(line + n + 1, ':');
		if (!number)
			continue;
		number[1 + strcspn(number + 1, ":")] = '\0';
		return parse_int(number + 1, file, 0, UINT32_MAX, out, err);
	}
	return err_set(err, ERR_NOT_FOUND, "there is no '%s' in %s of the image", name, file);
}

static int number_of(struct builder *b, const char *file, const char *text, int64_t *out, struct err *err)
{
	if (*text && !text[strspn(text, "0123456789")])
		return parse_int(text, "owner", 0, UINT32_MAX, out, err);
	return find_number(b, file, text, out, err);
}

int builder_owner(struct builder *b, const char *text, struct context_owner *out, struct err *err)
{
	const char *colon = strchr(text, ':');
	auto_free char *user = mem_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	if (number_of(b, "/etc/passwd", user, &out->uid, err))
		return -1;
	out->gid = out->uid;
	return colon ? number_of(b, "/etc/group", colon + 1, &out->gid, err) : 0;
}

int builder_unpack_begin(struct builder *b, const char *folder, struct err *err)
{
	struct call upload = { .op = SBX_OP_UPLOAD_ARCHIVE,
		.path = { b->sandbox },
		.query = { { "path", folder }, { "owners", "true" }, { "user", "0" } },
		.stream = true };
	return client_begin(b->c, &upload, err);
}

int builder_unpack_feed(void *arg, const void *data, size_t n, struct err *err)
{
	struct builder *b = arg;
	return client_send(b->c, data, n, err);
}

int builder_unpack_end(struct builder *b, int rc, struct err *err)
{
	const char *data;
	size_t n;
	if (rc == 0)
		rc = client_send_end(b->c, err);
	/* 1: an answer that came early, which is an error's */
	if (rc >= 0)
		rc = client_head(b->c, err) ? -1 : rc;
	while (rc == 0 && client_read(b->c, &data, &n, err) == 1)
		;
	if (rc)
		client_close(b->c);
	return rc > 0 ? err_set(err, ERR_PROTOCOL, "the daemon answered before it had all") : rc;
}

/* ---- what becomes of it ---- */

int builder_snapshot(struct builder *b, const char *key, struct err *err)
{
	auto_buf body = BUF_INIT;
	auto_free char *name = mem_printf(BUILDER_SNAPSHOT "%.*s", BUILDER_KEY, key);
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_kbool(&w, "replace", true);
	jw_obj_end(&w);
	auto_js *v = call(b, SBX_OP_CREATE_SNAPSHOT, &body, err);
	return v ? 0 : -1;
}

js *builder_commit(struct builder *b, const struct image_config *config, const char *name, const char *source, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	int shell = builder_test(b, "true", err);
	int systemd = shell < 0 ? -1 : builder_test(b, "test -e /sbin/init && test -e /lib/systemd/systemd", err);
	if (systemd < 0)
		return NULL;
	auto_js *stopped = call(b, SBX_OP_STOP_SANDBOX, NULL, err);
	if (!stopped)
		return NULL;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "name", name);
	jw_kstr(&w, "source", source);
	jw_key(&w, "config");
	image_config_write(config, &w);
	jw_kbool(&w, "shell", shell == 1);
	jw_kbool(&w, "systemd", systemd == 1);
	jw_obj_end(&w);
	return call(b, SBX_OP_COMMIT_IMAGE, &body, err);
}
