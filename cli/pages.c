#include "cli/pages.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

int pages_each(
	struct client *c, const struct list_filter *filter, int (*each)(void *arg, const js *sandbox), void *arg, struct err *err)
{
	auto_free char *cursor = NULL;
	for (;;) {
		struct call call = {
			.op = SBX_OP_LIST_SANDBOXES,
			.query = { { "limit", "1000" }, { "state", filter->state }, { "name", filter->name },
				{ "label", filter->label }, { "image", filter->image }, { "pool", filter->pool ? "true" : NULL },
				{ "cursor", cursor } },
		};
		auto_js *page = client_json(c, &call, err);
		if (!page)
			return -1;
		js_each (sandbox, js_get(page, "sandboxes")) {
			int rc = each(arg, sandbox);
			if (rc)
				return rc;
		}
		const char *next = js_str(js_get(page, "nextCursor"), NULL);
		if (!next)
			return 0;
		/* a cursor that does not move would go round for ever */
		if (cursor && strcmp(next, cursor) == 0)
			return err_set(err, ERR_PROTOCOL, "the list of the daemon does not end");
		free(cursor);
		cursor = mem_strdup(next);
	}
}
