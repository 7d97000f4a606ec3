#include "shared/base/util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "shared/base/mem.h"

static int64_t clock_us(clockid_t id)
{
	struct timespec ts = { 0 };
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
	return clock_us(CLOCK_REALTIME) / 1000;
}

char *clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_LEN])
{
	/* the format has four digits for the year */
	const int64_t last = 253402300799999;
	int64_t ms = wall_ms < 0 ? 0 : wall_ms > last ? last : wall_ms;
	time_t sec = ms / 1000;
	struct tm tm = { 0 };
	size_t n = gmtime_r(&sec, &tm) ? strftime(out, CLOCK_RFC3339_LEN, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
	snprintf(out + n, CLOCK_RFC3339_LEN - n, ".%03dZ", (int)(ms % 1000));
	return out;
}

/* Does the text begin as the picture does: '0' any digit, 'T' what may stand between day and time? */
static bool looks_like(const char *s, const char *picture)
{
	for (; *picture; s++, picture++) {
		bool fits = *picture == '0' ? *s >= '0' && *s <= '9' : *picture == 'T' ? *s && strchr("Tt ", *s) : *s == *picture;
		if (!fits)
			return false;
	}
	return true;
}

static int number(const char *s, size_t digits)
{
	int v = 0;
	for (size_t i = 0; i < digits; i++)
		v = v * 10 + (s[i] - '0');
	return v;
}

/* "Z", "+01:00": milliseconds east of UTC; the end of the text. */
static int parse_zone(const char *s, int64_t *east_ms)
{
	*east_ms = 0;
	if (!strcmp(s, "Z") || !strcmp(s, "z"))
		return 0;
	if ((*s != '+' && *s != '-') || !looks_like(s + 1, "00:00") || s[6] || number(s + 1, 2) > 23 || number(s + 4, 2) > 59)
		return -1;
	*east_ms = (number(s + 1, 2) * 60 + number(s + 4, 2)) * (*s == '+' ? INT64_C(60000) : INT64_C(-60000));
	return 0;
}

int clock_parse(const char *s, int64_t *wall_ms)
{
	static const char picture[] = "0000-00-00T00:00:00";
	int64_t ms = 0, unit = 100, east_ms;
	if (!looks_like(s, picture))
		return -1;
	struct tm tm = { .tm_year = number(s, 4) - 1900,
		.tm_mon = number(s + 5, 2) - 1,
		.tm_mday = number(s + 8, 2),
		.tm_hour = number(s + 11, 2),
		.tm_min = number(s + 14, 2),
		.tm_sec = number(s + 17, 2) };
	bool day = tm.tm_mon >= 0 && tm.tm_mon <= 11 && tm.tm_mday >= 1 && tm.tm_mday <= 31;
	if (!day || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -1;
	s += sizeof(picture) - 1;
	if (*s == '.') {
		if (!looks_like(s, ".0"))
			return -1;
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			ms += (*s - '0') * unit;
	}
	if (parse_zone(s, &east_ms))
		return -1;
	*wall_ms = (int64_t)timegm(&tm) * 1000 + ms - east_ms;
	return 0;
}

void rand_bytes(void *out, size_t n)
{
	unsigned char *p = out;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		p += got;
		n -= (size_t)got;
	}
}

/* Uniform in [0, range): bytes from the incomplete last multiple of range are thrown away. */
static unsigned rand_below(unsigned range)
{
	unsigned char byte = 0;
	do {
		rand_bytes(&byte, 1);
	} while (byte >= 256 / range * range);
	return byte % range;
}

void rand_id(char *out, size_t n)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	for (size_t i = 0; i < n; i++)
		out[i] = digits[rand_below(i == 0 ? 26 : 36)];
	out[n] = '\0';
}

void rand_hex(char *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = "0123456789abcdef"[rand_below(16)];
	out[n] = '\0';
}

char *str_trimmed(const char *s)
{
	s += strspn(s, " \t\r\n\v\f");
	size_t n = strlen(s);
	while (n > 0 && strchr(" \t\r\n\v\f", s[n - 1]))
		n--;
	return mem_strndup(s, n);
}

void str_copy(char *out, size_t size, const char *s)
{
	size_t n = strnlen(s, size - 1);
	memcpy(out, s, n);
	out[n] = '\0';
}

bool name_valid(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return n >= 1 && n <= 63 && s[n] == '\0' && s[0] != '-' && s[n - 1] != '-';
}

bool str_same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && !memcmp(s + n - m, suffix, m);
}

int parse_int(const char *s, const char *what, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	int64_t v = 0;
	const char *p = s;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
			break;
	if (p == s || *p != '\0' || v < min || v > max)
		return err_set(
			err, ERR_INVALID, "%s '%.64s' is not a number from %lld to %lld", what, s, (long long)min, (long long)max);
	*out = v;
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char low = (char)(c | 32);
	return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool url_decode(char *s)
{
	char *to = s;
	for (const char *p = s; *p; p++) {
		if (*p != '%') {
			*to++ = *p;
			continue;
		}
		int high = hex_value(p[1]);
		int low = high < 0 ? -1 : hex_value(p[2]);
		if (low < 0 || (high == 0 && low == 0))
			return false;
		*to++ = (char)(high * 16 + low);
		p += 2;
	}
	*to = '\0';
	return true;
}

bool mem_equal_ct(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char diff = 0;
	for (size_t i = 0; i < n; i++)
		diff |= x[i] ^ y[i];
	return diff == 0;
}

/* Levenshtein; row[j] is the distance of a's first i characters and b's first j. */
unsigned str_distance(const char *a, const char *b)
{
	enum { MAX = 64, FAR = 1000 };
	size_t n = strnlen(a, MAX), m = strnlen(b, MAX);
	unsigned row[MAX + 1];
	if (n == MAX || m == MAX)
		return FAR;
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);
			unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best < change ? best : change;
		}
	}
	return row[m];
}
