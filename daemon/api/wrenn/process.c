#include "daemon/api/wrenn/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

struct sandbox *wrenn_find(struct core *core, const char *id)
{
	struct sandbox *sb = sandbox_find(core, TEAM_ANY, id, NULL);
	return sb && !strcmp(sandbox_row(sb)->id, id) ? sb : NULL;
}

/* ---- how one is started ---- */

static bool is_absent(const js *v)
{
	return js_type(v) == JS_NULL;
}

static bool all_strings(const js *v, enum js_type kind)
{
	if (is_absent(v))
		return true;
	if (js_type(v) != kind)
		return false;
	js_each (it, v)
		if (js_type(it) != JS_STRING)
			return false;
	return true;
}

static int check(const js *m, struct err *err)
{
	const js *cwd = js_get(m, "cwd");
	if (!all_strings(js_get(m, "args"), JS_ARRAY))
		return err_set(err, ERR_INVALID, "'args' must be an array of strings");
	if (!all_strings(js_get(m, "envs"), JS_OBJECT))
		return err_set(err, ERR_INVALID, "'envs' must be an object of strings");
	if (!is_absent(cwd) && js_type(cwd) != JS_STRING)
		return err_set(err, ERR_INVALID, "'cwd' must be a string");
	return 0;
}

static char **make_command(const char *cmd, const js *args)
{
	char **list = mem_array(js_count(args) + 2, sizeof(*list));
	size_t n = 0;
	list[n++] = mem_strdup(cmd);
	js_each (it, args)
		list[n++] = mem_strdup(js_str(it, ""));
	return list;
}

/* Ours first: what the client sets goes over it. */
static char **make_env(const struct sandbox *sb, const js *envs)
{
	const struct db_sandbox *row = sandbox_row(sb);
	char id[UID_TEXT];
	char **list = mem_array(js_count(envs) + 4, sizeof(*list));
	size_t n = 0;
	list[n++] = mem_strdup("WRENN_SANDBOX=true");
	list[n++] = mem_printf("WRENN_SANDBOX_ID=%s", uid_format(UID_CAPSULE, row->id, id));
	list[n++] = mem_printf("WRENN_TEMPLATE_ID=%s", row->template ? row->template : row->image);
	js_each (it, envs)
		list[n++] = mem_printf("%s=%s", js_key(it), js_str(it, ""));
	return list;
}

int wrenn_process_read(struct wrenn_process *p, const struct sandbox *sb, const js *m, const char *def, struct err *err)
{
	const js *given = js_get(m, "cmd");
	const char *cmd = is_absent(given) ? def : js_str(given, NULL);
	if (cmd && !*cmd)
		cmd = def;
	*p = (struct wrenn_process){ .command = NULL };
	if (!cmd || !*cmd)
		return err_set(err, ERR_INVALID, "'cmd' is required");
	if (check(m, err))
		return -1;
	p->command = make_command(cmd, js_get(m, "args"));
	p->env = make_env(sb, js_get(m, "envs"));
	p->spec = (struct exec_spec){
		.command = p->command,
		.env = p->env,
		.cwd = js_str(js_get(m, "cwd"), ""), /* empty: root's home */
		.user = "root",
	};
	return 0;
}

void wrenn_process_free(struct wrenn_process *p)
{
	api_free_list(p->command);
	api_free_list(p->env);
}

void wrenn_tag(const char *prefix, char out[WRENN_TAG_MAX])
{
	size_t n = strlen(prefix);
	str_copy(out, WRENN_TAG_MAX, prefix);
	rand_hex(out + n, 8);
}

/* ---- how it ended ---- */

int wrenn_exit_code(const struct exec_end *end)
{
	return end->signal ? -1 : end->code;
}

void wrenn_refusal(struct err *err)
{
	bool folder = err->sys == ENOENT || err->sys == ENOTDIR || err->sys == EACCES;
	if (folder || err->code == ERR_TOO_LARGE)
		err->code = ERR_INVALID; /* nothing else of a command is looked up before it runs */
	else if (err->code != ERR_STATE && err->code != ERR_CONFLICT && err->code != ERR_INVALID)
		err_word(err, "upstream");
}

/* ---- its output on a WebSocket ---- */

void wrenn_peer_init(struct wrenn_peer *p, struct http_req *r)
{
	p->core = wrenn_core(r);
	str_copy(p->capsule, sizeof(p->capsule), wrenn_uid(r, UID_CAPSULE, "id"));
}

void wrenn_message(struct jw *w, struct buf *text, const char *type)
{
	jw_init(w, text);
	jw_obj(w);
	jw_kstr(w, "type", type);
}

void wrenn_peer_send(struct wrenn_peer *p, struct jw *w)
{
	jw_obj_end(w);
	if (!buf_failed(w->out))
		ws_send(p->ws, true, w->out->p, w->out->len);
}

void wrenn_peer_drained(struct wrenn_peer *p)
{
	for (int ch = EXEC_STDOUT; p->x && ch <= EXEC_STDERR; ch++) {
		if (p->unconsumed[ch])
			execution_consumed(p->x, (enum exec_channel)ch, p->unconsumed[ch]);
		p->unconsumed[ch] = 0;
	}
}

void wrenn_peer_sent(struct wrenn_peer *p, enum exec_channel ch, size_t n)
{
	p->unconsumed[ch] += n;
	if (ws_queued(p->ws) <= HTTP_HIGH)
		wrenn_peer_drained(p);
}

void wrenn_peer_exit(struct wrenn_peer *p, const struct exec_end *end)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	wrenn_message(&w, &text, "exit");
	jw_kint(&w, "exit_code", wrenn_exit_code(end));
	wrenn_peer_send(p, &w);
}

void wrenn_peer_leave(struct wrenn_peer *p)
{
	struct sandbox *sb = p->x ? wrenn_find(p->core, p->capsule) : NULL;
	if (sb)
		sandbox_touch(sb);
	execution_close(p->x);
	p->x = NULL;
}
