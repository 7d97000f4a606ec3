#include "daemon/http/internal.h"

#include <arpa/inet.h>
/* OpenSSL has a type of the name that we give an error code */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE
#include <string.h>
#include <strings.h>

#include "shared/base/util.h"

/* What stands before the port of an authority; false when the port is no number or an IPv6 bracket stays open. */
static bool split_host(const char *authority, char *out, size_t size)
{
	const char *end = NULL;
	if (authority[0] == '[') {
		const char *close = strchr(authority, ']');
		if (!close)
			return false;
		end = close + 1;
	} else {
		end = authority + strcspn(authority, ":");
	}
	if (*end == ':') {
		if (strlen(end + 1) > 5 || end[1 + strspn(end + 1, "0123456789")] != '\0')
			return false;
	} else if (*end) {
		return false;
	}
	size_t n = (size_t)(end - authority);
	if (n == 0 || n >= size)
		return false;
	memcpy(out, authority, n);
	out[n] = '\0';
	return true;
}

bool check_host(const char *host)
{
	char name[64];
	unsigned char addr[sizeof(struct in6_addr)];
	if (!host || !split_host(host, name, sizeof(name)))
		return false;
	if (name[0] == '[') {
		name[strlen(name) - 1] = '\0';
		return inet_pton(AF_INET6, name + 1, addr) == 1;
	}
	return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, addr) == 1;
}

bool check_origin(const char *origin, const char *host)
{
	if (!origin)
		return true;
	const char *sep = strstr(origin, "://");
	return sep && host && strcasecmp(sep + 3, host) == 0;
}

const char *check_bearer(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "bearer ", 7) != 0)
		return NULL;
	const char *key = authorization + 7;
	key += strspn(key, " ");
	return *key ? key : NULL;
}

bool check_token(const char *value, const char *token)
{
	size_t n = strlen(token);
	while (value && *value) {
		value += strspn(value, " \t,");
		size_t len = strcspn(value, ",");
		size_t trimmed = len;
		while (trimmed > 0 && (value[trimmed - 1] == ' ' || value[trimmed - 1] == '\t'))
			trimmed--;
		if (trimmed == n && strncasecmp(value, token, n) == 0)
			return true;
		value += len;
	}
	return false;
}

bool check_media(const char *value, const char *type)
{
	size_t n = strlen(type);
	if (strncasecmp(value, type, n) != 0)
		return false;
	value += n;
	value += strspn(value, " \t");
	return *value == '\0' || *value == ';';
}

bool check_json(const char *value)
{
	static const char suffix[] = "+json";
	size_t n = strcspn(value, "; \t"), s = sizeof(suffix) - 1;
	return check_media(value, "application/json") || (n > s && strncasecmp(value + n - s, suffix, s) == 0);
}

bool check_decode(char *s)
{
	return url_decode(s) && utf8_valid(s, strlen(s));
}

bool check_ws_key(const char *key, char accept[WS_ACCEPT_LEN + 1])
{
	/* 16 bytes are 22 characters and "==" (RFC 6455 4.1); the GUID is RFC 6455 1.3 */
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	if (!key || strlen(key) != 24 || strspn(key, alphabet) != 22 || strcmp(key + 22, "==") != 0)
		return false;
	char text[24 + sizeof(guid)];
	memcpy(text, key, 24);
	memcpy(text + 24, guid, sizeof(guid));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	if (EVP_Digest(text, sizeof(text) - 1, digest, &n, EVP_sha1(), NULL) != 1 || n != 20)
		return false;
	return EVP_EncodeBlock((unsigned char *)accept, digest, 20) == WS_ACCEPT_LEN;
}
