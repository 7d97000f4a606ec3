/*
 * pattern: regular expressions of JSON Schema (ECMA 262) as POSIX extended ones, so that the daemon can use regcomp as it is.
 * Inside brackets POSIX knows no backslash: ']' must stand first, '^' not first, '-' last.
 */
#include <ctype.h>
#include <regex.h>
#include <stdbool.h>
#include <string.h>

#include "shared/gen/model.h"

static const char *class_of(char c)
{
	switch (c) {
	case 'd':
		return "0-9";
	case 'w':
		return "A-Za-z0-9_";
	case 's':
		return " \t\r\n\f\v";
	default:
		return NULL;
	}
}

/* The character that an escape stands for, or 0: then it is no plain character. */
static char plain_of(char c)
{
	switch (c) {
	case 't':
		return '\t';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	default:
		return isalnum((unsigned char)c) ? '\0' : c;
	}
}

static int bracket(const char **pp, struct buf *out, struct err *err)
{
	const char *p = *pp + 1;
	bool negated = *p == '^', close = false, caret = false, dash = false;
	auto_buf set = BUF_INIT;

	p += negated;
	for (; *p && *p != ']'; p++) {
		char c = *p;
		if (c == '[')
			return err_set(err, ERR_INVALID, "a '[' inside brackets must be escaped");
		if (c == '-' && (p[1] == ']' || set.len == 0)) {
			dash = true;
			continue;
		}
		if (c == '\\') {
			c = *++p;
			if (class_of(c)) {
				buf_str(&set, class_of(c));
				continue;
			}
			c = c ? plain_of(c) : '\0';
			if (!c)
				return err_set(err, ERR_INVALID, "the pattern has an escape that POSIX cannot say");
			if (c == ']' || c == '^' || c == '-') {
				close = close || c == ']';
				caret = caret || c == '^';
				dash = dash || c == '-';
				continue;
			}
		} else if (c == '^') {
			caret = true;
			continue;
		}
		buf_ch(&set, c);
	}
	if (*p != ']')
		return err_set(err, ERR_INVALID, "the pattern has an unclosed '['");
	if (caret && !negated && !close && set.len == 0)
		buf_str(out, dash ? "[-^]" : "\\^"); /* a caret may not come first */
	else
		buf_fmt(out, "[%s%s%s%s%s]", negated ? "^" : "", close ? "]" : "", set.p, caret ? "^" : "", dash ? "-" : "");
	*pp = p;
	return 0;
}

static int escape(const char **pp, struct buf *out, struct err *err)
{
	char c = *++*pp;

	if (class_of(c))
		buf_fmt(out, "[%s]", class_of(c));
	else if (c && class_of((char)tolower((unsigned char)c)))
		buf_fmt(out, "[^%s]", class_of((char)tolower((unsigned char)c)));
	else if (c && plain_of(c))
		buf_fmt(out, strchr(".[]*^$+?(){}|\\", c) ? "\\%c" : "%c", plain_of(c));
	else
		return err_set(err, ERR_INVALID, "the pattern has an escape that POSIX cannot say");
	return 0;
}

int pattern_translate(const char *pattern, struct buf *out, struct err *err)
{
	const char *p = pattern;
	int rc = 0;

	for (; rc == 0 && *p; p++) {
		if (*p == '\\') {
			rc = escape(&p, out, err);
		} else if (*p == '[') {
			rc = bracket(&p, out, err);
		} else if (p[0] == '(' && p[1] == '?') {
			if (p[2] != ':')
				return err_set(err, ERR_INVALID, "the pattern looks around or names a group, POSIX cannot");
			buf_ch(out, '(');
			p += 2;
		} else if (p > pattern && strchr("*+?}", p[-1]) && *p == '?' && (p < pattern + 2 || p[-2] != '\\')) {
			return err_set(err, ERR_INVALID, "the pattern has a lazy repetition, POSIX has none");
		} else {
			buf_ch(out, *p);
		}
	}
	if (rc != 0)
		return -1;
	regex_t re;
	int bad = regcomp(&re, out->p, REG_EXTENDED | REG_NOSUB);
	if (bad != 0)
		return err_set(err, ERR_INVALID, "the pattern does not compile");
	regfree(&re);
	return 0;
}
