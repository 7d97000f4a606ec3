/* link: daemon/http/multipart.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/multipart.h"
#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "tests/unit/store_data.h"

/* What a parse told, as text: `[NAME|FILENAME|TYPE]DATA.`, with `~` for NULL. */
struct told {
	struct buf text;
	size_t take;	/* on_data takes at most so many bytes */
	bool reluctant; /* ... and none every other time */
	unsigned asked, calls;
	const char *from, *to; /* when set: data must be a slice of this */
};

static void on_part(void *arg, const struct multipart_part *part)
{
	struct told *t = arg;
	buf_fmt(&t->text, "[%s|%s|%s]", part->name, part->filename ? part->filename : "~",
		part->content_type ? part->content_type : "~");
}

static size_t on_data(void *arg, const void *data, size_t n)
{
	struct told *t = arg;
	const char *p = data;
	assert_true(n > 0);
	assert_true(!t->from || (p >= t->from && p + n <= t->to));
	t->calls++;
	if (t->reluctant && t->asked++ % 2 == 0)
		return 0;
	n = n < t->take ? n : t->take;
	buf_add(&t->text, p, n);
	return n;
}

static void on_part_end(void *arg)
{
	struct told *t = arg;
	buf_ch(&t->text, '.');
}

static const struct multipart_ops ops = { on_part, on_data, on_part_end };

/* Feed p in memory of exactly n bytes, so that ASan sees a read past the end. */
static int feed(struct multipart *m, struct told *t, const char *p, size_t n, struct err *err)
{
	for (unsigned stuck = 0; n > 0;) {
		char *copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, p, n);
		ssize_t used = multipart_feed(m, copy, n, err);
		free(copy);
		if (used < 0)
			return -1;
		assert_true((size_t)used == n || t->reluctant || t->take < SIZE_MAX);
		/* what was held back takes no input */
		stuck = used > 0 ? 0 : stuck + 1;
		assert_true(stuck < 1000);
		p += used;
		n -= (size_t)used;
	}
	return 0;
}

/* Parse with cuts at a and b. Returns 0 or the error's code. */
static enum err_code parse(struct told *t, const char *type, const char *body, size_t n, size_t a, size_t b)
{
	struct multipart m;
	struct err err = ERR_INIT;
	if (multipart_init(&m, type, &ops, t, &err) || feed(&m, t, body, a, &err) || feed(&m, t, body + a, b - a, &err) ||
		feed(&m, t, body + b, n - b, &err))
		return err.code;
	return multipart_finish(&m, &err) ? err.code : ERR_OK;
}

static enum err_code parse_bytes(struct told *t, const char *type, const char *body, size_t n)
{
	struct multipart m;
	struct err err = ERR_INIT;
	assert_int_equal(multipart_init(&m, type, &ops, t, &err), 0);
	for (size_t i = 0; i < n; i++) {
		if (feed(&m, t, body + i, 1, &err))
			return err.code;
	}
	return multipart_finish(&m, &err) ? err.code : ERR_OK;
}

#define TOLD(...) ((struct told){ .text = BUF_INIT, __VA_ARGS__ })

static void same(struct told *t, const struct buf *want, size_t a, size_t b)
{
	if (t->text.len != want->len || memcmp(t->text.p, want->p, want->len) != 0)
		fail_msg("cut at %zu and %zu: '%s', not '%s'", a, b, t->text.p, want->p);
	buf_clear(&t->text);
}

/* The body tells `want`, however it is cut and however slowly the data is taken. */
static void check(const char *type, const char *body, size_t n, const char *want, size_t want_len)
{
	const struct buf expected = { (char *)(uintptr_t)want, want_len, 0, false };
	struct told t = TOLD(.take = SIZE_MAX), slow = TOLD(.take = 1, .reluctant = true);
	for (size_t a = 0; a <= n; a++) {
		assert_int_equal(parse(&t, type, body, n, a, n), ERR_OK);
		same(&t, &expected, a, n);
		assert_int_equal(parse(&slow, type, body, n, a, n), ERR_OK);
		same(&slow, &expected, a, n);
		for (size_t b = a; n < 200 && b <= n; b++) {
			assert_int_equal(parse(&t, type, body, n, a, b), ERR_OK);
			same(&t, &expected, a, b);
		}
	}
	assert_int_equal(parse_bytes(&t, type, body, n), ERR_OK);
	same(&t, &expected, 1, 1);
	assert_int_equal(parse_bytes(&slow, type, body, n), ERR_OK);
	same(&slow, &expected, 1, 1);
	buf_free(&t.text);
	buf_free(&slow.text);
}

