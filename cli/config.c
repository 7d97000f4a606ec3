#include "cli/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/config_internal.h"
#include "cli/endpoint/endpoint.h"
#include "cli/opt.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/yaml/yaml_tree.h"

#define FILE_MAX ((size_t)1 << 20)
#define SECRET_MAX ((size_t)16 << 10)
#define NAME_MAX_CHARS 64
#define LIMITS ((struct yt_limits){ .bytes = FILE_MAX, .nodes = 50000, .depth = 8 })

const char *const config_apis[] = { "sbx", "wrenn", "voidrun", "freestyle", "mcp-v8", "molecule", NULL };
static const char *const outputs[] = { "table", "json", "yaml", NULL };

/* A key of a mapping and where its text goes. */
struct slot {
	const char *key;
	char **to;
	const char *const *choices; /* NULL = any text */
};

static size_t list_count(const char *const *list)
{
	size_t n = 0;
	while (list[n])
		n++;
	return n;
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

static void join_names(struct buf *out, const char *const *list)
{
	for (size_t i = 0; list[i]; i++)
		buf_fmt(out, "%s%s", i ? ", " : "", list[i]);
}

static int unknown(const struct yt_doc *doc, const struct yt_node *n, const char *const *known, struct err *err)
{
	auto_buf all = BUF_INIT;
	const char *near = opt_nearest(n->key, known, list_count(known));
	join_names(&all, known);
	yt_error(doc, n, err, "unknown key");
	return near ? err_hint(err, "did you mean '%s'?", near) : err_hint(err, "known here: %s", all.p);
}

static int set_text(const struct yt_doc *doc, const struct yt_node *n, const struct slot *slot, struct err *err)
{
	if (n->kind != YT_STRING) {
		yt_error(doc, n, err, "must be a string, not %s", yt_kind_name(n->kind));
		return yt_scalar(n) ? err_hint(err, "put it in double quotes") : -1;
	}
	if (*n->text == '\0')
		return yt_error(doc, n, err, "must not be empty");
	for (const char *s = n->text; *s; s++)
		if (iscntrl((unsigned char)*s))
			return yt_error(doc, n, err, "must not hold line breaks or control characters");
	if (slot->choices && !is_one_of(n->text, slot->choices)) {
		auto_buf all = BUF_INIT;
		join_names(&all, slot->choices);
		return yt_error(doc, n, err, "must be one of %s, not '%.40s'", all.p, n->text);
	}
	free(*slot->to);
	*slot->to = mem_strdup(n->text);
	return 0;
}

/* Nothing, as in "contexts:", is an empty mapping. */
static int want_map(const struct yt_doc *doc, const struct yt_node *n, struct err *err)
{
	if (n->kind == YT_MAP || n->kind == YT_NULL)
		return 0;
	return yt_error(doc, n, err, "must be a mapping, not %s", yt_kind_name(n->kind));
}

#define SLOTS_MAX 8
#define POOL_MAX 64 /* as sbxd has it */
/* Members that are texts. */
static int read_texts(const struct yt_doc *doc, const struct yt_node *map, const struct slot *slots, size_t n, struct err *err)
{
	const char *known[SLOTS_MAX + 1] = { NULL };
	for (size_t i = 0; i < n && i < SLOTS_MAX; i++)
		known[i] = slots[i].key;
	for (const struct yt_node *m = map->first; m; m = m->next) {
		size_t i = 0;
		while (i < n && strcmp(m->key, slots[i].key) != 0)
			i++;
		if (i == n)
			return unknown(doc, m, known, err);
		if (set_text(doc, m, &slots[i], err))
			return -1;
	}
	return 0;
}

/* What config.c says about a text of the file, worded by another module. */
static int wrong(const struct yt_doc *doc, const struct yt_node *n, const struct err *why, struct err *err)
{
	yt_error(doc, n, err, "%s", why->msg);
	return *why->hint ? err_hint(err, "%s", why->hint) : -1;
}

static int check_endpoint(const struct yt_doc *doc, const struct yt_node *n, struct err *err)
{
	struct endpoint ep;
	struct err why = ERR_INIT;
	/* the folder of the local daemon is no matter of the file */
	int rc = strcmp(n->text, "unix:") == 0 ? 0 : endpoint_parse(n->text, &ep, &why);
	if (strcmp(n->text, "unix:") != 0)
		endpoint_free(&ep);
	return rc ? wrong(doc, n, &why, err) : 0;
}

static int two_keys(const struct yt_doc *doc, const struct yt_node *n, struct err *err)
{
	return yt_error(doc, n, err, "has both api-key and api-key-file");
}

static int read_context(struct config *c, const struct yt_doc *doc, const struct yt_node *n, struct err *err)
{
	struct err why = ERR_INIT;
	if (strcmp(n->key, CONFIG_DEFAULT_CONTEXT) == 0)
		return yt_error(doc, n, err, "this name is built in and cannot be redefined");
	if (config_check_name(n->key, &why))
		return wrong(doc, n, &why, err);
	if (want_map(doc, n, err))
		return -1;
	struct config_entry *e = config_grow(c);
	e->name = mem_strdup(n->key);
	const struct slot slots[] = {
		{ "endpoint", &e->endpoint, NULL },
		{ "api", &e->api, config_apis },
		{ "api-key", &e->key, NULL },
		{ "api-key-file", &e->key_file, NULL },
		{ "token", &e->token, NULL },
	};
	if (read_texts(doc, n, slots, ARRAY_LEN(slots), err))
		return -1;
	if (!e->endpoint)
		return yt_error(doc, n, err, "has no endpoint");
	if (e->key && e->key_file)
		return two_keys(doc, n, err);
	config_entry_done(e);
	return check_endpoint(doc, yt_get(n, "endpoint"), err);
}

static int read_provider(struct config *c, const struct yt_doc *doc, const struct yt_node *n, struct err *err)
{
	const char *const *names = config_apis + 1;
	size_t i = 0;
	while (names[i] && strcmp(names[i], n->key) != 0)
		i++;
	if (!names[i])
		return unknown(doc, n, names, err);
	if (want_map(doc, n, err))
		return -1;
	struct config_provider *p = &c->providers[i];
	const struct slot slots[] = {
		{ "base-url", &p->base_url, NULL },
		{ "api-key", &p->key, NULL },
		{ "api-key-file", &p->key_file, NULL },
	};
	if (read_texts(doc, n, slots, ARRAY_LEN(slots), err))
		return -1;
	if (p->base_url && !str_starts(p->base_url, "http://") && !str_starts(p->base_url, "https://"))
		return yt_error(doc, yt_get(n, "base-url"), err, "must begin with https:// or http://");
	return p->key && p->key_file ? two_keys(doc, n, err) : 0;
}

static int read_pool(struct config *c, const struct yt_doc *doc, const struct yt_node *n, struct err *err)
{
	static const char *const known[] = { "size", NULL };
	int64_t size;
	if (want_map(doc, n, err))
		return -1;
	for (const struct yt_node *m = n->first; m; m = m->next) {
		if (strcmp(m->key, "size") != 0)
			return unknown(doc, m, known, err);
		if (m->kind != YT_NUMBER || parse_int(m->text, "size", 0, POOL_MAX, &size, NULL))
			return yt_error(doc, m, err, "must be a number from 0 to %d", POOL_MAX);
		free(c->pool_size);
		c->pool_size = mem_strdup(m->text);
	}
	return 0;
}

static int read_root(struct config *c, const struct yt_doc *doc, const struct yt_node *root, struct err *err)
{
	static const char *const known[] = { "output", "context", "token", "pool", "contexts", "providers", NULL };
	const struct slot output = { "output", &c->output, outputs }, current = { "context", &c->current, NULL },
			  token = { "token", &c->token, NULL };
	for (const struct yt_node *n = root->first; n; n = n->next) {
		bool contexts = strcmp(n->key, "contexts") == 0;
		int rc = 0;
		if (strcmp(n->key, "output") == 0) {
			rc = set_text(doc, n, &output, err);
		} else if (strcmp(n->key, "context") == 0) {
			rc = set_text(doc, n, &current, err);
		} else if (strcmp(n->key, "token") == 0) {
			rc = set_text(doc, n, &token, err);
		} else if (strcmp(n->key, "pool") == 0) {
			rc = read_pool(c, doc, n, err);
		} else if (contexts || strcmp(n->key, "providers") == 0) {
			rc = want_map(doc, n, err);
			for (const struct yt_node *m = n->first; m && rc == 0; m = m->next)
				rc = contexts ? read_context(c, doc, m, err) : read_provider(c, doc, m, err);
		} else {
			rc = unknown(doc, n, known, err);
		}
		if (rc)
			return -1;
	}
	return 0;
}

/* A document of nothing but blanks and comments; libyaml judges all others. */
static bool is_blank(const char *text, size_t n)
{
	bool comment = false;
	for (size_t i = 0; i < n; i++) {
		comment = text[i] == '#' || (comment && text[i] != '\n');
		if (!comment && !isspace((unsigned char)text[i]))
			return false;
	}
	return true;
}

static int parse(struct config *c, const char *text, size_t n, struct err *err)
{
	if (is_blank(text, n))
		return 0;
	struct yt_doc *doc = yt_parse(text, n, c->file, LIMITS, err);
	if (!doc)
		return -1;
	const struct yt_node *root = yt_root(doc);
	int rc = want_map(doc, root, err);
	rc = rc ? rc : read_root(c, doc, root, err);
	yt_free(doc);
	return rc;
}

struct config *config_new(const char *file)
{
	struct config *c = mem_zalloc(sizeof(*c));
	c->file = mem_strdup(file);
	c->lock = -1;
	return c;
}

struct config_entry *config_grow(struct config *c)
{
	c->contexts = mem_grow(c->contexts, c->count + 1, sizeof(*c->contexts));
	c->contexts[c->count] = (struct config_entry){ 0 };
	return &c->contexts[c->count++];
}

void config_entry_done(struct config_entry *e)
{
	e->view = (struct config_context){ .name = e->name,
		.endpoint = e->endpoint,
		.api = e->api ? e->api : CONFIG_NATIVE_API,
		.key = { .text = e->key, .file = e->key_file },
		.token = e->token };
}

void config_entry_free(struct config_entry *e)
{
	free(e->name);
	free(e->endpoint);
	free(e->api);
	free(e->key);
	free(e->key_file);
	free(e->token);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		config_entry_free(&c->contexts[i]);
	for (size_t i = 0; i < CONFIG_PROVIDERS; i++) {
		free(c->providers[i].base_url);
		free(c->providers[i].key);
		free(c->providers[i].key_file);
	}
	if (c->lock >= 0)
		close(c->lock);
	free(c->contexts);
	free(c->output);
	free(c->pool_size);
	free(c->current);
	free(c->token);
	free(c->file);
	free(c);
}

char *config_path(struct err *err)
{
	const char *set = getenv("SBX_CONFIG"), *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (set && *set)
		return mem_strdup(set);
	/* a relative one is to be ignored, says the XDG specification */
	if (xdg && *xdg == '/')
		return mem_printf("%s/sbx/config.yaml", xdg);
	if (home && *home)
		return mem_printf("%s/.config/sbx/config.yaml", home);
	err_set(err, ERR_NOT_FOUND, "no place for a configuration file: HOME is not set");
	err_hint(err, "set SBX_CONFIG to its path");
	return NULL;
}

int config_read(struct config *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct err why = ERR_INIT;
	if (fs_read(c->file, FILE_MAX, &text, &why) == 0)
		return parse(c, text.p, text.len, err);
	if (why.sys == ENOENT || why.sys == ENOTDIR)
		return 0;
	if (err)
		*err = why;
	return -1;
}

struct config *config_load(struct err *err)
{
	auto_free char *path = config_path(NULL);
	struct config *c = config_new(path ? path : "");
	if (!path || config_read(c, err) == 0)
		return c;
	config_free(c);
	return NULL;
}

struct config *config_parse(const char *text, size_t n, const char *file, struct err *err)
{
	struct config *c = config_new(file);
	if (n <= FILE_MAX && parse(c, text, n, err) == 0)
		return c;
	if (n > FILE_MAX)
		err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", file, FILE_MAX);
	config_free(c);
	return NULL;
}

const char *config_file(const struct config *c)
{
	return c->file;
}

const char *config_pool_size(const struct config *c)
{
	return c->pool_size;
}

const char *config_token(const struct config *c)
{
	return c->token;
}

const char *config_output(const struct config *c)
{
	return c->output;
}

const char *config_current(const struct config *c)
{
	return c->current;
}

const struct config_context *config_context(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->contexts[i].name, name) == 0)
			return &c->contexts[i].view;
	return NULL;
}

