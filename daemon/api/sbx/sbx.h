/*
 * The native API (shared/specs/sbx.yaml, base /sbx/v1): between HTTP and core, nothing else. One file a tag; one handler an
 * operation, named sbx_<operationId>.
 */
#ifndef SBX_API_SBX_SBX_H
#define SBX_API_SBX_SBX_H

#include "daemon/api/api.h"
#include "daemon/core/sandbox.h"
#include "daemon/http/http.h"
#include "shared/base/json.h"

/* True, and answered with FORBIDDEN: something was asked for that teams may not have. */
bool api_only_operator(struct http_req *r, bool asked, const char *what);

/* The same for what only the control plane may have that this host carries sandboxes for. */
bool api_only_control(struct http_req *r, bool asked, const char *what);

/* The sandbox named in the path; NULL when the error has been answered. */
struct sandbox *api_sandbox(struct http_req *r);

/* The same for what needs its guest: it can be used now. When it was paused for idleness it is resumed, and the handler is called
 * again when it runs: it must not have done anything before it asks for this. */
struct sandbox *api_guest(struct http_req *r);

/* The same for what begins an operation on it. */
struct sandbox *api_settled(struct http_req *r);

void api_reply_sandbox(struct http_req *r, int status, struct sandbox *sb);
void api_write_sandbox(struct jw *w, struct sandbox *sb);
/* "ports": [...] of an object. */
void api_write_ports(struct jw *w, const struct sandbox *sb);
/* Those of a request body, none for NULL: allocated; strings point into the body. */
struct port_spec *api_ports(struct http_req *r, const js *list, size_t *n);
void api_write_image(struct jw *w, struct api *api, const char *name);
/* While an image is made, a line of the stream that is the answer; and its last one: the image, or the error. */
void api_send_progress(struct http_req *r, const char *phase, const char *text);
void api_end_progress(struct http_req *r, const char *image, int64_t begun_ms, const struct err *err);
/* {"code","message","hint"} */
void api_write_error(struct jw *w, const struct err *e);
void api_write_time(struct jw *w, const char *key, int64_t wall_ms); /* null for 0 */

/* Schema index of a component by name; it exists, or the contract is not the one this was compiled with. */
uint32_t api_schema(const char *name);

#endif
