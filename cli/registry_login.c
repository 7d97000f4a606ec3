#include "cli/registry_login.h"

#include <stdlib.h>
#include <string.h>

#include "cli/secret.h"
#include "shared/base/b64.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define FILE_MAX ((size_t)1 << 20)
#define DOCKER_HUB "docker.io"

void registry_login_free(struct registry_login *l)
{
	buf_free(&l->user);
	buf_free(&l->password);
}

char *registry_login_host(const char *reference)
{
	static const char *const schemes[] = { "docker://", "https://", "http://" };
	const char *p = reference;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		p += str_starts(p, schemes[i]) ? strlen(schemes[i]) : 0;
	size_t n = strcspn(p, "/");
	bool host = p[n] && (memchr(p, '.', n) || memchr(p, ':', n) || (n == 9 && !strncmp(p, "localhost", n)));
	return host ? mem_strndup(p, n) : mem_strdup(DOCKER_HUB);
}

/* ---- what is kept ---- */

static const char *env(const char *name)
{
	const char *v = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */
	return v && *v ? v : NULL;
}

/* Files that may hold it; NULLs are left out. */
static void list_files(char *out[3])
{
	const char *docker = env("DOCKER_CONFIG"), *home = env("HOME"), *runtime = env("XDG_RUNTIME_DIR");
	out[0] = env("REGISTRY_AUTH_FILE") ? mem_strdup(env("REGISTRY_AUTH_FILE")) : NULL;
	out[1] = docker ? fs_join(docker, "config.json") : home ? fs_join(home, ".docker/config.json") : NULL;
	out[2] = runtime ? fs_join(runtime, "containers/auth.json") : NULL;
}

/* The entry of a host: by its name, or as docker calls its own. */
static const js *find_entry(const js *auths, const char *host)
{
	auto_free char *https = mem_printf("https://%s", host);
	const js *entry = js_get(auths, host);
	if (!entry)
		entry = js_get(auths, https);
	if (!entry && !strcmp(host, DOCKER_HUB))
		entry = js_get(auths, "https://index.docker.io/v1/");
	return entry;
}

/* "auth" is NAME:PASSWORD in base64. True when there is one. */
static bool take_entry(const js *entry, struct registry_login *out)
{
	auto_buf plain = BUF_INIT;
	const char *text = js_str(js_get(entry, "auth"), "");
	if (!*text || b64_decode(&plain, text, strlen(text)))
		return false;
	const char *colon = memchr(plain.p, ':', plain.len);
	if (!colon || strlen(plain.p) != plain.len)
		return false;
	buf_add(&out->user, plain.p, (size_t)(colon - plain.p));
	buf_str(&out->password, colon + 1);
	return out->user.len > 0;
}

static bool look_in(const char *file, const char *host, struct registry_login *out)
{
	auto_buf text = BUF_INIT;
	if (!fs_exists(file) || fs_read(file, FILE_MAX, &text, NULL))
		return false;
	auto_js *v = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
	return take_entry(find_entry(js_get(v, "auths"), host), out);
}

int registry_login_find(
	const char *reference, const char *user, const char *password_file, struct registry_login *out, struct err *err)
{
	*out = (struct registry_login){ .user = BUF_INIT, .password = BUF_INIT };
	if (!user != !password_file) {
		err_set(err, ERR_USAGE, "--username and --password-file go together");
		return err_hint(err, "--password-file - reads the password from standard input");
	}
	if (user) {
		buf_str(&out->user, user);
		return secret_read(password_file, &out->password, err);
	}
	char *files[3];
	auto_free char *host = registry_login_host(reference);
	list_files(files);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (files[i] && !out->user.len)
			look_in(files[i], host, out);
		free(files[i]);
	}
	return 0;
}
