#include "cli/channel_config.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

#define FILE_MAX ((size_t)64 << 10)

/* Splits the line at its first '='; false when it is no field. */
static bool add(struct channel_config *c, char *line)
{
	char *eq = strchr(line, '=');
	if (!eq || eq == line)
		return false;
	*eq = '\0';
	c->v = mem_grow(c->v, c->n + 1, sizeof(*c->v));
	c->v[c->n++] = (struct kv){ line, eq + 1 };
	return true;
}

/* In place, without its end and the blanks around it; returns where the next one begins. */
static char *cut_line(char **line)
{
	char *next = *line + strcspn(*line, "\n"), *end = next;
	if (*next)
		*next++ = '\0';
	*line += strspn(*line, " \t");
	while (end > *line && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return next;
}

int channel_config_parse(
	const struct opt_list *pairs, const char *text, const char *what, struct channel_config *out, struct err *err)
{
	auto_buf all = BUF_INIT;
	size_t number = 0, given = pairs->n;
	for (size_t i = 0; i < given; i++)
		buf_add(&all, pairs->v[i], strlen(pairs->v[i]) + 1);
	buf_str(&all, text);
	*out = (struct channel_config){ .text = buf_take(&all, NULL) };
	if (!out->text)
		return err_set(err, ERR_LIMIT, "out of memory");
	char *at = out->text;
	for (size_t i = 0; i < given; i++) {
		char *next = at + strlen(at) + 1;
		(void)add(out, at); /* opt.c has seen that it is a pair */
		at = next;
	}
	while (*at) {
		char *line = at;
		at = cut_line(&line);
		number++;
		if (*line && *line != '#' && !add(out, line))
			return err_set(err, ERR_USAGE, "%s, line %zu: a field is KEY=VALUE", what, number);
	}
	if (out->n > 0)
		return 0;
	err_set(err, ERR_USAGE, "a configuration is missing");
	return err_hint(err, "give it with --config K=V, or with --config-file FILE where others cannot see it");
}

int channel_config_read(const struct opt_list *pairs, const char *file, struct channel_config *out, struct err *err)
{
	auto_buf text = BUF_INIT;
	*out = (struct channel_config){ 0 };
	bool in = file && strcmp(file, "-") == 0;
	if (file && fs_read(in ? "/dev/stdin" : file, FILE_MAX, &text, err))
		return -1;
	if (strlen(text.p) != text.len)
		return err_set(err, ERR_USAGE, "'%s' is no text", file);
	return channel_config_parse(pairs, text.p, in ? "standard input" : file, out, err);
}

void channel_config_free(struct channel_config *c)
{
	free(c->v);
	free(c->text);
	*c = (struct channel_config){ 0 };
}
