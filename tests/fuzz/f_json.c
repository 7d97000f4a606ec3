/* link: */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted, written again, must be accepted again and be written the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	auto_js *v = js_parse((const char *)data, size, JS_LIMITS_DEFAULT, &err);
	if (!v) {
		if (err.code == ERR_OK || !err.msg[0])
			abort();
		return 0;
	}
	auto_buf first = BUF_INIT;
	auto_buf second = BUF_INIT;
	struct jw w;
	jw_init(&w, &first);
	jw_js(&w, v);
	auto_js *again = buf_failed(&first) ? NULL : js_parse(first.p, first.len, JS_LIMITS_DEFAULT, &err);
	if (!again)
		abort();
	jw_init(&w, &second);
	jw_js(&w, again);
	if (first.len != second.len || memcmp(first.p, second.p, first.len) != 0)
		abort();
	return 0;
}
