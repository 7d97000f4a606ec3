#include "shared/gen/names.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

static bool is_upper(char c)
{
	return isupper((unsigned char)c) != 0;
}

/* Does a new word begin at s[i]? "vmId", "PTYSession"; but "VMs" is one. */
static bool word_starts(const char *s, size_t i)
{
	if (i == 0 || !is_upper(s[i]))
		return false;
	if (!is_upper(s[i - 1]))
		return isalnum((unsigned char)s[i - 1]) != 0;
	bool plural = s[i + 1] == 's' && !islower((unsigned char)s[i + 2]);
	return islower((unsigned char)s[i + 1]) && !plural;
}

void name_words(const char *s, char sep, struct buf *out)
{
	bool due = false, any = false;

	for (size_t i = 0; s[i]; i++) {
		if (!isalnum((unsigned char)s[i])) {
			due = true;
			continue;
		}
		if (any && (due || word_starts(s, i)))
			buf_ch(out, sep);
		buf_ch(out, (char)tolower((unsigned char)s[i]));
		due = false;
		any = true;
	}
}

void name_kebab(const char *s, struct buf *out)
{
	name_words(s, '-', out);
}

void name_snake_upper(const char *s, struct buf *out)
{
	size_t start = out->len;

	if (isdigit((unsigned char)*s))
		buf_ch(out, '_');
	name_words(s, '_', out);
	for (size_t i = start; i < out->len; i++)
		out->p[i] = (char)toupper((unsigned char)out->p[i]);
}

void name_c(const char *s, struct buf *out)
{
	if (isdigit((unsigned char)*s))
		buf_ch(out, '_');
	for (; *s; s++)
		buf_ch(out, isalnum((unsigned char)*s) ? *s : '_');
}

static void cut(struct buf *b, size_t n)
{
	b->len -= n;
	b->p[b->len] = '\0';
}

void name_singular(struct buf *b)
{
	static const char *const es[] = { "sses", "xes", "ches", "shes", "zes" };

	if (b->len < 3 || !str_ends(b->p, "s") || str_ends(b->p, "ss") || str_ends(b->p, "us") || str_ends(b->p, "is"))
		return;
	if (str_ends(b->p, "ies") && b->len > 4) {
		cut(b, 3);
		buf_ch(b, 'y');
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(es); i++) {
		if (str_ends(b->p, es[i])) {
			cut(b, 2);
			return;
		}
	}
	cut(b, 1);
}
