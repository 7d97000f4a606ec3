#include "cli/create.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "cli/session.h"
#include "cli/term/status.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define QUIET_MS 300
#define LOOK_MS 500
#define UNDO_MS 5000

static void put_host(struct jw *w, const struct create_options *o)
{
	if (o->on)
		jw_kstr(w, "host", o->on);
	if (!o->host_tags.n)
		return;
	jw_key(w, "hostTags");
	jw_arr(w);
	for (size_t i = 0; i < o->host_tags.n; i++)
		jw_str(w, o->host_tags.v[i]);
	jw_arr_end(w);
}

static void put_labels(struct jw *w, const struct opt_list *labels)
{
	jw_key(w, "labels");
	jw_obj(w);
	for (size_t i = 0; i < labels->n; i++) {
		size_t len = strcspn(labels->v[i], "=");
		bool later = false;
		for (size_t j = i + 1; j < labels->n; j++)
			later |= strcspn(labels->v[j], "=") == len && memcmp(labels->v[i], labels->v[j], len) == 0;
		if (later)
			continue;
		auto_free char *key = mem_strndup(labels->v[i], len);
		jw_kstr(w, key, labels->v[i] + len + 1);
	}
	jw_obj_end(w);
}

const char *const create_nets[] = { "full", "none", "allow:", NULL };

int create_port(struct jw *w, const char *text, const char *bind, struct err *err)
{
	const char *colon = strchr(text, ':');
	auto_free char *host = mem_strndup(text, colon ? (size_t)(colon - text) : strlen(text));
	int64_t host_port = 0, guest_port = 0;
	if (parse_int(host, "port", colon ? 0 : 1, 65535, &host_port, err) ||
		parse_int(colon ? colon + 1 : host, "port in the sandbox", 1, 65535, &guest_port, err)) {
		if (err)
			err->code = ERR_USAGE;
		return err_hint(
			err, "write it as 8080:3000 (here:inside), 8080 for the same inside, or 0:3000 for any free one here");
	}
	jw_obj(w);
	jw_kint(w, "hostPort", host_port);
	jw_kint(w, "guestPort", guest_port);
	if (bind)
		jw_kstr(w, "bind", bind);
	jw_obj_end(w);
	return 0;
}

static int put_ports(struct jw *w, const struct opt_list *ports, struct err *err)
{
	jw_key(w, "ports");
	jw_arr(w);
	for (size_t i = 0; i < ports->n; i++)
		if (create_port(w, ports->v[i], NULL, err))
			return -1;
	jw_arr_end(w);
	return 0;
}

/* "main", "main:/src", "main@{1}:docs:/src": the place begins at the last ":/". */
static void put_fs(struct jw *w, const char *text)
{
	const char *path = NULL;
	for (const char *p = strstr(text, ":/"); p; p = strstr(p + 1, ":/"))
		path = p;
	auto_free char *ref = mem_strndup(text, path ? (size_t)(path - text) : strlen(text));
	jw_key(w, "fs");
	jw_obj(w);
	jw_kstr(w, "ref", ref);
	if (path)
		jw_kstr(w, "path", path + 1);
	jw_obj_end(w);
}

static int request_body(const struct create_options *o, struct buf *out, struct err *err)
{
	struct jw w;
	if (o->snapshot && (o->image || o->vcpus.set || o->memory.set))
		return err_set(err, ERR_USAGE, "--snapshot does not go with --image, --vcpus or --memory: it has its own");
	jw_init(&w, out);
	jw_obj(&w);
	if (o->name)
		jw_kstr(&w, "name", o->name);
	if (o->image)
		jw_kstr(&w, "image", o->image);
	if (o->snapshot)
		jw_kstr(&w, "snapshot", o->snapshot);
	if (o->vcpus.set)
		jw_kint(&w, "vcpus", (int64_t)o->vcpus.v);
	if (o->memory.set)
		jw_kint(&w, "memoryMb", (int64_t)o->memory.v);
	if (o->timeout.set)
		jw_kint(&w, "timeoutSeconds", (int64_t)o->timeout.v);
	if (o->idle.set)
		jw_kint(&w, "idleSeconds", (int64_t)o->idle.v);
	if (o->net)
		jw_kstr(&w, "net", o->net);
	if (o->ports.n && put_ports(&w, &o->ports, err))
		return -1;
	if (o->fs)
		put_fs(&w, o->fs);
	if (o->env.n && session_env(&w, &o->env, NULL, err))
		return -1;
	if (o->labels.n)
		put_labels(&w, &o->labels);
	put_host(&w, o);
	jw_obj_end(&w);
	return 0;
}

