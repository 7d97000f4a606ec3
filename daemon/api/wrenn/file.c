/* Files of a capsule: reading, listing, making folders, removing. upload.c has the writing. */
#include <errno.h>
#include <string.h>

#include "daemon/api/download.h"
#include "daemon/api/wrenn/entry.h"
#include "daemon/api/wrenn/wrenn.h"
#include "shared/base/mem.h"

/* The path of the request's body as one of the guest. Caller frees; NULL when the error has been answered. */
static char *body_path(struct http_req *r)
{
	const char *text = js_str(js_get(http_body(r), "path"), "");
	struct err err = ERR_INIT;
	char *path = wrenn_path(text, strlen(text), &err);
	if (!path)
		http_reply_err(r, &err);
	return path;
}

/* An operation on the path of the body, whose answer is collected for done. */
static void run(
	struct http_req *r, struct sandbox *sb, struct file_spec spec, void (*done)(struct collect *c, const struct err *err))
{
	struct err err = ERR_INIT;
	auto_free char *path = body_path(r);
	if (!path)
		return;
	spec.path = path;
	spec.length = -1;
	spec.mode = -1;
	struct collect *c = collect_new(r, done);
	collect_run(c, execution_file(sb, &spec, &collect_ops, c, &err), &err);
}

/* ---- reading ---- */

void wrenn_streamDownloadFile(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	auto_free char *path = sb ? body_path(r) : NULL;
	struct file_spec spec = { .op = FILE_READ, .path = path, .length = -1, .mode = -1 };
	if (path)
		download_start(r, sb, &spec, "application/octet-stream", wrenn_reply_guest_err);
}

/* There it is read whole and then sent; a stream is the same to the client, and needs no memory. */
void wrenn_downloadFile(struct http_req *r)
{
	wrenn_streamDownloadFile(r);
}

/* ---- listing ---- */

static void on_list(struct collect *c, const struct err *err)
{
	auto_buf out = BUF_INIT;
	struct err bad = ERR_INIT;
	struct jw w;
	if (err) {
		wrenn_reply_guest_err(c->req, err);
		return;
	}
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "entries");
	jw_arr(&w);
	if (wrenn_write_entries(&w, c->out.p, c->out.len, &bad)) {
		wrenn_reply_guest_err(c->req, &bad);
		return;
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(c->req, 200, &out);
}

void wrenn_listDir(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	struct err err = ERR_INIT;
	int64_t depth = 1;
	if (!sb)
		return;
	js_int(js_get(http_body(r), "depth"), &depth);
	if (depth < 0) {
		err_set(&err, ERR_INVALID, "'depth' must not be negative");
		http_reply_err(r, &err);
		return;
	}
	run(r, sb, (struct file_spec){ .op = FILE_LIST, .depth = depth > INT32_MAX ? INT32_MAX : (unsigned)depth, .resolve = true },
		on_list);
}

/* ---- folders: looked for, made, shown ---- */

static void on_made(struct collect *c, const struct err *err)
{
	auto_buf out = BUF_INIT;
	struct err bad = ERR_INIT;
	struct jw w;
	if (err) {
		wrenn_reply_guest_err(c->req, err);
		return;
	}
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "entry");
	if (wrenn_write_entry(&w, c->out.p, c->out.len, &bad)) {
		wrenn_reply_guest_err(c->req, &bad);
		return;
	}
	jw_obj_end(&w);
	http_reply_json(c->req, 200, &out);
}

/* The next step; not woken, or all would begin anew. */
static void go_on(struct http_req *r, struct file_spec spec, void (*done)(struct collect *c, const struct err *err))
{
	struct sandbox *sb = wrenn_capsule(r);
	if (sb)
		run(r, sb, spec, done);
}

static void on_mkdir(struct collect *c, const struct err *err)
{
	if (err)
		wrenn_reply_guest_err(c->req, err);
	else
		go_on(c->req, (struct file_spec){ .op = FILE_STAT, .resolve = true }, on_made);
}

static void on_looked(struct collect *c, const struct err *err)
{
	struct err said = ERR_INIT;
	if (err && err->sys == ENOENT) {
		go_on(c->req, (struct file_spec){ .op = FILE_MKDIR, .parents = true }, on_mkdir);
		return;
	}
	int folder = err ? -1 : wrenn_is_folder(c->out.p, c->out.len, &said);
	if (folder < 0) {
		wrenn_reply_guest_err(c->req, err ? err : &said);
		return;
	}
	if (folder)
		err_set(&said, ERR_CONFLICT, "the folder exists already");
	else
		err_set(&said, ERR_INVALID, "the path exists already, and is not a folder");
	http_reply_err(c->req, &said);
}

void wrenn_makeDir(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	if (sb)
		run(r, sb, (struct file_spec){ .op = FILE_STAT, .resolve = true }, on_looked);
}

/* ---- removing ---- */

static void on_removed(struct collect *c, const struct err *err)
{
	if (err && err->sys != ENOENT)
		wrenn_reply_guest_err(c->req, err);
	else
		http_reply_empty(c->req, 204);
}

void wrenn_removePath(struct http_req *r)
{
	struct sandbox *sb = wrenn_guest(r);
	if (sb)
		run(r, sb, (struct file_spec){ .op = FILE_REMOVE, .recursive = true }, on_removed);
}
