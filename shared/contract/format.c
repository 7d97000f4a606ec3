/* contract: the formats of strings. */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "shared/contract/internal.h"

/* Exactly n digits at *s, moved past them; -1 if they are not there. */
static int digits(const char **s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++, ++*s) {
		if (!isdigit((unsigned char)**s))
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	++*s;
	return true;
}

static bool date_part(const char **s)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year = digits(s, 4);
	if (year < 0 || !skip(s, '-'))
		return false;
	int month = digits(s, 2);
	if (month < 1 || month > 12 || !skip(s, '-'))
		return false;
	int day = digits(s, 2);
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static bool hours_minutes(const char **s)
{
	int hour = digits(s, 2);

	if (hour < 0 || hour > 23 || !skip(s, ':'))
		return false;
	int minute = digits(s, 2);
	return minute >= 0 && minute <= 59;
}

static bool is_date(const char *s)
{
	return date_part(&s) && *s == '\0';
}

/* RFC 3339, section 5.6 */
static bool is_date_time(const char *s)
{
	if (!date_part(&s) || !(skip(&s, 'T') || skip(&s, 't') || skip(&s, ' ')))
		return false;
	if (!hours_minutes(&s) || !skip(&s, ':'))
		return false;
	int second = digits(&s, 2);
	if (second < 0 || second > 60)
		return false;
	if (skip(&s, '.')) {
		if (!isdigit((unsigned char)*s))
			return false;
		while (isdigit((unsigned char)*s))
			s++;
	}
	if (skip(&s, 'Z') || skip(&s, 'z'))
		return *s == '\0';
	return (skip(&s, '+') || skip(&s, '-')) && hours_minutes(&s) && *s == '\0';
}

static bool is_uuid(const char *s)
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	}
	return s[36] == '\0';
}

static bool is_hostname(const char *s)
{
	size_t label = 0;

	if (strlen(s) > 253 || *s == '\0')
		return false;
	for (const char *p = s;; p++) {
		if (*p == '.' || *p == '\0') {
			if (label == 0 || label > 63 || p[-1] == '-')
				return false;
			if (*p == '\0')
				return true;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)*p) && !(*p == '-' && label > 0))
			return false;
		label++;
	}
}

/* What mail servers agree on: something, one '@', a host name. Whether it exists only a mail can tell. */
static bool is_email(const char *s)
{
	const char *at = strrchr(s, '@');

	if (!at || at == s || at - s > 64)
		return false;
	for (const char *p = s; p < at; p++) {
		unsigned char c = (unsigned char)*p;
		if (c <= ' ' || c == 0x7f || strchr("@<>()[],;:\\\"", c))
			return false;
	}
	return is_hostname(at + 1);
}

/* An absolute one: scheme, colon, something without blanks (RFC 3986). */
static bool is_uri(const char *s)
{
	if (!isalpha((unsigned char)*s))
		return false;
	while (isalnum((unsigned char)*s) || *s == '+' || *s == '-' || *s == '.')
		s++;
	if (*s != ':' || s[1] == '\0')
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c <= ' ' || c == 0x7f || strchr("<>\"{}|\\^`", c))
			return false;
	}
	return true;
}

static bool is_base64(const char *s)
{
	size_t n = 0;

	for (; isalnum((unsigned char)s[n]) || s[n] == '+' || s[n] == '/'; n++)
		;
	size_t pad = strlen(s + n);
	return pad <= 2 && strspn(s + n, "=") == pad && (n + pad) % 4 == 0;
}

static bool is_ipv4(const char *s)
{
	struct in_addr a;

	return inet_pton(AF_INET, s, &a) == 1;
}

static const struct {
	bool (*ok)(const char *s);
	const char *phrase;
} formats[] = {
	[CT_FMT_DATE_TIME] = { is_date_time, "a time like 2026-01-31T12:00:00Z" },
	[CT_FMT_DATE] = { is_date, "a date like 2026-01-31" },
	[CT_FMT_UUID] = { is_uuid, "a UUID" },
	[CT_FMT_EMAIL] = { is_email, "an email address" },
	[CT_FMT_URI] = { is_uri, "a URL" },
	[CT_FMT_BYTE] = { is_base64, "base64" },
	[CT_FMT_HOSTNAME] = { is_hostname, "a host name" },
	[CT_FMT_IPV4] = { is_ipv4, "an IPv4 address" },
};

bool ct_format_ok(enum ct_format format, const char *s)
{
	size_t i = format;

	return i >= sizeof formats / sizeof formats[0] || !formats[i].ok || formats[i].ok(s);
}

const char *ct_format_phrase(enum ct_format format)
{
	size_t i = format;

	return i < sizeof formats / sizeof formats[0] && formats[i].phrase ? formats[i].phrase : "of its format";
}
