#include "daemon/image/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/b64.h"
#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/fetch.h"

#define KEEP_MS ((int64_t)30 * 24 * 3600 * 1000)
enum { TRIES = 5, WAIT_MS = 300, TICK_MS = 200, BLOCK = 256 << 10 };

struct registry {
	struct fetch *fetch;
	struct registry_ref ref;
	struct registry_login login;
	char *base;	     /* "https://host/v2/name" */
	char *authorization; /* what the registry wanted, or NULL */
	char *blobs;	     /* the folder of the cache */
	struct oci_manifest manifest;
	image_progress *progress;
	void *arg;
};

static void say(const struct registry *r, const char *text)
{
	if (r->progress)
		r->progress(r->arg, "pull", text);
}

/* ---- who we are ---- */

static int collect(void *arg, int status, const void *data, size_t n, struct err *err)
{
	struct buf *out = arg;

	(void)status;
	buf_add(out, data, n);
	if (out->len > OCI_DOCUMENT_MAX || buf_failed(out))
		return err_set(err, ERR_TOO_LARGE, "a document of the registry is larger than %zu bytes", OCI_DOCUMENT_MAX);
	return 0;
}

static char *basic(const struct registry_login *login)
{
	auto_buf plain = BUF_INIT;
	auto_buf out = BUF_INIT;

	if (!login->user)
		return NULL;
	buf_fmt(&plain, "%s:%s", login->user, login->password ? login->password : "");
	buf_str(&out, "Basic ");
	b64_encode(&out, plain.p, plain.len);
	return buf_take(&out, NULL);
}

static int refused(const struct registry *r, struct err *err)
{
	if (r->login.user) {
		err_set(err, ERR_UNAUTHORIZED, "'%s' does not accept this name and password", r->ref.host);
		return err_hint(err, "or the account may not read '%s'", r->ref.repository);
	}
	err_set(err, ERR_UNAUTHORIZED, "'%s' wants to know who asks for '%s'", r->ref.host, r->ref.repository);
	return err_hint(err, "give --username and --password-file, or log in with docker or skopeo; or there is no such image");
}

/* A token of the server that the challenge names. */
static int get_token(struct registry *r, const struct registry_challenge *c, struct err *err)
{
	auto_buf url = BUF_INIT;
	auto_buf text = BUF_INIT;
	auto_free char *scope = c->scope[0] ? mem_strdup(c->scope) : mem_printf("repository:%s:pull", r->ref.repository);
	auto_free char *login = basic(&r->login);
	struct fetch_answer answer;

	buf_fmt(&url, "%s%cscope=", c->realm, strchr(c->realm, '?') ? '&' : '?');
	buf_url(&url, scope);
	if (c->service[0]) {
		buf_str(&url, "&service=");
		buf_url(&url, c->service);
	}
	struct fetch_request rq = {
		.url = url.p, .authorization = login, .plain_http = r->login.plain_http, .sink = collect, .arg = &text
	};
	int rc = fetch_get(r->fetch, &rq, &answer, err);
	if (!rc && (answer.status == 401 || answer.status == 403))
		rc = refused(r, err);
	else if (!rc && answer.status != 200)
		rc = err_set(err, ERR_UNAVAILABLE, "the token server of '%s' answered with status %d", r->ref.host, answer.status);
	fetch_release(&answer);
	auto_js *v = rc ? NULL : js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
	const char *token = js_str(js_get(v, "token"), js_str(js_get(v, "access_token"), ""));
	if (rc || !v)
		return rc ? rc : err_prefix(err, "the token of '%s'", r->ref.host);
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			token = "";
	if (!*token)
		return err_set(err, ERR_PROTOCOL, "the token server of '%s' gave no token", r->ref.host);
	free(r->authorization);
	r->authorization = mem_printf("Bearer %s", token);
	return 0;
}

/* After a 401: 0 when it is worth to ask again. */
static int authorize(struct registry *r, const char *header, struct err *err)
{
	struct registry_challenge c;

	registry_challenge(header, &c);
	if (c.kind == CHALLENGE_BEARER)
		return get_token(r, &c, err);
	if (c.kind == CHALLENGE_NONE || !r->login.user || r->authorization)
		return refused(r, err);
	r->authorization = basic(&r->login);
	return 0;
}

