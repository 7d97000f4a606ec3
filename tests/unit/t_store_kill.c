/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/*
 * kill -9 at any point. A child pushes, resets, renames and collects, and says on a pipe what was acknowledged; it is killed after
 * a random time; then the store is whole and all that was acknowledged is there. Seeded: SBX_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "shared/base/util.h"
#include "shared/store/gc.h"
#include "shared/store/label_internal.h"
#include "tests/unit/store_kit.h"

enum { ROUNDS = 320, LABELS = 3 };

/* What the child acknowledges: label (an index), object that it is at now; -1: removed. */
struct ack {
	int32_t label, object;
};

static const char *label_name(int i)
{
	static const char *const names[] = { "main", "team/work", "third" };
	return names[i];
}

static int push(struct store *s, struct ack a, uint64_t *seed)
{
	struct err err = ERR_INIT;
	struct label_move m = { .name = label_name(a.label), .op = LABEL_PUSH, .any = true, .message = "of the child" };
	int more = (int)(xorshift(seed) % 20);
	if (store_hold(s, &err) || store_begin(s, true, &err))
		return -1;
	for (int i = -more; i <= 0; i++) {
		auto_buf body = BUF_INIT;
		/* the others are nobody's: food for gc */
		kit_body(i ? (int)(xorshift(seed) % 100000) + 1000000 : a.object, &body);
		if (store_put(s, OBJECT_BLOB, body.p, body.len, NULL, &m.to, &err))
			return -1;
	}
	if (xorshift(seed) % 16 == 0) {
		store_abort(s);
		store_release(s);
		return 1;
	}
	int rc = label_move(s, &m, NULL, NULL, &err);
	rc = store_end(s, &err) || rc ? -1 : 0;
	store_release(s);
	return rc;
}

static void child(const char *path, int out, uint64_t seed, int next)
{
	struct err err = ERR_INIT;
	struct store *s = store_open(path, false, &err);
	for (int rc = s ? 0 : -1; rc >= 0; next++) {
		struct ack a = { .label = (int32_t)(xorshift(&seed) % LABELS), .object = next };
		unsigned what = (unsigned)(xorshift(&seed) % 12);
		struct store_swept swept;
		if (what == 0)
			rc = gc_run(s, false, true, &swept, &err);
		else if (what == 1) {
			/* there and back: at every point one of the two names has it */
			rc = label_rename(s, label_name(a.label), "elsewhere", &err);
			rc = rc ? 0 : label_rename(s, "elsewhere", label_name(a.label), &err);
		} else
			rc = push(s, a, &seed);
		if (!rc && what > 1 && write(out, &a, sizeof(a)) != sizeof(a))
			rc = -1;
	}
	dprintf(2, "child: %s\n", err.msg);
	_exit(1);
}

/* Which object the label leads to, whose number the object's text says; -1 none. */
static int object_at(struct kit *k, const char *name)
{
	struct err err = ERR_INIT;
	struct hash head;
	auto_buf out = BUF_INIT;
	if (label_head(k->s, name, &head, &err)) {
		assert_int_equal(err.code, ERR_NOT_FOUND);
		return -1;
	}
	if (store_get(k->s, &head, &out, &err))
		fail_msg("'%s' leads to nothing: %s", name, err.msg);
	return (int)strtol(out.p + strlen("object "), NULL, 10);
}

static void verify(struct kit *k, const int *acked, int round, uint64_t seed)
{
	struct err err = ERR_INIT;
	uint64_t faults = 0;
	/* a rename may have been killed between its two halves */
	int elsewhere = object_at(k, "elsewhere"), stray = 0;
	for (int i = 0; i < LABELS; i++) {
		int is = object_at(k, label_name(i));
		if (is < 0 && elsewhere >= 0 && elsewhere >= acked[i]) {
			stray++;
			if (label_rename(k->s, "elsewhere", label_name(i), &err))
				fail_msg("round %d, seed %llu: %s", round, (unsigned long long)seed, err.msg);
			continue;
		}
		/* the last move may have been made, and not been acknowledged yet */
		if (is < acked[i])
			fail_msg("round %d, seed %llu: label '%s' is at %d, %d was acknowledged", round, (unsigned long long)seed,
				label_name(i), is, acked[i]);
	}
	assert_true(stray <= 1);
	buf_clear(&k->faults);
	if (gc_fsck(k->s, kit_fault, k, &faults, &err) || faults)
		fail_msg("round %d, seed %llu: %s%s", round, (unsigned long long)seed, err.msg, k->faults.p);
}

static void kill_loop(void **state)
{
	struct kit *k = *state;
	struct err err = ERR_INIT;
	const char *given = getenv("SBX_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_mono_us() | 1, first = seed;
	int acked[LABELS], next = LABELS, total = 0;
	/* all labels are there from the start: one that is not is the one that is being renamed */
	kit_fill(k, 0, LABELS);
	for (int i = 0; i < LABELS; i++) {
		struct label_move m = { .name = label_name(i), .to = k->ids[i], .op = LABEL_PUSH, .absent = true };
		assert_int_equal(label_move(k->s, &m, NULL, NULL, &err), 0);
		acked[i] = i;
	}
	for (int round = 0; round < ROUNDS; round++) {
		int ends[2];
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		uint64_t its = xorshift(&seed);
		pid_t pid = fork();
		if (!pid) {
			close(ends[0]);
			child(store_path(k->s), ends[1], its | 1, next);
		}
		close(ends[1]);
		struct ack a;
		/* every other life has at least one move; the others may end while the store is opened */
		bool moved = round % 2 && read(ends[0], &a, sizeof(a)) == sizeof(a);
		struct timespec wait = { .tv_nsec = (long)(xorshift(&seed) % 15000000) };
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (moved || read(ends[0], &a, sizeof(a)) == sizeof(a)) {
			moved = false;
			acked[a.label] = a.object;
			next = a.object;
			total++;
		}
		close(ends[0]);
		/* more may have been moved to than was said */
		next += 1000;
		if (round % 3 == 0)
			kit_reopen(k);
		verify(k, acked, round, first);
		/* by a process that was there all the time, too */
		struct store_swept swept;
		if (round % 10 == 0 && gc_run(k->s, false, true, &swept, &err))
			fail_msg("round %d, seed %llu: %s", round, (unsigned long long)first, err.msg);
	}
	print_message("%d moves acknowledged in %d lives\n", total, ROUNDS);
	assert_true(total >= ROUNDS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(kill_loop, kit_setup, kit_teardown) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
