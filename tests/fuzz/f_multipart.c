/* link: daemon/http/multipart.c */
/* The input: a Content-Type, LF, a body. However the body is cut and however slowly its data is taken, the parse tells the same;
 * and the data of a part is what stands before a boundary in the body, with no boundary in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/multipart.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "tests/unit/store_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                                                   \
	do {                                                                                                                       \
		if (!(x))                                                                                                          \
			abort();                                                                                                   \
	} while (0)

struct told {
	struct buf text, part; /* everything; the data of the part that is open */
	uint64_t random;       /* 0: takes everything */
	bool open;
	/* whole runs check the data by these */
	const char *body, *delim; /* "--BOUNDARY" */
	size_t n;
};

static void put(struct buf *b, const char *s)
{
	if (s)
		buf_add(b, s, strlen(s) + 1);
	buf_ch(b, s ? 's' : '~');
}

static void on_part(void *arg, const struct multipart_part *part)
{
	struct told *t = arg;
	CHECK(!t->open && strlen(part->name) <= MULTIPART_NAME_MAX);
	t->open = true;
	buf_ch(&t->text, '[');
	put(&t->text, part->name);
	put(&t->text, part->filename);
	put(&t->text, part->content_type);
	buf_clear(&t->part);
}

static size_t on_data(void *arg, const void *data, size_t n)
{
	struct told *t = arg;
	CHECK(t->open && n > 0);
	if (t->random)
		n = xorshift(&t->random) % (n + 1);
	buf_add(&t->text, data, n);
	buf_add(&t->part, data, n);
	return n;
}

/* Is there a boundary in b? */
static bool has_boundary(const struct buf *b, const char *delim)
{
	size_t len = strlen(delim);
	auto_buf s = BUF_INIT;
	buf_fmt(&s, "\r\n%s", delim);
	for (const char *p = b->p, *end = b->p + b->len; (p = memmem(p, (size_t)(end - p), s.p, s.len)); p++) {
		const char *after = p + 2 + len;
		if (after < end && ((*after && strchr(" \t\r\n", *after)) || (after + 1 < end && memcmp(after, "--", 2) == 0)))
			return true;
	}
	return false;
}

static void on_part_end(void *arg)
{
	struct told *t = arg;
	CHECK(t->open);
	t->open = false;
	buf_ch(&t->text, '.');
	if (!t->body)
		return;
	CHECK(!has_boundary(&t->part, t->delim));
	auto_buf crlf = BUF_INIT;
	auto_buf lf = BUF_INIT;
	buf_ch(&crlf, '\n');
	buf_add(&crlf, t->part.p, t->part.len);
	buf_add(&lf, crlf.p, crlf.len);
	buf_fmt(&crlf, "\r\n%s", t->delim);
	buf_fmt(&lf, "%s%s", t->part.len ? "\n" : "", t->delim);
	CHECK(memmem(t->body, t->n, crlf.p, crlf.len) || memmem(t->body, t->n, lf.p, lf.len));
}

static const struct multipart_ops ops = { on_part, on_data, on_part_end };

static enum err_code run(struct told *t, const char *type, const char *p, size_t n, uint64_t random, bool bytes)
{
	struct multipart m;
	struct err err = ERR_INIT;
	CHECK(multipart_init(&m, type, &ops, t, &err) == 0);
	while (n > 0) {
		size_t piece = bytes ? 1 : random ? 1 + xorshift(&random) % n : n;
		char *copy = mem_array(piece, 1); /* for ASan */
		memcpy(copy, p, piece);
		ssize_t used = multipart_feed(&m, copy, piece, &err);
		free(copy);
		if (used < 0) {
			CHECK(err.code == ERR_INVALID || err.code == ERR_TOO_LARGE);
			CHECK(multipart_feed(&m, "x", 1, NULL) < 0 && multipart_finish(&m, NULL) < 0);
			return err.code;
		}
		CHECK((size_t)used <= piece && (t->random || (size_t)used == piece));
		p += used;
		n -= (size_t)used;
	}
	if (multipart_finish(&m, &err))
		return err.code;
	CHECK(!t->open);
	return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *nl = memchr(data, '\n', size);
	struct multipart m;
	if (!nl)
		return 0;
	auto_free char *type = mem_strndup(p, (size_t)(nl - p));
	if (multipart_init(&m, type, &ops, NULL, NULL))
		return 0;
	auto_free char *delim = mem_strndup(m.delim + 2, m.len - 2);
	size_t n = size - (size_t)(nl + 1 - p);
	uint64_t random = 88172645463325252u ^ size ^ (uint64_t)data[size - 1] << 32 ^ (uint64_t)data[size / 2] << 40;
	struct told whole = { .text = BUF_INIT, .part = BUF_INIT, .body = nl + 1, .delim = delim, .n = n };
	enum err_code want = run(&whole, type, nl + 1, n, 0, false);
	for (int i = 0; i < 5; i++) {
		struct told t = { .text = BUF_INIT, .part = BUF_INIT, .random = i % 2 ? xorshift(&random) : 0 };
		CHECK(run(&t, type, nl + 1, n, xorshift(&random), i < 2) == want);
		CHECK(t.text.len == whole.text.len && memcmp(t.text.p, whole.text.p, t.text.len) == 0);
		buf_free(&t.text);
		buf_free(&t.part);
	}
	buf_free(&whole.text);
	buf_free(&whole.part);
	return 0;
}
