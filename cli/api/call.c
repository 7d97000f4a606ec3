#include "cli/api/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api/answer.h"
#include "cli/api/body.h"
#include "cli/api/channel.h"
#include "cli/api/describe.h"
#include "cli/api/target.h"
#include "cli/api/upload.h"
#include "cli/render/text.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define ANSWER_MAX ((size_t)64 << 20)

/* clang-format off */
#define COMMON_ROWS \
	{ .kind = OPT_STR, .name = "input", .arg = "FILE", .help = "body as JSON or YAML, options go over it; - is stdin", \
		.off = offsetof(struct call_options, input) }, \
	{ .kind = OPT_LIST, .name = "null", .arg = "OPTION", .help = "send null for this option, repeatable", \
		.off = offsetof(struct call_options, nulls) }, \
	{ .kind = OPT_STR, .name = "output-file", .arg = "FILE", .help = "write the answer there as it comes", \
		.off = offsetof(struct call_options, output_file) }, \
	{ .kind = OPT_STR, .name = "base-url", .arg = "URL", .help = "server to call", \
		.off = offsetof(struct call_options, base_url) }, \
	{ .kind = OPT_BOOL, .letter = 'v', .name = "verbose", .help = "show method, address and status on standard error", \
		.off = offsetof(struct call_options, verbose) }
/* clang-format on */

const struct opt call_table[] = { COMMON_ROWS, { .kind = OPT_END } };

const struct opt call_ws_table[] = {
	{ .kind = OPT_LIST,
		.name = "send",
		.arg = "TEXT",
		.help = "send this message first, repeatable",
		.off = offsetof(struct call_options, sends) },
	{ .kind = OPT_BOOL,
		.letter = 'i',
		.name = "stdin",
		.help = "send each line of standard input as a message",
		.off = offsetof(struct call_options, stdin_too) },
	COMMON_ROWS,
	{ .kind = OPT_END },
};

/* ---- the request ---- */

struct pending {
	struct target target;
	struct buf path; /* with the query */
	struct buf body;
	struct upload upload;
	struct kv headers[32];
	char *values[32]; /* of them */
	size_t header_count;
	struct request rq;
};

static void add_query(struct buf *path, const char *key, const char *value)
{
	buf_ch(path, strchr(path->p, '?') ? '&' : '?');
	buf_url(path, key);
	buf_ch(path, '=');
	buf_url(path, value);
}

/* One value, or the list of a repeated option: a=1&a=2, or a=1,2 where the contract wants that. */
static int query_flag(const struct api_flags *f, const struct api_flag *flag, struct buf *path, struct err *err)
{
	const struct opt_list *values = api_flag_values(f, flag);
	const char *name = ct_s(f->c, flag->param->name);
	if (!api_flag_repeats(f->c, flag)) {
		auto_free char *text = body_text(f, flag, err);
		if (!text)
			return err->code == ERR_OK ? 0 : -1;
		add_query(path, name, text);
		return body_check_param(f, flag, text, err);
	}
	auto_buf joined = BUF_INIT;
	for (size_t i = 0; i < values->n; i++) {
		if (flag->param->explode && body_check_param(f, flag, values->v[i], err))
			return -1;
		if (flag->param->explode)
			add_query(path, name, values->v[i]);
		buf_fmt(&joined, "%s%s", i ? "," : "", values->v[i]);
	}
	if (values->n == 0 || flag->param->explode)
		return 0;
	add_query(path, name, joined.p);
	return body_check_param(f, flag, joined.p, err);
}

static int header_flag(const struct api_flags *f, const struct api_flag *flag, struct pending *p, struct err *err)
{
	auto_free char *text = body_text(f, flag, err);
	if (!text)
		return err->code == ERR_OK ? 0 : -1;
	if (body_check_param(f, flag, text, err))
		return -1;
	if (p->header_count == ARRAY_LEN(p->headers))
		return err_set(err, ERR_USAGE, "too many headers");
	p->values[p->header_count] = mem_steal(&text);
	p->headers[p->header_count] = (struct kv){ ct_s(f->c, flag->param->name), p->values[p->header_count] };
	p->header_count++;
	return 0;
}

static bool sends_raw(const struct api_flags *f)
{
	const struct api_flag *file = f->raw ? api_flag_find(f, "file") : NULL;
	return file && (api_flag_values(f, file)->n > 0 || !f->body);
}

