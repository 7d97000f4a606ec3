/* link: daemon/core/password.c | -luv -lcrypt */
/* Passwords in worker threads: bcrypt as others know it, one at a time, a bounded queue, in the order of asking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/password.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct world {
	uv_loop_t loop;
	struct passwords *p;
	size_t answers;
};

static int setup(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->p = passwords_new(&w->loop, 5);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	passwords_close(w->p);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	free(w);
	return 0;
}

struct job {
	struct world *w;
	bool done, match;
	size_t order;
	char hash[64];
	enum err_code code;
};

static void on_done(void *arg, const char *hash, bool match, const struct err *err)
{
	struct job *j = arg;
	assert_false(j->done);
	j->done = true;
	j->order = j->w->answers++;
	j->match = match;
	j->code = err ? err->code : ERR_OK;
	str_copy(j->hash, sizeof(j->hash), hash && !err ? hash : "");
}

static void begin(struct world *w, struct job *j, const char *password, const char *against)
{
	struct err err = ERR_INIT;
	*j = (struct job){ .w = w };
	assert_int_equal(password_run(w->p, password, against, on_done, j, &err), 0);
	assert_false(j->done);
}

static bool fits(struct world *w, const char *password, const char *against)
{
	struct job j;
	begin(w, &j, password, against);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_true(j.done);
	assert_int_equal(j.code, ERR_OK);
	assert_string_equal(j.hash, ""); /* a check gives none */
	return j.match;
}

/* Vectors of Openwall's crypt_blowfish. */
static void t_vectors(void **state)
{
	struct world *w = *state;
	assert_true(fits(w, "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
	assert_true(fits(w, "U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"));
	assert_true(fits(w, "\xff\xff\xa3", "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"));
	assert_false(fits(w, "U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
	assert_false(fits(w, "U*V", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
	assert_false(fits(w, "", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
	assert_false(fits(w, "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeX"));
	assert_false(fits(w, "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW"));
	assert_false(fits(w, "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe")); /* cut */
}

static void t_new_hash(void **state)
{
	struct world *w = *state;
	struct job a, b;
	begin(w, &a, "a password", NULL);
	begin(w, &b, "a password", NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(a.code, ERR_OK);
	assert_memory_equal(a.hash, "$2b$05$", 7);
	assert_int_equal(strlen(a.hash), 60);
	assert_string_not_equal(a.hash, b.hash); /* a salt of its own */
	assert_false(a.match);
	assert_true(password_is_current(w->p, a.hash));
	assert_false(
		password_is_current(w->p, "$2b$06$x") || password_is_current(w->p, "$2a$05$x") || password_is_current(w->p, ""));
	assert_true(fits(w, "a password", a.hash));
	assert_false(fits(w, "A password", a.hash));
}

static void t_no_hash(void **state)
{
	static const char *const bad[] = { "", "*", "*0", "x", "$2b$", "$2b$05$", "$2b$99$CCCCCCCCCCCCCCCCCCCCC.", "$9$abc" };
	struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct job j;
		begin(w, &j, "U*U", bad[i]);
		uv_run(&w->loop, UV_RUN_DEFAULT);
		assert_int_equal(j.code, ERR_INTERNAL);
		assert_false(j.match);
	}
}

#define CHEAP "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

static void t_queue(void **state)
{
	struct world *w = *state;
	static struct job many[PASSWORD_RUNNING + PASSWORD_WAITING];
	struct job extra = { .w = w };
	struct err err = ERR_INIT;
	for (int again = 0; again < 2; again++) {
		w->answers = 0;
		for (size_t i = 0; i < ARRAY_LEN(many); i++)
			begin(w, &many[i], i % 2 ? "U*U" : "no", CHEAP);
		assert_int_equal(password_run(w->p, "x", NULL, on_done, &extra, &err), -1);
		assert_int_equal(err.code, ERR_LIMIT);
		assert_string_equal(err.word, "rate_limited");
		uv_run(&w->loop, UV_RUN_DEFAULT);
		for (size_t i = 0; i < ARRAY_LEN(many); i++) {
			assert_int_equal(many[i].order, i);
			assert_int_equal(many[i].match, i % 2);
		}
		assert_false(extra.done);
	}
}

/* Closed in the middle: all hear of it, those that wait at once and the one at work later. */
static void t_close(void **state)
{
	struct world *w = *state;
	struct job many[4];
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		begin(w, &many[i], "U*U", CHEAP);
	passwords_close(w->p);
	w->p = NULL;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		assert_int_equal(many[i].done, i >= PASSWORD_RUNNING);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_int_equal(many[i].code, ERR_UNAVAILABLE);
		assert_string_equal(many[i].hash, "");
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(t_vectors),
		TEST(t_new_hash),
		TEST(t_no_hash),
		TEST(t_queue),
		TEST(t_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