#define CHECK(type, body, want) check(type, body, sizeof(body) - 1, want, sizeof(want) - 1)
#define B "multipart/form-data; boundary=B"
#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"

/* Bodies as they came out of these programs; the names and data that went in are what has to come out. */
static void clients(void **state)
{
	(void)state;
	/* curl 7.88.1 -F 'field=va lue' -F 'na"m\e=x' -F 'file=@"a\"b\\c.txt"' -F 'file2=@dash.bin;type=text/x;filename=ü.bin' */
	CHECK("multipart/form-data; boundary=------------------------1171a5bd50f435df",
		"--------------------------1171a5bd50f435df\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nva lue\r\n"
		"--------------------------1171a5bd50f435df\r\nContent-Disposition: form-data; name=\"na%22m\\e\"\r\n\r\nx\r\n"
		"--------------------------1171a5bd50f435df\r\n"
		"Content-Disposition: form-data; name=\"file\"; filename=\"a%22b\\c.txt\"\r\nContent-Type: text/plain\r\n\r\n"
		"one\r\ntwo\r\n\r\n--------------------------1171a5bd50f435df\r\n"
		"Content-Disposition: form-data; name=\"file2\"; filename=\"\xc3\xbc.bin\"\r\nContent-Type: text/x\r\n\r\n"
		"\r\n--\r\n--------------------------1171a5bd50f435df--\r\n",
		"[field|~|~]va lue.[na\"m\\e|~|~]x.[file|a\"b\\c.txt|text/plain]one\r\ntwo\r\n.[file2|\xc3\xbc.bin|text/x]\r\n--.");
	/* the same curl with --form-escape, which older ones did always; and an empty file */
	CHECK("multipart/form-data; boundary=------------------------e115a7648b0ba7a6",
		"--------------------------e115a7648b0ba7a6\r\n"
		"Content-Disposition: form-data; name=\"na\\\"m\\\\e\"\r\n\r\nx\r\n--------------------------e115a7648b0ba7a6\r\n"
		"Content-Disposition: form-data; name=\"file\"; filename=\"a\\\"b\\\\c.txt\"\r\nContent-Type: text/plain\r\n\r\n"
		"one\r\ntwo\r\n\r\n--------------------------e115a7648b0ba7a6\r\n"
		"Content-Disposition: form-data; name=\"e\"; filename=\"empty.bin\"\r\nContent-Type: "
		"application/octet-stream\r\n\r\n"
		"\r\n--------------------------e115a7648b0ba7a6--\r\n",
		"[na\"m\\e|~|~]x.[file|a\"b\\c.txt|text/plain]one\r\ntwo\r\n.[e|empty.bin|application/octet-stream].");
	/* Python's requests 2.31 (urllib3 1.26) */
	CHECK("multipart/form-data; boundary=f445529f2f6685e6ef9cdb9d1d28d554",
		"--f445529f2f6685e6ef9cdb9d1d28d554\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
		"--f445529f2f6685e6ef9cdb9d1d28d554\r\nContent-Disposition: form-data; name=\"q%22\\\\\"\r\n\r\nz\r\n"
		"--f445529f2f6685e6ef9cdb9d1d28d554\r\n"
		"Content-Disposition: form-data; name=\"f\"; filename=\"a%22b\\\\c%0D%0A.txt\"\r\nContent-Type: text/plain\r\n\r\n"
		"one\r\n--\r\n\r\n--f445529f2f6685e6ef9cdb9d1d28d554\r\n"
		"Content-Disposition: form-data; name=\"g\"; filename=\"\xc3\xbc.bin\"\r\n\r\n"
		"\r\n--f445529f2f6685e6ef9cdb9d1d28d554--\r\n",
		"[a|~|~]1.[q\"\\|~|~]z.[f|a\"b\\c\r\n.txt|text/plain]one\r\n--\r\n.[g|\xc3\xbc.bin|~].");
	/* Node 20's fetch (undici), which writes what browsers do */
	CHECK("multipart/form-data; boundary=----formdata-undici-030607739241",
		"------formdata-undici-030607739241\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n"
		"------formdata-undici-030607739241\r\nContent-Disposition: form-data; name=\"q%22\\%0D%0A\"\r\n\r\nz\r\n"
		"------formdata-undici-030607739241\r\n"
		"Content-Disposition: form-data; name=\"f\"; filename=\"a%22b\\c.txt\"\r\nContent-Type: text/plain\r\n\r\n"
		"one\r\n--\r\n------formdata-undici-030607739241\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n"
		"unnamed\r\n------formdata-undici-030607739241--\r\n",
		"[a|~|~]1\r\n2.[q\"\\\r\n|~|~]z.[f|a\"b\\c.txt|text/plain]one\r\n--.[|~|~]unnamed.");
	CHECK("multipart/form-data; boundary=----formdata-undici-057900409038", "------formdata-undici-057900409038--\r\n", "");
	/* Python's email.mime, policy SMTP: quoted boundary, headers in another order, folded, in RFC 2231's parts */
	CHECK("multipart/form-data; boundary=\"=====b?:(x)==\"",
		"--=====b?:(x)==\r\nContent-Type: text/plain\r\nMIME-Version: 1.0\r\n"
		"Content-Disposition: form-data; name=\"first\"\r\n\r\n1\r\n"
		"--=====b?:(x)==\r\nContent-Type: text/plain\r\nMIME-Version: 1.0\r\nContent-Disposition: form-data; "
		"name=\"second\";\r\n"
		" filename*0*=us-ascii''file%20name%20with%20a%20very%20long%20long%20name%20t;\r\n"
		" filename*1*=o%20have%20it%20folded%20by%20the%20header%20writer%20of%20email;\r\n filename*2*=.txt\r\n\r\n"
		"two\r\nlines\r\n--=====b?:(x)==--\r\n",
		"[first|~|text/plain]1.[second|~|text/plain]two\r\nlines.");
	/* our own client (cli/api/upload.c) */
	CHECK("multipart/form-data; boundary=sbx-00112233445566778899aabbccddeeff",
		"--sbx-00112233445566778899aabbccddeeff\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/a b\r\n"
		"--sbx-00112233445566778899aabbccddeeff\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x%22.tar\"\r\n"
		"Content-Type: application/octet-stream\r\n\r\n\r\n--sbx-0011223344\r\n"
		"\r\n--sbx-00112233445566778899aabbccddeeff--\r\n",
		"[path|~|~]/a b.[file|x\".tar|application/octet-stream]\r\n--sbx-0011223344\r\n.");
}

