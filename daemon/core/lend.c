#include "daemon/core/lend.h"

#include <unistd.h>

#include "daemon/core/internal.h"
#include "daemon/net/join.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/net/sock.h"

enum { RELINK_MS = 200 };

int lend_connect(struct sandbox *sb, struct err *err)
{
	if (sb->state != SANDBOX_RUNNING || !sb->vm) {
		err_set(err, ERR_STATE, "sandbox '%s' is %s", sb->row.id, sandbox_state_name(sb->state));
		return -1;
	}
	auto_free char *path = vm_agent_socket(sb->dir);
	int fd = sock_connect(path, err);
	if (fd < 0)
		err->code = ERR_UNAVAILABLE;
	return fd;
}

static void on_end(void *arg)
{
	struct sandbox *sb = arg;
	sb->lent = NULL;
	sandbox_relink(sb, RELINK_MS);
}

void lend_begin(struct sandbox *sb, int agent, int fd, const void *early, size_t n)
{
	struct err err = ERR_INIT;
	if (sb->state != SANDBOX_RUNNING || !sb->vm) { /* it went since lend_connect; a launch needs its link */
		close(agent);
		close(fd);
		return;
	}
	lend_end(sb);
	link_close(sb->link);
	sb->link = NULL;
	uv_timer_stop(&sb->relink);
	sb->lent = join_start(sb->core->config.loop, fd, agent, early, n, on_end, sb, &err);
	if (sb->lent)
		return;
	log_warn("core", "%s: %s", sb->row.id, err.msg);
	sandbox_relink(sb, RELINK_MS);
}

void lend_end(struct sandbox *sb)
{
	join_cut(sb->lent);
	sb->lent = NULL;
}
