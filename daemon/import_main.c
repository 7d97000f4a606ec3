#include "daemon/import_main.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/import.h"
#include "daemon/image/registry.h"
#include "daemon/say.h"
#include "shared/base/buf.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

enum { BLOCK = 256 << 10 };

static ssize_t read_input(void *arg, const void **data, struct err *err)
{
	ssize_t n;

	do
		n = read(STDIN_FILENO, arg, BLOCK);
	while (n < 0 && errno == EINTR);
	*data = arg;
	return n < 0 ? err_sys(err, errno, "cannot read what is to be imported") : n;
}

static js *read_request(struct err *err)
{
	auto_buf text = BUF_INIT;
	auto_free char *block = mem_array(BLOCK, 1);
	const void *data;
	ssize_t n;

	while ((n = read_input(block, &data, err)) > 0 && text.len < BLOCK)
		buf_add(&text, data, (size_t)n);
	return n < 0 ? NULL : js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
}

static int pull(const struct daemon_args *args, const struct import_place *place, char digest[HASH_HEX], struct err *err)
{
	struct registry_ref ref;
	struct unpack_source from;
	auto_js *v = read_request(err);
	const char *text = js_str(js_get(v, "reference"), "");

	if (!v || registry_parse(text, &ref, err))
		return -1;
	struct registry_login login = { .user = js_str(js_get(v, "username"), NULL),
		.password = js_str(js_get(v, "password"), NULL),
		.plain_http = js_bool(js_get(v, "plainHttp"), false) };
	struct registry *r = registry_open(args->cache, &ref, &login, place->progress, place->arg, err);
	int rc = r ? registry_fetch(r, err) : -1;
	if (!rc) {
		registry_source(r, &from);
		rc = import_manifest(&from, registry_manifest(r), place, text, digest, err);
	}
	registry_close(r);
	registry_prune(args->cache);
	return rc;
}

int import_main(const struct daemon_args *args)
{
	struct err err = ERR_INIT;
	char digest[HASH_HEX];
	struct import_place place = { .home = args->home, .scratch = args->scratch, .progress = say_progress };

	/* Not to be outlived: the daemon removes what we leave. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		return 1;
	umask(077);
	auto_free char *block = mem_array(BLOCK, 1);
	int rc = args->pull ? pull(args, &place, digest, &err) : import_stream(read_input, block, &place, digest, &err);
	if (rc)
		return say_error(&err);
	say_progress(NULL, "result", digest);
	return 0;
}
