/*
 * Files into a capsule: a form with the parts `path` and `file`, in either order.
 *
 * The bytes of `file` go on to the guest as they come. It keeps them apart from what is there until it is told of their end, and
 * that is when the whole form has come and was right: whatever ends an upload before that leaves nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/api/wrenn/entry.h"
#include "daemon/api/wrenn/wrenn.h"
#include "daemon/http/multipart.h"
#include "shared/base/mem.h"

#define FORM_MAX ((uint64_t)100 << 20) /* of files/write: the whole body */
#define ANYWHERE "/"		       /* where the guest keeps a file that has no path yet */

enum field { FIELD_PATH, FIELD_FILE, FIELDS };
static const char *const names[FIELDS] = { [FIELD_PATH] = "path", [FIELD_FILE] = "file" };

struct upload {
	struct http_req *req;
	struct execution *x; /* since the file has begun */
	struct multipart form;
	enum field field; /* whose data comes; FIELDS: nobody's */
	bool seen[FIELDS];
	char text[WRENN_PATH_MAX]; /* what has come of the path */
	size_t text_len;
	char *path;
	bool late;   /* the file began before the path was known */
	bool whole;  /* the form has come */
	bool closed; /* ... and all of it has been given to the guest */
	bool over;   /* answered */
	struct buf tail;
	size_t tail_done;
	uint64_t size, limit; /* of the body; limit 0: none */
};

/* It has been or will be answered: what the guest has of it goes. */
static void end(struct upload *u)
{
	execution_close(u->x);
	u->x = NULL;
	u->over = true;
}

static void refuse(struct upload *u, const struct err *err)
{
	end(u);
	http_reply_err(u->req, err);
}

static void refuse_form(struct upload *u, const char *what, enum field field)
{
	struct err err = ERR_INIT;
	err_set(&err, ERR_INVALID, "the form's part '%s' %s", names[field], what);
	refuse(u, &err);
}

/* ---- the guest ---- */

static void on_said(void *arg, enum exec_channel ch, const uint8_t *data, size_t n)
{
	struct upload *u = arg;
	(void)data;
	execution_consumed(u->x, ch, n);
}

static void push_tail(struct upload *u)
{
	u->tail_done += execution_write(u->x, u->tail.p + u->tail_done, u->tail.len - u->tail_done);
	if (u->tail_done < u->tail.len)
		return;
	u->closed = true;
	execution_eof(u->x);
}

static void on_writable(void *arg)
{
	struct upload *u = arg;
	if (!u->whole)
		http_body_resume(u->req);
	else if (!u->closed)
		push_tail(u);
}

static void on_end(void *arg, const struct exec_end *over)
{
	struct upload *u = arg;
	struct err err = over->err;
	end(u);
	if (!over->failed && !u->closed)
		err_set(&err, ERR_PROTOCOL, "the guest ended the upload before its end");
	if (over->failed || !u->closed)
		wrenn_reply_guest_err(u->req, &err);
	else
		http_reply_empty(u->req, 204);
}

static void begin_file(struct upload *u)
{
	static const struct exec_ops ops = { .on_data = on_said, .on_writable = on_writable, .on_end = on_end };
	struct err err = ERR_INIT;
	struct sandbox *sb = wrenn_capsule(u->req);
	u->late = !u->path;
	struct file_spec spec = {
		.op = FILE_WRITE, .path = u->late ? ANYWHERE : u->path, .late = u->late, .length = -1, .mode = -1
	};
	if (sb)
		u->x = execution_file(sb, &spec, &ops, u, &err);
	if (!sb)
		end(u);
	else if (!u->x)
		refuse(u, &err);
}

/* ---- the form ---- */

static void on_part(void *arg, const struct multipart_part *part)
{
	struct upload *u = arg;
	u->field = FIELDS;
	for (enum field f = 0; f < FIELDS && !u->over; f++)
		if (!strcmp(names[f], part->name))
			u->field = f;
	if (u->field == FIELDS)
		return;
	if (u->seen[u->field])
		refuse_form(u, "is given twice", u->field);
	else if (u->field == FIELD_FILE)
		begin_file(u);
	u->seen[u->field] = true;
}

static size_t on_part_data(void *arg, const void *data, size_t n)
{
	struct upload *u = arg;
	if (u->over || u->field == FIELDS)
		return n;
	if (u->field == FIELD_FILE)
		return execution_write(u->x, data, n);
	if (n > sizeof(u->text) - u->text_len) {
		refuse_form(u, "is longer than 4096 bytes", FIELD_PATH);
		return n;
	}
	memcpy(u->text + u->text_len, data, n);
	u->text_len += n;
	return n;
}

static void on_part_end(void *arg)
{
	struct upload *u = arg;
	struct err err = ERR_INIT;
	if (u->over || u->field != FIELD_PATH)
		return;
	u->path = wrenn_path(u->text, u->text_len, &err);
	if (!u->path)
		refuse(u, &err);
}

/* ---- the body ---- */

static int check_size(uint64_t size, uint64_t limit, struct err *err)
{
	if (limit == 0 || size <= limit)
		return 0;
	err_set(err, ERR_TOO_LARGE, "the form is larger than %llu bytes", (unsigned long long)limit);
	return err_hint(err, "use files/stream/write");
}

static size_t on_body(struct http_req *r, const void *data, size_t n)
{
	struct upload *u = http_user(r);
	struct err err = ERR_INIT;
	if (check_size(u->size + n, u->limit, &err)) {
		refuse(u, &err);
		return n;
	}
	ssize_t fed = multipart_feed(&u->form, data, n, &err);
	if (fed < 0 && !u->over) {
		err.code = ERR_INVALID;
		refuse(u, &err);
	}
	if (fed < 0 || u->over)
		return n;
	u->size += (uint64_t)fed;
	return (size_t)fed;
}

static void on_body_end(struct http_req *r)
{
	struct upload *u = http_user(r);
	struct err err = ERR_INIT;
	if (u->over)
		return;
	if (multipart_finish(&u->form, &err)) {
		refuse(u, &err);
	} else if (!u->seen[FIELD_PATH] || !u->seen[FIELD_FILE]) {
		refuse_form(u, "is missing", u->seen[FIELD_PATH] ? FIELD_FILE : FIELD_PATH);
	} else {
		u->whole = true;
		if (u->late)
			execution_late_path(&u->tail, u->path);
		push_tail(u);
	}
}

static void on_over(struct http_req *r, bool delivered)
{
	struct upload *u = http_user(r);
	(void)delivered;
	execution_close(u->x);
	buf_free(&u->tail);
	free(u->path);
	free(u);
}

static void receive(struct http_req *r, uint64_t limit)
{
	static const struct multipart_ops ops = { .on_part = on_part, .on_data = on_part_data, .on_part_end = on_part_end };
	const char *length = http_header(r, "Content-Length");
	struct err err = ERR_INIT;
	if (!wrenn_guest(r))
		return;
	struct upload *u = mem_zalloc(sizeof(*u));
	u->req = r;
	u->field = FIELDS;
	u->limit = limit;
	buf_init(&u->tail);
	if (multipart_init(&u->form, http_header(r, "Content-Type"), &ops, u, &err) ||
		check_size(length ? strtoull(length, NULL, 10) : 0, limit, &err)) {
		http_reply_err(r, &err);
		free(u);
		return;
	}
	http_set_user(r, u);
	http_on_done(r, on_over);
	http_body_sink(r, on_body, on_body_end);
}

void wrenn_uploadFile(struct http_req *r)
{
	receive(r, FORM_MAX);
}

void wrenn_streamUploadFile(struct http_req *r)
{
	receive(r, 0);
}
