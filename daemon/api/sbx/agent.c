/* The agent of a sandbox that this host carries, for its control plane. */
#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"

#include <stdlib.h>
#include <unistd.h>

#include "daemon/core/lend.h"
#include "shared/base/mem.h"

#define PROTOCOL "sbx-agent"

/* Between the answer and the connection; the sandbox may go meanwhile. */
struct lending {
	struct core *core;
	char *id;
	int agent;
};

static void on_taken(void *arg, int fd, const void *early, size_t n)
{
	struct lending *l = arg;
	struct sandbox *sb = fd < 0 ? NULL : sandbox_find(l->core, TEAM_ANY, l->id, NULL);
	if (sb) {
		lend_begin(sb, l->agent, fd, early, n);
	} else {
		close(l->agent);
		if (fd >= 0)
			close(fd);
	}
	free(l->id);
	free(l);
}

void sbx_connectAgent(struct http_req *r)
{
	struct err err = ERR_INIT;
	if (api_only_control(r, true, "connections to agents"))
		return;
	struct sandbox *sb = api_settled(r);
	if (!sb)
		return;
	int agent = lend_connect(sb, &err);
	if (agent < 0) {
		http_reply_err(r, &err);
		return;
	}
	struct lending *l = mem_zalloc(sizeof(*l));
	*l = (struct lending){ .core = api_of(r)->core, .id = mem_strdup(sandbox_row(sb)->id), .agent = agent };
	if (http_take(r, PROTOCOL, on_taken, l))
		return;
	close(agent);
	free(l->id);
	free(l);
}
