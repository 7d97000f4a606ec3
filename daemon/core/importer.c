#include "daemon/core/importer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "daemon/core/internal.h"
#include "daemon/core/said.h"
#include "daemon/image/library.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#define QUEUE_MAX ((size_t)1 << 20) /* between the client and the child */
#define PIECE_MAX ((size_t)256 << 10)

struct import {
	struct import *next;	      /* in core->imports */
	struct core *core;	      /* NULL when that is gone */
	const struct import_ops *ops; /* NULL: closed */
	void *arg;
	char *scratch;
	uv_process_t process;
	uv_pipe_t input, output;
	struct said said;
	char digest[72];
	size_t queued;
	bool full;   /* the client waits for room */
	bool broken; /* the child takes no more: its reason is to come */
	bool exited, drained, over;
	unsigned open; /* handles */
	int64_t status;
};

struct piece {
	uv_write_t write;
	struct import *im;
	size_t n;
	char data[];
};

static void import_unlink(struct import *im)
{
	if (!im->core)
		return;
	for (struct import **p = &im->core->imports; *p; p = &(*p)->next) {
		if (*p == im) {
			*p = im->next;
			break;
		}
	}
	im->core = NULL;
}

static void on_handle_closed(uv_handle_t *h)
{
	struct import *im = h->data;
	if (--im->open > 0)
		return;
	said_free(&im->said);
	free(im->scratch);
	free(im);
}

static void import_free(struct import *im)
{
	import_unlink(im);
	uv_handle_t *const handles[] = { (uv_handle_t *)&im->process, (uv_handle_t *)&im->input, (uv_handle_t *)&im->output };
	for (size_t i = 0; i < ARRAY_LEN(handles); i++)
		if (!uv_is_closing(handles[i]))
			uv_close(handles[i], on_handle_closed);
}

static void remove_scratch(struct import *im)
{
	struct err err = ERR_INIT;
	if (fs_remove_tree(im->scratch, &err)) /* the next start of the daemon tries again */
		log_warn("import", "%s", err.msg);
}

/* Over when the process has ended and all it said has been read. */
static void settle(struct import *im)
{
	if (!im->exited || !im->drained || im->over)
		return;
	im->over = true;
	remove_scratch(im);
	struct err *failure = &im->said.failure;
	if (im->status != 0 || !im->digest[0]) {
		if (failure->code == ERR_OK)
			err_set(failure, ERR_INTERNAL, "the importer ended with status %lld", (long long)im->status);
		log_warn("import", "%s", failure->msg);
		im->digest[0] = '\0';
	}
	if (!im->ops) {
		import_free(im);
		return;
	}
	im->ops->on_done(im->arg, im->digest[0] ? im->digest : NULL, im->digest[0] ? NULL : failure);
}

static void on_said(void *arg, const char *phase, const char *text)
{
	struct import *im = arg;
	if (!strcmp(phase, "result"))
		snprintf(im->digest, sizeof(im->digest), "%s", text);
	else if (im->ops)
		im->ops->on_progress(im->arg, phase, text);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct import *im = h->data;
	char *p = said_room(&im->said);
	*out = uv_buf_init(p, p ? SAID_LINE_MAX : 0);
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	(void)b;
	struct import *im = s->data;
	if (n >= 0) {
		said_take(&im->said, (size_t)n);
		return;
	}
	uv_read_stop(s);
	im->drained = true;
	settle(im);
}

static void on_child_exit(uv_process_t *p, int64_t status, int signal)
{
	struct import *im = p->data;
	im->exited = true;
	im->status = signal ? 128 + signal : status;
	settle(im);
}

static int start_child(struct import *im, const char *kind, struct err *err)
{
	const struct core_config *config = &im->core->config;
	const char *args[] = { config->program, kind, im->scratch, "--home", config->home, "--cache", config->cache, NULL };
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&im->input },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&im->output },
		{ .flags = UV_INHERIT_FD, .data.fd = 2 },
	};
	uv_process_options_t options = { .exit_cb = on_child_exit,
		.file = config->program,
		.args = (char **)(uintptr_t)args,
		.stdio = stdio,
		.stdio_count = 3 };
	int rc = uv_spawn(config->loop, &im->process, &options);
	return rc < 0 ? err_sys(err, -rc, "cannot start the importer '%s'", config->program) : 0;
}

