#include "daemon/core/identity.h"

#include <string.h>

#include "shared/base/mem.h"

static const char *const roles[] = { [ROLE_MEMBER] = "member", [ROLE_ADMIN] = "admin", [ROLE_OWNER] = "owner" };

const char *role_name(enum role role)
{
	return roles[role];
}

enum role role_parse(const char *word)
{
	for (size_t i = ROLE_MEMBER; i < ARRAY_LEN(roles); i++)
		if (!strcmp(roles[i], word))
			return (enum role)i;
	return ROLE_NONE;
}
