#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/ndjson.h"
#include "cli/render/value.h"
#include "cli/term/page.h"
#include "cli/usage.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { PATIENCE = 4, WIDE = 1000, HISTORY_WIDTH = 100 }; /* lines until the figures of a new sandbox are waited for no longer */

struct options {
	bool follow, once;
	const char *range, *sort;
};

static const char *const ranges[] = { "5m", "10m", "1h", "2h", "6h", "12h", "24h", NULL };

static const struct opt options[] = {
	{ .kind = OPT_BOOL,
		.letter = 'f',
		.name = "follow",
		.help = "go on once a second, also where standard output is no terminal",
		.off = offsetof(struct options, follow) },
	{ .kind = OPT_BOOL,
		.name = "no-stream",
		.help = "one table, also where standard output is a terminal",
		.off = offsetof(struct options, once) },
	{ .kind = OPT_ENUM,
		.name = "range",
		.arg = "RANGE",
		.help = "the past of one sandbox instead: 5m, 10m, 1h, 2h, 6h, 12h or 24h",
		.off = offsetof(struct options, range),
		.choices = ranges },
	{ .kind = OPT_ENUM,
		.name = "sort",
		.arg = "BY",
		.help = "cpu (the default), memory, disk or name",
		.off = offsetof(struct options, sort),
		.choices = usage_orders },
	{ .kind = OPT_END },
};

struct view {
	struct cli *cli;
	const struct options *options;
	enum usage_order order;
	struct page page;
	bool live, over;
	int code; /* of the signal that ended it */
	unsigned lines;
	struct buf rows; /* the last line's, to be shown in another order */
};

static enum usage_order order_of(const char *word)
{
	for (size_t i = 0; word && i < USAGE_ORDERS; i++)
		if (!strcmp(usage_orders[i], word))
			return (enum usage_order)i;
	return USAGE_CPU;
}

/* ---- a terminal ---- */

static int show_page(struct view *v, struct err *err)
{
	auto_buf text = BUF_INIT;
	unsigned cols, rows;
	page_size(&cols, &rows);
	auto_js *list = v->rows.len ? js_parse(v->rows.p, v->rows.len, JS_LIMITS_DEFAULT, err) : NULL;
	if (!list)
		return v->rows.len ? -1 : 0;
	usage_table(&text, list, v->order, cols);
	if (!js_first(list))
		buf_str(&text, "no sandbox runs\n");
	return page_show(&v->page, &text, err);
}

/* What ends the view ends the call: run_view knows that it is no failure. */
static int leave(struct view *v, int code, struct err *err)
{
	v->over = true;
	v->code = code;
	return err_set(err, ERR_IO, "interrupted");
}

static int on_key(struct view *v, char key, struct err *err)
{
	static const struct {
		char key;
		enum usage_order order;
	} orders[] = { { 'c', USAGE_CPU }, { 'm', USAGE_MEMORY }, { 'd', USAGE_DISK }, { 'n', USAGE_NAME } };
	enum { CTRL_C = 3, CTRL_D = 4 };
	if (key == 'q' || key == 'Q' || key == CTRL_D || key == CTRL_C)
		return leave(v, key == CTRL_C ? 130 : 0, err);
	for (size_t i = 0; i < ARRAY_LEN(orders); i++)
		if (orders[i].key == key)
			v->order = orders[i].order;
	return show_page(v, err);
}

static int wait_page(void *arg, int fd, struct err *err)
{
	struct view *v = arg;
	for (;;) {
		enum page_event event;
		char key = 0;
		if (page_wait(&v->page, fd, &event, &key, err))
			return -1;
		if (event == PAGE_READY)
			return 0;
		if (event == PAGE_SIGNAL)
			return leave(v, cli_signal_code(v->page.signal_fd), err);
		if (on_key(v, key, err))
			return -1;
	}
}

/* ---- lines ---- */

/* A document for each sandbox, with the time in it. */
static void put_documents(struct view *v, const js *line, const js *rows)
{
	struct cli *cli = v->cli;
	js_each (row, rows) {
		auto_buf text = BUF_INIT;
		struct jw w;
		jw_init(&w, &text);
		jw_obj(&w);
		jw_kstr(&w, "time", js_str(js_get(line, "time"), ""));
		js_each (member, row) {
			jw_key(&w, js_key(member));
			jw_js(&w, member);
		}
		jw_obj_end(&w);
		auto_js *doc = cli->format == FORMAT_YAML ? js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL) : NULL;
		if (doc) {
			buf_str(&cli->out, "---\n");
			render_yaml(&cli->out, doc);
		} else {
			buf_fmt(&cli->out, "%s\n", text.p);
		}
	}
}

