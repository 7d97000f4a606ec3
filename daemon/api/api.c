#include "daemon/api/api.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "shared/base/mem.h"

enum { COLLECT_MAX = 16 << 20 };

/* ---- a sandbox that may have to be woken ---- */

static void on_awake(void *arg, struct sandbox *sb, const struct err *err)
{
	struct call *call = arg;
	struct http_req *r = call_end(call);

	(void)sb;
	free(call);
	if (r && err)
		http_reply_err(r, err);
	else if (r)
		http_again(r);
}

static void on_settled(void *arg, struct sandbox *sb, const struct err *err)
{
	(void)err; /* whatever it is now, the handler will see */
	on_awake(arg, sb, NULL);
}

struct sandbox *api_settle(struct http_req *r, struct sandbox *sb)
{
	struct call *call = call_new(r);
	if (sandbox_settling(sb, on_settled, call))
		return NULL;
	call_end(call);
	free(call);
	return sb;
}

struct sandbox *api_wake(struct http_req *r, struct sandbox *sb)
{
	struct err err = ERR_INIT;

	if (!sandbox_usable(sb, &err))
		return sb;
	err_clear(&err);
	struct call *call = call_new(r);
	int rc = sandbox_wake(sb, on_awake, call, &err);
	if (rc == 1)
		return NULL;
	call_end(call);
	free(call);
	if (rc == 0)
		return sb;
	http_reply_err(r, &err);
	return NULL;
}

/* ---- lists ---- */

void api_write_pairs(struct jw *w, const char *key, char *const *list)
{
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; list && list[i]; i++) {
		const char *eq = strchr(list[i], '=');
		auto_free char *name = mem_strndup(list[i], eq ? (size_t)(eq - list[i]) : strlen(list[i]));
		jw_kstr(w, name, eq ? eq + 1 : "");
	}
	jw_obj_end(w);
}

char **api_pairs(const js *obj)
{
	if (js_type(obj) != JS_OBJECT)
		return NULL;
	char **list = mem_array(js_count(obj) + 1, sizeof(*list));
	size_t n = 0;
	js_each (it, obj)
		list[n++] = mem_printf("%s=%s", js_key(it), js_str(it, ""));
	return list;
}

char **api_strings(const js *arr)
{
	if (js_type(arr) != JS_ARRAY)
		return NULL;
	char **list = mem_array(js_count(arr) + 1, sizeof(*list));
	size_t n = 0;
	js_each (it, arr)
		list[n++] = mem_strdup(js_str(it, ""));
	return list;
}

char **api_words(const char *text)
{
	char **list = NULL;
	for (size_t n = 0; text && *text; n++) {
		size_t len = strcspn(text, ",");
		list = mem_grow(list, n + 2, sizeof(*list));
		list[n] = mem_strndup(text, len);
		list[n + 1] = NULL;
		text += len + (text[len] == ',');
	}
	return list;
}

void api_free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

int api_signal(const char *word)
{
	static const struct {
		const char *word;
		int signo;
	} signals[] = {
		{ "HUP", SIGHUP },
		{ "INT", SIGINT },
		{ "QUIT", SIGQUIT },
		{ "KILL", SIGKILL },
		{ "TERM", SIGTERM },
		{ "USR1", SIGUSR1 },
		{ "USR2", SIGUSR2 },
		{ "STOP", SIGSTOP },
		{ "CONT", SIGCONT },
		{ "TSTP", SIGTSTP },
		{ "WINCH", SIGWINCH },
		{ "ALRM", SIGALRM },
	};
	for (size_t i = 0; word && i < ARRAY_LEN(signals); i++)
		if (!strcmp(signals[i].word, word))
			return signals[i].signo;
	return SIGTERM;
}

/* ---- collecting a small answer ---- */

static void collect_end(struct collect *c)
{
	execution_close(c->x);
	buf_free(&c->out);
	free(c);
}

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct collect *c = arg;
	if (ch == EXEC_STDOUT && c->out.len + n <= COLLECT_MAX)
		buf_add(&c->out, data, n);
	else if (ch == EXEC_STDOUT)
		c->too_large = true;
	execution_consumed(c->x, ch, n);
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct collect *c = arg;
	struct err err = end->err;
	bool failed = end->failed;
	if (!failed && (c->too_large || buf_failed(&c->out))) {
		failed = true;
		err_set(&err, ERR_TOO_LARGE, "the answer of the guest is over %d MiB", COLLECT_MAX >> 20);
	}
	http_on_done(c->req, NULL);
	c->done(c, failed ? &err : NULL);
	collect_end(c);
}

const struct exec_ops collect_ops = { .on_data = on_data, .on_end = on_end };

/* The client went away first. */
static void on_done(struct http_req *r, bool delivered)
{
	(void)delivered;
	collect_end(http_user(r));
}

struct collect *collect_new(struct http_req *r, void (*done)(struct collect *c, const struct err *err))
{
	struct collect *c = mem_zalloc(sizeof(*c));
	c->req = r;
	c->done = done;
	buf_init(&c->out);
	return c;
}

void collect_run(struct collect *c, struct execution *x, const struct err *err)
{
	if (!x) {
		http_reply_err(c->req, err);
		collect_end(c);
		return;
	}
	c->x = x;
	execution_eof(x);
	http_set_user(c->req, c);
	http_on_done(c->req, on_done);
}
