#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/ref.h"

/* n decimal digits at *p, which moves behind them; -1 when there are not as many. */
static int digits(const char **p, int n)
{
	int v = 0;

	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

static bool skip(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* "HH:MM:SS[.fraction]" and the offset. */
static bool parse_clock(const char **p, struct tm *tm, int64_t *ms, int64_t *offset)
{
	tm->tm_hour = digits(p, 2);
	if (tm->tm_hour < 0 || tm->tm_hour > 23 || !skip(p, ':'))
		return false;
	tm->tm_min = digits(p, 2);
	if (tm->tm_min < 0 || tm->tm_min > 59 || !skip(p, ':'))
		return false;
	tm->tm_sec = digits(p, 2);
	if (tm->tm_sec < 0 || tm->tm_sec > 60)
		return false;
	if (skip(p, '.')) {
		int scale = 100;
		if (**p < '0' || **p > '9')
			return false;
		for (; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
			*ms += (int64_t)(**p - '0') * scale;
	}
	if (skip(p, 'Z') || skip(p, 'z'))
		return true;
	bool east = **p == '+';
	if (!skip(p, '+') && !skip(p, '-'))
		return false;
	int hours = digits(p, 2);
	bool colon = skip(p, ':');
	int minutes = digits(p, 2);
	if (hours < 0 || hours > 23 || !colon || minutes < 0 || minutes > 59)
		return false;
	*offset = ((int64_t)hours * 60 + minutes) * (east ? 60000 : -60000);
	return true;
}

/* RFC 3339, or a day alone: its beginning in UTC. */
static bool parse_time(const char *p, int64_t *out)
{
	struct tm tm = { 0 };
	int64_t ms = 0, offset = 0;
	int year = digits(&p, 4), month, day;

	if (year < 0 || !skip(&p, '-') || (month = digits(&p, 2)) < 1 || month > 12 || !skip(&p, '-') ||
		(day = digits(&p, 2)) < 1 || day > 31)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	if (*p) {
		if (!skip(&p, 'T') && !skip(&p, 't') && !skip(&p, ' '))
			return false;
		if (!parse_clock(&p, &tm, &ms, &offset) || *p)
			return false;
	}
	*out = (int64_t)timegm(&tm) * 1000 + ms - offset;
	/* February 30 becomes March 1 or 2. */
	return tm.tm_mday == day;
}

/* What stands between the braces. */
static int parse_when(const char *text, int64_t now, struct ref_spec *out, struct err *err)
{
	static const char units[] = "smhdw";
	static const int64_t unit_ms[] = { 1000, 60000, 3600000, 86400000, 604800000 };
	size_t n = strspn(text, "0123456789");
	const char *unit = text[n] ? strchr(units, text[n]) : NULL;
	auto_free char *number = mem_strndup(text, n);
	int64_t v = 0;

	if (n && (!text[n] || (unit && !text[n + 1]))) {
		if (parse_int(number, "the number in the braces", 0, 1000000000, &v, err) != 0)
			return -1;
		out->when = unit ? REF_AT : REF_MOVES;
		out->moves = (uint64_t)v;
		out->at = unit ? now - v * unit_ms[unit - units] : 0;
		return 0;
	}
	out->when = REF_AT;
	if (parse_time(text, &out->at))
		return 0;
	(void)err_set(err, ERR_INVALID, "'@{%.100s}' says no place in a history", text);
	return err_hint(err, "write @{2} (two moves ago), @{1h} (s, m, h, d, w) or @{2026-11-30T08:00:00Z}");
}

int ref_parse(const char *text, int64_t now, struct ref_spec *out, struct err *err)
{
	size_t n = strcspn(text, ":");
	const char *at = strstr(text, "@{"), *rest = text + n;

	*out = (struct ref_spec){ 0 };
	if (at && at < text + n) {
		const char *end = strchr(at, '}');
		if (!end || (end[1] && end[1] != ':'))
			return err_set(
				err, ERR_INVALID, "in '%.200s' there must be a '}' after '@{', and then the end or ':'", text);
		auto_free char *when = mem_strndup(at + 2, (size_t)(end - at - 2));
		if (parse_when(when, now, out, err) != 0)
			return -1;
		n = (size_t)(at - text);
		rest = end + 1;
	}
	if (!n) {
		(void)err_set(err, ERR_INVALID, "'%.200s' names no label or tree", text);
		return err_hint(err, "write LABEL, LABEL@{2} or an id, and :PATH after it for something inside");
	}
	out->name = mem_strndup(text, n);
	out->path = mem_strdup(*rest == ':' ? rest + 1 : "");
	return 0;
}

void ref_spec_free(struct ref_spec *r)
{
	free(r->name);
	free(r->path);
	*r = (struct ref_spec){ 0 };
}