static void boundaries(void **state)
{
	(void)state;
	/* data that looks like a boundary, up to its last byte and beyond */
	CHECK(B, "--B\r\n" HEAD("a") "\r\n--B-\r\n--BB\r\n--b\r\n\r\n-\r\r\n--\r\n--B--",
		"[a|~|~]\r\n--B-\r\n--BB\r\n--b\r\n\r\n-\r\r\n--.");
	CHECK(B, "--B\r\n" HEAD("a") "--BX\r\n--B--", "[a|~|~]--BX.");
	CHECK(B, "--B\r\n" HEAD("a") "x\n--B\r\n--B--", "[a|~|~]x\n--B.");
	CHECK(B, "--B\r\n" HEAD("a") "\0\r\0\n\r\n--B--", "[a|~|~]\0\r\0\n.");
	/* no data, with and without the boundary's own line end */
	CHECK(B, "--B\r\n" HEAD("a") "\r\n--B\r\n" HEAD("b") "--B\r\n" HEAD("c") "--B--", "[a|~|~].[b|~|~].[c|~|~].");
	CHECK(B, "--B--", "");
	CHECK(B, "--B-- \t\r\nepilogue\r\n--B\r\n", "");
	/* headers whose lines end where those of the part before did, and just behind that */
	CHECK(B, "--B\r\n" HEAD("a") "1\r\n--B\r\n" HEAD("b") "2\r\n--B\r\n" HEAD("cd") "3\r\n--B--",
		"[a|~|~]1.[b|~|~]2.[cd|~|~]3.");
	/* preamble, epilogue, blanks */
	CHECK(B, "\r\n--B\r\n" HEAD("a") "1\r\n--B--", "[a|~|~]1.");
	CHECK(B, "pre--B\r\n--\n--BB\r\n--B \t \r\n" HEAD("a") "1\r\n--B\t\r\n" HEAD("b") "2\r\n--B--  \r\n--B\r\nnothing",
		"[a|~|~]1.[b|~|~]2.");
	/* LF alone: in the lines of a header; everywhere, when the first boundary says so */
	CHECK(B, "--B\r\nContent-Disposition: form-data; name=a\n\n1\n\r\n--B--\n", "[a|~|~]1\n.");
	CHECK(B, "pre\n--B\nContent-Disposition: form-data; name=a\n\n1\r\n--B \nContent-Disposition: form-data; name=b\n\n--B--\n",
		"[a|~|~]1\r.[b|~|~].");
	/* a boundary of hyphens, and of one that is the beginning of another */
	CHECK("multipart/form-data; boundary=--", "----\r\n" HEAD("a") "\r\n---\r\n-----\r\n------", "[a|~|~]\r\n---\r\n-----.");
}

