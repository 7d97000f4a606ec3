/*
 * points: what a sandbox used, for the handlers of all dialects, wherever it runs.
 */
#ifndef SBX_API_POINTS_H
#define SBX_API_POINTS_H

#include <stddef.h>

#include "daemon/core/sandbox.h"
#include "daemon/core/series.h"
#include "daemon/http/http.h"
#include "shared/base/err.h"

/* Answers r. list: oldest first, valid in the call; err: its host cannot be asked. sb NULL: to be found again, as it may have gone
 * meanwhile. */
typedef void api_points_cb(struct http_req *r, const struct sandbox *sb, const struct point *list, size_t n, const struct err *err);
/* reply is called with the points of a range (metrics_range) of sb: at once, or when its host has told them; not, if the client
 * goes before. INVALID for a range that is none. */
void api_points(struct http_req *r, const struct sandbox *sb, const char *range, api_points_cb *reply);

#endif
