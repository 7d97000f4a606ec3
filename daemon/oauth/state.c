#include "daemon/oauth/state.h"

#include <string.h>

#include "shared/base/util.h"

static void compose(const uint8_t key[CRYPTO_MAC], const char *state, char out[OAUTH_COOKIE_LEN + 1])
{
	uint8_t mac[CRYPTO_MAC];
	auto_buf text = BUF_INIT;
	crypto_hmac(key, CRYPTO_MAC, state, OAUTH_STATE_LEN, mac);
	buf_add(&text, state, OAUTH_STATE_LEN);
	buf_ch(&text, ':');
	buf_hex(&text, mac, sizeof(mac));
	str_copy(out, OAUTH_COOKIE_LEN + 1, text.p);
}

void oauth_state_make(const uint8_t key[CRYPTO_MAC], struct oauth_state *out)
{
	rand_hex(out->state, OAUTH_STATE_LEN);
	compose(key, out->state, out->cookie);
}

bool oauth_state_check(const uint8_t key[CRYPTO_MAC], const char *cookie, const char *state)
{
	char right[OAUTH_COOKIE_LEN + 1];
	if (strlen(state) != OAUTH_STATE_LEN || strlen(cookie) != OAUTH_COOKIE_LEN)
		return false;
	compose(key, state, right);
	return mem_equal_ct(right, cookie, OAUTH_COOKIE_LEN);
}

bool oauth_cookie(const char *header, const char *name, char *out, size_t size)
{
	size_t named = strlen(name);
	for (const char *p = header; p && *p;) {
		p += strspn(p, "; \t");
		size_t n = strcspn(p, ";"), trimmed = n;
		while (trimmed > 0 && (p[trimmed - 1] == ' ' || p[trimmed - 1] == '\t'))
			trimmed--;
		if (trimmed > named && p[named] == '=' && !memcmp(p, name, named)) {
			size_t length = trimmed - named - 1;
			if (length >= size)
				return false;
			memcpy(out, p + named + 1, length);
			out[length] = '\0';
			return true;
		}
		p += n;
	}
	return false;
}
