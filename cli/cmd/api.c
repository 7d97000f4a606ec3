/* sbx api METHOD PATH: one request as it is, to whatever the endpoint is. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api/answer.h"
#include "cli/api/body.h"
#include "cli/cli.h"
#include "cli/render/value.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BODY_MAX ((size_t)256 << 20)

struct options {
	const char *input, *type, *base_url;
	struct opt_list headers;
	bool include;
};

static const struct opt options[] = {
	{ .kind = OPT_STR,
		.name = "input",
		.arg = "FILE",
		.help = "body, as it is; - is standard input",
		.off = offsetof(struct options, input) },
	{ .kind = OPT_STR,
		.name = "type",
		.arg = "MEDIA",
		.help = "its content type (default application/json)",
		.off = offsetof(struct options, type) },
	{ .kind = OPT_LIST,
		.letter = 'H',
		.name = "header",
		.arg = "NAME:VALUE",
		.help = "header to send, repeatable",
		.off = offsetof(struct options, headers) },
	{ .kind = OPT_STR, .name = "base-url", .arg = "URL", .help = "server to call", .off = offsetof(struct options, base_url) },
	{ .kind = OPT_BOOL,
		.letter = 'v',
		.name = "verbose",
		.help = "show the status on standard error",
		.off = offsetof(struct options, include) },
	{ .kind = OPT_END },
};

#define HEADERS_MAX 32

static bool is_token(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
			return false;
	return n > 0;
}

/* "Name: value"; names are allocated into kept. */
static int read_headers(const struct options *o, struct kv *headers, char **kept, struct err *err)
{
	if (o->headers.n >= HEADERS_MAX)
		return err_set(err, ERR_USAGE, "more than %d headers", HEADERS_MAX - 1);
	for (size_t i = 0; i < o->headers.n; i++) {
		const char *text = o->headers.v[i], *colon = strchr(text, ':');
		if (!colon || !is_token(text, (size_t)(colon - text)))
			return err_set(err, ERR_USAGE, "option '--header' takes NAME:VALUE, not '%s'", text);
		kept[i] = mem_strndup(text, (size_t)(colon - text));
		headers[i] = (struct kv){ kept[i], colon + 1 + strspn(colon + 1, " ") };
	}
	return 0;
}

static int show(struct cli *cli, struct client *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	const char *data;
	size_t n;
	int rc;
	bool json = str_starts(c->head.type, "application/json");
	while ((rc = client_read(c, &data, &n, err)) == 1) {
		struct buf *out = json ? &text : &cli->out;
		buf_add(out, data, n);
		if (buf_failed(out))
			return err_set(err, ERR_TOO_LARGE, "the answer is too long");
		if (!json && cli_flush(cli, err))
			return -1;
	}
	if (rc || !json)
		return rc;
	auto_js *doc = js_parse(text.p, text.len, (struct js_limits){ .bytes = BODY_MAX, .depth = 64, .members = 4000000 }, NULL);
	if (!doc)
		buf_add(&cli->out, text.p, text.len);
	else if (cli->format == FORMAT_YAML)
		render_yaml(&cli->out, doc);
	else
		render_json(&cli->out, doc);
	return 0;
}

static int call(struct cli *cli, const struct options *o, struct client *c, const char *method, const char *path, struct err *err)
{
	struct request rq = { .method = method, .target = path, .length = -1 };
	struct kv headers[HEADERS_MAX];
	char *kept[HEADERS_MAX] = { NULL };
	auto_buf body = BUF_INIT;
	int rc = read_headers(o, headers, kept, err);
	if (rc == 0 && o->input)
		rc = body_read(o->input, BODY_MAX, &body, err);
	rq.headers = headers;
	rq.header_count = o->headers.n;
	if (o->input || o->type) {
		rq.media = o->type ? o->type : "application/json";
		rq.body = &body;
	}
	if (rc == 0)
		rc = client_request(c, &rq, err) || client_head(c, err) ? -1 : 0;
	if (o->include && c->head.status)
		cli_warn(cli, "status %d", c->head.status);
	if (rc == 0)
		rc = show(cli, c, err);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		free(kept[i]);
	return rc;
}

/* An address given by hand, with the key that the flag or the variable gives. */
static int named_endpoint(const struct cli *cli, const char *base_url, struct endpoint *out, struct err *err)
{
	struct choice choice = cli_choice(cli);
	struct setting key;
	if (endpoint_parse(base_url, out, err) || where_key(&choice, NULL, NULL, NULL, &key, err))
		return -1;
	out->api_key = key.value;
	return 0;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	struct endpoint given = { 0 };
	struct client c;
	auto_free char *method = mem_strdup(args->v[0]);
	for (char *m = method; *m; m++)
		*m = (char)toupper((unsigned char)*m);
	if (!is_token(method, strlen(method)))
		return err_set(err, ERR_USAGE, "'%s' is no method", args->v[0]);
	for (const char *p = args->v[1]; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return err_set(err, ERR_USAGE, "the path holds a character that must be percent-encoded");
	if (args->v[1][0] != '/') {
		err_set(err, ERR_USAGE, "the path '%s' does not begin with '/'", args->v[1]);
		return err_hint(err, "for example: sbx api GET /sbx/v1/sandboxes");
	}
	if (o->base_url ? named_endpoint(cli, o->base_url, &given, err) : cli_endpoint(cli, err)) {
		endpoint_free(&given);
		return -1;
	}
	client_init(&c, o->base_url ? &given : &cli->endpoint);
	int rc = call(cli, o, &c, method, args->v[1], err);
	client_close(&c);
	endpoint_free(&given);
	return rc;
}

const struct command cmd_api = {
	.name = "api",
	.summary = "Make one request as it is",
	.usage = "[options] METHOD PATH",
	.about = "The path is sent as given, with its query. JSON answers are printed indented, others as they come; a status of "
		 "400 or more\n"
		 "is a failure.",
	.example = "  sbx api GET /sbx/v1/sandboxes\n  echo '{\"name\": \"x\"}' | sbx api POST /sbx/v1/sandboxes --input -",
	.options = options,
	.options_size = sizeof(struct options),
	.min_args = 2,
	.max_args = 2,
	.command_after = NO_COMMAND,
	.args = ARG_METHOD,
	.run = run,
};
