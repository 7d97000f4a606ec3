#include "daemon/api/mcp_v8/label_name.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"

/* All that is ever escaped. */
static const char escaped[] = ":\\?*[-@ {%/.";

/* The character that an escape at s stands for, when it is one of ours; 0. */
static char escape_at(const char *s)
{
	static const char digits[] = "0123456789ABCDEF";
	if (s[0] != '%' || !s[1] || !s[2])
		return 0;
	const char *high = strchr(digits, s[1]), *low = strchr(digits, s[2]);
	char c = high && low ? (char)((high - digits) * 16 + (low - digits)) : '\0';
	return c && strchr(escaped, c) ? c : '\0';
}

/* Would label_check mind the character at i? */
static bool must_escape(const char *s, size_t i, size_t n)
{
	char before = i > 0 ? s[i - 1] : '/', after = i + 1 < n ? s[i + 1] : '/';
	switch (s[i]) {
	case ':':
	case '\\':
	case '?':
	case '*':
	case '[':
		return true;
	case '-':
	case '@':
		return i == 0;
	case ' ':
		return i == 0 || i + 1 == n;
	case '{':
		return before == '@';
	case '%':
		return escape_at(s + i) != 0;
	case '/':
		return before == '/' || i + 1 == n; /* at an end, or after another */
	case '.':
		return before == '/' && after == '/';
	default:
		return false;
	}
}

static char *escape(const char *s)
{
	auto_buf out = BUF_INIT;
	size_t n = strlen(s);
	for (size_t i = 0; i < n; i++) {
		if (must_escape(s, i, n))
			buf_fmt(&out, "%%%02X", (unsigned char)s[i]);
		else
			buf_ch(&out, s[i]);
	}
	return mem_strdup(out.p);
}

static int check(const char *s, struct err *err)
{
	size_t n = strlen(s);
	if (n == 0)
		return err_set(err, ERR_INVALID, "invalid label name: it is empty");
	if (n > MCP_LABEL_MAX)
		return err_set(err, ERR_INVALID, "invalid label name: %zu bytes (max %d)", n, MCP_LABEL_MAX);
	if (n == 64 && strspn(s, "0123456789abcdefABCDEF") == n)
		return err_set(err, ERR_INVALID, "invalid label name: 64 hex digits are a CA id");
	for (const char *p = s; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(err, ERR_INVALID, "invalid label name: it has a control character");
	}
	for (const char *p = s;; p++) {
		size_t len = strcspn(p, "/");
		if (len == 2 && memcmp(p, "..", 2) == 0)
			return err_set(err, ERR_INVALID, "invalid label name: it has a part '..'");
		p += len;
		if (!*p)
			return 0;
	}
}

char *mcp_label_to_ours(const char *theirs, struct err *err)
{
	return check(theirs, err) == 0 ? escape(theirs) : NULL;
}

char *mcp_label_to_theirs(const char *ours)
{
	auto_buf out = BUF_INIT;
	for (const char *p = ours; *p; p++) {
		char c = escape_at(p);
		buf_ch(&out, c ? c : *p);
		p += c ? 2 : 0;
	}
	/* a label that was not named through us may look escaped and not be */
	auto_free char *again = escape(out.p);
	return mem_strdup(strcmp(again, ours) == 0 ? out.p : ours);
}
