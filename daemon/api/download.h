/*
 * download: what an operation in the guest gives out, as the body of the answer, in constant memory.
 */
#ifndef SBX_API_DOWNLOAD_H
#define SBX_API_DOWNLOAD_H

#include "daemon/api/api.h"

/* Start the operation and answer with its output: 200 at its first byte, or at its end when there is none. What fails before that
 * is answered by on_failed, later the connection is cut. A client that goes away ends the operation. */
void download_start(struct http_req *r, struct sandbox *sb, const struct file_spec *spec, const char *media_type,
	void (*on_failed)(struct http_req *r, const struct err *err));

#endif