static int each(void *arg, const js *line, struct err *err)
{
	struct view *v = arg;
	const js *rows = js_get(line, "sandboxes");
	v->lines++;
	if (v->live) {
		struct jw w;
		buf_clear(&v->rows);
		jw_init(&w, &v->rows);
		jw_js(&w, rows);
		return show_page(v, err);
	}
	if (!v->options->follow && !usage_complete(rows) && v->lines < PATIENCE)
		return 0;
	if (v->cli->format != FORMAT_TABLE)
		put_documents(v, line, rows);
	else if (js_first(rows))
		usage_table(&v->cli->out, rows, v->order, WIDE);
	else
		cli_warn(v->cli, "no sandbox runs");
	v->over = !v->options->follow;
	int rc = cli_flush(v->cli, err);
	return rc ? rc : v->over;
}

/* "a,b,c"; NULL for none. Allocated. */
static char *comma_list(const struct args *args)
{
	auto_buf list = BUF_INIT;
	for (size_t i = 0; i < args->n; i++) {
		if (i)
			buf_ch(&list, ',');
		buf_str(&list, args->v[i]);
	}
	return args->n ? mem_strdup(list.p) : NULL;
}

static int run_view(struct view *v, struct client *c, const struct args *args, struct err *err)
{
	auto_free char *list = comma_list(args);
	struct call call = {
		.op = SBX_OP_STREAM_STATS,
		.query = { { "follow", "true" }, { "sandboxes", list } },
	};
	c->timeout_ms = 0;
	c->wait = v->live ? wait_page : NULL;
	c->wait_arg = v;
	if (v->live && page_open(&v->page, err))
		return -1;
	int rc = ndjson_call(c, &call, each, v, err);
	if (v->live)
		page_close(&v->page);
	if (v->live && v->over)
		return v->code;
	if (rc == 0 && args->n)
		cli_warn(v->cli, "%s", args->n == 1 ? "the sandbox was removed" : "the sandboxes were removed");
	return rc < 0 ? -1 : 0;
}

/* ---- the past ---- */

static bool speaks_utf8(void)
{
	static const char *const variables[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		const char *value = getenv(variables[i]);
		if (value && *value)
			return strstr(value, "UTF-8") || strstr(value, "utf8") || strstr(value, "UTF8") || strstr(value, "utf-8");
	}
	return false;
}

static int run_history(struct cli *cli, struct client *c, const struct options *o, const char *sandbox, struct err *err)
{
	struct call call = { .op = SBX_OP_GET_SANDBOX_METRICS, .path = { sandbox }, .query = { { "range", o->range } } };
	auto_js *doc = client_json(c, &call, err);
	if (!doc)
		return -1;
	const js *points = js_get(doc, "points");
	unsigned cols = HISTORY_WIDTH, rows;
	if (isatty(STDOUT_FILENO))
		page_size(&cols, &rows);
	cli_document(cli, doc);
	if (cli->format != FORMAT_TABLE)
		return 0;
	if (!js_first(points))
		cli_warn(cli, "nothing is known of that time: it did not run, or the daemon has started since");
	else
		usage_history(&cli->out, points, cols, speaks_utf8());
	return 0;
}

static int check(const struct options *o, const struct args *args, struct err *err)
{
	if (o->follow && o->once)
		return err_set(err, ERR_USAGE, "--follow and --no-stream exclude each other");
	if (o->range && args->n != 1) {
		err_set(err, ERR_USAGE, "--range is for one sandbox");
		return err_hint(err, "sbx stats SANDBOX --range %s", o->range);
	}
	if (o->range && (o->follow || o->sort))
		return err_set(err, ERR_USAGE, "--range takes neither --follow nor --sort");
	for (size_t i = 0; i < args->n; i++)
		if (strchr(args->v[i], ','))
			return err_set(err, ERR_USAGE, "no sandbox is called '%s'", args->v[i]);
	return 0;
}

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	const struct options *o = opts;
	struct client c;
	if (check(o, args, err) || cli_client(cli, &c, err))
		return -1;
	struct view v = {
		.cli = cli,
		.options = o,
		.order = order_of(o->sort),
		.live = cli->format == FORMAT_TABLE && !o->once && isatty(STDOUT_FILENO),
		.rows = BUF_INIT,
	};
	int rc = o->range ? run_history(cli, &c, o, args->v[0], err) : run_view(&v, &c, args, err);
	buf_free(&v.rows);
	client_close(&c);
	return rc;
}

const struct command cmd_stats = {
	.name = "stats",
	.summary = "Show what sandboxes use: processor, memory, disk, network",
	.usage = "[options] [SANDBOX...]",
	.about = "On a terminal the table is shown anew every second: q ends it; c, m, d and n sort it by processor, memory, disk "
		 "or "
		 "name.\nElsewhere it is printed once, unless --follow is given. With -o json there is one object a line.\n"
		 "CPU is per cent of one core of the host. MEMORY is the VM's alone, RESIDENT includes what it shares with others; "
		 "the "
		 "rest\nis its disk, and bytes a second from and to storage and the network.",
	.example = "  sbx stats\n  sbx stats demo --range 2h\n  sbx stats -o json | jq -r '[.name, .cpuPercent] | @tsv'",
	.options = options,
	.options_size = sizeof(struct options),
	.max_args = NO_LIMIT,
	.command_after = NO_COMMAND,
	.args = ARG_SANDBOX,
	.run = run,
};
