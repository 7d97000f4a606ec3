#include "cli/build/config.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- lists ---- */

void strings_add(struct strings *s, const char *text)
{
	s->v = mem_grow(s->v, s->n + 2, sizeof(*s->v));
	s->v[s->n++] = mem_strdup(text);
	s->v[s->n] = NULL;
}

void strings_copy(struct strings *to, const struct strings *from)
{
	*to = (struct strings){ 0 };
	for (size_t i = 0; i < from->n; i++)
		strings_add(to, from->v[i]);
}

void strings_free(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strings){ 0 };
}

static char **find(const struct strings *s, const char *name, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strncmp(s->v[i], name, n) && s->v[i][n] == '=')
			return &s->v[i];
	return NULL;
}

void strings_set(struct strings *s, const char *name, size_t n, const char *value)
{
	auto_free char *pair = mem_printf("%.*s=%s", (int)n, name, value);
	char **there = find(s, name, n);
	if (there) {
		free(*there);
		*there = mem_steal(&pair);
	} else {
		strings_add(s, pair);
	}
}

const char *strings_value(const struct strings *s, const char *name, size_t n)
{
	char **there = find(s, name, n);
	return there ? *there + n + 1 : NULL;
}

/* ---- the configuration ---- */

static void read_list(const js *v, struct strings *out)
{
	*out = (struct strings){ 0 };
	js_each (item, v)
		strings_add(out, js_str(item, ""));
}

static void read_pairs(const js *v, struct strings *out)
{
	*out = (struct strings){ 0 };
	js_each (item, v)
		strings_set(out, js_key(item), strlen(js_key(item)), js_str(item, ""));
}

void image_config_read(const js *v, struct image_config *out)
{
	*out = (struct image_config){ 0 };
	read_pairs(js_get(v, "env"), &out->env);
	read_pairs(js_get(v, "labels"), &out->labels);
	read_list(js_get(v, "exposedPorts"), &out->ports);
	read_list(js_get(v, "entrypoint"), &out->entrypoint);
	read_list(js_get(v, "cmd"), &out->cmd);
	out->user = mem_strdup(js_str(js_get(v, "user"), ""));
	out->workdir = mem_strdup(js_str(js_get(v, "workdir"), ""));
}

void image_config_copy(struct image_config *to, const struct image_config *from)
{
	*to = (struct image_config){ .user = mem_strdup(from->user), .workdir = mem_strdup(from->workdir) };
	strings_copy(&to->env, &from->env);
	strings_copy(&to->args, &from->args);
	strings_copy(&to->labels, &from->labels);
	strings_copy(&to->ports, &from->ports);
	strings_copy(&to->entrypoint, &from->entrypoint);
	strings_copy(&to->cmd, &from->cmd);
	to->own_cmd = from->own_cmd;
}

void image_config_free(struct image_config *c)
{
	struct strings *const lists[] = { &c->env, &c->args, &c->labels, &c->ports, &c->entrypoint, &c->cmd };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		strings_free(lists[i]);
	free(c->user);
	free(c->workdir);
	*c = (struct image_config){ 0 };
}

static void write_list(struct jw *w, const char *key, const struct strings *s)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < s->n; i++)
		jw_str(w, s->v[i]);
	jw_arr_end(w);
}

static void write_pairs(struct jw *w, const char *key, const struct strings *s)
{
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; i < s->n; i++) {
		size_t n = strcspn(s->v[i], "=");
		auto_free char *name = mem_strndup(s->v[i], n);
		jw_kstr(w, name, s->v[i] + n + 1);
	}
	jw_obj_end(w);
}

void image_config_write(const struct image_config *c, struct jw *w)
{
	jw_obj(w);
	write_pairs(w, "env", &c->env);
	write_pairs(w, "labels", &c->labels);
	write_list(w, "exposedPorts", &c->ports);
	write_list(w, "entrypoint", &c->entrypoint);
	write_list(w, "cmd", &c->cmd);
	jw_kstr(w, "user", c->user);
	jw_kstr(w, "workdir", c->workdir);
	jw_obj_end(w);
}

/* ---- instructions ---- */

static const char *variable(void *arg, const char *name, size_t n)
{
	const struct image_config *c = arg;
	const char *value = strings_value(&c->env, name, n);
	return value ? value : strings_value(&c->args, name, n);
}

char *image_config_expand(const struct image_config *c, char escape, const char *word, struct err *err)
{
	const struct expand x = { .escape = escape, .value = variable, .arg = (void *)(uintptr_t)c };
	auto_buf out = BUF_INIT;
	return expand_word(&x, word, &out, err) ? NULL : buf_take(&out, NULL);
}

/* NAME=VALUE: both expanded, with what was set before the instruction. */
static int set_pairs(
	const struct image_config *c, char escape, const struct dockerfile_step *s, struct strings *into, struct err *err)
{
	struct image_config before;
	int rc = 0;
	image_config_copy(&before, c);
	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		size_t n = expand_name(escape, s->words[i], strlen(s->words[i]));
		auto_free char *left = mem_strndup(s->words[i], n);
		auto_free char *name = image_config_expand(&before, escape, left, err);
		auto_free char *value = name ? image_config_expand(&before, escape, s->words[i] + n + 1, err) : NULL;
		if (!value)
			rc = -1;
		else if (!*name || strchr(name, '='))
			rc = err_set(err, ERR_INVALID, "'%.80s' cannot be a name", name);
		else
			strings_set(into, name, strlen(name), value);
	}
	image_config_free(&before);
	return rc;
}

