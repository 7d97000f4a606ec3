/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c shared/contract/[a-z]*.c cli/opt.c cli/api/flags.c cli/api/value.c cli/api/body.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/api_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "shared/base/fs.h"

static const char doc[] = DOC_POST("")
	"    Body:\n"
	"      type: object\n"
	"      required: [name]\n"
	"      properties:\n"
	"        name: {type: string, minLength: 2}\n"
	"        size: {type: [integer, 'null'], minimum: 1}\n"
	"        on: {type: boolean}\n"
	"        state: {type: string, enum: [up, down]}\n"
	"        password: {type: string, format: password}\n"
	"        env: {type: object, additionalProperties: {type: string}}\n"
	"        limits: {type: object, additionalProperties: {type: [integer, 'null'], minimum: 0}}\n"
	"        tags: {type: [array, 'null'], items: {type: string}}\n"
	"        numbers: {type: array, items: {type: integer}}\n"
	"        ports: {type: array, items: {$ref: '#/components/schemas/Port'}}\n"
	"        users: {type: array, items: {type: object, properties: {n: {type: string}}}}\n"
	"        commands: {oneOf: [{type: string}, {type: array, items: {type: string}}]}\n"
	"        any: {}\n"
	"        net: {type: object, required: [kind], properties: {kind: {type: string}, mtu: {type: integer}, dns: {type: object, properties: {server: {type: [string, 'null']}}}}}\n"
	"        keep:\n"
	"          oneOf:\n"
	"            - {type: object, required: [type], properties: {type: {const: sticky}, priority: {type: integer, maximum: 10}}}\n"
	"            - {type: object, required: [type, days], properties: {type: {const: timed}, days: {type: integer}}}\n"
	"    Port: {type: object, x-sbx-short: 'out:in', required: [out, in], properties: {out: {type: integer}, in: {type: integer, maximum: 9}}}\n";

