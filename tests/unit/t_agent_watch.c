/* link: shared/wire/wire.c shared/wire/record.c tests/unit/agent_host.c | */
/*
 * sbx-agent over a socket: watching files. What happened before a mark (a file made in the watched folder, whose event is waited
 * for) must have been told when the mark is.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "tests/unit/agent_host.h"

struct fixture {
	struct host *h;
	char dir[64];
	unsigned marks;
	size_t seen; /* bytes of the watch's output that were looked at */
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	f->h = host_new();
	snprintf(f->dir, sizeof(f->dir), "/tmp/t_agent_watch.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	auto_free char *rm = mem_printf("rm -rf '%s'", f->dir);

	assert_int_equal(host_wait(f->h, host_sh(f->h, rm)), 0);
	host_free(f->h);
	free(f);
	return 0;
}

/* Run a script in the fixture's folder (through the agent) and want 0. */
static void sh(struct fixture *f, const char *script)
{
	auto_free char *whole = mem_printf("cd '%s' && %s", f->dir, script);
	struct host_stream *s = host_sh(f->h, whole);

	if (host_wait(f->h, s))
		fail_msg("%s: %s%s", script, s->out[WIRE_STDOUT].p, s->out[WIRE_STDERR].p);
}

static struct host_stream *open_watch(struct fixture *f, const char *name, bool recursive, const char *user)
{
	auto_free char *path = *name == '/' || !*name ? mem_strdup(*name ? name : f->dir) : mem_printf("%s/%s", f->dir, name);
	struct buf rec = BUF_INIT;

	wire_rec_u64(&rec, WT_OP, WIRE_OP_WATCH);
	wire_rec_str(&rec, WT_PATH, path);
	wire_rec_str(&rec, WT_USER, user);
	if (recursive)
		wire_rec_u64(&rec, WT_RECURSIVE, 1);
	return host_open(f->h, &rec);
}

static struct host_stream *watch(struct fixture *f, const char *name, bool recursive)
{
	struct host_stream *s = open_watch(f, name, recursive, NULL);

	host_wait_started(f->h, s);
	host_wait_output(f->h, s, "\"ready\"");
	host_wait_output(f->h, s, "\n");
	f->seen = s->out[WIRE_STDOUT].len;
	return s;
}

/* Path below the fixture's folder; the folder itself is ".". */
static const char *local(const struct fixture *f, const char *path)
{
	size_t n = strlen(f->dir);

	if (!path)
		return NULL;
	assert_memory_equal(path, f->dir, n);
	return path[n] == '/' ? path + n + 1 : ".";
}

typedef void event_fn(void *arg, const char *event, const char *path, const char *from);

/* Every event that has come and was not looked at yet. */
static void take(struct fixture *f, struct host_stream *s, event_fn *fn, void *arg)
{
	char *line = s->out[WIRE_STDOUT].p + f->seen, *nl;

	for (; (nl = memchr(line, '\n', (size_t)(s->out[WIRE_STDOUT].p + s->out[WIRE_STDOUT].len - line))); line = nl + 1) {
		auto_js *e = js_parse(line, (size_t)(nl - line), JS_LIMITS_DEFAULT, NULL);

		assert_non_null(e);
		fn(arg, js_str(js_get(e, "event"), ""), local(f, js_str(js_get(e, "path"), NULL)),
			local(f, js_str(js_get(e, "from"), NULL)));
	}
	f->seen = (size_t)(line - s->out[WIRE_STDOUT].p);
}

static void wait_mark(struct fixture *f, struct host_stream *s)
{
	auto_free char *make = mem_printf("mkdir mark.%u", f->marks);
	auto_free char *sign = mem_printf("mark.%u\"", f->marks);

	f->marks++;
	sh(f, make);
	host_wait_output(f->h, s, sign);
}

/* "create a|modify a|" without marks. One that repeats the one before counts once: a file that is cut and written to is modified
 * twice, or once when the kernel puts the two together. */
static void append_event(void *arg, const char *event, const char *path, const char *from)
{
	struct buf *text = arg;
	auto_free char *one = mem_printf("%s %s%s%s|", event, path, from ? " < " : "", from ? from : "");
	size_t n = strlen(one);

	if (strncmp(path, "mark.", 5) == 0 || (text->len >= n && !strcmp(text->p + text->len - n, one)))
		return;
	buf_str(text, one);
}

/* The script's events, in order. */
static void want(struct fixture *f, struct host_stream *s, const char *script, const char *events)
{
	struct buf text = BUF_INIT;

	sh(f, script);
	wait_mark(f, s);
	take(f, s, append_event, &text);
	assert_string_equal(text.p, events);
	buf_free(&text);
}

