/*
 * The search for a boundary rests on one property: what is looked for begins with a line end, and a boundary holds none. So the
 * beginning of a boundary can only be at the last line end of what was fed, and when it turns out to be data nothing that was held
 * back has to be looked at again: it is given out from `delim`, of which it is a part.
 */
#include "daemon/http/multipart.h"

#include <string.h>
#include <strings.h>

#include "shared/base/mem.h"

#define BLANK " \t"
/* RFC 9110 5.6.2 */
#define TOKEN "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define LINE_END 2 /* of delim */

struct input {
	const char *p, *end;
};

static size_t input_len(const struct input *in)
{
	return (size_t)(in->end - in->p);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int bad_head(struct err *err)
{
	return err_set(err, ERR_INVALID, "a part of the multipart body has a malformed header");
}

/* ---- parameters: `TYPE; key=value; key="value"` ---- */

static void trim_end(char *s)
{
	size_t n = strlen(s);
	while (n > 0 && is_blank(s[n - 1]))
		s[--n] = '\0';
}

/* Cut the parameters off a value: returns them, without the first semicolon. */
static char *cut_params(char *value)
{
	char *params = value + strcspn(value, ";");
	if (*params)
		*params++ = '\0';
	trim_end(value);
	return params;
}

/* The character that is written as three at s, or NUL. The HTML standard escapes these and no other, not even '%'. */
static char percent_char(const char *s)
{
	static const char codes[] = "%22\"%0A\n%0D\r";
	for (const char *c = codes; *c; c += 4) {
		if (strncasecmp(s, c, 3) == 0)
			return c[3];
	}
	return '\0';
}

/* The quoted string at s (behind its first quote), decoded in place. *end: where its NUL is to go. Returns what follows the closing
 * quote, NULL when there is none. Most clients do not escape a backslash, so one before anything else is just that. */
static char *unquote(char *s, bool percent, char **end)
{
	char *out = s;
	while (*s && *s != '"') {
		char c = '\0';
		if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		else if (percent)
			c = percent_char(s);
		*out++ = c ? c : *s;
		s += c ? 3 : 1;
	}
	*end = out;
	return *s ? s + 1 : NULL;
}

struct param {
	const char *key, *value;
};

/* The next parameter, NUL-terminated in place: 1, 0 when there is none, -1 when it is malformed. percent: decode these, too. */
static int next_param(char **params, bool percent, struct param *out)
{
	char *key = *params + strspn(*params, BLANK ";"), *value_end;
	if (!*key)
		return 0;
	char *key_end = key + strspn(key, TOKEN);
	char *p = key_end + strspn(key_end, BLANK);
	if (key_end == key || *p != '=')
		return -1;
	*key_end = '\0';
	p += 1 + strspn(p + 1, BLANK);
	out->key = key;
	if (*p == '"') {
		out->value = ++p;
		p = unquote(p, percent, &value_end);
		if (!p)
			return -1;
	} else {
		out->value = p;
		p += strcspn(p, BLANK ";\"");
		value_end = p;
	}
	p += strspn(p, BLANK);
	if (*p && *p != ';')
		return -1;
	*params = *p ? p + 1 : p;
	*value_end = '\0';
	return 1;
}

/* ---- the header of a part ---- */

struct head {
	char *disposition, *type, *encoding;
};

/* The line at s, with those that go on with it, as a string without its line end. Returns what follows, NULL when it holds what it
 * may not. stop: where the header ends, behind an LF. */
static char *cut_line(char *s, const char *stop)
{
	char *nl = s;
	for (;;) {
		nl = memchr(nl, '\n', (size_t)(stop - nl));
		if (!nl)
			return NULL;
		if (nl > s && nl[-1] == '\r')
			nl[-1] = ' ';
		*nl = ' ';
		if (nl + 1 == stop || !is_blank(nl[1]))
			break;
	}
	for (const char *c = s; c < nl; c++) {
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return NULL;
	}
	*nl = '\0';
	return nl + 1;
}

static int read_line(char *line, struct head *h, struct err *err)
{
	char *colon = line + strspn(line, TOKEN);
	if (colon == line || *colon != ':')
		return bad_head(err);
	*colon = '\0';
	char **to = strcasecmp(line, "content-disposition") == 0     ? &h->disposition
		: strcasecmp(line, "content-type") == 0		     ? &h->type
		: strcasecmp(line, "content-transfer-encoding") == 0 ? &h->encoding
								     : NULL;
	if (!to)
		return 0;
	if (*to)
		return err_set(err, ERR_INVALID, "a part of the multipart body has two headers '%s'", line);
	*to = colon + 1 + strspn(colon + 1, BLANK);
	trim_end(*to);
	return 0;
}

static int read_disposition(char *value, struct multipart_part *part, struct err *err)
{
	if (!value)
		return err_set(err, ERR_INVALID, "a part of the multipart body has no 'Content-Disposition'");
	char *params = cut_params(value);
	if (strcasecmp(value, "form-data") != 0)
		return err_set(err, ERR_INVALID, "a part of the multipart body is '%s', not 'form-data'", value);
	struct param p;
	int r;
	while ((r = next_param(&params, true, &p)) > 0) {
		const char **to = strcasecmp(p.key, "name") == 0 ? &part->name
			: strcasecmp(p.key, "filename") == 0	 ? &part->filename
								 : NULL;
		if (to && *to)
			return err_set(err, ERR_INVALID, "'%s' of a part of the multipart body is given twice", p.key);
		if (to)
			*to = p.value;
	}
	if (r < 0)
		return bad_head(err);
	if (!part->name)
		return err_set(err, ERR_INVALID, "a part of the multipart body has no name");
	if (strlen(part->name) > MULTIPART_NAME_MAX)
		return err_set(
			err, ERR_TOO_LARGE, "name of a part of the multipart body is longer than %d bytes", MULTIPART_NAME_MAX);
	return 0;
}

static bool is_plain(const char *encoding)
{
	return !encoding || strcasecmp(encoding, "binary") == 0 || strcasecmp(encoding, "8bit") == 0 ||
		strcasecmp(encoding, "7bit") == 0;
}

/* The header is there, up to its empty line. */
static int begin_part(struct multipart *m, struct err *err)
{
	struct multipart_part part = { 0 };
	struct head h = { 0 };
	char *next, *stop = m->head + m->line;
	for (char *line = m->head; line < stop; line = next) {
		next = cut_line(line, stop);
		if (!next)
			return bad_head(err);
		if (read_line(line, &h, err))
			return -1;
	}
	if (read_disposition(h.disposition, &part, err))
		return -1;
	if (!is_plain(h.encoding))
		return err_set(err, ERR_INVALID,
			"part '%.64s' of the multipart body has the transfer encoding '%s': send it as it is", part.name,
			h.encoding);
	part.content_type = h.type;
	m->ops->on_part(m->arg, &part);
	m->state = MULTIPART_DATA;
	m->matched = m->held = LINE_END; /* the empty line may be that of a boundary: a part without data */
	return 0;
}

static int read_head(struct multipart *m, struct input *in, struct err *err)
{
	const char *nl = memchr(in->p, '\n', input_len(in));
	size_t n = nl ? (size_t)(nl + 1 - in->p) : input_len(in);
	if (n > MULTIPART_HEAD_MAX - m->head_len)
		return err_set(
			err, ERR_TOO_LARGE, "header of a part of the multipart body is longer than %d bytes", MULTIPART_HEAD_MAX);
	memcpy(m->head + m->head_len, in->p, n);
	m->head_len += n;
	in->p += n;
	if (!nl)
		return 0;
	size_t length = m->head_len - m->line;
	if (length == 1 || (length == 2 && m->head[m->line] == '\r'))
		return begin_part(m, err);
	m->line = m->head_len;
	return 0;
}

/* ---- boundaries ---- */

/* Give n bytes of data to whom they belong; returns how many were taken. */
static size_t give(struct multipart *m, const char *p, size_t n)
{
	return n == 0 || m->state == MULTIPART_PREAMBLE ? n : m->ops->on_data(m->arg, p, n);
}

/* Data up to a boundary, or to what may become one. False when paused. */
static bool search(struct multipart *m, struct input *in)
{
	const char *delim = m->delim + m->start;
	size_t len = m->len - m->start, found = len;
	const char *at = memmem(in->p, input_len(in), delim, len);
	if (!at) {
		size_t tail = smaller(input_len(in), len - 1);
		at = memrchr(in->end - tail, *delim, tail);
		if (!at || memcmp(at, delim, (size_t)(in->end - at)) != 0)
			at = in->end;
		found = (size_t)(in->end - at);
	}
	size_t n = (size_t)(at - in->p), taken = give(m, in->p, n);
	in->p += taken;
	if (taken < n)
		return false;
	in->p += found;
	m->held = m->start;
	m->matched = m->start + found;
	return true;
}

/* The boundary has been read as far as its end or its two hyphens. */
static void end_part(struct multipart *m, enum multipart_state next)
{
	if (m->state == MULTIPART_DATA)
		m->ops->on_part_end(m->arg);
	m->state = next;
}

/* What was held back is data. False when paused. */
static bool let_go(struct multipart *m)
{
	m->held += give(m, m->delim + m->held, m->matched - m->held);
	if (m->held < m->matched)
		return false;
	m->held = m->matched = m->start;
	return true;
}

/* A boundary has begun: go on with it. What does not end it or close it behind its last character makes it another's, that is data.
 * False when paused. */
static bool match(struct multipart *m, struct input *in)
{
	char c = *in->p;
	size_t n = smaller(m->matched < m->len ? m->len - m->matched : 1, input_len(in)), same = 0;
	if (m->matched == m->len && (is_blank(c) || c == '\r' || c == '\n')) {
		end_part(m, MULTIPART_LINE);
		return true;
	}
	while (same < n && in->p[same] == m->delim[m->matched + same])
		same++;
	in->p += same;
	m->matched += same;
	if (same < n)
		return let_go(m);
	if (m->matched == m->len + 2)
		end_part(m, MULTIPART_CLOSED);
	return true;
}

static bool find(struct multipart *m, struct input *in)
{
	return m->matched > m->start ? match(m, in) : search(m, in);
}

/* Behind a boundary: a header is to come. */
static int end_line(struct multipart *m, struct input *in, struct err *err)
{
	bool cr = m->state == MULTIPART_LINE_LF;
	char c = *in->p++;
	if (!cr && is_blank(c))
		return 0;
	if (!cr && c == '\r') {
		m->state = MULTIPART_LINE_LF;
		return 0;
	}
	if (c != '\n')
		return err_set(err, ERR_INVALID, "a boundary of the multipart body is followed by other text");
	if (m->parts == MULTIPART_PARTS_MAX)
		return err_set(err, ERR_TOO_LARGE, "multipart body has more than %d parts", MULTIPART_PARTS_MAX);
	if (m->parts++ == 0)
		m->start = cr ? 0 : LINE_END - 1;
	m->head_len = m->line = 0;
	m->state = MULTIPART_HEAD;
	return 0;
}

static int end_body(struct multipart *m, struct input *in, struct err *err)
{
	char c = *in->p++;
	if (c == '\r' || c == '\n')
		m->state = MULTIPART_EPILOGUE;
	else if (!is_blank(c))
		return err_set(err, ERR_INVALID, "the closing boundary of the multipart body is followed by other text");
	return 0;
}

/* ---- the body ---- */

static bool boundary_valid(const char *s)
{
	size_t n = strlen(s);
	for (size_t i = 0; i < n; i++) {
		if (s[i] < ' ' || s[i] > '~')
			return false;
	}
	return n >= 1 && n <= MULTIPART_BOUNDARY_MAX && s[n - 1] != ' ';
}

int multipart_init(struct multipart *m, const char *content_type, const struct multipart_ops *ops, void *arg, struct err *err)
{
	auto_free char *type = mem_strdup(content_type ? content_type : "");
	char *params = cut_params(type);
	const char *boundary = NULL;
	struct param p;
	int r;
	if (strcasecmp(type, "multipart/form-data") != 0)
		return err_set(err, ERR_INVALID, "content type is not 'multipart/form-data'");
	while ((r = next_param(&params, false, &p)) > 0) {
		if (strcasecmp(p.key, "boundary") != 0)
			continue;
		if (boundary)
			return err_set(err, ERR_INVALID, "content type has two boundaries");
		boundary = p.value;
	}
	if (r < 0 || !boundary || !boundary_valid(boundary))
		return err_set(err, ERR_INVALID, "content type has no boundary of 1 to %d characters", MULTIPART_BOUNDARY_MAX);
	m->ops = ops;
	m->arg = arg;
	m->state = MULTIPART_PREAMBLE;
	m->parts = 0;
	m->len = LINE_END + 2 + strlen(boundary);
	memcpy(m->delim, "\r\n--", 4);
	memcpy(m->delim + 4, boundary, m->len - 4);
	memcpy(m->delim + m->len, "--", 2);
	m->start = LINE_END - 1; /* before the first boundary any line end will do, and the body begins as a line does */
	m->held = m->matched = LINE_END;
	m->head_len = m->line = 0;
	return 0;
}

/* Some of the input: 1, 0 when paused, -1 with err. */
static int step(struct multipart *m, struct input *in, struct err *err)
{
	switch (m->state) {
	case MULTIPART_PREAMBLE:
	case MULTIPART_DATA:
		return find(m, in);
	case MULTIPART_LINE:
	case MULTIPART_LINE_LF:
		return end_line(m, in, err) ? -1 : 1;
	case MULTIPART_HEAD:
		return read_head(m, in, err) ? -1 : 1;
	case MULTIPART_CLOSED:
		return end_body(m, in, err) ? -1 : 1;
	case MULTIPART_EPILOGUE:
		in->p = in->end;
		return 1;
	case MULTIPART_FAILED:
		break;
	}
	return err_set(err, ERR_INVALID, "multipart body was malformed before");
}

ssize_t multipart_feed(struct multipart *m, const void *data, size_t n, struct err *err)
{
	struct input in = { data, (const char *)data + n };
	int r = 1;
	while (r > 0 && in.p < in.end)
		r = step(m, &in, err);
	if (r < 0)
		m->state = MULTIPART_FAILED;
	return r < 0 ? -1 : in.p - (const char *)data;
}

int multipart_finish(const struct multipart *m, struct err *err)
{
	if (m->state == MULTIPART_CLOSED || m->state == MULTIPART_EPILOGUE)
		return 0;
	return err_set(err, ERR_INVALID, "multipart body ends before its closing boundary");
}