static const struct row {
	const char *words, *input, *json; /* words separated by '|'; input NULL: none; json NULL: error */
	const char *error;
} rows[] = {
	{ "--name|ab", NULL, "{\"name\":\"ab\"}", NULL },
	{ "--name=ab|--size=3|--on|--state|up", NULL, "{\"name\":\"ab\",\"size\":3,\"on\":true,\"state\":\"up\"}", NULL },
	{ "--name=ab|--no-on", NULL, "{\"name\":\"ab\",\"on\":false}", NULL },
	{ "--name=ab|--on=false", NULL, "{\"name\":\"ab\",\"on\":false}", NULL },
	{ "", "{\"name\":\"ab\",\"more\":[1]}", NULL, "'more' is not a known field" },
	{ "", "{\"name\":\"ab\"}", "{\"name\":\"ab\"}", NULL },
	/* what is missing or wrong is named as an option */
	{ "", NULL, NULL, "option '--name' is required" },
	{ "--name=a", NULL, NULL, "option '--name' must have at least 2 characters" },
	{ "--name=ab|--size=0", NULL, NULL, "option '--size' must be at least 1" },
	{ "--name=ab|--size=x", NULL, NULL, "option '--size' must be an integer" },
	{ "--name=ab|--port=1:10", NULL, NULL, "option '--port' must be at most 9" },
	{ "--name=ab|--name=cd", NULL, NULL, "option '--name' is given more than once" },
	{ "--name=ab|--port=1", NULL, NULL, "'1' is not of the form out:in" },
	/* lists: one value, several, none, as JSON; text is never JSON in a list of texts */
	{ "--name=ab|--tag=x", NULL, "{\"name\":\"ab\",\"tags\":[\"x\"]}", NULL },
	{ "--name=ab|--tag=x|--tag=x,y", NULL, "{\"name\":\"ab\",\"tags\":[\"x\",\"x,y\"]}", NULL },
	{ "--name=ab|--tag=", NULL, "{\"name\":\"ab\",\"tags\":[]}", NULL },
	{ "--name=ab|--tag=|--tag=", NULL, "{\"name\":\"ab\",\"tags\":[\"\",\"\"]}", NULL },
	{ "--name=ab|--tag=[1]", NULL, "{\"name\":\"ab\",\"tags\":[\"[1]\"]}", NULL },
	{ "--name=ab|--number=[1,2]", NULL, "{\"name\":\"ab\",\"numbers\":[1,2]}", NULL },
	{ "--name=ab|--number=1|--number=2", NULL, "{\"name\":\"ab\",\"numbers\":[1,2]}", NULL },
	{ "--name=ab|--port=1:2|--port={\"out\":3,\"in\":4}", NULL, "{\"name\":\"ab\",\"ports\":[{\"out\":1,\"in\":2},{\"out\":3,\"in\":4}]}", NULL },
	{ "--name=ab|--user={\"n\":\"x\"}", NULL, "{\"name\":\"ab\",\"users\":[{\"n\":\"x\"}]}", NULL },
	{ "--name=ab|--tag=new", "{\"tags\":[\"old\"]}", "{\"name\":\"ab\",\"tags\":[\"new\"]}", NULL },
	{ "--name=ab|--command=ls", NULL, "{\"name\":\"ab\",\"commands\":\"ls\"}", NULL },
	{ "--name=ab|--command=ls|--command=-l", NULL, "{\"name\":\"ab\",\"commands\":[\"ls\",\"-l\"]}", NULL },
	/* maps: over those of --input, key by key */
	{ "--name=ab|--env=A=1|--env=B=x=y", NULL, "{\"name\":\"ab\",\"env\":{\"A\":\"1\",\"B\":\"x=y\"}}", NULL },
	{ "--name=ab|--env=A=", NULL, "{\"name\":\"ab\",\"env\":{\"A\":\"\"}}", NULL },
	{ "--name=ab|--env=A=2", "{\"env\":{\"A\":\"1\",\"AB\":\"3\"}}", "{\"name\":\"ab\",\"env\":{\"AB\":\"3\",\"A\":\"2\"}}", NULL },
	{ "--name=ab|--env=A", NULL, NULL, "option '--env' takes KEY=VALUE, not 'A'" },
	{ "--name=ab|--env==A", NULL, NULL, "option '--env' takes KEY=VALUE, not '=A'" },
	{ "--name=ab|--env=A=1|--env=A=2", NULL, NULL, "option '--env' is given the key 'A' twice" },
	{ "--name=ab|--limit=a=7", NULL, "{\"name\":\"ab\",\"limits\":{\"a\":7}}", NULL },
	{ "--name=ab|--limit=a=-1", NULL, NULL, "option '--limit' must be at least 0" },
	/* null */
	{ "--name=ab|--null|size", NULL, "{\"name\":\"ab\",\"size\":null}", NULL },
	{ "--name=ab|--null|--tag", "{\"tags\":[\"x\"]}", "{\"name\":\"ab\",\"tags\":null}", NULL },
	{ "--name=ab|--null|net.dns.server", "{\"net\":{\"kind\":\"k\"}}", "{\"name\":\"ab\",\"net\":{\"kind\":\"k\",\"dns\":{\"server\":null}}}", NULL },
	{ "--name=ab|--null=state", NULL, NULL, "option '--state' must be a string" },
	{ "--name=ab|--null=nothing", NULL, NULL, "--null: no option '--nothing'" },
	{ "--name=ab|--size=3|--null=size", NULL, NULL, "option '--size' is given a value and --null" },
	/* members of members, over those of --input */
	{ "--name=ab|--net.kind=k|--net.dns.server=s", NULL, "{\"name\":\"ab\",\"net\":{\"kind\":\"k\",\"dns\":{\"server\":\"s\"}}}", NULL },
	{ "--net.mtu=9", "{\"name\":\"ab\",\"net\":{\"kind\":\"k\",\"mtu\":1}}", "{\"name\":\"ab\",\"net\":{\"kind\":\"k\",\"mtu\":9}}", NULL },
	{ "--name=ab|--net.mtu=9", NULL, NULL, "option '--net.kind' is required" },
	{ "--name=ab|--net.mtu=9", "{\"net\":7}", NULL, "option '--net.kind' is required" },
	/* alternatives */
	{ "--name=ab|--keep=sticky", NULL, "{\"name\":\"ab\",\"keep\":{\"type\":\"sticky\"}}", NULL },
	{ "--name=ab|--keep.type=timed|--keep.days=2", NULL, "{\"name\":\"ab\",\"keep\":{\"type\":\"timed\",\"days\":2}}", NULL },
	{ "--name=ab|--keep.type=sticky|--keep.priority=11", NULL, NULL, "option '--keep.priority' must be at most 10" },
	{ "--name=ab|--keep.type=timed", NULL, NULL, "option '--keep.days' is required" },
	{ "--name=ab|--any={\"a\":1}", NULL, "{\"name\":\"ab\",\"any\":{\"a\":1}}", NULL },
	{ "--name=ab|--any=text", NULL, "{\"name\":\"ab\",\"any\":\"text\"}", NULL },
	/* --input of another kind */
	{ "", "[1]", NULL, "the body must be an object" },
	{ "--name=ab", "[1]", NULL, "--input must be an object for options to be put over it" },
	{ "--null=size", "null", NULL, "--input must be an object for options to be put over it" },
};