static void headers(void **state)
{
	(void)state;
	static const struct {
		const char *head, *want;
	} rows[] = {
		{ "content-DISPOSITION:form-data;name=\"a\"", "[a|~|~]" },
		{ "Content-Disposition: Form-Data ; NAME = a ; FileName=\"\";", "[a||~]" },
		{ "Content-Disposition: form-data; filename=b; name=\"a;b=\\\"c\\\"\"", "[a;b=\"c\"|b|~]" },
		{ "Content-Disposition: form-data; name=\"100%25%22%0a%0d%\\x\\\\\"", "[100%25\"\n\r%\\x\\|~|~]" },
		{ "Content-Disposition: form-data; name=a; filename*=UTF-8''b%20c; filename=\"C:\\dir\\f\"", "[a|C:\\dir\\f|~]" },
		{ "X-Other: y\r\nContent-Type:  text/plain; charset=\"x\"\t \r\nContent-Disposition: form-data; name=a",
			"[a|~|text/plain; charset=\"x\"]" },
		{ "Content-Disposition: form-data;\r\n\tname=a;\n  filename=b\r\nContent-Type:\r\n x", "[a|b|x]" },
		{ "Content-Disposition: form-data; name=a\r\nContent-Type:\r\nContent-Transfer-Encoding: Binary", "[a|~|]" },
		{ "Content-Transfer-Encoding: 8BIT\r\nContent-Disposition: form-data; name=a", "[a|~|~]" },
		{ "Content-Transfer-Encoding: 7bit \r\nContent-Disposition: form-data; name=a", "[a|~|~]" },
		{ "Content-Disposition: form-data; name=a\r\nX:\r\n \r\n \r\nY: 1", "[a|~|~]" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *body = mem_printf("--B\r\n%s\r\n\r\n1\r\n--B--", rows[i].head);
		auto_free char *want = mem_printf("%s1.", rows[i].want);
		check(B, body, strlen(body), want, strlen(want));
	}
}

/* Not parsed, however it is cut, and not taken up again. */
static void refuse(const char *body, size_t n, enum err_code code)
{
	struct told t = TOLD(.take = SIZE_MAX);
	for (size_t a = 0; a <= n; a++) {
		enum err_code got = parse(&t, B, body, n, a, n);
		if (got != code)
			fail_msg("%d, not %d, with a cut at %zu: %s", got, code, a, body);
	}
	assert_int_equal(parse_bytes(&t, B, body, n), code);
	buf_free(&t.text);
}

#define REFUSE(body) refuse(body, sizeof(body) - 1, ERR_INVALID)

static void malformed(void **state)
{
	(void)state;
	static const char *const heads[] = {
		"",
		"X: y\r\n",
		"Content-Disposition: form-data\r\n",
		"Content-Disposition: form-data; filename=a\r\n",
		"Content-Disposition: form-data; name*=UTF-8''a\r\n",
		"Content-Disposition: attachment; name=a\r\n",
		"Content-Disposition: form-data name=a\r\n",
		"Content-Disposition: form-data; name=\"a\r\n",
		"Content-Disposition: form-data; name=\"a\\\"\r\n",
		"Content-Disposition: form-data; name=\"a\"b\r\n",
		"Content-Disposition: form-data; name=a\"b\"\r\n",
		"Content-Disposition: form-data; name=a b\r\n",
		"Content-Disposition: form-data; name\r\n",
		"Content-Disposition: form-data; =a\r\n",
		"Content-Disposition: form-data; name=a; name=b\r\n",
		"Content-Disposition: form-data; name=a; filename=b; Filename=c\r\n",
		"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n",
		"Content-Disposition: form-data; name=a\r\nContent-Type: a\r\ncontent-type: b\r\n",
		"Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n",
		"Content-Disposition : form-data; name=a\r\n",
		" Content-Disposition: form-data; name=a\r\n",
		"Content-Disposition: form-data; name=a\r\nno header\r\n",
		"Content-Disposition: form-data; name=a\r\n: x\r\n",
		"Content-Disposition: form-data; name=a\r\r\n",
		"Content-Disposition: form-data; name=a\r\n\rX: y\r\n",
		"Content-Disposition: form-data; name=\"a\x01\"\r\n",
		"Content-Disposition: form-data; name=\"a\x7f\"\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		auto_free char *body = mem_printf("--B\r\n%s\r\n1\r\n--B--", heads[i]);
		refuse(body, strlen(body), ERR_INVALID);
	}
	REFUSE("--B\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\n1\r\n--B--");
	REFUSE("");
	REFUSE("no boundary\r\n");
	REFUSE("--B");
	REFUSE("--B-");
	REFUSE("--B\r\n");
	REFUSE("--B\r\n" HEAD("a"));
	REFUSE("--B\r\n" HEAD("a") "1");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B-");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B\r\n");
	REFUSE("--B\r\n" HEAD("a") "1--B--");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B x\r\n" HEAD("b") "2\r\n--B--");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B\rx" HEAD("b") "2\r\n--B--");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B\r \n" HEAD("b") "2\r\n--B--");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B\r\n\r\n" HEAD("b") "2\r\n--B--");
	REFUSE("--B\r\n" HEAD("a") "1\r\n--B--x\r\n--B--");
	REFUSE("--B\r\n--B--\r\n");
}