/* ---- requests ---- */

/* The registry's own words for a fault, when it has any. */
static int fault(const struct registry *r, const char *what, const struct fetch_answer *a, struct err *err)
{
	auto_js *v = js_parse(a->fault.p, a->fault.len, JS_LIMITS_DEFAULT, NULL);
	const char *words = js_str(js_get(js_first(js_get(v, "errors")), "message"), "");

	if (a->status == 404) {
		err_set(err, ERR_NOT_FOUND, "'%s' has no %s of '%s'%s%.100s", r->ref.host, what, r->ref.repository,
			*words ? ": " : "", words);
		return err_hint(err, "check the name and the tag");
	}
	if (a->status == 429) {
		err_set(err, ERR_LIMIT, "'%s' wants fewer requests", r->ref.host);
		return err_hint(err, "try again later, or with --username");
	}
	return err_set(err, a->status >= 500 ? ERR_UNAVAILABLE : ERR_PROTOCOL, "'%s' answered with status %d%s%.100s", r->ref.host,
		a->status, *words ? ": " : "", words);
}

/* GET base/path, authorised if need be. Status 200 or 206, or -1. */
static int get(struct registry *r, const char *path, struct fetch_request *rq, struct fetch_answer *out, struct err *err)
{
	auto_free char *url = mem_printf("%s/%s", r->base, path);

	rq->url = url;
	rq->plain_http = r->login.plain_http;
	for (int i = 0;; i++) {
		rq->authorization = r->authorization;
		int rc = fetch_get(r->fetch, rq, out, err);
		if (rc || out->status != 401)
			return rc;
		/* a token may end on the way: once more then */
		rc = i < 2 ? authorize(r, out->challenge.p, err) : refused(r, err);
		fetch_release(out);
		if (rc) {
			*out = (struct fetch_answer){
				.challenge = BUF_INIT, .digest = BUF_INIT, .type = BUF_INIT, .fault = BUF_INIT
			};
			return -1;
		}
	}
}

/* A manifest by tag or digest, checked where a hash is known. */
static int get_manifest(struct registry *r, const char *name, const char *sha, struct buf *out, struct err *err)
{
	auto_free char *path = mem_printf("manifests/%s%s", sha[0] ? "sha256:" : "", sha[0] ? sha : name);
	struct fetch_request rq = { .accept = OCI_ACCEPT, .sink = collect, .arg = out };
	struct fetch_answer answer;
	char got[HASH_HEX], told[HASH_HEX] = "";

	buf_clear(out);
	int rc = get(r, path, &rq, &answer, err);
	if (!rc && answer.status != 200)
		rc = fault(r, "manifest", &answer, err);
	if (!rc && !sha[0] && answer.digest.len && oci_digest(answer.digest.p, told, err))
		rc = -1;
	fetch_release(&answer);
	if (rc)
		return -1;
	hash_bytes(out->p, out->len, got);
	if ((sha[0] && strcmp(got, sha) != 0) || (told[0] && strcmp(got, told) != 0)) {
		err_set(err, ERR_PROTOCOL, "the manifest is not the one of its digest");
		return err_hint(err, "somebody between here and '%s' may have changed it", r->ref.host);
	}
	return 0;
}

static int find_manifest(struct registry *r, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct oci_blob chosen = { .size = -1 };

	if (get_manifest(r, r->ref.tag, r->ref.digest, &text, err))
		return -1;
	int rc = oci_read_manifest(text.p, text.len, &r->manifest, &chosen, err);
	if (rc == 1)
		rc = get_manifest(r, "", chosen.sha, &text, err) ? -1
								 : oci_read_manifest(text.p, text.len, &r->manifest, &chosen, err);
	return rc == 1 ? err_set(err, ERR_INVALID, "an index that names an index") : rc;
}