static void test_rows(void **state)
{
	const struct built *b = *state;
	unsigned wrong = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct typed t;
		type_body(&t, &b->c, r->words, r->input);
		if (t.rc != (r->json ? 0 : -1) || strcmp(r->json ? t.out.p : t.err.msg, r->json ? r->json : r->error) != 0)
			wrong += (print_error("%s over %s: %d, '%s', '%s'\n", r->words, r->input ? r->input : "nothing", t.rc, t.out.p, t.err.msg), 1);
		else if (!r->json)
			assert_int_equal(t.err.code, ERR_USAGE);
		typed_free(&t);
	}
	assert_int_equal(wrong, 0);
}

static void write_file(const char *path, const void *data, size_t n)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, data, n, NULL), 0);
}

static void test_secrets(void **state)
{
	const struct built *b = *state;
	struct typed t;
	char path[] = "/tmp/t_api_body.XXXXXX", words[256];
	close(mkstemp(path));
	write_file(path, "p w\n\r\n", 6);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(words, sizeof(words), "--name=ab|--password-file|%s%s", i ? "@" : "", path);
		type_body(&t, &b->c, words, "{\"password\":\"old\"}");
		assert_int_equal(t.rc, 0);
		assert_string_equal(t.out.p, "{\"name\":\"ab\",\"password\":\"p w\"}");
		typed_free(&t);
	}
	(void)snprintf(words, sizeof(words), "--name=ab|--password=x|--password-file|%s", path);
	type_body(&t, &b->c, words, NULL);
	assert_int_equal(t.rc, -1);
	assert_string_equal(t.err.msg, "option '--password' is given more than once");
	typed_free(&t);
	unlink(path);
	type_body(&t, &b->c, words, NULL);
	typed_free(&t);
	type_body(&t, &b->c, "--name=ab|--password-file=/no/such/file", NULL);
	assert_int_equal(t.rc, -1);
	assert_int_equal(t.err.code, ERR_USAGE);
	assert_non_null(strstr(t.err.msg, "/no/such/file"));
	typed_free(&t);
}

/* --input: JSON by its first byte, YAML otherwise; errors are of usage and name the file. */
static void test_input(void **state)
{
	(void)state;
	static const struct {
		const char *text, *json;
	} files[] = {
		{ "{\"a\": [1, null]}", "{\"a\":[1,null]}" },
		{ " \n\t[1]", "[1]" },
		{ "a: 1\nb: [x, 'y', true, null, 1.5]\n", "{\"a\":1,\"b\":[\"x\",\"y\",true,null,1.5]}" },
		{ "# only a comment\nversion: \"1\"\n", "{\"version\":\"1\"}" },
		{ "\"text\"", "\"text\"" },
		{ "{a: b}", NULL }, /* begins as JSON */
		{ "{\"a\": 1} x", NULL },
		{ "{\"a\": 1, \"a\": 2}", NULL },
		{ "a: 1\na: 2\n", NULL },
		{ "a: [\n", NULL },
		{ "a: \xff\n", NULL },
		{ "\"\xff\"", NULL },
		{ "a: &x [1]\nb: *x\n", NULL },
		{ "--- 1\n--- 2\n", NULL },
		{ "", NULL },
		{ "\n", NULL },
	};
	char path[] = "/tmp/t_api_body.XXXXXX";
	close(mkstemp(path));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct err err = ERR_INIT;
		auto_buf text = BUF_INIT;
		struct jw w;
		write_file(path, files[i].text, strlen(files[i].text));
		auto_js *v = body_input(path, &err);
		if (!v != !files[i].json)
			fail_msg("'%s': %s", files[i].text, err.msg);
		if (!v) {
			assert_int_equal(err.code, ERR_USAGE);
			assert_non_null(strstr(err.msg, path));
			continue;
		}
		jw_init(&w, &text);
		jw_js(&w, v);
		assert_string_equal(text.p, files[i].json);
	}
	unlink(path);
}

static void test_large(void **state)
{
	(void)state;
	char path[] = "/tmp/t_api_body.XXXXXX";
	struct err err = ERR_INIT;
	close(mkstemp(path));
	auto_buf out = BUF_INIT;
	write_file(path, "12345", 5);
	assert_int_equal(body_read(path, 5, &out, &err), 0);
	assert_string_equal(out.p, "12345");
	assert_int_equal(body_read(path, 4, &out, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(body_read("/tmp", 4, &out, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	unlink(path);
}

static int setup(void **state)
{
	struct built *b = mem_zalloc(sizeof(*b));
	struct err err = ERR_INIT;
	*state = b;
	if (built_init(b, doc, &err))
		(void)fprintf(stderr, "%s\n", err.msg);
	return b->model ? 0 : -1;
}

static int teardown(void **state)
{
	built_free(*state);
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_large),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
