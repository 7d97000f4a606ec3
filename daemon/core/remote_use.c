#include "daemon/core/remote_use.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/remote.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum { FRESH_MS = 5000 };

struct use_ask {
	struct use_ask *next;
	int64_t host;
};

static bool is_owed(const struct core *core, int64_t host)
{
	const struct use_ask *a = core->use_asks;
	while (a && a->host != host)
		a = a->next;
	return a;
}

static void forget(struct core *core, struct use_ask *ask)
{
	struct use_ask **p = &core->use_asks;
	while (*p != ask)
		p = &(*p)->next;
	*p = ask->next;
	free(ask);
}

static const struct carry_use *find_use(const struct carry_answer *answer, const char *id)
{
	for (size_t i = 0; i < answer->use_count; i++)
		if (!strcmp(answer->uses[i].id, id))
			return &answer->uses[i];
	return NULL;
}

static void on_uses(void *arg, struct core *core, const struct errand *e, const struct carry_answer *answer)
{
	struct use_ask *ask = arg;
	(void)e;
	if (answer->err)
		log_debug("core", "a host does not say what is used there: %s", answer->err->msg);
	for (size_t i = 0; i < core->count && !answer->err; i++) {
		struct sandbox *sb = core->boxes[i];
		const struct carry_use *use = sb->row.host == ask->host ? find_use(answer, sb->row.id) : NULL;
		if (!use)
			continue;
		sb->use = use->now;
		sb->use_ms = clock_mono_ms();
	}
	forget(core, ask);
}

static void ask_host(struct core *core, int64_t host)
{
	struct carry_ask what = { .verb = CARRY_USES, .team = TEAM_ANY };
	struct use_ask *ask = mem_zalloc(sizeof(*ask));
	struct err err = ERR_INIT;
	*ask = (struct use_ask){ .next = core->use_asks, .host = host };
	core->use_asks = ask;
	if (!remote_errand(core, host, &what, on_uses, ask, &err))
		return;
	log_debug("core", "a host cannot be asked what is used there: %s", err.msg);
	forget(core, ask);
}

void remote_use_ask(struct core *core)
{
	for (size_t i = 0; i < core->count; i++) {
		const struct sandbox *sb = core->boxes[i];
		if (is_remote(sb) && sb->state == SANDBOX_RUNNING && !is_owed(core, sb->row.host))
			ask_host(core, sb->row.host);
	}
}

int remote_use_now(const struct sandbox *sb, struct point *out)
{
	if (!sb->use_ms || clock_mono_ms() - sb->use_ms > FRESH_MS)
		return -1;
	*out = sb->use;
	return 0;
}