static int check_required(const struct api_flags *f, bool raw, struct err *err)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct api_flag *flag = &f->v[i];
		bool param = flag->place == FLAG_QUERY || flag->place == FLAG_HEADER;
		bool part = flag->place == FLAG_BODY && f->body->kind == CT_BODY_MULTIPART && !raw;
		bool file = flag->place == FLAG_FILE && raw;
		bool twin = flag->secret && i + 1 < f->n && f->values[i + 1].n > 0;
		if (!flag->required || !(param || part || file) || api_flag_values(f, flag)->n > 0 || twin)
			continue;
		/* what a routing scheme asks for may come from the environment */
		err_set(err, ERR_USAGE, "option '--%s' is required", flag->name);
		return err_hint(err, "%s", flag->about);
	}
	return 0;
}

static int add_params(const struct api_flags *f, struct pending *p, bool raw, struct err *err)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct api_flag *flag = &f->v[i];
		bool query = flag->place == FLAG_QUERY || (raw && flag->place == FLAG_BODY && flag->param);
		if (flag->from_file)
			continue;
		if (query && query_flag(f, flag, &p->path, err))
			return -1;
		if (flag->place == FLAG_HEADER && header_flag(f, flag, p, err))
			return -1;
		if (raw && !query && flag->place == FLAG_BODY && api_flag_values(f, flag)->n > 0)
			return err_set(err, ERR_USAGE, "option '--%s' does not go with --file", flag->name);
	}
	for (size_t i = 0; i < p->target.query_count; i++)
		add_query(&p->path, p->target.query[i].key, p->target.query[i].value);
	return 0;
}

static int add_body(const struct api_flags *f, const struct call_options *o, struct pending *p, bool raw, struct err *err)
{
	if (raw)
		return upload_file(&p->upload, f, &p->rq, err);
	if (!f->body)
		return 0;
	p->rq.media = ct_s(f->c, f->body->media);
	if (f->body->kind == CT_BODY_MULTIPART)
		return upload_form(&p->upload, f, &p->rq, err);
	auto_js *input = o->input ? body_input(o->input, err) : NULL;
	if (o->input && !input)
		return -1;
	p->rq.body = &p->body;
	return body_json(f, input, &o->nulls, &p->body, err);
}

static void add_headers(struct pending *p)
{
	const struct target *t = &p->target;
	size_t own = p->header_count;
	for (size_t i = 0; i < t->header_count && p->header_count < ARRAY_LEN(p->headers); i++) {
		bool said = false; /* by a flag */
		for (size_t k = 0; k < own; k++)
			said = said || strcasecmp(p->headers[k].key, t->headers[i].key) == 0;
		if (!said)
			p->headers[p->header_count++] = t->headers[i];
	}
	p->rq.headers = p->headers;
	p->rq.header_count = p->header_count;
}

static bool is_stdin(const char *path)
{
	return path && (strcmp(path, "-") == 0 || strcmp(path, "@-") == 0);
}

/* How often standard input would be read. */
static size_t stdin_readers(const struct api_flags *f, const struct call_options *o)
{
	size_t n = (size_t)is_stdin(o->input) + o->stdin_too;
	for (size_t i = 0; i < f->n; i++) {
		for (size_t k = 0; (f->v[i].from_file || api_flag_is_binary(f->c, &f->v[i])) && k < f->values[i].n; k++)
			n += is_stdin(f->values[i].v[k]);
	}
	return n;
}

/* Common options that would have no effect are a mistake. */
static int check_options(const struct api_flags *f, const struct call_options *o, bool raw, struct err *err)
{
	bool json = f->body && f->body->kind == CT_BODY_JSON;
	const char *lost = o->input ? "--input" : o->nulls.n > 0 ? "--null" : NULL;
	if (lost && !json)
		return err_set(err, ERR_USAGE, "this command takes no %s", lost);
	if (lost && raw)
		return err_set(err, ERR_USAGE, "option '%s' does not go with --file", lost);
	if (o->output_file && (f->op->flags & CT_OP_WEBSOCKET))
		return err_set(err, ERR_USAGE, "this command takes no --output-file");
	if (stdin_readers(f, o) > 1)
		return err_set(err, ERR_USAGE, "standard input can be read only once");
	return 0;
}

