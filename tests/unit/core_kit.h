/*
 * core_kit: a core that is no more than a database, a secret, accounts and the sandboxes that a test puts there. What it would do
 * to them, and the news for channels, is noted. Link tests/unit/core_kit.c and what CORE_KIT in it names.
 */
#ifndef SBX_UNIT_CORE_KIT_H
#define SBX_UNIT_CORE_KIT_H

#include "daemon/core/account.h"
#include "daemon/core/internal.h"
#include "daemon/core/team.h"

struct core_kit {
	char dir[64];
	uv_loop_t loop;
	struct core *core;
	size_t deleted;	 /* sandboxes that were to be removed */
	struct buf news; /* "event resource status;" for each piece */
	struct buf dropped; /* "number;" of each team whose snapshots were to go */
};

/* The test's state is a core_kit. */
int core_kit_setup(void **state);
int core_kit_teardown(void **state);
/* A sandbox of that team, the newest one. */
struct sandbox *core_kit_box(struct core_kit *k, int64_t team, enum sandbox_state state, int64_t vcpus, int64_t memory_mb);
/* Turn the loop until *done, which must come. */
void core_kit_until(struct core_kit *k, const bool *done);
/* Somebody new with a team of his own: who he is there. No password. */
struct identity core_kit_person(struct core_kit *k, const char *email);
/* Him in another team. */
struct identity core_kit_member(struct core_kit *k, int64_t team, int64_t user, enum role role);

/* What was noted in the audit log since the start: "resource/action/scope/actor;" each, oldest first. Allocated. */
char *core_kit_notes(struct core_kit *k, int64_t team);

#define CORE_TEST(f) cmocka_unit_test_setup_teardown(f, core_kit_setup, core_kit_teardown)

#endif
