#include "cli/transfer.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "cli/render/text.h"
#include "cli/sink.h"
#include "shared/base/mem.h"

#define BLOCK ((size_t)64 * 1024)

void transfer_init(struct transfer *t, struct cli *cli, struct client *c, const char *shown)
{
	*t = (struct transfer){ .cli = cli, .c = c, .shown = shown };
	status_init(&t->status);
}

static void progress(struct transfer *t, size_t n)
{
	t->bytes += (int64_t)n;
	if (!t->status.tty)
		return;
	auto_buf size = BUF_INIT;
	text_size(&size, t->bytes);
	status_tick(&t->status, "copying %s: %s", t->shown, size.p);
}

static void on_skipped(void *arg, const char *path, const char *why)
{
	struct transfer *t = arg;
	status_clear(&t->status);
	cli_warn(t->cli, "left out '%s': %s", path, why);
	t->incomplete = true;
}

/* The answer to an upload: rc 1 means that it has come early, which is an error answer as a rule. */
static int upload_end(struct transfer *t, struct client *c, int rc, struct err *err)
{
	if (rc == 0)
		rc = client_send_end(c, err);
	if (rc >= 0)
		rc = client_head(c, err) ? -1 : rc;
	const char *data;
	size_t n;
	while (rc >= 0 && c->fd >= 0 && client_read(c, &data, &n, err) == 1)
		;
	status_clear(&t->status);
	/* a cut connection, so that the daemon does not take half an upload for a whole one */
	if (rc)
		client_close(c);
	if (rc > 0)
		return err_set(err, ERR_PROTOCOL, "the daemon answered before it had all");
	return rc;
}

static int on_packed(void *arg, const void *data, size_t n, struct err *err)
{
	struct transfer *t = arg;
	progress(t, n);
	return client_send(t->c, data, n, err);
}

int transfer_upload(struct transfer *t, const char *sandbox, const char *path, const struct pack_source *source, struct err *err)
{
	struct call call = { .op = SBX_OP_UPLOAD_ARCHIVE, .path = { sandbox }, .query = { { "path", path } }, .stream = true };
	struct pack_ops ops = { .write = on_packed, .skipped = on_skipped, .arg = t };
	if (client_begin(t->c, &call, err))
		return -1;
	return upload_end(t, t->c, pack_tree(source, &ops, err), err);
}

static ssize_t on_unpack(void *arg, const void **data, struct err *err)
{
	struct transfer *t = arg;
	const char *p;
	size_t n;
	int rc = client_read(t->c, &p, &n, err);
	if (rc <= 0)
		return rc;
	*data = p;
	progress(t, n);
	return (ssize_t)n;
}

int transfer_download(
	struct transfer *t, const char *sandbox, const char *path, const struct unpack_target *target, struct err *err)
{
	struct call call = {
		.op = SBX_OP_DOWNLOAD_ARCHIVE, .path = { sandbox }, .query = { { "path", path }, { "name", target->top } }
	};
	struct unpack_ops ops = { .read = on_unpack, .skipped = on_skipped, .arg = t };
	if (client_begin(t->c, &call, err) || client_head(t->c, err))
		return -1;
	int rc = unpack_tree(target, &ops, err);
	/* what follows the end of the archive still has to come properly: a broken stream shows there */
	const void *data;
	ssize_t n = 1;
	while (rc == 0 && n > 0)
		n = on_unpack(t, &data, err);
	status_clear(&t->status);
	return rc || n < 0 ? -1 : 0;
}

/* Our end may be a pipe or a terminal where nothing happens: an interruption ends the wait, as it does in the client. */
static int wait_for(const struct transfer *t, int fd, short events, struct err *err)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = t->c->cancel_fd, .events = POLLIN } };
	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "cannot wait for input or output");
	if (!p[1].revents)
		return 0;
	err_set(err, ERR_IO, "interrupted");
	if (err)
		err->sys = EINTR;
	return -1;
}

int transfer_write_file(struct transfer *t, const char *sandbox, const char *path, int fd, struct err *err)
{
	struct call call = { .op = SBX_OP_WRITE_FILE, .path = { sandbox }, .query = { { "path", path } }, .stream = true };
	auto_free char *block = mem_array(1, BLOCK);
	if (client_begin(t->c, &call, err))
		return -1;
	int rc = 0;
	for (ssize_t n = 1; rc == 0 && n != 0;) {
		rc = wait_for(t, fd, POLLIN, err);
		if (rc)
			break;
		n = read(fd, block, BLOCK);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			rc = err_sys(err, errno, "cannot read");
		if (n > 0) {
			progress(t, (size_t)n);
			rc = client_send(t->c, block, (size_t)n, err);
		}
	}
	return upload_end(t, t->c, rc, err);
}

static int write_out(const struct transfer *t, struct sink *out, const char *p, size_t n, struct err *err)
{
	while (n) {
		if (wait_for(t, out->fd, POLLOUT, err))
			return -1;
		ssize_t w = sink_write(out, p, n);
		if (w < 0)
			return err_sys(err, errno, "cannot write");
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int transfer_read_file(struct transfer *t, const char *sandbox, const char *path, int fd, struct err *err)
{
	struct call call = { .op = SBX_OP_READ_FILE, .path = { sandbox }, .query = { { "path", path } } };
	if (client_begin(t->c, &call, err) || client_head(t->c, err))
		return -1;
	struct sink out;
	sink_open(&out, fd);
	const char *data;
	size_t n;
	int rc;
	while ((rc = client_read(t->c, &data, &n, err)) == 1) {
		progress(t, n);
		if (write_out(t, &out, data, n, err)) {
			rc = -1;
			break;
		}
	}
	sink_close(&out);
	status_clear(&t->status);
	return rc;
}

int transfer_between(struct transfer *t, struct transfer_end from, struct client *to, struct transfer_end into, const char *to_name,
	struct err *err)
{
	struct call get = {
		.op = SBX_OP_DOWNLOAD_ARCHIVE, .path = { from.sandbox }, .query = { { "path", from.path }, { "name", to_name } }
	};
	struct call put = {
		.op = SBX_OP_UPLOAD_ARCHIVE, .path = { into.sandbox }, .query = { { "path", into.path } }, .stream = true
	};
	if (client_begin(t->c, &get, err) || client_head(t->c, err) || client_begin(to, &put, err))
		return -1;
	const char *data;
	size_t n;
	int rc = 0;
	while (rc == 0) {
		int more = client_read(t->c, &data, &n, err);
		if (more <= 0) {
			rc = more;
			break;
		}
		progress(t, n);
		rc = client_send(to, data, n, err);
	}
	return upload_end(t, to, rc, err);
}
