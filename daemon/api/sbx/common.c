#include <stdlib.h>
#include <string.h>

#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

void api_write_error(struct jw *w, const struct err *e)
{
	jw_obj(w);
	jw_kstr(w, "code", err_name(e->code));
	jw_kstr(w, "message", e->msg);
	if (e->hint[0])
		jw_kstr(w, "hint", e->hint);
	jw_obj_end(w);
}

void api_write_time(struct jw *w, const char *key, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_LEN];
	jw_kstr(w, key, wall_ms ? clock_rfc3339(wall_ms, text) : NULL);
}

bool api_only_operator(struct http_req *r, bool asked, const char *what)
{
	struct err err = ERR_INIT;
	if (!asked || identity_is_operator(http_identity(r)))
		return false;
	err_set(&err, ERR_FORBIDDEN, "%s are for the operator of this daemon", what);
	http_reply_err(r, &err);
	return true;
}

bool api_only_control(struct http_req *r, bool asked, const char *what)
{
	struct err err = ERR_INIT;
	if (!asked || http_identity(r)->kind == IDENTITY_CONTROL)
		return false;
	err_set(&err, ERR_FORBIDDEN, "%s are for the control plane of this host", what);
	http_reply_err(r, &err);
	return true;
}

struct sandbox *api_sandbox(struct http_req *r)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = sandbox_find(api_of(r)->core, api_scope(r), http_param(r, "sandbox"), &err);
	if (!sb)
		http_reply_err(r, &err);
	return sb;
}

struct sandbox *api_settled(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	return sb ? api_settle(r, sb) : NULL;
}

struct sandbox *api_guest(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	return sb ? api_wake(r, sb) : NULL;
}

uint32_t api_schema(const char *name)
{
	for (uint32_t i = 0; i < contract_sbx.schema_count; i++)
		if (!strcmp(ct_s(&contract_sbx, contract_sbx.schemas[i].name), name))
			return i;
	return CT_NONE;
}
