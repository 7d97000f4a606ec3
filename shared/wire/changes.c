#include "shared/wire/changes.h"

#include <string.h>
#include <sys/stat.h>

static void put_number(uint8_t *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_number(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

/* ---- writing ---- */

static void put_header(struct buf *out, enum change_kind kind, unsigned flags, unsigned mode, size_t n)
{
	uint8_t h[CHANGES_HEADER] = { (uint8_t)kind, (uint8_t)flags };

	put_number(h + 2, mode, 2);
	put_number(h + 4, n, 4);
	buf_add(out, h, sizeof(h));
}

void changes_put(struct buf *out, enum change_kind kind, unsigned flags, unsigned mode, const void *payload, size_t n)
{
	put_header(out, kind, flags, mode, n);
	buf_add(out, payload, n);
}

void changes_put_path(struct buf *out, enum change_kind kind, unsigned flags, unsigned mode, const char *path, const char *more)
{
	size_t n = strlen(path), m = more ? strlen(more) : 0;

	put_header(out, kind, flags, mode, more ? n + 1 + m : n);
	buf_add(out, path, more ? n + 1 : n);
	buf_add(out, more ? more : "", m);
}

void changes_put_number(struct buf *out, enum change_kind kind, uint64_t v)
{
	uint8_t raw[8];

	put_number(raw, v, sizeof(raw));
	changes_put(out, kind, 0, 0, raw, sizeof(raw));
}

/* ---- reading ---- */

void changes_rx_init(struct changes_rx *rx)
{
	*rx = (struct changes_rx){ 0 };
	buf_init(&rx->in);
}

void changes_rx_free(struct changes_rx *rx)
{
	buf_free(&rx->in);
}

void changes_rx_add(struct changes_rx *rx, const void *data, size_t n)
{
	buf_drop(&rx->in, rx->used);
	rx->used = 0;
	buf_add(&rx->in, data, n);
}

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_PROTOCOL, "the sandbox sent changes that make no sense: %s", what);
}

static bool path_ok(const char *path)
{
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || n > CHANGES_NAME_MAX || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'))))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

/* A path, and for some kinds a text behind a NUL. */
static int take_path(struct changes_rx *rx, const uint8_t *p, size_t n, bool more, struct err *err)
{
	const uint8_t *nul = memchr(p, '\0', n);
	size_t len = nul ? (size_t)(nul - p) : n;
	size_t rest = nul ? n - len - 1 : 0;

	if (more != (nul != NULL) || len > CHANGES_PATH_MAX || rest > CHANGES_PATH_MAX || (rest && memchr(nul + 1, '\0', rest)))
		return bad(err, "a path that is none");
	memcpy(rx->path, p, len);
	rx->path[len] = '\0';
	if (rest)
		memcpy(rx->more, nul + 1, rest);
	rx->more[rest] = '\0';
	return path_ok(rx->path) ? 0 : bad(err, "a path that leads out of the folder");
}

static int take_entry(struct changes_rx *rx, struct change *c, struct err *err)
{
	bool more = c->kind == CHANGE_LINK || c->kind == CHANGE_SPECIAL;

	if (rx->in_file)
		return bad(err, "a file that does not end");
	if (take_path(rx, c->data, c->n, more, err))
		return -1;
	c->path = rx->path;
	c->more = rx->more;
	if (c->kind == CHANGE_LINK && !*rx->more)
		return bad(err, "a link to nothing");
	if (c->kind == CHANGE_SPECIAL && !S_ISFIFO(c->mode) && !S_ISSOCK(c->mode) && !S_ISCHR(c->mode) && !S_ISBLK(c->mode))
		return bad(err, "a file of an unknown type");
	if (c->kind != CHANGE_SPECIAL && c->mode > 07777)
		return bad(err, "a mode that is none");
	rx->in_file = c->kind == CHANGE_FILE;
	rx->file = 0;
	if (++rx->entries > CHANGES_ENTRIES_MAX)
		return err_set(err, ERR_TOO_LARGE, "more than %llu files have changed", (unsigned long long)CHANGES_ENTRIES_MAX);
	return 1;
}

static int take_content(struct changes_rx *rx, struct change *c, struct err *err)
{
	uint64_t n = c->n;

	if (!rx->in_file)
		return bad(err, "content without a file");
	if (c->kind == CHANGE_HOLE) {
		if (c->n != 8)
			return bad(err, "a hole of no length");
		n = c->hole = get_number(c->data, 8);
	}
	if (n > CHANGES_FILE_MAX - rx->file || n > CHANGES_DATA_MAX - rx->data)
		return err_set(err, ERR_TOO_LARGE, "'%.300s' is larger than %llu GiB, or all files together larger than %llu GiB",
			rx->path, (unsigned long long)(CHANGES_FILE_MAX >> 30), (unsigned long long)(CHANGES_DATA_MAX >> 30));
	rx->file += n;
	rx->data += n;
	return 1;
}

static int take_mark(struct changes_rx *rx, struct change *c, struct err *err)
{
	if (c->kind == CHANGE_END) {
		if (rx->in_file || c->n != 8 || get_number(c->data, 8) != rx->entries)
			return bad(err, "an end that does not match what came before");
		rx->ended = true;
		return 1;
	}
	if (!rx->in_file || c->n || c->mode > 07777)
		return bad(err, "the end of a file that was not begun");
	rx->in_file = c->kind == CHANGE_AGAIN;
	rx->file = 0;
	return 1;
}

static int take(struct changes_rx *rx, struct change *c, struct err *err)
{
	if (rx->ended)
		return bad(err, "something comes behind the end");
	switch (c->kind) {
	case CHANGE_DIR:
	case CHANGE_FILE:
	case CHANGE_LINK:
	case CHANGE_SPECIAL:
	case CHANGE_GONE:
		return take_entry(rx, c, err);
	case CHANGE_DATA:
	case CHANGE_HOLE:
		return take_content(rx, c, err);
	case CHANGE_AGAIN:
	case CHANGE_DONE:
	case CHANGE_END:
		return take_mark(rx, c, err);
	default:
		return bad(err, "a record of an unknown kind");
	}
}

int changes_rx_next(struct changes_rx *rx, struct change *c, struct err *err)
{
	const uint8_t *p = (const uint8_t *)rx->in.p + rx->used;
	size_t left = rx->in.len - rx->used;

	if (buf_failed(&rx->in))
		return err_set(err, ERR_UNAVAILABLE, "no memory for what the sandbox sends");
	if (left < CHANGES_HEADER)
		return 0;
	size_t n = (size_t)get_number(p + 4, 4);
	if (n > CHANGES_PAYLOAD || p[1] > (p[0] == CHANGE_DIR ? CHANGE_OPAQUE : 0))
		return bad(err, "a record of an impossible form");
	if (left - CHANGES_HEADER < n)
		return 0;
	*c = (struct change){ .kind = (enum change_kind)p[0],
		.opaque = p[1] != 0,
		.mode = (unsigned)get_number(p + 2, 2),
		.data = p + CHANGES_HEADER,
		.n = n };
	rx->used += CHANGES_HEADER + n;
	return take(rx, c, err);
}

int changes_rx_end(const struct changes_rx *rx, struct err *err)
{
	return rx->ended ? 0 : bad(err, "they were cut");
}
