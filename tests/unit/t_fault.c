/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c shared/contract/[a-z]*.c | -lyaml */
/* Errors in the words of a dialect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/mem.h"
#include "tests/unit/contract_of.h"

static const char plain[] = DOC_HEAD DOC_PATHS "x-sbx-faults: {shape: {error: {code: $code, message: $message, hint: $hint}}}\n";

static void expect(const char *doc, const char *stage, const struct err *e, int status, const char *media, const char *body)
{
	struct built b;
	struct err err = ERR_INIT;
	auto_buf out = BUF_INIT;

	if (built_init(&b, doc, &err) != 0)
		fail_msg("%s", err.msg);
	struct ct_words w = ct_fault(&b.c, stage, e, &out);
	assert_int_equal(w.status, status);
	if (media)
		assert_string_equal(w.media, media);
	else
		assert_null(w.media);
	assert_string_equal(out.p, body);
	built_free(&b);
}

static void t_shape(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	err_set(&e, ERR_CONFLICT, "'a\"b' exists");
	expect(plain, NULL, &e, 409, "application/json", "{\"error\":{\"code\":\"conflict\",\"message\":\"'a\\\"b' exists\"}}");
	err_hint(&e, "take another");
	expect(plain, NULL, &e, 409, "application/json",
		"{\"error\":{\"code\":\"conflict\",\"message\":\"'a\\\"b' exists\",\"hint\":\"take another\"}}");
}

static void t_refused(void **state)
{
	static const char *const docs[] = {
		DOC_HEAD DOC_PATHS "x-sbx-faults: {shape: {hint: $hint, message: $message}}\n",
		DOC_HEAD DOC_PATHS "x-sbx-faults: {kinds: {}}\n",
		DOC_HEAD DOC_PATHS "x-sbx-faults: {shape: {m: $mesage}}\n",
		DOC_HEAD DOC_PATHS "x-sbx-faults: {shape: {m: $message}, kinds: {nosuch: {status: 400}}}\n",
		DOC_HEAD DOC_PATHS "x-sbx-faults: {shape: {m: $message}, kinds: {conflict: {status: 200}}}\n",
		DOC_HEAD DOC_PATHS "x-sbx-faults: {shape: {m: $message}, kinds: {conflict: {as: html}}}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		struct built b;
		struct err err = ERR_INIT;
		assert_int_equal(built_init(&b, docs[i], &err), -1);
		assert_non_null(strstr(err.msg, "t.yaml:4: ")); /* the file and the line */
		built_free(&b);
	}
}

static void t_words(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	err_set(&e, ERR_INVALID, "no");
	const char *doc = DOC_HEAD DOC_PATHS
		"x-sbx-faults:\n  shape: {error: $code, n: $status}\n  kinds:\n    syntax: {status: 400, code: BAD_JSON}\n"
		"    schema: {status: 422, as: text, message: wrong shape}\n    route: {as: empty}\n    conflict: {code: TAKEN}\n"
		"    parameter: {as: text, message: 'bad: $message!'}\n";
	expect(doc, "syntax", &e, 400, "application/json", "{\"error\":\"BAD_JSON\",\"n\":400}");
	expect(doc, "schema", &e, 422, "text/plain; charset=utf-8", "wrong shape");
	expect(doc, "parameter", &e, 400, "text/plain; charset=utf-8", "bad: no!");
	expect(doc, NULL, &e, 400, "application/json", "{\"error\":\"invalid_request\",\"n\":400}");
	err_set(&e, ERR_NOT_FOUND, "no");
	expect(doc, "route", &e, 404, NULL, "");
	expect(doc, NULL, &e, 404, "application/json", "{\"error\":\"not_found\",\"n\":404}");
	err_set(&e, ERR_CONFLICT, "no");
	expect(doc, NULL, &e, 409, "application/json", "{\"error\":\"TAKEN\",\"n\":409}");
}

/* A reason by its word: finer than the code, coarser than the stage. */
static void t_reasons(void **state)
{
	struct err e = ERR_INIT, copy;
	const char *doc = DOC_HEAD DOC_PATHS
		"x-sbx-faults:\n  shape: {error: $code, message: $message}\n  kinds:\n    conflict: {code: TAKEN}\n"
		"    email_taken: {status: 422, code: MAIL}\n    schema: {code: SHAPE}\n    rate_limited: {as: text, message: 'slow: $message'}\n";

	(void)state;
	err_set(&e, ERR_CONFLICT, "no");
	assert_int_equal(err_word(&e, "email_taken"), -1);
	err_prefix(&e, "x");
	err_hint(&e, "h");
	copy = e;
	expect(doc, NULL, &copy, 422, "application/json", "{\"error\":\"MAIL\",\"message\":\"x: no\"}");
	expect(doc, "schema", &e, 409, "application/json", "{\"error\":\"SHAPE\",\"message\":\"x: no\"}");
	expect(doc, "syntax", &e, 422, "application/json", "{\"error\":\"MAIL\",\"message\":\"x: no\"}");
	err_word(&e, "no_team"); /* not told apart here */
	expect(doc, NULL, &e, 409, "application/json", "{\"error\":\"TAKEN\",\"message\":\"x: no\"}");
	err_set(&e, ERR_LIMIT, "often");
	err_word(&e, "rate_limited");
	expect(doc, NULL, &e, 429, "text/plain; charset=utf-8", "slow: often");
	/* another error has no word any more */
	err_set(&e, ERR_CONFLICT, "no");
	assert_null(e.word);
	err_word(&e, "email_taken");
	err_sys(&e, 2, "open");
	assert_null(e.word);
	err_word(&e, "email_taken");
	err_clear(&e);
	assert_null(e.word);
	assert_int_equal(err_word(NULL, "email_taken"), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_shape),
		cmocka_unit_test(t_words),
		cmocka_unit_test(t_refused),
		cmocka_unit_test(t_reasons),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
