/* link: cli/config*.c cli/where.c cli/opt.c cli/render/yaml.c cli/endpoint/address.c shared/yaml/yaml_tree.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/config.h"
#include "cli/where.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define FULL                                                                                                                       \
	"# a comment\noutput: json\ncontext: lab\ncontexts:\n"                                                                     \
	"  lab: {endpoint: \"ssh://me@box\", api-key: \"K: #1\"}\n"                                                                \
	"  'null': {endpoint: 'https://h/b', api: wrenn, api-key-file: keys/h}\n"                                                  \
	"  tcp.1_2-3: {endpoint: http://127.0.0.1:1}\n"                                                                            \
	"providers:\n  wrenn: {base-url: \"https://w\", api-key: KEY}\n  mcp-v8:\n    api-key-file: /k\n"

static struct config *parse(const char *text, struct err *err)
{
	return config_parse(text, strlen(text), "/d/f.yaml", err);
}

static void same(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void check_full(const struct config *c)
{
	assert_string_equal(config_output(c), "json");
	assert_string_equal(config_current(c), "lab");
	const struct config_context *lab = config_context(c, "lab"), *null = config_context(c, "null");
	assert_string_equal(lab->endpoint, "ssh://me@box");
	assert_string_equal(lab->api, "sbx");
	assert_string_equal(lab->key.text, "K: #1");
	assert_null(lab->key.file);
	assert_string_equal(null->api, "wrenn");
	assert_string_equal(null->key.file, "keys/h");
	assert_string_equal(config_context_at(c, 2)->name, "tcp.1_2-3");
	assert_null(config_context_at(c, 3));
	assert_null(config_context(c, "default"));
	assert_string_equal(config_provider(c, "wrenn", "base-url"), "https://w");
	assert_string_equal(config_provider(c, "wrenn", "api-key"), "KEY");
	assert_null(config_provider(c, "wrenn", "api-key-file"));
	assert_string_equal(config_provider(c, "mcp-v8", "api-key-file"), "/k");
	assert_null(config_provider(c, "mcp-v8", "base-url"));
	assert_null(config_provider(c, "nosuch", "base-url"));
}

static void test_full(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct config *c = parse(FULL, &err);
	assert_non_null(c);
	check_full(c);
	config_free(c);
}

static void test_empty(void **state)
{
	static const char *const table[] = { "", "\n", "# only a comment", "  \n# c\n\n", "{}", "contexts:\nproviders: {}\n" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct config *c = parse(table[i], NULL);
		assert_non_null(c);
		assert_null(config_output(c));
		assert_null(config_current(c));
		assert_null(config_context_at(c, 0));
		config_free(c);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *message, *hint;
	} table[] = {
		{ "outputs: json", "/d/f.yaml:1: outputs: unknown key", "did you mean 'output'?" },
		{ "zzzzzzzz: 1", "/d/f.yaml:1: zzzzzzzz: unknown key", "known here: output, context, token, pool, contexts, providers" },
		{ "output: xml", "/d/f.yaml:1: output: must be one of table, json, yaml, not 'xml'", "" },
		{ "\n\noutput: [a]", "/d/f.yaml:3: output: must be a string, not a sequence", "" },
		{ "output:", "/d/f.yaml:1: output: must be a string, not null", NULL },
		{ "context: ''", "/d/f.yaml:1: context: must not be empty", "" },
		{ "contexts: [a]", "/d/f.yaml:1: contexts: must be a mapping, not a sequence", "" },
		{ "contexts: {a: x}", "/d/f.yaml:1: a: must be a mapping, not a string", "" },
		{ "contexts: {a: }", "/d/f.yaml:1: a: has no endpoint", "" },
		{ "contexts:\n  a:\n    endpoint: 'unix:/x'\n    api-key: 12",
			"/d/f.yaml:4: api-key: must be a string, not a number", "put it in double quotes" },
		{ "contexts:\n  a:\n    endpoint: ftp://x", "/d/f.yaml:3: endpoint: 'ftp://x' is no endpoint", NULL },
		{ "contexts: {a: {endpoint: 'unix:', apikey: x}}", "/d/f.yaml:1: apikey: unknown key", "did you mean 'api-key'?" },
		{ "contexts: {a: {endpoint: 'unix:', api: docker}}", NULL, "" },
		{ "contexts: {a: {endpoint: 'unix:', api-key: a, api-key-file: b}}",
			"/d/f.yaml:1: a: has both api-key and api-key-file", "" },
		{ "contexts: {a: {endpoint: 'unix:', api-key: \"a\\r\\nX: b\"}}", NULL, "" },
		{ "contexts: {default: {endpoint: 'unix:'}}", "/d/f.yaml:1: default: this name is built in and cannot be redefined",
			"" },
		{ "contexts: {a b: {endpoint: 'unix:'}}", "/d/f.yaml:1: a b: 'a b' cannot be the name of a context", NULL },
		{ "contexts: {-a: {endpoint: 'unix:'}}", NULL, NULL },
		{ "contexts: {a: {endpoint: 'unix:'}, a: {endpoint: 'unix:'}}", NULL, NULL },
		{ "providers: {wren: {}}", "/d/f.yaml:1: wren: unknown key", "did you mean 'wrenn'?" },
		{ "providers: {sbx: {}}", NULL, NULL },
		{ "providers: {wrenn: {base-url: ssh://x}}", "/d/f.yaml:1: base-url: must begin with https:// or http://", "" },
		{ "providers: {wrenn: {token: x}}", NULL, "known here: base-url, api-key, api-key-file" },
		{ "a", "/d/f.yaml:1: must be a mapping, not a string", NULL },
		{ "- a", NULL, NULL },
		{ "{", NULL, NULL },
		{ "a: *b", NULL, NULL },
		{ "output: &a json", NULL, NULL },
		{ "output: !!str json", NULL, NULL },
		{ "<<: {output: json}", NULL, NULL },
		{ "output: json\n---\noutput: yaml", NULL, NULL },
		{ "output: \"js\\0on\"", NULL, NULL },
		{ "output: \xff\xfe", NULL, NULL },
		{ "contexts: {a: {b: {c: {d: {e: {f: {g: {h: {}}}}}}}}}", NULL, NULL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct err err = ERR_INIT;
		struct config *c = parse(table[i].text, &err);
		if (c)
			fail_msg("taken: %s", table[i].text);
		if (table[i].message && strncmp(err.msg, table[i].message, strlen(table[i].message)) != 0)
			fail_msg("'%s' gives '%s'", table[i].text, err.msg);
		if (table[i].hint)
			assert_string_equal(err.hint, table[i].hint);
		assert_true(str_starts(err.msg, "/d/f.yaml"));
	}
}

/* What is written reads back as the same. */
static void test_render(void **state)
{
	(void)state;
	struct config *c = parse(FULL, NULL);
	auto_buf once = BUF_INIT, twice = BUF_INIT;
	config_render(c, &once);
	config_free(c);
	struct err err = ERR_INIT;
	c = parse(once.p, &err);
	assert_string_equal(err.msg, "");
	check_full(c);
	config_render(c, &twice);
	config_free(c);
	assert_string_equal(once.p, twice.p);
}