static struct import *start(struct core *core, const char *kind, const struct import_ops *ops, void *arg, struct err *err)
{
	unsigned n = 0;
	for (struct import *im = core->imports; im; im = im->next)
		n++;
	if (n >= IMPORTS_MAX) {
		err_set(err, ERR_LIMIT, "%u images are being imported, which is the limit", n);
		err_hint(err, "try again when one is through");
		return NULL;
	}
	char *scratch = library_scratch(core->home, err);
	if (!scratch)
		return NULL;
	struct import *im = mem_zalloc(sizeof(*im));
	*im = (struct import){ .core = core, .ops = ops, .arg = arg, .scratch = scratch, .open = 3, .next = core->imports };
	core->imports = im;
	said_init(&im->said, on_said, im);
	uv_pipe_init(core->config.loop, &im->input, 0);
	uv_pipe_init(core->config.loop, &im->output, 0);
	im->process.data = im->input.data = im->output.data = im;
	if (start_child(im, kind, err)) {
		remove_scratch(im);
		import_free(im);
		return NULL;
	}
	uv_read_start((uv_stream_t *)&im->output, on_alloc, on_output);
	return im;
}

struct import *import_begin(struct core *core, const struct import_ops *ops, void *arg, struct err *err)
{
	return start(core, "--import", ops, arg, err);
}

/* Fields that end in NUL, as import_main reads them. */
struct import *import_from_registry(
	struct core *core, const struct import_pull *pull, const struct import_ops *ops, void *arg, struct err *err)
{
	struct import *im = start(core, "--pull", ops, arg, err);
	if (!im)
		return NULL;
	const char *const fields[] = { pull->reference, pull->plain_http ? "plain" : "", pull->user, pull->password };
	for (size_t i = 0; i < ARRAY_LEN(fields) && fields[i]; i++)
		import_write(im, fields[i], strlen(fields[i]) + 1);
	import_end(im);
	return im;
}

/* ---- the stream ---- */

static void on_written(uv_write_t *w, int status)
{
	struct piece *piece = (struct piece *)w;
	struct import *im = piece->im;
	im->queued -= piece->n;
	free(piece);
	if (status < 0)
		im->broken = true;
	if (im->full && im->ops && (im->broken || im->queued < QUEUE_MAX / 2)) {
		im->full = false;
		im->ops->on_room(im->arg);
	}
}

size_t import_write(struct import *im, const void *data, size_t n)
{
	size_t taken = 0;
	while (taken < n && !im->broken && im->queued < QUEUE_MAX) {
		size_t k = n - taken < PIECE_MAX ? n - taken : PIECE_MAX;
		struct piece *piece = mem_zalloc(sizeof(*piece) + k);
		uv_buf_t b = uv_buf_init(piece->data, (unsigned)k);
		piece->im = im;
		piece->n = k;
		memcpy(piece->data, (const char *)data + taken, k);
		if (uv_write(&piece->write, (uv_stream_t *)&im->input, &b, 1, on_written) < 0) {
			free(piece);
			im->broken = true;
			break;
		}
		im->queued += k;
		taken += k;
	}
	if (im->broken)
		return n;
	im->full = taken < n;
	return taken;
}

/* Closing would drop what is queued. */
static void on_shut(uv_shutdown_t *shut, int status)
{
	(void)status;
	free(shut);
}

void import_end(struct import *im)
{
	uv_shutdown_t *shut = mem_zalloc(sizeof(*shut));
	if (uv_shutdown(shut, (uv_stream_t *)&im->input, on_shut) < 0)
		free(shut);
}

void import_close(struct import *im)
{
	if (!im || !im->ops)
		return;
	im->ops = NULL;
	if (im->over)
		import_free(im);
	else if (!im->exited)
		uv_process_kill(&im->process, SIGKILL);
}

void importer_sweep(struct core *core)
{
	library_sweep(core->home);
}

void importer_release(struct core *core)
{
	while (core->imports) {
		struct import *im = core->imports;
		im->ops = NULL;
		uv_process_kill(&im->process, SIGKILL);
		uv_read_stop((uv_stream_t *)&im->output);
		remove_scratch(im);
		import_free(im);
	}
}