/* What the command line gives counts; else what is written; else what an ARG before the first FROM gave. */
static int set_args(
	struct image_config *c, char escape, const struct dockerfile_step *s, const struct config_args *args, struct err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		const char *word = s->words[i];
		size_t n = expand_name(escape, word, strlen(word));
		auto_free char *written = word[n] ? image_config_expand(c, escape, word + n + 1, err) : NULL;
		const char *given = strings_value(args->given, word, n);
		if (word[n] && !written)
			return -1;
		if (!n ||
			word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] !=
				(word[n] ? '=' : '\0'))
			return err_set(err, ERR_INVALID, "'%.80s' cannot be the name of an argument", word);
		const char *value = given ? given : written;
		if (!value && args->outer)
			value = strings_value(args->outer, word, n);
		if (value)
			strings_set(&c->args, word, n, value);
	}
	return 0;
}

static int add_ports(struct image_config *c, char escape, const struct dockerfile_step *s, struct err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		auto_free char *word = image_config_expand(c, escape, s->words[i], err);
		if (!word)
			return -1;
		size_t n = strcspn(word, "/");
		auto_free char *number = mem_strndup(word, n);
		int64_t port;
		if (parse_int(number, "port", 1, 65535, &port, NULL) ||
			(word[n] && strcmp(word + n, "/tcp") != 0 && strcmp(word + n, "/udp") != 0)) {
			err_set(err, ERR_INVALID, "'%.80s' is no port", word);
			return err_hint(err, "write 80, 80/tcp or 53/udp");
		}
		auto_free char *full = mem_printf("%lld%s", (long long)port, word[n] ? word + n : "/tcp");
		bool there = false;
		for (size_t k = 0; k < c->ports.n; k++)
			there |= !strcmp(c->ports.v[k], full);
		if (!there)
			strings_add(&c->ports, full);
	}
	return 0;
}

/* "/a/./b/../c/" -> "/a/c"; in place. */
static void clean(char *path)
{
	auto_free char *from = mem_strdup(path);
	char *out = path, *save = NULL;
	for (char *part = strtok_r(from, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			while (out > path && *--out != '/')
				;
			continue;
		}
		*out++ = '/';
		memcpy(out, part, strlen(part));
		out += strlen(part);
	}
	if (out == path)
		*out++ = '/';
	*out = '\0';
}

static int set_text(struct image_config *c, char escape, const struct dockerfile_step *s, struct err *err)
{
	char **to = s->verb == DOCKERFILE_USER ? &c->user : &c->workdir;
	auto_free char *word = image_config_expand(c, escape, s->words[0], err);
	if (!word)
		return -1;
	if (!*word)
		return err_set(err, ERR_INVALID, "its argument is empty");
	if (s->verb == DOCKERFILE_WORKDIR) {
		char *full = *word == '/' ? mem_printf("%s/", word) : mem_printf("%s/%s/", c->workdir, word);
		clean(full);
		free(word);
		word = full;
	}
	free(*to);
	*to = mem_steal(&word);
	return 0;
}

static void set_command(struct image_config *c, const struct dockerfile_step *s)
{
	struct strings *to = s->verb == DOCKERFILE_CMD ? &c->cmd : &c->entrypoint;
	strings_free(to);
	if (!s->json) {
		strings_add(to, "/bin/sh");
		strings_add(to, "-c");
	}
	for (size_t i = 0; i < s->count; i++)
		strings_add(to, s->words[i]);
	c->own_cmd |= s->verb == DOCKERFILE_CMD;
	/* arguments for another program than this */
	if (s->verb == DOCKERFILE_ENTRYPOINT && !c->own_cmd)
		strings_free(&c->cmd);
}

int image_config_step(
	struct image_config *c, char escape, const struct dockerfile_step *s, const struct config_args *args, struct err *err)
{
	int rc = 0;
	switch (s->verb) {
	case DOCKERFILE_ARG:
		rc = set_args(c, escape, s, args, err);
		break;
	case DOCKERFILE_ENV:
		rc = set_pairs(c, escape, s, &c->env, err);
		break;
	case DOCKERFILE_LABEL:
		rc = set_pairs(c, escape, s, &c->labels, err);
		break;
	case DOCKERFILE_EXPOSE:
		rc = add_ports(c, escape, s, err);
		break;
	case DOCKERFILE_USER:
	case DOCKERFILE_WORKDIR:
		rc = set_text(c, escape, s, err);
		break;
	case DOCKERFILE_CMD:
	case DOCKERFILE_ENTRYPOINT:
		set_command(c, s);
		break;
	case DOCKERFILE_FROM:
	case DOCKERFILE_RUN:
	case DOCKERFILE_COPY:
	case DOCKERFILE_ADD:
	case DOCKERFILE_VERBS:
		return 0;
	}
	return rc ? -1 : 1;
}
