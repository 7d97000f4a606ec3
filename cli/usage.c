#include "cli/usage.h"

#include <stdlib.h>
#include <string.h>

#include "cli/render/table.h"
#include "cli/render/text.h"
#include "shared/base/mem.h"

enum { COURSE_MIN = 8, COURSE_MAX = 120, NAME_MAX_SHOWN = 24 };

const char *const usage_orders[USAGE_ORDERS + 1] = {
	[USAGE_CPU] = "cpu",
	[USAGE_MEMORY] = "memory",
	[USAGE_DISK] = "disk",
	[USAGE_NAME] = "name",
};

/* ---- values ---- */

static void put_percent(struct buf *out, double v)
{
	buf_fmt(out, "%.1f%%", v);
}

static void put_kib(struct buf *out, double v)
{
	text_size(out, (int64_t)(v * 1024));
}

static void put_flow(struct buf *out, double v)
{
	text_size(out, (int64_t)v);
	buf_str(out, "/s");
}

static const struct {
	const char *header, *key;
	void (*put)(struct buf *out, double v);
} figures[] = {
	{ "CPU", "cpuPercent", put_percent },
	{ "MEMORY", "privateMemoryKb", put_kib },
	{ "RESIDENT", "residentMemoryKb", put_kib },
	{ "DISK", "diskKb", put_kib },
	{ "READ", "readBytesPerSecond", put_flow },
	{ "WRITTEN", "writtenBytesPerSecond", put_flow },
	{ "NET IN", "receivedBytesPerSecond", put_flow },
	{ "NET OUT", "sentBytesPerSecond", put_flow },
};

static void figure_cell(struct table *t, size_t figure, const js *v)
{
	auto_buf text = BUF_INIT;
	if (js_type(v) == JS_NUMBER)
		figures[figure].put(&text, js_num(v, 0));
	else
		buf_ch(&text, '-');
	table_cell(t, text.p);
}

/* ---- now ---- */

static const char *row_name(const js *row)
{
	return js_str(js_get(row, "name"), js_str(js_get(row, "id"), ""));
}

static double order_value(const js *row, enum usage_order order)
{
	static const char *const keys[] = {
		[USAGE_CPU] = "cpuPercent", [USAGE_MEMORY] = "privateMemoryKb", [USAGE_DISK] = "diskKb"
	};
	return order < ARRAY_LEN(keys) ? js_num(js_get(row, keys[order]), -1) : 0;
}

struct ranked {
	const js *row;
	double value;
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->value != y->value)
		return x->value > y->value ? -1 : 1;
	return strcmp(row_name(x->row), row_name(y->row));
}

static void add_row(struct table *t, const js *row, size_t columns)
{
	auto_buf name = BUF_INIT;
	buf_fmt(&name, "%.*s", NAME_MAX_SHOWN, row_name(row));
	table_cell(t, name.p);
	if (strcmp(js_str(js_get(row, "state"), ""), "running") != 0) {
		table_cell(t, js_str(js_get(row, "state"), ""));
		for (size_t i = 1; i < columns; i++)
			table_cell(t, "");
		return;
	}
	for (size_t i = 0; i < columns; i++)
		figure_cell(t, i, js_get(row, figures[i].key));
}

/* With so many figures; returns the width of the widest line. */
static size_t print_now(struct buf *out, const struct ranked *rows, size_t n, size_t columns)
{
	const char *headers[ARRAY_LEN(figures) + 1] = { "NAME" };
	struct table t;
	for (size_t i = 0; i < columns; i++)
		headers[i + 1] = figures[i].header;
	table_init(&t, headers, columns + 1);
	for (size_t i = 0; i < n; i++)
		add_row(&t, rows[i].row, columns);
	table_print(&t, out);
	table_free(&t);
	size_t widest = 0;
	for (const char *line = out->p, *nl; (nl = strchr(line, '\n')); line = nl + 1) {
		auto_free char *text = mem_strndup(line, (size_t)(nl - line));
		size_t width = text_width(text);
		widest = width > widest ? width : widest;
	}
	return widest;
}