static void test_folder(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;

	sh(f, "mkdir sub && : > old");
	s = watch(f, "", false);
	want(f, s, ": > a", "create a|");
	want(f, s, "echo x > a", "modify a|");
	want(f, s, "chmod 600 a", "attrib a|");
	want(f, s, "mv a b", "move b < a|");
	want(f, s, "mv old b", "move b < old|");
	want(f, s, "ln -s nowhere link && rm link b", "create link|delete link|delete b|");
	want(f, s, "mkdir sub/deep && : > sub/deep/c && rm -r sub/deep", "");
	want(f, s,
		"mkdir /tmp/elsewhere.$$ && : > x && mv x /tmp/elsewhere.$$ && mv /tmp/elsewhere.$$/x y && rm -r /tmp/elsewhere.$$",
		"create x|delete x|create y|");
}

static void test_recursive(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;

	sh(f, "mkdir -p sub/deep other");
	s = watch(f, "", true);
	want(f, s, ": > sub/deep/a", "create sub/deep/a|");
	want(f, s, "mkdir sub/new", "create sub/new|");
	want(f, s, "echo x > sub/new/b", "create sub/new/b|modify sub/new/b|");
	want(f, s, "mv sub other", "move other/sub < sub|");
	want(f, s, "echo y > other/sub/new/b", "modify other/sub/new/b|");
	want(f, s, "rm -r other/sub/new", "delete other/sub/new/b|delete other/sub/new|");
	want(f, s, "mkdir other/sub/new", "create other/sub/new|");
	want(f, s, "mv other /tmp/t_agent_gone.$$ && : > /tmp/t_agent_gone.$$/sub/silent && rm -r /tmp/t_agent_gone.$$",
		"delete other|");
}

/* A file that editors replace; its neighbours are silent. */
static void test_file(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;
	struct buf text = BUF_INIT;

	sh(f, ": > conf");
	s = watch(f, "conf", true);
	sh(f,
		": > other && echo x > other && echo x > conf && mv other conf && rm conf && mkdir folder && echo z > conf && rm "
		"conf");
	host_wait_output(f->h, s, "\"modify\"");
	sh(f, "chmod 700 . && : > conf && chmod 640 conf");
	host_wait_output(f->h, s, "\"attrib\"");
	take(f, s, append_event, &text);
	assert_string_equal(
		text.p, "modify conf|move conf < other|delete conf|create conf|modify conf|delete conf|create conf|attrib conf|");
	buf_free(&text);
}

/* ---- a replayed history ---- */

struct tree {
	char **paths;
	size_t n, cap, created;
	bool twice; /* a creation of what was there */
};

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void tree_remove(struct tree *t, const char *top)
{
	for (size_t i = t->n; i-- > 0;) {
		if (is_below(t->paths[i], top)) {
			free(t->paths[i]);
			t->paths[i] = t->paths[--t->n];
		}
	}
}