/* "'slug' does not match" -> "argument SLUG does not match". */
static int check_ids(const struct api_flags *f, const struct args *ids, struct err *err)
{
	for (size_t i = 0; i < ids->n; i++) {
		auto_buf shown = BUF_INIT;
		struct err why = ERR_INIT;
		const struct ct_param *p = describe_id(&shown, f->c, f->op, i);
		if (!p)
			continue;
		/* on its way it would be taken for a folder: DELETE /vms/.. is DELETE / */
		if (!p->rest && (strcmp(ids->v[i], ".") == 0 || strcmp(ids->v[i], "..") == 0))
			return err_set(err, ERR_USAGE, "argument %s must not be '%s'", shown.p, ids->v[i]);
		if (ct_validate_text(f->c, p, ids->v[i], &why) == 0)
			continue;
		size_t n = strlen(ct_s(f->c, p->name)) + 2;
		return err_set(err, ERR_USAGE, "argument %s%s", shown.p, strlen(why.msg) >= n ? why.msg + n : why.msg);
	}
	return 0;
}

static int build(struct cli *cli, const struct api_flags *f, const struct call_options *o, const struct args *ids,
	struct pending *p, struct err *err)
{
	bool raw = sends_raw(f);
	uint32_t index = (uint32_t)(f->op - f->c->ops);
	struct err path = ERR_INIT;
	p->rq = (struct request){ .method = ct_s(f->c, f->op->method), .length = -1 };
	if (ct_path(f->c, index, (const char *const *)ids->v, ids->n, &p->path, &path))
		return err_set(err, ERR_USAGE, "%s", path.msg);
	/* the whole request is checked before anything is connected or started */
	if (check_ids(f, ids, err) || check_options(f, o, raw, err) || check_required(f, raw, err))
		return -1;
	if (add_body(f, o, p, raw, err) || target_find(cli, f->c, f->op, o->base_url, &p->target, err) ||
		add_params(f, p, raw, err))
		return -1;
	add_headers(p);
	p->rq.target = p->path.p;
	return buf_failed(&p->path) || buf_failed(&p->body) ? err_set(err, ERR_LIMIT, "the request is too large") : 0;
}

static void pending_free(struct pending *p)
{
	target_free(&p->target);
	buf_free(&p->path);
	buf_free(&p->body);
	upload_free(&p->upload);
	for (size_t i = 0; i < ARRAY_LEN(p->values); i++)
		free(p->values[i]);
}

/* ---- the answer ---- */

static int save(struct client *c, const char *path, struct err *err)
{
	if (strcmp(path, "-") == 0)
		path = "/dev/stdout";
	struct stat st;
	bool plain = stat(path, &st) != 0 || S_ISREG(st.st_mode);
	auto_free char *temporary = plain ? mem_printf("%s.part-%d", path, (int)getpid()) : mem_strdup(path);
	auto_fd int fd = open(temporary, O_WRONLY | O_CLOEXEC | (plain ? O_CREAT | O_EXCL : 0), 0666);
	if (fd < 0)
		return err_sys(err, errno, "cannot write '%s'", path);
	const char *data;
	size_t n;
	int rc;
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		if (fs_write_all(fd, data, n, err)) {
			rc = err_prefix(err, "'%s'", path);
			break;
		}
	}
	if (rc == 0 && plain && rename(temporary, path) != 0)
		rc = err_sys(err, errno, "cannot make '%s'", path);
	if (rc != 0 && plain)
		(void)unlink(temporary); /* the first error is what counts */
	return rc;
}

/* Bytes that are no JSON, as they are. */
static int pass(struct cli *cli, struct client *c, struct err *err)
{
	const char *data;
	size_t n;
	int rc;
	bool text = str_starts(c->head.type, "text/");
	if (!text && isatty(STDOUT_FILENO) && c->body.state != HTTP1_DONE) {
		err_set(err, ERR_STATE, "the answer is '%s', which is not for a terminal", c->head.type);
		return err_hint(err, "write it to a file: --output-file FILE");
	}
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		buf_add(&cli->out, data, n);
		if (cli_flush(cli, err))
			return -1;
	}
	return rc;
}

static int stream(struct cli *cli, struct client *c, bool sse, struct err *err)
{
	struct answer_stream s;
	const char *data;
	size_t n;
	int rc;
	answer_stream_init(&s, cli, sse);
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		rc = answer_stream_add(&s, data, n, err);
		if (rc != 0)
			break;
	}
	if (rc == 0)
		rc = answer_stream_end(&s, err);
	answer_stream_free(&s);
	return rc;
}