void usage_table(struct buf *out, const js *rows, enum usage_order order, size_t width)
{
	size_t n = 0;
	struct ranked *ranked = mem_array(js_count(rows) + 1, sizeof(*ranked));
	js_each (row, rows)
		ranked[n++] = (struct ranked){ row, order_value(row, order) };
	qsort(ranked, n, sizeof(*ranked), by_rank);
	for (size_t columns = ARRAY_LEN(figures); columns > 0; columns--) {
		auto_buf text = BUF_INIT;
		if (print_now(&text, ranked, n, columns) > width && columns > 1)
			continue;
		buf_add(out, text.p, text.len);
		break;
	}
	free(ranked);
}

bool usage_complete(const js *rows)
{
	js_each (row, rows)
		if (!strcmp(js_str(js_get(row, "state"), ""), "running") && js_type(js_get(row, "cpuPercent")) != JS_NUMBER)
			return false;
	return true;
}

/* ---- the past ---- */

struct course {
	double *v;
	size_t n; /* points of which the figure is known */
	double least, most, mean;
};

static struct course course_of(const js *points, const char *key)
{
	struct course c = { .v = mem_array(js_count(points) + 1, sizeof(*c.v)) };
	js_each (point, points) {
		const js *v = js_get(point, key);
		if (js_type(v) != JS_NUMBER)
			continue;
		double x = js_num(v, 0);
		c.least = c.n == 0 || x < c.least ? x : c.least;
		c.most = c.n == 0 || x > c.most ? x : c.most;
		c.mean += x;
		c.v[c.n++] = x;
	}
	if (c.n)
		c.mean /= (double)c.n;
	return c;
}

/* Points in `width` characters, each the mean of its share, between the least and the most. */
static void put_course(struct buf *out, const struct course *c, size_t width, bool utf8)
{
	static const char *const blocks[] = { "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588" };
	static const char *const plain[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
	size_t n = c->n < width ? c->n : width, last = ARRAY_LEN(blocks) - 1;
	for (size_t i = 0; i < n; i++) {
		size_t from = i * c->n / n, to = (i + 1) * c->n / n;
		double mean = 0;
		for (size_t k = from; k < to; k++)
			mean += c->v[k] / (double)(to - from);
		double height = c->most > c->least ? (mean - c->least) / (c->most - c->least) : 0;
		size_t level = (size_t)(height * (double)last + 0.5);
		buf_str(out, (utf8 ? blocks : plain)[level < last ? level : last]);
	}
}

void usage_history(struct buf *out, const js *points, size_t width, bool utf8)
{
	static const char *const headers[] = { "", "LEAST", "MEAN", "MOST", "LAST", "COURSE" };
	enum { FIGURE_WIDTH = 58 }; /* what stands before the course, at most */
	size_t room = width > FIGURE_WIDTH + COURSE_MIN ? width - FIGURE_WIDTH : COURSE_MIN;
	struct table t;
	table_init(&t, headers, ARRAY_LEN(headers));
	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		struct course c = course_of(points, figures[i].key);
		const double values[] = { c.least, c.mean, c.most, c.n ? c.v[c.n - 1] : 0 };
		table_cell(&t, figures[i].header);
		for (size_t k = 0; k < ARRAY_LEN(values); k++) {
			auto_buf text = BUF_INIT;
			if (c.n)
				figures[i].put(&text, values[k]);
			else
				buf_ch(&text, '-');
			table_cell(&t, text.p);
		}
		auto_buf course = BUF_INIT;
		put_course(&course, &c, room < COURSE_MAX ? room : COURSE_MAX, utf8);
		table_cell(&t, course.p);
		free(c.v);
	}
	table_print(&t, out);
	table_free(&t);
}