static void replay(void *arg, const char *event, const char *path, const char *from)
{
	struct tree *t = arg;

	if (!strcmp(event, "overflow"))
		fail_msg("the queue ran over");
	if (!strcmp(event, "create")) {
		for (size_t i = 0; i < t->n; i++)
			t->twice |= !strcmp(t->paths[i], path);
		tree_remove(t, path);
		if (t->n == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 64;
			t->paths = mem_grow(t->paths, t->cap, sizeof(*t->paths));
		}
		t->paths[t->n++] = mem_strdup(path);
		t->created++;
	} else if (!strcmp(event, "delete")) {
		tree_remove(t, path);
	} else if (!strcmp(event, "move")) {
		tree_remove(t, path);
		for (size_t i = 0; i < t->n; i++) {
			if (!is_below(t->paths[i], from))
				continue;
			char *moved = mem_printf("%s%s", path, t->paths[i] + strlen(from));

			free(t->paths[i]);
			t->paths[i] = moved;
		}
	}
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* What the events left is what find finds. */
static void same_as_disk(struct fixture *f, struct tree *t)
{
	struct host_stream *s;
	struct buf mine = BUF_INIT;
	auto_free char *find = mem_printf("cd '%s' && find . -mindepth 1 | cut -c3- | LC_ALL=C sort", f->dir);

	qsort(t->paths, t->n, sizeof(*t->paths), by_text);
	for (size_t i = 0; i < t->n; i++)
		buf_fmt(&mine, "%s\n", t->paths[i]);
	s = host_sh(f->h, find);
	assert_int_equal(host_wait(f->h, s), 0);
	assert_string_equal(mine.p, s->out[WIRE_STDOUT].p);
	buf_free(&mine);
}

static void tree_free(struct tree *t)
{
	tree_remove(t, "");
	for (size_t i = 0; i < t->n; i++)
		free(t->paths[i]);
	free(t->paths);
}

/* A walk of mkdir, touch, mv and rm, from a seed, over few names, so that they collide; errors are part of it. */
static void test_replay(void **state)
{
	static const char script[] =
		"r=%u; n() { r=$(((r * 1103515245 + 12345) %% 2147483648)); x=$((r / 65536 %% $1)); }\n"
		"p() { n 3; d=$x; n 3; e=$x; n 4; case $x in 0) q=d$d;; 1) q=d$d/d$e;; 2) q=d$d/f$e;; 3) q=d$d/d$e/f$d;; esac; }\n"
		"for i in $(seq 300); do p; a=$q; p; n 6; case $x in 0|1) mkdir -p $a;; 2) true >$a;; 3) mv -T $a $q;; 4) rm -rf "
		"$a;;\n"
		"5) mkdir -p $a/d0 && true >$a/d0/f9;; esac 2>/dev/null; done; true";
	struct fixture *f = *state;

	for (unsigned seed = 1; seed <= 6; seed++) {
		auto_free char *walk = mem_printf(script, seed * 7919);
		struct tree t = { 0 };
		struct host_stream *s;

		sh(f, "rm -rf d* mark*");
		s = watch(f, "", true);
		sh(f, walk);
		wait_mark(f, s);
		take(f, s, replay, &t);
		same_as_disk(f, &t);
		tree_free(&t);
		host_frame(f->h, s, WIRE_CLOSE, NULL, 0);
	}
}

/* Files that come with their folder are told once each. */
static void test_burst(void **state)
{
	struct fixture *f = *state;
	struct tree t = { 0 };
	struct host_stream *s = watch(f, "", true);

	sh(f, "mkdir -p a/b/c && cd a/b/c && seq 1000 | xargs touch");
	wait_mark(f, s);
	take(f, s, replay, &t);
	assert_int_equal(t.created, 1000 + 3 + 1);
	assert_false(t.twice);
	same_as_disk(f, &t);
	tree_free(&t);
}

static void count_overflow(void *arg, const char *event, const char *path, const char *from)
{
	(void)from;
	*(unsigned *)arg += !strcmp(event, "overflow") && !strcmp(path, ".");
}

/* A host that does not read costs events, which it is told, and nobody else anything; folders made meanwhile are watched. */
static void test_overflow(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s = watch(f, "", true);
	unsigned overflows = 0;

	s->hold = true;
	/* two files in turn, so that the kernel does not put the events of one together */
	sh(f,
		"awk 'BEGIN { for (i = 0; i < 40000; i++) { printf \"x\" > \"a\"; fflush(\"a\"); printf \"x\" > \"b\"; "
		"fflush(\"b\") } }'; "
		"mkdir late");
	s->hold = false;
	host_credit(f->h, s, 64 << 20);
	host_wait_output(f->h, s, "\"overflow\"");
	sh(f, ": > late/sign");
	host_wait_output(f->h, s, "late/sign\"");
	take(f, s, count_overflow, &overflows);
	assert_true(overflows > 0);
}

static void test_root_goes(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s;
	struct buf text = BUF_INIT;

	sh(f, "mkdir -p top/sub");
	s = watch(f, "top", true);
	sh(f, "rm -r top");
	assert_int_equal(host_wait(f->h, s), 0);
	take(f, s, append_event, &text);
	assert_non_null(strstr(text.p, "delete top/sub|"));
	assert_non_null(strstr(text.p, "delete top|"));
	buf_free(&text);
}

static void test_close(void **state)
{
	struct fixture *f = *state;
	struct host_stream *s = watch(f, "", true);
	pid_t pid = (pid_t)host_started_u64(s, WT_PID);

	assert_true(pid > 0);
	host_frame(f->h, s, WIRE_CLOSE, NULL, 0);
	sh(f, "true"); /* the agent has read the CLOSE */
	for (int i = 0; kill(pid, 0) == 0 && i < 1000; i++)
		host_poll(f->h, 10);
	assert_int_equal(kill(pid, 0), -1);
}

static void want_error(struct fixture *f, struct host_stream *s, int sys, const char *text)
{
	assert_int_equal(host_wait(f->h, s), 1);
	assert_int_equal(host_exit_u64(s, WT_ERRNO), sys);
	assert_non_null(strstr(host_message(s), text));
	assert_false(s->started);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;

	want_error(f, open_watch(f, "nowhere", false, NULL), ENOENT, "nowhere");
	sh(f, ": > file");
	want_error(f, open_watch(f, "file/below", false, NULL), ENOTDIR, "file/below");
	want_error(f, open_watch(f, "", false, "nosuchuser"), ENOENT, "nosuchuser");
	if (geteuid() == 0) {
		sh(f, "mkdir -m 700 closed");
		want_error(f, open_watch(f, "closed", false, "nobody"), EACCES, "closed");
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_folder),
		TEST(test_recursive),
		TEST(test_file),
		TEST(test_replay),
		TEST(test_burst),
		TEST(test_overflow),
		TEST(test_root_goes),
		TEST(test_close),
		TEST(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