/* Why it takes long, asked on a connection of its own. */
static void show_why(struct status *status, struct client *side, const char *image, int64_t since_ms)
{
	struct call call = { .op = SBX_OP_GET_IMAGE, .path = { image } };
	auto_js *v = image ? client_json(side, &call, NULL) : NULL;
	double s = (double)(clock_mono_ms() - since_ms) / 1000;
	if (strcmp(js_str(js_get(v, "state"), ""), "building") == 0)
		status_set(status, "building image %s (once), about 20 s: %.0f s", image, s);
	else
		status_set(status, "creating the sandbox: %.0f s", s);
}

struct waiting {
	struct client *c, *side;
	struct status status;
	int sig_fd;
	const char *image; /* NULL: it comes from a snapshot */
	int interrupted;
	int64_t give_up_ms; /* once interrupted */
};

/* Until the answer begins (1), or is given up after an interruption (0); -1. */
static int wait_answer(struct waiting *w, struct err *err)
{
	int64_t start = clock_mono_ms();
	int timeout = QUIET_MS;
	for (;;) {
		struct pollfd p[2] = { { .fd = w->c->fd, .events = POLLIN }, { .fd = w->sig_fd, .events = POLLIN } };
		int rc = poll(p, 2, w->status.tty || w->interrupted ? timeout : -1);
		if (rc < 0 && errno != EINTR)
			return err_sys(err, errno, "cannot wait for the daemon");
		if (rc > 0 && p[0].revents)
			return 1;
		if (rc > 0 && p[1].revents) {
			int code = cli_signal_code(w->sig_fd);
			if (w->interrupted)
				return 0;
			w->interrupted = code;
			w->give_up_ms = clock_mono_ms() + UNDO_MS;
		}
		if (w->interrupted && clock_mono_ms() >= w->give_up_ms)
			return 0;
		if (w->interrupted)
			status_set(&w->status, "interrupted: waiting to undo");
		else if (rc == 0)
			show_why(&w->status, w->side, w->image, start);
		timeout = LOOK_MS;
	}
}

static js *read_answer(struct client *c, struct err *err)
{
	auto_buf text = BUF_INIT;
	const char *data;
	size_t n;
	int rc = client_head(c, err);
	while (rc == 0 && (rc = client_read(c, &data, &n, err)) == 1) {
		buf_add(&text, data, n);
		rc = 0;
	}
	return rc ? NULL : js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err);
}

void create_undo(struct cli *cli, struct client *c, const js *sandbox)
{
	struct err err = ERR_INIT;
	struct call call = { .op = SBX_OP_DELETE_SANDBOX, .path = { js_str(js_get(sandbox, "id"), "") } };
	if (sandbox && client_call(c, &call, NULL, &err))
		cli_error(cli, &err);
}

js *create_sandbox(struct cli *cli, struct client *c, const struct create_options *o, int sig_fd, int *interrupted, struct err *err)
{
	*interrupted = 0;
	auto_buf body = BUF_INIT;
	if (request_body(o, &body, err))
		return NULL;
	struct client side;
	client_init(&side, c->ep);
	side.no_start = true;
	struct waiting w = { .c = c, .side = &side, .sig_fd = sig_fd, .image = o->snapshot ? NULL : o->image ? o->image : "base" };
	status_init(&w.status);
	struct call call = { .op = SBX_OP_CREATE_SANDBOX, .json = &body };
	int rc = client_begin(c, &call, err) ? -1 : wait_answer(&w, err);
	status_clear(&w.status);
	js *sandbox = rc == 1 ? read_answer(c, err) : NULL;
	*interrupted = w.interrupted;
	if (w.interrupted) {
		create_undo(cli, c, sandbox);
		js_free(sandbox);
		sandbox = NULL;
	}
	if (!sandbox)
		client_close(c); /* an unanswered create is undone by the daemon when its client goes */
	client_close(&side);
	return sandbox;
}
