/*
 * args: the command line of sbxd.
 */
#ifndef SBX_ARGS_H
#define SBX_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/notify/deliver.h"
#include "daemon/oauth/config.h"
#include "shared/base/err.h"

enum daemon_mode { DAEMON_SERVE, DAEMON_BUILD, DAEMON_HELP, DAEMON_VERSION, DAEMON_OPERATIONS, DAEMON_USAGE, DAEMON_FAILED };

struct listen_arg {
	const char *address;
	bool proxy; /* by host name, into sandboxes; else the API */
};

struct daemon_args {
	char *home, *cache, *program; /* absolute */
	struct listen_arg *listen;
	size_t listen_count;
	int ready_fd;	   /* -1 = nobody waits */
	const char *image; /* --build */
	unsigned vcpus, memory_mb, pool_size, password_cost;
	const char *scratch; /* --import, --pull: a folder for what is being made */
	bool pull;
	bool host; /* carry sandboxes for a control plane: */
	const char *control, *address;
	char *token;		       /* in no list of processes and no child's environment */
	int64_t beat_ms, host_lost_ms; /* 0: as usual */
	struct notify_config notify;   /* where channels may deliver to */
	struct oauth_config oauth;
};

extern const char daemon_usage[];

/* What to do. DAEMON_USAGE and DAEMON_FAILED come with err. Free with daemon_args_free. The rest points into argv and the
 * environment; a token is taken out of both. */
enum daemon_mode daemon_args_parse(struct daemon_args *args, int argc, char **argv, struct err *err);
void daemon_args_free(struct daemon_args *args);

#endif
