/*
 * exec: a command run to its end, or started in the background.
 *
 * The answer may be several times as large as the output that it tells of (control characters become six bytes). It is made piece
 * by piece, and a large one leaves as it is made.
 */
#include "daemon/api/wrenn/process.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/b64.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum {
	TIMEOUT_S = 30,
	OUTPUT_MAX = 64 << 20, /* of both together */
	PIECE = 48 * 1024,     /* a multiple of 3, so that pieces of base64 need no padding */
	STREAM_MIN = 256 * 1024,
};

struct exec_call {
	struct http_req *req;
	struct execution *x;
	struct core *core;
	char capsule[UID_TEXT];
	char *cmd, *tag; /* tag: of one in the background */
	int64_t timeout_s;
	struct buf out[3]; /* by channel */
	struct exec_end end;
	/* the answer */
	bool text;
	enum exec_channel at; /* which output is being written */
	size_t done;	      /* of it */
};

static void exec_call_free(struct exec_call *c)
{
	execution_close(c->x);
	for (size_t i = 0; i < ARRAY_LEN(c->out); i++)
		buf_free(&c->out[i]);
	free(c->cmd);
	free(c->tag);
	free(c);
}

static void on_client_gone(struct http_req *r, bool delivered)
{
	(void)delivered;
	exec_call_free(http_user(r));
}

static void reply_refused(struct exec_call *c, const struct err *err)
{
	struct err said = *err;
	wrenn_refusal(&said);
	http_on_done(c->req, NULL);
	http_reply_err(c->req, &said);
	exec_call_free(c);
}

/* ---- the answer of one that ended ---- */

static void write_begin(const struct exec_call *c, struct buf *body)
{
	struct jw w;
	jw_init(&w, body);
	jw_obj(&w);
	wrenn_kid(&w, "sandbox_id", UID_CAPSULE, c->capsule);
	jw_kstr(&w, "cmd", c->cmd);
	jw_kstr(&w, "encoding", c->text ? "utf-8" : "base64");
	jw_kint(&w, "exit_code", wrenn_exit_code(&c->end));
	jw_kint(&w, "duration_ms", c->end.duration_us / 1000);
	buf_str(body, ",\"stdout\":\"");
}

