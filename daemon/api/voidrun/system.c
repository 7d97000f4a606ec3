/* VoidRun, tag System. */
#include "daemon/api/dialects.h"
#include "shared/base/json.h"
#include "shared/base/version.h"

/* GET /api/version is mcp-v8's as well (x-sbx-shared): what clients of either read, with what neither can tell left empty. */
void voidrun_getVersion(struct http_req *r)
{
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "version", sbx_version);
	jw_kstr(&w, "commit", "");
	jw_kstr(&w, "buildTime", "");
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void mcp_v8_version_handler(struct http_req *r)
{
	voidrun_getVersion(r);
}
