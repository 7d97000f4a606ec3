#include "daemon/core/remote_use.h"

#include <string.h>

#include "daemon/core/remote.h"
#include "shared/base/log.h"
#include "shared/base/util.h"

enum { FRESH_MS = 5000 };

static const struct carry_use *find_use(const struct carry_answer *answer, const char *id)
{
	for (size_t i = 0; i < answer->use_count; i++)
		if (!strcmp(answer->uses[i].id, id))
			return &answer->uses[i];
	return NULL;
}

static void on_uses(void *arg, struct core *core, const struct errand *e, const struct carry_answer *answer)
{
	(void)arg;
	if (answer->err) {
		log_debug("core", "a host does not say what is used there: %s", answer->err->msg);
		return;
	}
	for (size_t i = 0; i < core->count; i++) {
		struct sandbox *sb = core->boxes[i];
		const struct carry_use *use = sb->row.host == errand_host(e) ? find_use(answer, sb->row.id) : NULL;
		if (!use)
			continue;
		sb->use = use->now;
		sb->use_ms = clock_mono_ms();
	}
}

static void ask_host(struct core *core, int64_t host)
{
	struct carry_ask ask = { .verb = CARRY_USES, .team = TEAM_ANY };
	struct err err = ERR_INIT;
	if (remote_errand(core, host, &ask, on_uses, NULL, &err))
		log_debug("core", "a host cannot be asked what is used there: %s", err.msg);
}

void remote_use_ask(struct core *core)
{
	for (size_t i = 0; i < core->count; i++) {
		const struct sandbox *sb = core->boxes[i];
		if (is_remote(sb) && sb->state == SANDBOX_RUNNING && !remote_owed(core, sb->row.host, on_uses))
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