/* The next piece of an output, without quotes. */
static void write_piece(struct exec_call *c, struct buf *body)
{
	const struct buf *out = &c->out[c->at];
	const char *from = out->p + c->done;
	size_t n = out->len - c->done;
	if (n > PIECE) {
		n = PIECE;
		while (c->text && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	c->done += n;
	if (!c->text) {
		b64_encode(body, from, n);
		return;
	}
	auto_buf quoted = BUF_INIT;
	struct jw w;
	jw_init(&w, &quoted);
	jw_strn(&w, from, n);
	if (!buf_failed(&quoted))
		buf_add(body, quoted.p + 1, quoted.len - 2);
	else
		body->failed = true;
}

/* False when that was all. */
static bool write_more(struct exec_call *c, struct buf *body)
{
	if (c->done < c->out[c->at].len) {
		write_piece(c, body);
		return true;
	}
	buf_free(&c->out[c->at]);
	c->done = 0;
	if (c->at == EXEC_STDERR) {
		buf_str(body, "\"}");
		return false;
	}
	c->at = EXEC_STDERR;
	buf_str(body, "\",\"stderr\":\"");
	return true;
}

static void stream_on(struct http_req *r)
{
	struct exec_call *c = http_user(r);
	size_t queued = 0;
	for (bool more = c->at <= EXEC_STDERR; more && queued <= HTTP_HIGH;) {
		auto_buf piece = BUF_INIT;
		more = write_more(c, &piece);
		queued = http_stream_write(r, piece.p, piece.len);
		if (buf_failed(&piece)) {
			http_stream_abort(r);
			return;
		}
		if (!more) {
			c->at = EXEC_STDERR + 1;
			http_stream_end(r);
		}
	}
}

static void reply_result(struct exec_call *c)
{
	auto_buf body = BUF_INIT;
	c->text = utf8_valid(c->out[EXEC_STDOUT].p, c->out[EXEC_STDOUT].len) &&
		utf8_valid(c->out[EXEC_STDERR].p, c->out[EXEC_STDERR].len);
	c->at = EXEC_STDOUT;
	write_begin(c, &body);
	if (c->out[EXEC_STDOUT].len + c->out[EXEC_STDERR].len > STREAM_MIN) {
		http_stream_begin(c->req, 200, "application/json", -1, stream_on);
		http_stream_write(c->req, body.p, body.len);
		stream_on(c->req); /* the rest in on_client_gone, when it is over */
		return;
	}
	while (write_more(c, &body))
		;
	http_on_done(c->req, NULL);
	http_reply_json(c->req, 200, &body);
	exec_call_free(c);
}

/* ---- one that is waited for ---- */

static void on_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct exec_call *c = arg;
	struct err err = ERR_INIT;
	if (c->out[EXEC_STDOUT].len + c->out[EXEC_STDERR].len + n > OUTPUT_MAX) {
		err_set(&err, ERR_TOO_LARGE, "the command printed more than %d MiB and was stopped", OUTPUT_MAX >> 20);
		err_hint(&err, "let it write to a file, or use exec/stream");
		err_word(&err, "upstream");
	} else {
		buf_add(&c->out[ch], data, n);
		execution_consumed(c->x, ch, n);
		if (buf_failed(&c->out[ch])) {
			err_set(&err, ERR_INTERNAL, "there is no memory for the command's output");
			err_word(&err, "upstream");
		}
	}
	if (err.code == ERR_OK)
		return;
	http_on_done(c->req, NULL);
	http_reply_err(c->req, &err);
	exec_call_free(c); /* which kills it */
}

static void on_end(void *arg, const struct exec_end *end)
{
	struct exec_call *c = arg;
	struct err err = ERR_INIT;
	struct sandbox *sb = wrenn_find(c->core, c->capsule);
	if (sb)
		sandbox_touch(sb);
	execution_close(c->x);
	c->x = NULL;
	c->end = *end;
	if (end->timed_out)
		err_set(&err, ERR_TIMEOUT, "the command took longer than %lld s and was stopped", (long long)c->timeout_s);
	if (end->timed_out)
		reply_refused(c, &err);
	else if (end->failed)
		reply_refused(c, &end->err);
	else
		reply_result(c);
}

static const struct exec_ops ops = { .on_data = on_data, .on_end = on_end };

/* ---- one in the background ---- */

static void reply_background(struct exec_call *c, int64_t pid)
{
	auto_buf body = BUF_INIT;
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	wrenn_kid(&w, "sandbox_id", UID_CAPSULE, c->capsule);
	jw_kstr(&w, "cmd", c->cmd);
	jw_kint(&w, "pid", pid);
	jw_kstr(&w, "tag", c->tag);
	jw_obj_end(&w);
	http_on_done(c->req, NULL);
	http_reply_json(c->req, 202, &body);
	exec_call_free(c); /* which leaves it */
}

static void on_background_start(void *arg, const struct exec_start *start)
{
	reply_background(arg, start->pid);
}

static void on_background_data(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct exec_call *c = arg;
	(void)data;
	execution_consumed(c->x, ch, n);
}

/* It never ran. */
static void on_background_end(void *arg, const struct exec_end *end)
{
	struct exec_call *c = arg;
	if (end->failed)
		reply_refused(c, &end->err);
	else
		reply_background(c, end->pid);
}

static const struct exec_ops background_ops = {
	.on_start = on_background_start,
	.on_data = on_background_data,
	.on_end = on_background_end,
};

static int read_tag(struct exec_call *c, const char *tag, struct err *err)
{
	char made[WRENN_TAG_MAX];
	size_t n = strlen(tag);
	if (n == 0) {
		wrenn_tag("proc-", made);
		tag = made;
	}
	for (size_t i = 0; i < n; i++)
		if (n >= WRENN_TAG_MAX || (!isalnum((unsigned char)tag[i]) && !strchr("._-", tag[i])))
			return err_set(
				err, ERR_INVALID, "'tag' must be 1 to %d letters, digits, '.', '_' and '-'", WRENN_TAG_MAX - 1);
	c->tag = mem_strdup(tag);
	return 0;
}

/* ---- both ---- */

static int start(struct exec_call *c, struct sandbox *sb, const js *body, struct err *err)
{
	struct wrenn_process p;
	bool background = js_bool(js_get(body, "background"), false);
	int rc = wrenn_process_read(&p, sb, body, NULL, err);
	if (rc == 0 && background)
		rc = read_tag(c, js_str(js_get(body, "tag"), ""), err);
	if (rc == 0) {
		c->cmd = mem_strdup(p.command[0]);
		p.spec.session = c->tag;
		p.spec.pipes = background;
		p.spec.no_input = true;
		p.spec.timeout_ms = background ? 0 : c->timeout_s * 1000;
		c->x = execution_command(sb, &p.spec, background ? &background_ops : &ops, c, err);
		rc = c->x ? 0 : -1;
	}
	wrenn_process_free(&p);
	return rc;
}

void wrenn_execCommand(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	struct err err = ERR_INIT;
	int64_t timeout_s = 0;
	if (!sb)
		return;
	struct exec_call *c = mem_zalloc(sizeof(*c));
	js_int(js_get(http_body(r), "timeout_sec"), &timeout_s);
	*c = (struct exec_call){ .req = r,
		.core = wrenn_core(r),
		.timeout_s = timeout_s <= 0	? TIMEOUT_S
			: timeout_s < INT32_MAX ? timeout_s
						: INT32_MAX,
		.out = { BUF_INIT, BUF_INIT, BUF_INIT } };
	str_copy(c->capsule, sizeof(c->capsule), sandbox_row(sb)->id);
	if (start(c, sb, http_body(r), &err)) {
		reply_refused(c, &err);
		return;
	}
	http_set_user(r, c);
	http_on_done(r, on_client_gone);
}
