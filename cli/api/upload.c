#include "cli/api/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api/body.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static struct upload_part *add_part(struct upload *u)
{
	u->parts = mem_grow(u->parts, u->count + 1, sizeof(*u->parts));
	u->parts[u->count] = (struct upload_part){ .head = BUF_INIT, .fd = -1 };
	return &u->parts[u->count++];
}

static int open_file(const char *path, struct upload_part *part, struct err *err)
{
	path += *path == '@';
	part->fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (part->fd < 0 || fstat(part->fd, &st)) {
		err_sys(err, errno, "cannot open '%s'", path);
		err->code = ERR_USAGE; /* the name that was given is a wrong value */
		return -1;
	}
	return S_ISDIR(st.st_mode) ? err_set(err, ERR_USAGE, "'%s' is a folder", path) : 0;
}

/* So many bytes follow, or -1 when that cannot be told beforehand. */
static int64_t length_of(const struct upload *u)
{
	int64_t total = 0;
	for (size_t i = 0; i < u->count; i++) {
		struct stat st;
		total += (int64_t)u->parts[i].head.len;
		if (u->parts[i].fd < 0)
			continue;
		off_t at = lseek(u->parts[i].fd, 0, SEEK_CUR);
		/* files of /proc have a size of 0 and bytes all the same */
		if (fstat(u->parts[i].fd, &st) || !S_ISREG(st.st_mode) || at < 0 || st.st_size == 0)
			return -1;
		total += st.st_size > at ? st.st_size - at : 0;
	}
	return total;
}

int upload_file(struct upload *u, const struct api_flags *f, struct request *rq, struct err *err)
{
	const struct api_flag *file = api_flag_find(f, "file");
	const struct opt_list *values = api_flag_values(f, file);
	const char *media = ct_s(f->c, f->raw->media);
	if (values->n > 1)
		return err_set(err, ERR_USAGE, "option '--file' is given more than once");
	rq->media = strcmp(media, "*/*") == 0 ? "application/octet-stream" : media;
	if (values->n == 0)
		return 0;
	if (open_file(values->v[0], add_part(u), err))
		return -1;
	rq->stream = true;
	rq->length = length_of(u);
	return 0;
}

/* A name in a header of a part: as browsers write it (HTML standard, multipart/form-data encoding). */
static void quoted(struct buf *out, const char *text)
{
	buf_ch(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\r' || *text == '\n')
			buf_fmt(out, "%%%02X", (unsigned char)*text);
		else
			buf_ch(out, *text);
	}
	buf_ch(out, '"');
}

static int form_part(struct upload *u, const struct api_flags *f, const struct api_flag *flag, const char *boundary,
	const char *value, struct err *err)
{
	struct upload_part *part = add_part(u);
	const char *name = ct_s(f->c, flag->path[0]->name);
	buf_fmt(&part->head, "%s--%s\r\nContent-Disposition: form-data; name=", u->count > 1 ? "\r\n" : "", boundary);
	quoted(&part->head, name);
	if (!api_flag_is_binary(f->c, flag)) {
		buf_fmt(&part->head, "\r\n\r\n%s", value);
		return 0;
	}
	const char *slash = strrchr(value, '/');
	buf_str(&part->head, "; filename=");
	quoted(&part->head, slash ? slash + 1 : value + (*value == '@'));
	buf_str(&part->head, "\r\nContent-Type: application/octet-stream\r\n\r\n");
	return open_file(value, part, err);
}

int upload_form(struct upload *u, const struct api_flags *f, struct request *rq, struct err *err)
{
	uint8_t random[16];
	auto_buf boundary = BUF_INIT;
	rand_bytes(random, sizeof(random));
	buf_str(&boundary, "sbx-");
	for (size_t i = 0; i < sizeof(random); i++)
		buf_fmt(&boundary, "%02x", random[i]);
	for (int pass = 0; pass < 2; pass++) { /* files last: a server that streams has to know what for before */
		for (size_t i = 0; i < f->n; i++) {
			const struct api_flag *flag = &f->v[i];
			const struct opt_list *values = api_flag_values(f, flag);
			bool now = flag->place == FLAG_BODY && api_flag_is_binary(f->c, flag) == (pass == 1);
			if (values->n > 1 && now && !api_flag_repeats(f->c, flag))
				return err_set(err, ERR_USAGE, "option '--%s' is given more than once", flag->name);
			for (size_t k = 0; now && k < values->n; k++) {
				if (form_part(u, f, flag, boundary.p, values->v[k], err))
					return -1;
			}
		}
	}
	buf_fmt(&add_part(u)->head, "\r\n--%s--\r\n", boundary.p);
	u->media = mem_printf("multipart/form-data; boundary=%s", boundary.p);
	rq->media = u->media;
	rq->stream = true;
	rq->length = length_of(u);
	return 0;
}

/* left: bytes that may still be sent; a file that has grown meanwhile is cut, one that has shrunk is an error. */
static int send_file(int fd, struct client *c, int64_t *left, struct err *err)
{
	char block[65536];
	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read the file");
		if (*left >= 0 && n > *left)
			n = (ssize_t)*left;
		if (n == 0)
			return 0;
		if (*left >= 0)
			*left -= n;
		int rc = client_send(c, block, (size_t)n, err);
		if (rc)
			return rc;
	}
}

int upload_send(struct upload *u, struct client *c, struct err *err)
{
	int64_t left = c->chunked ? -1 : length_of(u);
	int rc = 0;
	for (size_t i = 0; i < u->count && rc == 0; i++) {
		struct upload_part *part = &u->parts[i];
		rc = client_send(c, part->head.p, part->head.len, err);
		if (left >= 0)
			left -= (int64_t)part->head.len;
		if (rc == 0 && part->fd >= 0)
			rc = send_file(part->fd, c, &left, err);
	}
	if (rc == 0 && left > 0)
		return err_set(err, ERR_IO, "the file became shorter while it was sent");
	if (rc == 0)
		rc = client_send_end(c, err);
	return rc < 0 ? -1 : 0; /* 1: the answer is there already */
}

void upload_free(struct upload *u)
{
	for (size_t i = 0; i < u->count; i++) {
		buf_free(&u->parts[i].head);
		if (u->parts[i].fd >= 0)
			close(u->parts[i].fd);
	}
	free(u->parts);
	free(u->media);
	*u = (struct upload){ 0 };
}
