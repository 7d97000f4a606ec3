#include "cli/push.h"

#include <string.h>
#include <unistd.h>

#include "cli/render/text.h"
#include "shared/base/mem.h"

bool push_source(const char *text, char **sandbox, const char **path)
{
	size_t n = strcspn(text, ":/");
	if (n == 0 || text[n] != ':' || text[n + 1] != '/')
		return false;
	*sandbox = mem_strndup(text, n);
	*path = text + n + 1;
	return true;
}

js *push_folder(struct client *c, const struct push_request *q, struct err *err)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "path", q->path);
	if (q->label)
		jw_kstr(&w, "label", q->label);
	if (q->message)
		jw_kstr(&w, "message", q->message);
	if (q->expected)
		jw_kstr(&w, "expected", q->expected);
	const struct {
		const char *key;
		bool on;
	} flags[] = { { "force", q->force }, { "merge", q->merge }, { "detach", q->detach } };
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i].on)
			jw_kbool(&w, flags[i].key, true);
	jw_obj_end(&w);
	struct call call = { .op = SBX_OP_PUSH_SANDBOX_FS, .path = { q->sandbox }, .json = &body };
	int timeout = c->timeout_ms;
	c->timeout_ms = 0; /* nothing comes before all is stored */
	js *answer = client_json(c, &call, err);
	c->timeout_ms = timeout;
	return answer;
}

void push_summary(const struct cli *cli, const js *answer)
{
	int64_t files = 0, bytes = 0, removed = 0;
	auto_buf line = BUF_INIT;
	const char *label = js_str(js_get(answer, "label"), NULL);
	if (!isatty(STDERR_FILENO))
		return;
	js_int(js_get(answer, "files"), &files);
	js_int(js_get(answer, "bytes"), &bytes);
	js_int(js_get(answer, "removed"), &removed);
	if (label)
		buf_fmt(&line, "%s: ", label);
	buf_fmt(&line, "%s, %lld files, ", js_str(js_get(answer, "outcome"), ""), (long long)files);
	text_size(&line, bytes);
	if (removed)
		buf_fmt(&line, ", %lld removed", (long long)removed);
	buf_str(&line,
		js_bool(js_get(answer, "mounted"), false) ? " of changes" : " (all of the folder: no tree is mounted there)");
	cli_warn(cli, "%s", line.p);
}
