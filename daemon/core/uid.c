#include "daemon/core/uid.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"

static const char zeros[] = "0000000000000000000000000";
_Static_assert(sizeof(zeros) == UID_DIGITS + 1, "as many as an id has digits");

const char *uid_prefix(const char *type)
{
	static const struct {
		const char *type, *prefix;
	} all[] = { { "sandbox", UID_CAPSULE }, { "host", UID_HOST }, { "user", UID_USER }, { "api_key", UID_KEY },
		{ "team", UID_TEAM }, { "channel", UID_CHANNEL }, { "member", UID_USER } };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(all[i].type, type))
			return all[i].prefix;
	return NULL;
}

const char *uid_format(const char *prefix, const char *uid, char out[UID_TEXT])
{
	size_t n = uid ? strlen(uid) : 0;
	out[0] = '\0';
	if (uid && n <= UID_DIGITS)
		snprintf(out, UID_TEXT, "%s%s%s", prefix, zeros + n, uid);
	return out;
}

const char *uid_parse(const char *prefix, const char *text, struct err *err)
{
	size_t n = strlen(prefix);
	if (strncmp(text, prefix, n) == 0 && strlen(text + n) == UID_DIGITS &&
		strspn(text + n, "0123456789abcdefghijklmnopqrstuvwxyz") == UID_DIGITS)
		return text + n + strspn(text + n, "0");
	err_set(err, ERR_INVALID, "'%.60s' is no id: it must be '%s' and %d digits and small letters", text, prefix, UID_DIGITS);
	return NULL;
}
