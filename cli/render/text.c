#include "cli/render/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct range {
	uint32_t from, to;
};

/* Unicode blocks of combining and otherwise invisible characters, and of wide ones: what tables of names need. */
static const struct range zero_wide[] = {
	{ 0x0300, 0x036f },
	{ 0x0483, 0x0489 },
	{ 0x0591, 0x05bd },
	{ 0x0610, 0x061a },
	{ 0x064b, 0x065f },
	{ 0x0e34, 0x0e3a },
	{ 0x0e47, 0x0e4e },
	{ 0x1ab0, 0x1aff },
	{ 0x1dc0, 0x1dff },
	{ 0x200b, 0x200f },
	{ 0x20d0, 0x20ff },
	{ 0xfe00, 0xfe0f },
	{ 0xfe20, 0xfe2f },
	{ 0xe0100, 0xe01ef },
};
static const struct range double_wide[] = {
	{ 0x1100, 0x115f },
	{ 0x231a, 0x231b },
	{ 0x23e9, 0x23ec },
	{ 0x25fd, 0x25fe },
	{ 0x2614, 0x2615 },
	{ 0x2648, 0x2653 },
	{ 0x26aa, 0x26ab },
	{ 0x26bd, 0x26be },
	{ 0x26c4, 0x26c5 },
	{ 0x26f2, 0x26f5 },
	{ 0x2705, 0x2705 },
	{ 0x270a, 0x270b },
	{ 0x2728, 0x2728 },
	{ 0x274c, 0x274c },
	{ 0x2753, 0x2757 },
	{ 0x2795, 0x2797 },
	{ 0x2b1b, 0x2b1c },
	{ 0x2b50, 0x2b55 },
	{ 0x2e80, 0x303e },
	{ 0x3041, 0xa4cf },
	{ 0xa960, 0xa97f },
	{ 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff },
	{ 0xfe30, 0xfe6f },
	{ 0xff00, 0xff60 },
	{ 0xffe0, 0xffe6 },
	{ 0x1f004, 0x1f004 },
	{ 0x1f0cf, 0x1f0cf },
	{ 0x1f18e, 0x1f19a },
	{ 0x1f200, 0x1f265 },
	{ 0x1f300, 0x1f64f },
	{ 0x1f680, 0x1f6ff },
	{ 0x1f900, 0x1f9ff },
	{ 0x1fa70, 0x1faff },
	{ 0x20000, 0x3fffd },
};

static bool within(const struct range *r, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].from && c <= r[i].to)
			return true;
	return false;
}

/* The code point of a valid sequence of n bytes. */
static uint32_t code_point(const char *s, size_t n)
{
	static const unsigned char first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)s[0] & first_bits[n];
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

static bool harmful(uint32_t c)
{
	return c < 32 || (c >= 127 && c < 160) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x2028 ||
		c == 0x2029;
}

void text_safe(struct buf *out, const char *s)
{
	for (size_t left = strlen(s); left;) {
		size_t n = utf8_len(s, left);
		uint32_t c = n ? code_point(s, n) : (unsigned char)*s;
		if (n == 0 || (c < 128 && harmful(c)))
			buf_fmt(out, "\\x%02x", c);
		else if (harmful(c))
			buf_fmt(out, "\\u{%x}", c);
		else
			buf_add(out, s, n);
		s += n ? n : 1;
		left -= n ? n : 1;
	}
}

size_t text_width(const char *s)
{
	size_t width = 0;
	for (size_t left = strlen(s); left;) {
		size_t n = utf8_len(s, left);
		uint32_t c = n ? code_point(s, n) : 0;
		if (c < 0x300 || !within(zero_wide, ARRAY_LEN(zero_wide), c))
			width += c >= 0x1100 && within(double_wide, ARRAY_LEN(double_wide), c) ? 2 : 1;
		s += n ? n : 1;
		left -= n ? n : 1;
	}
	return width;
}

void text_age(struct buf *out, const char *rfc3339, int64_t now_wall_ms)
{
	int64_t then;
	if (clock_parse(rfc3339, &then)) {
		text_safe(out, rfc3339);
		return;
	}
	long long s = now_wall_ms > then ? (now_wall_ms - then) / 1000 : 0;
	if (s < 60)
		buf_fmt(out, "%llds", s);
	else if (s < 3600)
		buf_fmt(out, "%lldm", s / 60);
	else if (s < 86400)
		buf_fmt(out, "%lldh", s / 3600);
	else
		buf_fmt(out, "%lldd", s / 86400);
}

void text_size(struct buf *out, int64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	size_t u = 0;
	while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		u++;
	}
	bool whole = u == 0 || v >= 100 || v == (double)(int64_t)v;
	buf_fmt(out, whole ? "%.0f %s" : "%.1f %s", v, units[u]);
}
