/* What the buffered and the streamed exec share: reading a request, writing how it ended. */
#ifndef SBX_API_SBX_EXEC_H
#define SBX_API_SBX_EXEC_H

#include "daemon/core/execution.h"
#include "shared/base/json.h"

struct exec_request {
	struct exec_spec spec; /* points into the JSON body and the lists below */
	char **command, **env;
};

/* From a validated ExecRequest or StreamStart. Free with api_free_exec before the body goes. */
void api_read_exec(struct exec_request *q, const js *body);
void api_free_exec(struct exec_request *q);
/* Members exitCode, signal, timedOut, durationMs, usage. */
void api_write_end(struct jw *w, const struct exec_end *end);

#endif
