/* What a team used, day by day. */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/core/usage.h"
#include "shared/base/util.h"

enum { DAY_S = 86400, DAYS_DEFAULT = 30, DAYS_MAX = 92 };

/* The beginning of a day of UTC. */
static int parse_day(const char *text, const char *what, int64_t *out, struct err *err)
{
	struct tm tm = { 0 };
	const char *end = strlen(text) == 10 ? strptime(text, "%Y-%m-%d", &tm) : NULL;
	if (!end || *end)
		return err_set(err, ERR_INVALID, "'%s' must be a day, as 2026-11-22", what);
	*out = (int64_t)timegm(&tm);
	return 0;
}

static void write_day(struct jw *w, const char *key, int64_t at_s)
{
	char text[16] = "";
	struct tm tm;
	time_t t = (time_t)at_s;
	if (gmtime_r(&t, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d", &tm); /* it fits */
	jw_kstr(w, key, text);
}

/* Samples are sums of what was reserved every USAGE_STEP_S seconds. */
static double minutes(int64_t sum)
{
	return (double)sum * USAGE_STEP_S / 60;
}

static void reply_days(struct http_req *r, int64_t from, int64_t to, const struct db_use *all, size_t n)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	write_day(&w, "from", from);
	write_day(&w, "to", to);
	jw_key(&w, "points");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(&w);
		write_day(&w, "date", all[i].at_s);
		jw_key(&w, "cpu_minutes");
		jw_num(&w, minutes(all[i].vcpus));
		jw_key(&w, "ram_mb_minutes");
		jw_num(&w, minutes(all[i].memory_mb));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void wrenn_getCapsuleUsage(struct http_req *r)
{
	const char *from_text = http_query(r, "from"), *to_text = http_query(r, "to");
	int64_t to = clock_wall_ms() / 1000 / DAY_S * DAY_S, from = 0;
	struct db_use *all;
	size_t n;
	struct err err = ERR_INIT;
	int rc = to_text ? parse_day(to_text, "to", &to, &err) : 0;
	from = to - (DAYS_DEFAULT - 1) * (int64_t)DAY_S;
	if (rc == 0 && from_text)
		rc = parse_day(from_text, "from", &from, &err);
	if (rc == 0 && (from > to || to - from > DAYS_MAX * (int64_t)DAY_S))
		rc = err_set(&err, ERR_INVALID, "'from' must be at most %d days before 'to'", DAYS_MAX);
	if (rc || usage_days(wrenn_core(r), http_team(r), from, to + DAY_S, &all, &n, &err)) {
		http_reply_err(r, &err);
		return;
	}
	reply_days(r, from, to, all, n);
	free(all);
}