static void test_names(void **state)
{
	static const char *const good[] = { "a", "9", "a.b_c-d", "...", "_",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	static const char *const bad[] = { "", "-a", "a b", "a/b", "\xc3\xa4", "a\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(config_check_name(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(config_check_name(bad[i], NULL), -1);
}

/* ---- with a file ---- */

struct folder {
	char *dir, *file;
};

static int set_up(void **state)
{
	char name[] = "/tmp/t-config-XXXXXX";
	struct folder *f = mem_zalloc(sizeof(*f));
	f->dir = mem_strdup(mkdtemp(name) ? name : "/nosuch");
	f->file = mem_printf("%s/new/config.yaml", f->dir);
	*state = f;
	return setenv("SBX_CONFIG", f->file, 1) | unsetenv("SBX_HOST") | unsetenv("SBX_CONTEXT") | unsetenv("SBX_API_KEY") |
		unsetenv("SBX_OUTPUT") | setenv("SBX_HOME", f->dir, 1);
}

static int tear_down(void **state)
{
	struct folder *f = *state;
	int rc = fs_remove_tree(f->dir, NULL);
	free(f->dir);
	free(f->file);
	free(f);
	return rc;
}

static int add_named(const char *name, struct err *err)
{
	struct config *c = config_begin(err);
	if (!c)
		return -1;
	struct config_context add = { .name = name, .endpoint = "https://h", .key = { .text = "secret" } };
	int rc = config_add_context(c, &add, err);
	rc = rc ? rc : config_commit(c, err);
	config_free(c);
	return rc;
}

static void test_edit(void **state)
{
	const struct folder *f = *state;
	struct err err = ERR_INIT;
	struct stat st;
	assert_int_equal(add_named("one", &err), 0);
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	auto_free char *dir = mem_printf("%s/new", f->dir);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(add_named("one", &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(add_named("default", &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_int_equal(add_named("two", &err), 0);

	struct config *c = config_begin(&err);
	assert_int_equal(config_use_context(c, "tow", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err.hint, "did you mean 'two'?");
	assert_int_equal(config_use_context(c, "two", &err), 0);
	assert_int_equal(config_commit(c, &err), 0);
	assert_string_equal(config_current(c), "two");
	assert_int_equal(config_remove_context(c, "default", &err), -1);
	assert_int_equal(config_remove_context(c, "three", &err), -1);
	assert_int_equal(config_remove_context(c, "two", &err), 0);
	assert_null(config_current(c));
	assert_int_equal(config_commit(c, &err), 0);
	config_free(c);

	c = config_load(&err);
	assert_non_null(config_context(c, "one"));
	assert_null(config_context(c, "two"));
	assert_null(config_current(c));
	config_free(c);
}

/* Ten processes add a context each: none is lost. */
static void test_together(void **state)
{
	enum { N = 10 };
	(void)state;
	for (int i = 0; i < N; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			char name[] = { 'c', (char)('0' + i), '\0' };
			_exit(add_named(name, NULL) ? 1 : 0);
		}
	}
	for (int i = 0; i < N; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	struct config *c = config_load(NULL);
	size_t n = 0;
	while (config_context_at(c, n))
		n++;
	assert_int_equal(n, N);
	config_free(c);
}

/* A broken file is left as it is; a link stays one. */
static void test_careful(void **state)
{
	const struct folder *f = *state;
	struct err err = ERR_INIT;
	auto_free char *real = mem_printf("%s/real.yaml", f->dir), *link = mem_printf("%s/link.yaml", f->dir);
	auto_buf text = BUF_INIT;
	assert_int_equal(fs_write_atomic(real, "outptu: json\n", 13, 0644, &err), 0);
	assert_int_equal(symlink(real, link), 0);
	assert_int_equal(setenv("SBX_CONFIG", link, 1), 0);
	assert_int_equal(add_named("one", &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(fs_read(real, 100, &text, &err), 0);
	assert_string_equal(text.p, "outptu: json\n");
	assert_int_equal(fs_write_atomic(real, "output: json\n", 13, 0644, &err), 0);
	assert_int_equal(add_named("one", &err), 0);
	struct stat st;
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(real, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* As root it would replace the device. */
static void test_no_file(void **state)
{
	const struct folder *f = *state;
	struct err err = ERR_INIT;
	auto_free char *fifo = mem_printf("%s/fifo", f->dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(setenv("SBX_CONFIG", fifo, 1), 0);
	assert_int_equal(add_named("one", &err), -1);
	assert_non_null(strstr(err.msg, "no regular file"));
	assert_int_equal(setenv("SBX_CONFIG", f->dir, 1), 0);
	assert_int_equal(add_named("one", &err), -1);
	struct config *c = config_load(&err);
	assert_null(c);
	/* no file is an empty one, also where a folder is missing or no folder */
	auto_free char *under = mem_printf("%s/fifo/config.yaml", f->dir);
	assert_int_equal(setenv("SBX_CONFIG", under, 1), 0);
	c = config_load(&err);
	assert_non_null(c);
	config_free(c);
}

static void test_secret(void **state)
{
	const struct folder *f = *state;
	static const struct {
		const char *text, *want;
	} table[] = { { "K\n", "K" }, { "  K \r\n", "K" }, { "", NULL }, { "\n", NULL }, { "a\nb\n", NULL }, { "a b", NULL },
		{ "\xc3\xa4", NULL } };
	struct config *c = config_load(NULL);
	auto_free char *path = mem_printf("%s/key", f->dir);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		auto_buf out = BUF_INIT;
		struct err err = ERR_INIT;
		struct config_key absolute = { NULL, path }, relative = { NULL, "../key" };
		assert_int_equal(fs_write_atomic(path, table[i].text, strlen(table[i].text), 0600, NULL), 0);
		int rc = config_secret(c, &absolute, &out, &err);
		assert_int_equal(rc, table[i].want ? 0 : -1);
		if (rc)
			continue;
		assert_string_equal(out.p, table[i].want);
		buf_clear(&out);
		/* beside the file, whose folder must be there for that */
		auto_free char *dir = mem_printf("%s/new", f->dir);
		assert_int_equal(fs_mkdirs(dir, 0700, NULL), 0);
		assert_int_equal(config_secret(c, &relative, &out, &err), 0);
		assert_string_equal(out.p, table[i].want);
	}
	struct config_key gone = { NULL, "/nosuch/key" };
	auto_buf out = BUF_INIT;
	assert_int_equal(config_secret(c, &gone, &out, NULL), -1);
	config_free(c);
}

/* ---- precedence ---- */

struct turn {
	struct choice c;
	const char *host, *context, *shown; /* SBX_HOST, SBX_CONTEXT; what the endpoint is, NULL = refused */
	const char *key;
};

static void test_target(void **state)
{
	const struct folder *f = *state;
	static const char text[] =
		"context: filed\ncontexts:\n  filed: {endpoint: 'unix:/filed', api-key: FK}\n  env: {endpoint: 'unix:/env'}\n"
		"  flag: {endpoint: 'unix:/flag'}\n  far: {endpoint: 'http://far', api-key: K}\n"
		"  w: {endpoint: 'https://w', api: wrenn}\n  in: {endpoint: 'unix:/in', api-key: K, token: a.b.c}\n"
		"  nofile: {endpoint: 'unix:/n', api-key-file: /nonexistent, token: a.b.c}\ntoken: x.y.z\n";
	auto_free char *local = mem_printf("unix:%s/sbxd.sock", f->dir);
	const struct turn table[] = {
		{ { 0 }, NULL, NULL, "unix:/filed", "FK" },
		{ { 0 }, NULL, "env", "unix:/env", NULL },
		{ { 0 }, NULL, "", "unix:/filed", "FK" },
		{ { 0 }, "unix:/sbxhost", "env", "unix:/sbxhost", NULL },
		{ { .context = "flag" }, "unix:/sbxhost", "env", "unix:/flag", NULL },
		{ { .context = "flag", .host = "unix:/host" }, "unix:/sbxhost", "env", "unix:/host", NULL },
		{ { .context = "default" }, NULL, "env", local, "x.y.z" },
		/* a login counts before the context's key; what is not of the context does not know of it */
		{ { .context = "in" }, NULL, NULL, "unix:/in", "a.b.c" },
		{ { .context = "in", .api_key = "AK" }, NULL, NULL, "unix:/in", "AK" },
		{ { .context = "in", .api_key = "" }, NULL, NULL, "unix:/in", NULL },
		{ { .context = "nofile" }, NULL, NULL, "unix:/n", "a.b.c" },
		{ { .context = "in", .host = "unix:/host" }, NULL, NULL, "unix:/host", NULL },
		{ { .context = "default", .api_key = "AK" }, NULL, NULL, local, "AK" },
		{ { .context = "filed", .api_key = "AK" }, NULL, NULL, "unix:/filed", "AK" },
		{ { .context = "filed", .api_key = "" }, NULL, NULL, "unix:/filed", NULL },
		{ { .api_key = "a\nb" }, NULL, NULL, NULL, NULL },
		{ { .context = "falg" }, NULL, NULL, NULL, NULL },
		{ { .context = "" }, NULL, NULL, NULL, NULL },
		{ { .host = "" }, NULL, NULL, NULL, NULL },
		{ { 0 }, NULL, "evn", NULL, NULL },
		{ { .context = "w" }, NULL, NULL, NULL, NULL },
		/* in clear: own words only */
		{ { .context = "far" }, NULL, NULL, "http://far", "K" },
		{ { .host = "http://far", .api_key = "AK" }, NULL, NULL, "http://far", "AK" },
		{ { .api_key = "AK" }, "http://far", NULL, NULL, NULL },
		{ { 0 }, "http://far", NULL, "http://far", NULL },
		{ { .api_key = "AK" }, "http://127.0.0.1", NULL, "http://127.0.0.1", "AK" },
		{ { .api_key = "AK" }, "https://far", NULL, "https://far", "AK" },
	};
	struct config *config = parse(text, NULL);
	assert_non_null(config);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct turn *t = &table[i];
		auto_buf secret = BUF_INIT;
		struct endpoint ep;
		struct err err = ERR_INIT;
		assert_int_equal(t->host ? setenv("SBX_HOST", t->host, 1) : unsetenv("SBX_HOST"), 0);
		assert_int_equal(t->context ? setenv("SBX_CONTEXT", t->context, 1) : unsetenv("SBX_CONTEXT"), 0);
		int rc = where_resolve(&t->c, config, &secret, &ep, &err);
		if ((rc == 0) != (t->shown != NULL))
			fail_msg("row %zu: %s", i, err.msg);
		if (rc == 0) {
			same(ep.shown, t->shown);
			same(ep.api_key, t->key);
		}
		endpoint_free(&ep);
	}
	assert_string_equal(config_token(config), "x.y.z");
	config_free(config);
	/* the key's variable wins over the context's own */
	config = parse("context: a\ncontexts: {a: {endpoint: 'unix:/a', api-key: K}}", NULL);
	struct choice none = { 0 };
	auto_buf secret = BUF_INIT;
	struct endpoint ep;
	assert_int_equal(setenv("SBX_API_KEY", "EK", 1) | unsetenv("SBX_HOST") | unsetenv("SBX_CONTEXT"), 0);
	assert_int_equal(where_resolve(&none, config, &secret, &ep, NULL), 0);
	assert_string_equal(ep.api_key, "EK");
	endpoint_free(&ep);
	config_free(config);
}

static void test_token(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct config *c = config_begin(&err);
	const struct config_context lab = { .name = "lab", .endpoint = "unix:/lab", .key = { .text = "K" } };
	assert_non_null(c);
	assert_int_equal(config_add_context(c, &lab, &err), 0);
	assert_int_equal(config_set_token(c, "lab", "one", &err), 0);
	assert_int_equal(config_set_token(c, "lab", "two", &err), 0);
	assert_int_equal(config_set_token(c, CONFIG_DEFAULT_CONTEXT, "own", &err), 0);
	assert_int_equal(config_set_token(c, "lba", "x", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.hint, "lab"));
	assert_int_equal(config_commit(c, &err), 0);
	config_free(c);
	c = config_begin(&err);
	assert_string_equal(config_context(c, "lab")->token, "two");
	assert_string_equal(config_context(c, "lab")->key.text, "K");
	assert_string_equal(config_token(c), "own");
	assert_int_equal(config_set_token(c, "lab", NULL, &err), 0);
	assert_int_equal(config_set_token(c, CONFIG_DEFAULT_CONTEXT, NULL, &err), 0);
	assert_int_equal(config_commit(c, &err), 0);
	config_free(c);
	c = config_load(&err);
	assert_null(config_context(c, "lab")->token);
	assert_string_equal(config_context(c, "lab")->key.text, "K");
	assert_null(config_token(c));
	config_free(c);
}

#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_render),
		cmocka_unit_test(test_names),
		WITH_FILE(test_edit),
		WITH_FILE(test_together),
		WITH_FILE(test_careful),
		WITH_FILE(test_no_file),
		WITH_FILE(test_secret),
		WITH_FILE(test_target),
		WITH_FILE(test_token),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
