/* link: daemon/oauth/state.c daemon/oauth/github.c shared/net/crypto.c | -lcrypto */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/oauth/github.h"
#include "daemon/oauth/state.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One line of UTF-8 that ends in its field. */
static void check_text(const char *s, size_t size, char lowest)
{
	size_t n = strnlen(s, size);
	if (n == size)
		abort();
	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_len(s + i, n - i);
		if (len == 0 || (len == 1 && (s[i] < lowest || s[i] == 0x7f)))
			abort();
	}
}

static void answers(const char *text, size_t n)
{
	char token[GITHUB_TOKEN_MAX + 1];
	struct oauth_profile who = { 0 };
	if (!github_read_token(text, n, token, NULL) && (!*token || strspn(token, "\r\n ")))
		abort();
	if (!github_read_user(text, n, &who, NULL)) {
		check_text(who.subject, sizeof(who.subject), '0');
		check_text(who.name, sizeof(who.name), ' ');
		check_text(who.email, sizeof(who.email), '!');
		if (!*who.subject || !*who.name || (*who.email && !strchr(who.email, '@')))
			abort();
	}
	if (!github_read_emails(text, n, &who, NULL)) {
		check_text(who.email, sizeof(who.email), '!');
		if (!strchr(who.email, '@'))
			abort();
	}
}

/* Nobody finds a cookie that was not made here. */
static void cookies(const char *header)
{
	static const uint8_t key[CRYPTO_MAC] = { 1 };
	char value[OAUTH_COOKIE_LEN + 1], state[OAUTH_STATE_LEN + 1];
	if (!oauth_cookie(header, "oauth_state", value, sizeof(value)))
		return;
	if (strchr(value, ';') || !strstr(header, value))
		abort();
	memcpy(state, value, OAUTH_STATE_LEN);
	state[OAUTH_STATE_LEN] = '\0';
	if (oauth_state_check(key, value, state))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = mem_strndup((const char *)data, size);
	answers((const char *)data, size);
	cookies(text);
	return 0;
}
