/* link: cli/build/dockerfile.c cli/build/expand.c | */
/* Dockerfiles: what instructions they have, what is put into words, and what is refused, with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/build/dockerfile.h"
#include "cli/build/expand.h"
#include "shared/base/mem.h"

#define CHECK_WORDS(step, ...) check_words(step, (const char *const[]){ __VA_ARGS__, NULL })

static void check_words(const struct dockerfile_step *s, const char *const *want)
{
	size_t n = 0;
	for (; want[n]; n++) {
		assert_true(n < s->count);
		assert_string_equal(s->words[n], want[n]);
	}
	assert_int_equal(s->count, n);
	assert_null(s->words[n]);
}

static struct dockerfile parse(const char *text)
{
	struct dockerfile d;
	struct err err = ERR_INIT;
	if (dockerfile_parse("F", text, strlen(text), &d, &err))
		fail_msg("%s", err.msg);
	return d;
}

static void instructions(void **state)
{
	(void)state;
	struct dockerfile d = parse("# a comment\n"
				    "ARG v=12\n"
				    "from --platform=linux/amd64 debian:$v AS build\r\n"
				    "\n"
				    "RUN apt-get update && \\\n"
				    "  # not this\n"
				    "\n"
				    "  apt-get install x\n"
				    "RUN [\"/bin/echo\", \"a b\"]\n"
				    "RUN [ -f /x ] && y\n"
				    "ENV A=1 B=\"two words\" C=three\\ words\n"
				    "ENV D the rest of \"it\"\n"
				    "COPY --chown=1:2 --chmod=755 --from=build a 'b c' /d/\n"
				    "ADD [\"x y\", \"/z\"]\n"
				    "EXPOSE 80 53/udp\n"
				    "WORKDIR /a b\n"
				    "USER u\n"
				    "CMD []\n"
				    "ENTRYPOINT exec top -b");
	assert_int_equal(d.count, 14);
	const struct dockerfile_step *s = d.steps;
	CHECK_WORDS(&s[0], "v=12");
	CHECK_WORDS(&s[1], "debian:$v");
	assert_string_equal(s[1].as, "build");
	assert_int_equal(s[1].line, 3);
	CHECK_WORDS(&s[2], "apt-get update &&   apt-get install x");
	assert_int_equal(s[2].line, 5);
	assert_false(s[2].json);
	CHECK_WORDS(&s[3], "/bin/echo", "a b");
	assert_true(s[3].json);
	assert_int_equal(s[3].line, 9);
	CHECK_WORDS(&s[4], "[ -f /x ] && y");
	CHECK_WORDS(&s[5], "A=1", "B=\"two words\"", "C=three\\ words");
	CHECK_WORDS(&s[6], "D=the rest of \"it\"");
	CHECK_WORDS(&s[7], "a", "'b c'", "/d/");
	assert_string_equal(s[7].from, "build");
	assert_string_equal(s[7].chown, "1:2");
	assert_string_equal(s[7].chmod, "755");
	CHECK_WORDS(&s[8], "x y", "/z");
	CHECK_WORDS(&s[9], "80", "53/udp");
	CHECK_WORDS(&s[10], "/a b");
	CHECK_WORDS(&s[11], "u");
	assert_int_equal(s[12].count, 0);
	assert_true(s[12].json);
	CHECK_WORDS(&s[13], "exec top -b");
	assert_int_equal(s[13].verb, DOCKERFILE_ENTRYPOINT);
	assert_string_equal(dockerfile_verb(s[13].verb), "ENTRYPOINT");
	dockerfile_free(&d);
}

static void escape_directive(void **state)
{
	(void)state;
	struct dockerfile d = parse("# syntax=docker/dockerfile:1\n# escape=`\nFROM x\nRUN a\\\nRUN b `\n c\n");
	assert_int_equal(d.count, 3);
	CHECK_WORDS(&d.steps[1], "a\\");
	CHECK_WORDS(&d.steps[2], "b  c");
	dockerfile_free(&d);
	/* behind a comment it is one */
	d = parse("# hello\n# escape=`\nFROM x\nRUN a \\\n b\n");
	assert_int_equal(d.count, 2);
	dockerfile_free(&d);
}

