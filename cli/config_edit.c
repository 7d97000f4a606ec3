/* The changing part of config.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/config_internal.h"
#include "cli/opt.h"
#include "cli/render/value.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

/* A link, as people with a repository of their settings have, is followed and not replaced. */
static char *real_file(struct err *err)
{
	auto_free char *path = config_path(err);
	if (!path)
		return NULL;
	auto_free char *real = realpath(path, NULL);
	return real ? mem_steal(&real) : mem_steal(&path);
}

static int make_folder(const char *file, struct err *err)
{
	const char *slash = strrchr(file, '/');
	if (!slash || slash == file)
		return 0;
	auto_free char *folder = mem_strndup(file, (size_t)(slash - file));
	return fs_exists(folder) ? 0 : fs_mkdirs(folder, 0700, err);
}

/* Writing replaces the file: never a device or a pipe. */
static int check_kind(const char *file, struct err *err)
{
	struct stat st;
	if (stat(file, &st) || S_ISREG(st.st_mode))
		return 0;
	err_set(err, ERR_INVALID, "'%s' is no regular file and cannot be written", file);
	return err_hint(err, "set SBX_CONFIG to another path");
}

struct config *config_begin(struct err *err)
{
	auto_free char *file = real_file(err);
	if (!file || check_kind(file, err) || make_folder(file, err))
		return NULL;
	auto_free char *lock = mem_printf("%s.lock", file);
	struct config *c = config_new(file);
	c->lock = fs_lock(lock, true, err);
	if (c->lock >= 0 && config_read(c, err) == 0)
		return c;
	config_free(c);
	return NULL;
}

static char *copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

static int is_built_in(const char *name, const char *what, struct err *err)
{
	if (strcmp(name, CONFIG_DEFAULT_CONTEXT) != 0)
		return 0;
	return err_set(err, ERR_USAGE, "the context '%s' is built in and cannot be %s", name, what);
}

int config_add_context(struct config *c, const struct config_context *add, struct err *err)
{
	if (is_built_in(add->name, "redefined", err) || config_check_name(add->name, err))
		return -1;
	if (config_context(c, add->name)) {
		err_set(err, ERR_CONFLICT, "the context '%s' exists already", add->name);
		return err_hint(err, "remove it first: sbx context rm %s", add->name);
	}
	struct config_entry *e = config_grow(c);
	e->name = mem_strdup(add->name);
	e->endpoint = mem_strdup(add->endpoint);
	e->api = copy(add->api);
	e->key = copy(add->key.text);
	e->key_file = copy(add->key.file);
	e->token = copy(add->token);
	config_entry_done(e);
	return 0;
}

int config_no_context(const struct config *c, const char *name, struct err *err)
{
	const char **names = mem_array(c->count + 1, sizeof(*names));
	names[0] = CONFIG_DEFAULT_CONTEXT;
	for (size_t i = 0; i < c->count; i++)
		names[i + 1] = c->contexts[i].name;
	const char *near = opt_nearest(name, names, c->count + 1);
	err_set(err, ERR_NOT_FOUND, "no context '%.80s'", name);
	if (near)
		err_hint(err, "did you mean '%s'?", near);
	else
		err_hint(err, "'sbx context ls' lists them, 'sbx context add' makes one");
	free(names);
	return -1;
}

int config_remove_context(struct config *c, const char *name, struct err *err)
{
	if (is_built_in(name, "removed", err))
		return -1;
	size_t i = 0;
	while (i < c->count && strcmp(c->contexts[i].name, name) != 0)
		i++;
	if (i == c->count)
		return config_no_context(c, name, err);
	if (c->current && strcmp(c->current, name) == 0) {
		free(c->current);
		c->current = NULL;
	}
	config_entry_free(&c->contexts[i]);
	c->count--;
	memmove(&c->contexts[i], &c->contexts[i + 1], (c->count - i) * sizeof(*c->contexts));
	return 0;
}

int config_use_context(struct config *c, const char *name, struct err *err)
{
	bool none = strcmp(name, CONFIG_DEFAULT_CONTEXT) == 0;
	if (!none && !config_context(c, name))
		return config_no_context(c, name, err);
	free(c->current);
	c->current = none ? NULL : mem_strdup(name);
	return 0;
}

int config_set_token(struct config *c, const char *name, const char *token, struct err *err)
{
	char **at = strcmp(name, CONFIG_DEFAULT_CONTEXT) == 0 ? &c->token : NULL;
	struct config_entry *e = NULL;
	for (size_t i = 0; i < c->count && !at; i++) {
		if (strcmp(c->contexts[i].name, name) != 0)
			continue;
		e = &c->contexts[i];
		at = &e->token;
	}
	if (!at)
		return config_no_context(c, name, err);
	free(*at);
	*at = copy(token);
	if (e)
		config_entry_done(e);
	return 0;
}

static void put(struct jw *w, const char *key, const char *value)
{
	if (value)
		jw_kstr(w, key, value);
}

static void put_contexts(const struct config *c, struct jw *w)
{
	if (c->count == 0)
		return;
	jw_key(w, "contexts");
	jw_obj(w);
	for (size_t i = 0; i < c->count; i++) {
		const struct config_entry *e = &c->contexts[i];
		jw_key(w, e->name);
		jw_obj(w);
		put(w, "endpoint", e->endpoint);
		put(w, "api", e->api);
		put(w, "api-key", e->key);
		put(w, "api-key-file", e->key_file);
		put(w, "token", e->token);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static bool is_said(const struct config_provider *p)
{
	return p->base_url || p->key || p->key_file;
}

static void put_providers(const struct config *c, struct jw *w)
{
	size_t first = 0;
	while (first < CONFIG_PROVIDERS && !is_said(&c->providers[first]))
		first++;
	if (first == CONFIG_PROVIDERS)
		return;
	jw_key(w, "providers");
	jw_obj(w);
	for (size_t i = first; i < CONFIG_PROVIDERS; i++) {
		const struct config_provider *p = &c->providers[i];
		if (!is_said(p))
			continue;
		jw_key(w, config_apis[i + 1]);
		jw_obj(w);
		put(w, "base-url", p->base_url);
		put(w, "api-key", p->key);
		put(w, "api-key-file", p->key_file);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

void config_render(const struct config *c, struct buf *out)
{
	auto_buf text = BUF_INIT;
	struct jw w;
	jw_init(&w, &text);
	jw_obj(&w);
	put(&w, "output", c->output);
	put(&w, "context", c->current);
	put(&w, "token", c->token);
	if (c->pool_size) {
		jw_key(&w, "pool");
		jw_obj(&w);
		jw_key(&w, "size");
		jw_raw(&w, c->pool_size, strlen(c->pool_size)); /* digits: config.c */
		jw_obj_end(&w);
	}
	put_contexts(c, &w);
	put_providers(c, &w);
	jw_obj_end(&w);
	auto_js *doc = js_parse(text.p, text.len, (struct js_limits){ .bytes = 16u << 20, .depth = 8, .members = 200000 }, NULL);
	render_yaml(out, doc);
}

int config_commit(struct config *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	config_render(c, &text);
	/* what cannot be read again must not replace what can */
	struct config *again = config_parse(text.p, text.len, c->file, err);
	if (!again)
		return err_prefix(err, "not written");
	config_free(again);
	return fs_write_atomic(c->file, text.p, text.len, 0600, err);
}
