/*
 * carry_kit: a whole core whose hosts are played by the test. What core asks of them is kept in order, and is answered when the
 * test says so: well, with a refusal, as lost on the way, or never.
 */
#ifndef SBX_UNIT_CARRY_KIT_H
#define SBX_UNIT_CARRY_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core/carrier.h"
#include "daemon/core/internal.h"
#include "daemon/core/snapshot.h"

enum { TEAM = 7, HOSTS = 2 };

/* One call of core; the texts are copies. */
struct carry {
	struct carry *next;
	enum carry_verb verb;
	char *host, *address, *id, *name, *range, *image;
	int64_t team, vcpus, memory_mb, disk_mb;
	bool force, replace;
	carry_cb *cb;
	void *arg;
};

struct carry_kit {
	char dir[64];
	uv_loop_t loop;
	struct core *core;
	struct carrier carrier;
	struct carry *calls; /* that core waits for, oldest first */
	size_t asked, cancelled;
	bool refuse; /* no call can even begin */
	int agent;   /* the far end of the newest connection to an agent, or -1 */
	int64_t host[HOSTS];
};

/* The test's state is a carry_kit with a core that has two regular hosts online, "hosta" and "hostb", and has compared. */
int carry_kit_setup(void **state);
int carry_kit_teardown(void **state);
/* The daemon ends; it starts again. carry: core_carry follows, and nothing is answered. */
void carry_kit_close(struct carry_kit *k);
void carry_kit_open(struct carry_kit *k, bool carry);
/* What is due on the loop happens. */
void carry_kit_turn(struct carry_kit *k);
/* Turn until *n has that value: it must come. */
void carry_kit_until(struct carry_kit *k, const unsigned *n, unsigned want);
/* The database, while there is no core. */
struct db *carry_kit_db(struct carry_kit *k);

/* The words of all that is waited for: "create hosta; " each, oldest first; ID after a colon for what has one that is not sb's. */
void carry_kit_waits(struct carry_kit *k, const char *want);
/* The oldest that is waited for, of that verb. */
struct carry *carry_kit_call(struct carry_kit *k, enum carry_verb verb);
/* Its end. box: NULL for none. agent: with a socket whose far end is k->agent. Calls are gone afterwards. */
void carry_kit_done(struct carry_kit *k, enum carry_verb verb, const struct carry_box *box);
void carry_kit_list(struct carry_kit *k, const struct carry_box *boxes, size_t n);
void carry_kit_agent(struct carry_kit *k);
void carry_kit_refuse(struct carry_kit *k, enum carry_verb verb, enum err_code code);
/* Hosts say that they carry nothing, and have forgotten what they are asked to; until nobody asks any more. */
void carry_kit_settle(struct carry_kit *k);
void carry_kit_deaf(struct carry_kit *k, enum carry_verb verb);
/* Whatever else it is. */
void carry_kit_answer(struct carry_kit *k, enum carry_verb verb, const struct carry_answer *answer);

/* Host i is not heard of for too long; it is heard again. */
void carry_kit_lose(struct carry_kit *k, int i);
void carry_kit_find(struct carry_kit *k, int i);
/* Nobody is at the other end of the agent's connection any more. */
bool carry_kit_hung_up(struct carry_kit *k);

#define CARRY_TEST(f) cmocka_unit_test_setup_teardown(f, carry_kit_setup, carry_kit_teardown)

#endif