static void content_types(void **state)
{
	(void)state;
	static const char seventy[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
	auto_free char *longest = mem_printf("multipart/form-data; boundary=%s", seventy);
	auto_free char *longer = mem_printf("multipart/form-data; boundary=%s0", seventy);
	auto_free char *quoted = mem_printf("multipart/form-data; boundary=\"%s0\"", seventy);
	const struct {
		const char *type, *boundary; /* NULL: refused */
	} rows[] = {
		{ B, "B" },
		{ "Multipart/Form-Data;BOUNDARY=B", "B" },
		{ "multipart/form-data ; charset=utf-8; boundary=\"B\" ; x=y;", "B" },
		{ "multipart/form-data; boundary=\"a b;c\\\"\\\\%22\"", "a b;c\"\\%22" },
		{ "multipart/form-data; boundary=a=b/c?d", "a=b/c?d" },
		{ longest, seventy },
		{ longer, NULL },
		{ quoted, NULL },
		{ NULL, NULL },
		{ "", NULL },
		{ "multipart/form-data", NULL },
		{ "multipart/form-data; boundary", NULL },
		{ "multipart/form-data; boundary=", NULL },
		{ "multipart/form-data; boundary=\"\"", NULL },
		{ "multipart/form-data; boundary=\"B", NULL },
		{ "multipart/form-data; boundary=\"B \"", NULL },
		{ "multipart/form-data; boundary=\"a\tb\"", NULL },
		{ "multipart/form-data; boundary=\"a\r\nb\"", NULL },
		{ "multipart/form-data; boundary=\xc3\xbc", NULL },
		{ "multipart/form-data; boundary=a b", NULL },
		{ "multipart/form-data; boundary=a; boundary=a", NULL },
		{ "multipart/form-data boundary=B", NULL },
		{ "multipart/mixed; boundary=B", NULL },
		{ "multipart/form-data-x; boundary=B", NULL },
		{ "application/json", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct multipart m;
		struct err err = ERR_INIT;
		int r = multipart_init(&m, rows[i].type, &ops, NULL, &err);
		if (r != (rows[i].boundary ? 0 : -1) || (r && err.code != ERR_INVALID))
			fail_msg("%s: %d %s", rows[i].type, r, err.msg);
		if (r)
			continue;
		auto_free char *body = mem_printf("--%s\r\n" HEAD("a") "1\r\n--%s--", rows[i].boundary, rows[i].boundary);
		check(rows[i].type, body, strlen(body), "[a|~|~]1.", strlen("[a|~|~]1."));
	}
}

/* A part's header of n bytes with its empty line. */
static char *header_of(size_t n)
{
	static const char front[] = "--B\r\nContent-Disposition: form-data; name=a\r\nX: ", back[] = "\r\n\r\n1\r\n--B--";
	size_t fill = n + 5 - (sizeof(front) - 1) - 4;
	char *body = mem_array(fill + sizeof(front) + sizeof(back), 1);
	memcpy(body, front, sizeof(front) - 1);
	memset(body + sizeof(front) - 1, 'x', fill);
	memcpy(body + sizeof(front) - 1 + fill, back, sizeof(back));
	return body;
}

static void limits(void **state)
{
	(void)state;
	struct told t = TOLD(.take = SIZE_MAX);
	for (size_t more = 0; more < 2; more++) {
		enum err_code want = more ? ERR_TOO_LARGE : ERR_OK;
		auto_free char *header = header_of(MULTIPART_HEAD_MAX + more);
		assert_int_equal(parse(&t, B, header, strlen(header), 0, 0), want);
		assert_int_equal(parse_bytes(&t, B, header, strlen(header)), want);

		auto_free char *name = mem_array(MULTIPART_NAME_MAX + 2, 1);
		memset(name, 'n', MULTIPART_NAME_MAX + more);
		name[0] = '"';
		auto_free char *named =
			mem_printf("--B\r\nContent-Disposition: form-data; name=\"%%22%s\"\r\n\r\n1\r\n--B--", name + 1);
		assert_int_equal(parse(&t, B, named, strlen(named), 0, 0), want);

		auto_buf parts = BUF_INIT;
		for (size_t i = 0; i < MULTIPART_PARTS_MAX + more; i++)
			buf_str(&parts, "--B\r\n" HEAD("a") "1\r\n");
		buf_str(&parts, "--B--");
		buf_clear(&t.text);
		assert_int_equal(parse(&t, B, parts.p, parts.len, 0, 0), want);
		assert_int_equal(t.text.len, MULTIPART_PARTS_MAX * strlen("[a|~|~]1."));
		assert_int_equal(parse_bytes(&t, B, parts.p, parts.len), want);
	}
	/* neither blanks behind a boundary nor what comes before it are kept */
	size_t n = (size_t)1 << 20;
	auto_free char *blanks = mem_array(n + 1, 1);
	memset(blanks, ' ', n);
	auto_free char *body = mem_printf("%s\r\n--B%s\r\n" HEAD("a") "1\r\n--B--%s", blanks, blanks, blanks);
	buf_clear(&t.text);
	assert_int_equal(parse(&t, B, body, strlen(body), n, n), ERR_OK);
	assert_string_equal(t.text.p, "[a|~|~]1.");
	buf_free(&t.text);
}

/* A failed parse stays failed; the ends are told once. */
static void failed(void **state)
{
	(void)state;
	struct multipart m;
	struct err err = ERR_INIT;
	struct told t = TOLD(.take = SIZE_MAX);
	assert_int_equal(multipart_init(&m, B, &ops, &t, &err), 0);
	assert_int_equal(multipart_feed(&m, "--Bx", 4, &err), 4);
	assert_int_equal(multipart_feed(&m, NULL, 0, &err), 0);
	assert_int_equal(multipart_feed(&m, "\n--B x", 6, &err), -1);
	assert_int_equal(multipart_feed(&m, "\r\n--B--", 7, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	assert_int_equal(multipart_finish(&m, NULL), -1);
	assert_int_equal(t.text.len, 0);
	buf_free(&t.text);
}

/* Data comes out of the input itself, in one piece when nothing is in its way. */
static void slices(void **state)
{
	(void)state;
	static const char body[] = "--B\r\n" HEAD("a") "a long\r\ntext\r\n-\r\n--B\r\n" HEAD("b") "more\r\n--B--\r\n";
	struct multipart m;
	struct told t = TOLD(.take = SIZE_MAX, .from = body, .to = body + sizeof(body));
	assert_int_equal(multipart_init(&m, B, &ops, &t, NULL), 0);
	assert_int_equal(multipart_feed(&m, body, sizeof(body) - 1, NULL), sizeof(body) - 1);
	assert_int_equal(t.calls, 2);
	assert_string_equal(t.text.p, "[a|~|~]a long\r\ntext\r\n-.[b|~|~]more.");
	buf_free(&t.text);
}

/* How much is consumed when on_data takes nothing, a byte, everything. */
static void pauses(void **state)
{
	(void)state;
	static const char head[] = "--B\r\n" HEAD("a");
	struct multipart m;
	struct told t = TOLD(.take = 0);
	assert_int_equal(multipart_init(&m, B, &ops, &t, NULL), 0);
	assert_int_equal(multipart_feed(&m, head, sizeof(head) - 1, NULL), sizeof(head) - 1);
	assert_int_equal(multipart_feed(&m, "xyz\r\n--", 7, NULL), 0);
	assert_int_equal(multipart_feed(&m, "xyz\r\n--", 7, NULL), 0);
	t.take = 1;
	assert_int_equal(multipart_feed(&m, "xyz\r\n--", 7, NULL), 1);
	t.take = SIZE_MAX;
	assert_int_equal(multipart_feed(&m, "yz\r\n--", 6, NULL), 6);
	t.take = 3; /* of the four that were held back: the next byte, which shows them to be data, stays */
	assert_int_equal(multipart_feed(&m, "X\r\n--B--", 8, NULL), 0);
	assert_string_equal(t.text.p, "[a|~|~]xyz\r\n-");
	assert_int_equal(multipart_feed(&m, "X\r\n--B--", 8, NULL), 8);
	assert_string_equal(t.text.p, "[a|~|~]xyz\r\n--X.");
	assert_int_equal(multipart_finish(&m, NULL), 0);
	buf_free(&t.text);
}

/* Is there a boundary in this data and the line ends around it? */
static bool has_boundary(const struct buf *data)
{
	auto_buf b = BUF_INIT;
	buf_str(&b, "\r\n");
	buf_add(&b, data->p, data->len);
	buf_str(&b, "\r\n");
	return strstr(b.p, "\r\n--B\r") || strstr(b.p, "\r\n--B\n") || strstr(b.p, "\r\n--B--");
}

/* Forms by rule, whose data is little else than pieces of boundaries, cut and taken by rule. */
static void forms(void **state)
{
	(void)state;
	static const char *const words[] = { "\r", "\n", "-", "B", "x", "\r\n", "--", "\r\n--", "\r\n--B", "\r\n--B-" };
	uint64_t x = 88172645463325252u;
	auto_buf data = BUF_INIT;
	auto_buf body = BUF_INIT;
	auto_buf want = BUF_INIT;
	for (int round = 0; round < 20000; round++) {
		buf_clear(&body);
		buf_clear(&want);
		for (unsigned parts = (unsigned)(xorshift(&x) % 4); parts > 0; parts--) {
			buf_clear(&data);
			for (unsigned i = (unsigned)(xorshift(&x) % 12); i > 0; i--)
				buf_str(&data, words[xorshift(&x) % ARRAY_LEN(words)]);
			if (has_boundary(&data))
				continue;
			buf_fmt(&body, "--B\r\n" HEAD("a") "%s\r\n", data.p);
			buf_fmt(&want, "[a|~|~]%s.", data.p);
		}
		buf_str(&body, "--B--\r\n");
		struct told t = TOLD(.take = 1 + xorshift(&x) % 8, .reluctant = xorshift(&x) % 2);
		size_t a = xorshift(&x) % (body.len + 1), b = a + xorshift(&x) % (body.len + 1 - a);
		assert_int_equal(parse(&t, B, body.p, body.len, a, b), ERR_OK);
		same(&t, &want, a, b);
		assert_int_equal(parse_bytes(&t, B, body.p, body.len), ERR_OK);
		same(&t, &want, 1, 1);
		buf_free(&t.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients),
		cmocka_unit_test(boundaries),
		cmocka_unit_test(headers),
		cmocka_unit_test(malformed),
		cmocka_unit_test(content_types),
		cmocka_unit_test(limits),
		cmocka_unit_test(failed),
		cmocka_unit_test(slices),
		cmocka_unit_test(pauses),
		cmocka_unit_test(forms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