struct registry *registry_open(const char *cache, const struct registry_ref *ref, const struct registry_login *login,
	image_progress *progress, void *arg, struct err *err)
{
	struct registry *r = mem_zalloc(sizeof(*r));
	/* the host without its port decides whether it is this machine */
	const char *bracket = strchr(ref->host, ']');
	auto_free char *host = mem_strndup(ref->host, bracket ? (size_t)(bracket - ref->host) + 1 : strcspn(ref->host, ":"));
	bool plain = !ref->https && (ref->http || fetch_is_local(host) || login->plain_http);

	*r = (struct registry){ .ref = *ref, .login = *login, .progress = progress, .arg = arg };
	r->base = mem_printf("%s://%s/v2/%s", plain ? "http" : "https", ref->host, ref->repository);
	r->blobs = mem_printf("%s/blobs/sha256", cache);
	r->fetch = fetch_new(err);
	say(r, ref->host);
	if (r->fetch && !fs_mkdirs(r->blobs, 0700, err) && !find_manifest(r, err))
		return r;
	registry_close(r);
	return NULL;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	fetch_free(r->fetch);
	oci_manifest_free(&r->manifest);
	free(r->base);
	free(r->blobs);
	free(r->authorization);
	free(r);
}

const struct oci_manifest *registry_manifest(const struct registry *r)
{
	return &r->manifest;
}

/* ---- blobs ---- */

struct part {
	struct registry *r;
	const struct oci_blob *blob;
	int fd;
	uint64_t at;
	struct hash_run *hash; /* of the bytes before `at` */
	char label[80];
	int64_t told_ms;
	bool began; /* bytes of this request have come */
};

static int restart(struct part *p, uint64_t at, struct err *err)
{
	if (ftruncate(p->fd, (off_t)at) || lseek(p->fd, (off_t)at, SEEK_SET) < 0)
		return err_sys(err, errno, "cannot write a blob");
	p->at = at;
	if (at == 0) {
		hash_end(p->hash, NULL);
		p->hash = hash_begin();
	}
	return 0;
}

static int take_piece(void *arg, int status, const void *data, size_t n, struct err *err)
{
	struct part *p = arg;
	int64_t now = clock_mono_ms();

	/* a server that knows no ranges sends all */
	if (!p->began && status == 200 && p->at && restart(p, 0, err))
		return -1;
	p->began = true;
	if (p->blob->size >= 0 && p->at + n > (uint64_t)p->blob->size)
		return err_set(err, ERR_PROTOCOL, "blob sha256:%.12s is longer than the image says", p->blob->sha);
	if (fs_write_all(p->fd, data, n, err))
		return -1;
	hash_add(p->hash, data, n);
	p->at += n;
	if (now - p->told_ms >= TICK_MS) {
		p->told_ms = now;
		auto_free char *text =
			mem_printf("%s, %.1f of %.1f MB", p->label, (double)p->at / 1e6, (double)p->blob->size / 1e6);
		say(p->r, text);
	}
	return 0;
}

/* What an earlier pull has left of it. */
static int read_part(struct part *p, struct err *err)
{
	auto_free char *block = mem_array(BLOCK, 1);
	ssize_t n;

	p->hash = hash_begin();
	while ((n = read(p->fd, block, BLOCK)) > 0) {
		hash_add(p->hash, block, (size_t)n);
		p->at += (uint64_t)n;
	}
	if (n < 0)
		return err_sys(err, errno, "cannot read a blob");
	return p->blob->size >= 0 && p->at > (uint64_t)p->blob->size ? restart(p, 0, err) : 0;
}

