/* link: daemon/core/eventlog.c | */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/core/eventlog.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"

struct fixture {
	char dir[64];
	char *path;
	struct eventlog *log;
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));
	memcpy(f->dir, "/tmp/sbx-t-log-XXXXXX", sizeof("/tmp/sbx-t-log-XXXXXX"));
	assert_non_null(mkdtemp(f->dir));
	f->path = fs_join(f->dir, "events.log");
	f->log = eventlog_new(f->path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	eventlog_free(f->log);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f->path);
	free(f);
	return 0;
}

struct seen {
	size_t n, ended;
	char first[64], last[64];
};

static void see(void *arg, const struct event *event)
{
	struct seen *s = arg;
	if (s->n++ == 0)
		snprintf(s->first, sizeof(s->first), "%s:%s", event->name, event->message);
	snprintf(s->last, sizeof(s->last), "%s:%s", event->name, event->message);
}

static void see_end(void *arg)
{
	((struct seen *)arg)->ended++;
}

static void test_tail(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 10; i++)
		eventlog_add(f->log, "exec", "number %d", i);
	struct seen all = { 0 }, some = { 0 };
	eventlog_read(f->log, SIZE_MAX, see, &all);
	assert_int_equal(all.n, 10);
	assert_string_equal(all.first, "exec:number 0");
	eventlog_read(f->log, 3, see, &some);
	assert_int_equal(some.n, 3);
	assert_string_equal(some.first, "exec:number 7");
	assert_string_equal(some.last, "exec:number 9");
}

static void test_nobody_forges_lines(void **state)
{
	struct fixture *f = *state;
	eventlog_add(f->log, "exec", "a\n1\tstopped\tb\x1b[2J");
	struct seen s = { 0 };
	eventlog_read(f->log, SIZE_MAX, see, &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.first, "exec:a 1 stopped b [2J");
}

static void test_bounded(void **state)
{
	struct fixture *f = *state;
	char text[400];
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 6000; i++)
		eventlog_add(f->log, "exec", "%d %s", i, text);
	assert_true(fs_allocated(f->path) <= (2 << 20));
	struct seen s = { 0 };
	eventlog_read(f->log, 1, see, &s);
	assert_memory_equal(s.last, "exec:5999 ", 10);
}

static void test_follow(void **state)
{
	struct fixture *f = *state;
	struct seen a = { 0 }, b = { 0 };
	struct eventlog_follow *fa = eventlog_follow(f->log, see, see_end, &a), *fb = eventlog_follow(f->log, see, see_end, &b);
	eventlog_add(f->log, "one", "1");
	eventlog_unfollow(fa);
	eventlog_add(f->log, "two", "2");
	eventlog_free(f->log);
	f->log = NULL;
	assert_int_equal(a.n, 1);
	assert_int_equal(a.ended, 0);
	assert_int_equal(b.n, 2);
	assert_int_equal(b.ended, 1);
	eventlog_unfollow(fb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_forges_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
