#include "daemon/import_main.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/image/import.h"
#include "daemon/image/registry.h"
#include "daemon/say.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

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

/* Fields that end in NUL: the reference, "plain" or "", and if somebody logs in, name and password. */
struct request {
	struct buf text;
	const char *fields[4];
};

static int read_request(struct request *rq, struct err *err)
{
	auto_free char *block = mem_array(BLOCK, 1);
	const void *data;
	ssize_t n;
	size_t at = 0;

	while ((n = read_input(block, &data, err)) > 0 && rq->text.len < BLOCK)
		buf_add(&rq->text, data, (size_t)n);
	if (n < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(rq->fields) && at < rq->text.len; i++) {
		rq->fields[i] = rq->text.p + at;
		at += strlen(rq->fields[i]) + 1;
	}
	return rq->fields[1] ? 0 : err_set(err, ERR_INVALID, "not a request for an image");
}

static int pull(const struct daemon_args *args, const struct request *rq, const struct import_place *place, char digest[HASH_HEX],
	struct err *err)
{
	struct registry_ref ref;
	struct unpack_source from;

	if (registry_parse(rq->fields[0], &ref, err))
		return -1;
	struct registry_login login = {
		.user = rq->fields[2], .password = rq->fields[3], .plain_http = str_same(rq->fields[1], "plain")
	};
	struct registry *r = registry_open(args->cache, &ref, &login, place->progress, place->arg, err);
	int rc = r ? registry_fetch(r, err) : -1;
	if (!rc) {
		registry_source(r, &from);
		rc = import_manifest(&from, registry_manifest(r), place, rq->fields[0], digest, err);
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
	struct request rq = { .text = BUF_INIT };
	int rc = 0;
	if (args->pull)
		rc = read_request(&rq, &err) || pull(args, &rq, &place, digest, &err) ? -1 : 0;
	else
		rc = import_stream(read_input, block, &place, digest, &err);
	buf_free(&rq.text);
	if (rc)
		return say_error(&err);
	say_progress(NULL, "result", digest);
	return 0;
}