/* Until all is there; a connection that breaks is made anew while that brings something. */
static int fill_part(struct part *p, struct err *err)
{
	auto_free char *path = mem_printf("blobs/sha256:%s", p->blob->sha);

	for (int tries = 0;;) {
		struct fetch_request rq = { .offset = p->at, .sink = take_piece, .arg = p };
		struct fetch_answer answer;
		uint64_t before = p->at;
		if (p->at && p->at == (uint64_t)p->blob->size)
			return 0;
		p->began = false;
		int rc = get(p->r, path, &rq, &answer, err);
		int status = answer.status;
		if (!rc && status != 200 && status != 206 && !(status == 416 && p->at))
			rc = fault(p->r, "blob", &answer, err);
		fetch_release(&answer);
		if (!rc && status == 416) { /* what we have is none of it */
			rc = restart(p, 0, err);
			if (!rc && ++tries < TRIES)
				continue;
			return rc ? rc
				  : err_set(err, ERR_PROTOCOL, "'%s' gives blob sha256:%.12s only in part", p->r->ref.host,
					    p->blob->sha);
		}
		if (!rc)
			return 0;
		bool again = err && (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT);
		tries = p->at > before ? 0 : tries + 1;
		if (!again || tries >= TRIES)
			return rc;
		err_clear(err);
		poll(NULL, 0, WAIT_MS << tries);
	}
}

static int finish_part(struct part *p, const char *part, const char *path, struct err *err)
{
	char sha[HASH_HEX];

	hash_end(p->hash, sha);
	p->hash = NULL;
	if (strcmp(sha, p->blob->sha) != 0) {
		unlink(part);
		err_set(err, ERR_PROTOCOL, "blob sha256:%.12s is not what its name says", p->blob->sha);
		return err_hint(err, "somebody between here and '%s' may have changed it, or it is damaged there", p->r->ref.host);
	}
	if (fsync(p->fd) || rename(part, path))
		return err_sys(err, errno, "cannot keep '%s'", path);
	return 0;
}

/* The blob is at `path` when it returns 0. One pull at a time fetches a blob; others wait for it. */
static int fetch_blob(struct registry *r, const struct oci_blob *blob, const char *label, const char *path, struct err *err)
{
	auto_free char *part = mem_printf("%s.part", path);
	struct part p = { .r = r, .blob = blob, .told_ms = clock_mono_ms() };

	for (;;) {
		struct stat mine, there;
		if (!utimensat(AT_FDCWD, path, NULL, 0)) /* in use: not to be pruned soon */
			return 0;
		p.fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (p.fd < 0 || flock(p.fd, LOCK_EX)) {
			err_sys(err, errno, "cannot make '%s'", part);
			if (p.fd >= 0)
				close(p.fd);
			return -1;
		}
		/* who had the lock before may have renamed it */
		if (!fstat(p.fd, &mine) && !stat(part, &there) && mine.st_ino == there.st_ino)
			break;
		close(p.fd);
	}
	snprintf(p.label, sizeof(p.label), "%s", label);
	say(r, label);
	int rc = read_part(&p, err) || fill_part(&p, err) || finish_part(&p, part, path, err) ? -1 : 0;
	hash_end(p.hash, NULL);
	close(p.fd);
	return rc;
}

static char *blob_path(const struct registry *r, const struct oci_blob *blob)
{
	return fs_join(r->blobs, blob->sha);
}

int registry_fetch(struct registry *r, struct err *err)
{
	for (size_t i = 0; i <= r->manifest.layer_count; i++) {
		const struct oci_blob *blob = i ? &r->manifest.layers[i - 1] : &r->manifest.config;
		auto_free char *path = blob_path(r, blob);
		auto_free char *label =
			i ? mem_printf("layer %zu of %zu", i, r->manifest.layer_count) : mem_strdup("configuration");
		if (fetch_blob(r, blob, label, path, err))
			return -1;
	}
	return 0;
}

static int open_blob(void *arg, const struct oci_blob *blob, struct err *err)
{
	struct registry *r = arg;
	auto_free char *path = blob_path(r, blob);

	if (fetch_blob(r, blob, "blob", path, err))
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "cannot read '%s'", path) : fd;
}

static void drop_blob(void *arg, const struct oci_blob *blob)
{
	auto_free char *path = blob_path(arg, blob);
	unlink(path);
}

void registry_source(struct registry *r, struct unpack_source *out)
{
	*out = (struct unpack_source){ .open = open_blob, .drop = drop_blob, .arg = r };
}

void registry_prune(const char *cache)
{
	auto_free char *dir = mem_printf("%s/blobs/sha256", cache);
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
		struct stat st;
		if (e->d_name[0] != '.' && !fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
			clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 > KEEP_MS)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}