static void refusals(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "'F' has no FROM" },
		{ "ARG a\n", "'F' has no FROM" },
		{ "FROM x\nFOO bar\n", "F:2: unknown instruction 'FOO'" },
		{ "FROM x\n\nVOLUME /a\n", "F:3: VOLUME is not supported" },
		{ "RUN a\nFROM x\n", "F:1: RUN comes before FROM" },
		{ "FROM\n", "F:1: FROM: it needs an argument" },
		{ "FROM a b\n", "F:1: FROM: it must be FROM IMAGE" },
		{ "FROM a AS 1x\n", "F:1: '1x' cannot be the name of a stage" },
		{ "FROM --platform=linux/arm64 a\n", "F:1: FROM --platform is not supported" },
		{ "FROM x\nRUN --mount=type=cache a\n", "F:2: RUN --mount is not supported" },
		{ "FROM x\nRUN cat <<EOF > y\nEOF\n", "F:2: here-documents" },
		{ "FROM x\nRUN a \\\n  && cat 3<<-'E'\n", "F:2: here-documents" },
		{ "FROM x\nCOPY <<EOF /y\nEOF\n", "F:2: here-documents" },
		{ "FROM x\nCOPY a\n", "F:2: COPY: it needs a source and a target" },
		{ "FROM x\nCOPY --exclude=a b c\n", "F:2: COPY --exclude is not supported" },
		{ "FROM x\nADD --from=y b c\n", "F:2: --from is for COPY" },
		{ "FROM x\nENV A\n", "F:2: 'A' has no value" },
		{ "FROM x\nENV A=1 B\n", "F:2: 'B' is not NAME=VALUE" },
		{ "FROM x\nENV =1\n", "F:2: ENV: it needs NAME=VALUE" },
		{ "FROM x\nRUN\n", "F:2: RUN: it needs a command" },
		{ "FROM x\nRUN []\n", "F:2: RUN: it needs a command" },
		{ "FROM x\nUSER a b\n", "F:2: USER: it takes one argument" },
		{ "# escape=x\nFROM x\n", "F:1: 'x' cannot be the escape character" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dockerfile d;
		struct err err = ERR_INIT;
		assert_int_equal(dockerfile_parse("F", cases[i].text, strlen(cases[i].text), &d, &err), -1);
		if (strncmp(err.msg, cases[i].says, strlen(cases[i].says)) != 0)
			fail_msg("'%s' instead of '%s'", err.msg, cases[i].says);
		assert_int_equal(err.code, ERR_INVALID);
		dockerfile_free(&d);
	}
	struct dockerfile d;
	struct err err = ERR_INIT;
	assert_int_equal(dockerfile_parse("F", "FROM x\0y", 8, &d, &err), -1);
	dockerfile_free(&d);
	/* no here-documents */
	d = parse("FROM x\nRUN x=$((1<<2)); cat <<<word; echo 'a <<EOF'\n");
	dockerfile_free(&d);
}

static const char *value(void *arg, const char *name, size_t n)
{
	(void)arg;
	if (n == 1 && *name == 'x')
		return "X y";
	if (n == 5 && !memcmp(name, "empty", 5))
		return "";
	return NULL;
}

static void expansion(void **state)
{
	static const struct {
		const char *word, *is;
	} cases[] = {
		{ "a$x-b", "aX y-b" },
		{ "${x}y", "X yy" },
		{ "$none|${none}", "|" },
		{ "'$x'\"$x\"", "$xX y" },
		{ "\\$x \\a", "$x a" },
		{ "\"\\$x \\a \\\"\"", "$x \\a \"" },
		{ "${none:-d}${empty:-e}${x:-f}", "deX y" },
		{ "${none-d}${empty-e}", "d" },
		{ "${none:+d}${empty:+e}${x:+f}", "f" },
		{ "${empty+e}", "e" },
		{ "${none:-${x:-y}z}", "X yz" },
		{ "${none:-a'}'b}", "a}b" },
		{ "$", "$" },
		{ "a$/b", "a$/b" },
		{ "${x:?no}", "X y" },
		{ "a\"b c\"d", "ab cd" },
	};
	(void)state;
	const struct expand x = { .escape = '\\', .value = value };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_buf out = BUF_INIT;
		struct err err = ERR_INIT;
		if (expand_word(&x, cases[i].word, &out, &err))
			fail_msg("%s: %s", cases[i].word, err.msg);
		assert_string_equal(out.p, cases[i].is);
	}
	static const char *const bad[] = { "'a", "\"a", "${x", "${", "${x:", "${x:=y}", "${x:-y", "${-}", "${none:?it is needed}" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_buf out = BUF_INIT;
		struct err err = ERR_INIT;
		assert_int_equal(expand_word(&x, bad[i], &out, &err), -1);
		assert_true(err.msg[0] != '\0');
	}
}

/* Deeper than anybody writes: refused, not followed to the end of the stack. */
static void depth(void **state)
{
	(void)state;
	auto_buf word = BUF_INIT;
	auto_buf out = BUF_INIT;
	struct err err = ERR_INIT;
	const struct expand x = { .escape = '\\', .value = value };
	for (int i = 0; i < 100000; i++)
		buf_str(&word, "${a:-");
	assert_int_equal(expand_word(&x, word.p, &out, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions),
		cmocka_unit_test(escape_directive),
		cmocka_unit_test(refusals),
		cmocka_unit_test(expansion),
		cmocka_unit_test(depth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