const struct config_context *config_context_at(const struct config *c, size_t i)
{
	return i < c->count ? &c->contexts[i].view : NULL;
}

const char *config_provider(const struct config *c, const char *provider, const char *key)
{
	for (size_t i = 0; i < CONFIG_PROVIDERS; i++) {
		const struct config_provider *p = &c->providers[i];
		if (strcmp(config_apis[i + 1], provider) != 0)
			continue;
		if (strcmp(key, "base-url") == 0)
			return p->base_url;
		return strcmp(key, "api-key") == 0 ? p->key : strcmp(key, "api-key-file") == 0 ? p->key_file : NULL;
	}
	return NULL;
}

int config_check_name(const char *name, struct err *err)
{
	bool ok = *name != '\0' && *name != '-' && strlen(name) <= NAME_MAX_CHARS;
	for (const char *s = name; *s && ok; s++)
		ok = (isascii((unsigned char)*s) && isalnum((unsigned char)*s)) || strchr("._-", *s);
	if (ok)
		return 0;
	err_set(err, ERR_USAGE, "'%.80s' cannot be the name of a context", name);
	return err_hint(err, "use letters, digits, '.', '_' and '-', at most %d", NAME_MAX_CHARS);
}

int config_trim_secret(struct buf *text, const char *what, struct err *err)
{
	size_t start = strspn(text->p, " \t\r\n");
	while (text->len > start && isspace((unsigned char)text->p[text->len - 1]))
		text->p[--text->len] = '\0';
	buf_drop(text, start);
	if (text->len == 0)
		return err_set(err, ERR_INVALID, "%s holds no key", what);
	for (size_t i = 0; i < text->len; i++)
		if (text->p[i] <= ' ' || text->p[i] > '~')
			return err_set(err, ERR_INVALID, "%s must hold one key: one line of printable characters", what);
	return 0;
}

/* "~/x" is in $HOME, and a relative path beside the configuration. */
static char *key_path(const struct config *c, const char *file)
{
	const char *home = getenv("HOME"), *slash = strrchr(c->file, '/');
	if (str_starts(file, "~/") && home)
		return fs_join(home, file + 2);
	if (*file == '/' || !slash)
		return mem_strdup(file);
	return mem_printf("%.*s/%s", (int)(slash - c->file), c->file, file);
}

int config_secret(const struct config *c, const struct config_key *key, struct buf *out, struct err *err)
{
	if (key->text)
		buf_str(out, key->text);
	if (key->text || !key->file)
		return 0;
	auto_free char *path = key_path(c, key->file);
	auto_free char *what = mem_printf("key file '%s'", path);
	if (fs_read(path, SECRET_MAX, out, err))
		return err_prefix(err, "key file");
	return config_trim_secret(out, what, err);
}