static int document(struct cli *cli, const struct api_flags *f, struct client *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	const char *data;
	size_t n;
	int rc, status = c->head.status;
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		buf_add(&text, data, n);
		if (text.len > ANSWER_MAX || buf_failed(&text))
			return err_set(err, ERR_TOO_LARGE, "the answer is too long; write it to a file: --output-file FILE");
	}
	if (rc || text.len == 0)
		return rc;
	struct js_limits limits = { .bytes = ANSWER_MAX, .depth = 64, .members = 4000000 };
	auto_js *doc = js_parse(text.p, text.len, limits, err);
	if (!doc)
		return err_prefix(err, "the answer of %s", c->who);
	answer_print(cli, f->c, f->op, status, doc);
	return 0;
}

static bool is_json(const char *type)
{
	return str_starts(type, "application/json") || str_ends(type, "+json");
}

static int receive(struct cli *cli, const struct api_flags *f, const struct call_options *o, struct client *c, struct err *err)
{
	const char *type = c->head.type;
	bool sse = strcmp(type, "text/event-stream") == 0, lines = strcmp(type, "application/x-ndjson") == 0;
	if (o->output_file)
		return save(c, o->output_file, err);
	if (sse || lines || ((f->op->flags & CT_OP_STREAM) && is_json(type)))
		return stream(cli, c, sse, err);
	if (is_json(type) || (!*type && c->body.state == HTTP1_DONE))
		return document(cli, f, c, err);
	return pass(cli, c, err);
}

static void tell(const struct cli *cli, const struct call_options *o, const struct pending *p, int status)
{
	if (!o->verbose)
		return;
	if (status == 0)
		cli_warn(cli, "%s %s%s at %s", p->rq.method, p->target.ep.base_path, p->path.p, p->target.ep.shown);
	else
		cli_warn(cli, "status %d", status);
}

/* Does the contract know this status? A redirection is an answer only where it does, as nothing was done there. */
static bool expected(const struct api_flags *f, int status)
{
	for (uint32_t i = 0; i < f->op->response_count; i++) {
		uint16_t have = f->c->responses[f->op->responses + i].status;
		if (have == status || have == status / 100)
			return true;
	}
	return false;
}

/* Where a redirection that is the answer leads (a login page, say): for whoever called to go on there. */
static int redirected(struct cli *cli, const struct api_flags *f, struct client *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	jw_kstr(&w, "location", c->head.location);
	jw_obj_end(&w);
	auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	if (!doc)
		return -1;
	answer_print(cli, f->c, f->op, c->head.status, doc);
	return 0;
}

static int exchange(struct cli *cli, const struct api_flags *f, const struct call_options *o, struct pending *p, struct client *c,
	struct err *err)
{
	int rc = client_request(c, &p->rq, err);
	if (rc == 0 && p->rq.stream)
		rc = upload_send(&p->upload, c, err);
	if (rc == 0 && (f->op->flags & CT_OP_STREAM))
		c->timeout_ms = 0;
	if (rc == 0)
		rc = client_head(c, err);
	if (c->head.status)
		tell(cli, o, p, c->head.status);
	if (rc == 0 && c->head.status >= 300 && !expected(f, c->head.status)) {
		err_set(err, ERR_PROTOCOL, "%s answered with status %d: what was asked for is elsewhere", c->who, c->head.status);
		return err_hint(err, "is the address right? --base-url gives another");
	}
	if (rc == 0 && *c->head.location && c->head.status >= 300)
		return redirected(cli, f, c, err);
	return rc ? rc : receive(cli, f, o, c, err);
}

int call_run(struct cli *cli, const struct api_flags *f, const struct call_options *o, const struct args *ids, struct err *err)
{
	struct pending p = { .path = BUF_INIT, .body = BUF_INIT };
	struct client c = { .fd = -1, .cancel_fd = -1 };
	bool ws = f->op->flags & CT_OP_WEBSOCKET;
	int rc = build(cli, f, o, ids, &p, err);
	if (rc == 0) {
		client_init(&c, &p.target.ep);
		c.who = p.target.own ? "the daemon" : "the server";
		c.key_hint = p.target.own ? NULL : p.target.key_hint;
		c.cancel_fd = cli_signal_fd(err);
		rc = c.cancel_fd < 0 ? -1 : 0;
	}
	if (rc == 0) {
		tell(cli, o, &p, 0);
		rc = ws ? channel_run(cli, &c, &p.rq, o, err) : exchange(cli, f, o, &p, &c, err);
		if (rc && err->sys == EINTR)
			rc = cli_signal_code(c.cancel_fd);
	}
	if (c.cancel_fd >= 0)
		close(c.cancel_fd);
	client_close(&c);
	pending_free(&p);
	return rc;
}
