/* object: tree nodes to bytes and back. All numbers are little-endian and of fixed width, lengths u64, as bincode 1 has them. */
#include "shared/store/object.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/mem.h"

#define PERMISSIONS 07777u
/* The fewest bytes that a child takes: length and a byte of name, two tags, and an empty file (shorter than a folder). */
#define CHILD_MIN (8 + 1 + 1 + 1 + (4 + 8 + 4 + 8 + 1))

const struct hash object_empty = { { 0x71, 0xe0, 0xa9, 0x91, 0x73, 0x56, 0x49, 0x31, 0xc0, 0xb8, 0xac, 0xc5, 0x2d, 0x26, 0x85, 0xa8,
	0xe3, 0x9c, 0x64, 0xdc, 0x52, 0xe3, 0xd0, 0x23, 0x90, 0xfd, 0xac, 0x2a, 0x12, 0xb1, 0x55, 0xcb } };

bool object_name_ok(const char *name, size_t len)
{
	if (len == 0 || len > OBJECT_NAME_MAX || memchr(name, '/', len) || memchr(name, '\0', len))
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* ---- rules ---- */

/* "MAJOR:MINOR": two decimal numbers of 32 bits without leading zeros. */
static bool device_ok(const uint8_t *p, uint64_t n)
{
	uint64_t value = 0;
	unsigned digits = 0, colons = 0;
	for (uint64_t i = 0; i < n; i++) {
		if (p[i] == ':' && digits && !colons) {
			colons = 1;
			digits = 0;
			value = 0;
		} else if (p[i] >= '0' && p[i] <= '9' && !(digits && value == 0)) {
			value = value * 10 + (uint64_t)(p[i] - '0');
			digits++;
			if (value > UINT32_MAX)
				return false;
		} else {
			return false;
		}
	}
	return colons && digits;
}

/* What is wrong with a file part, NULL when nothing is. */
static const char *entry_fault(const struct entry *e, bool beside_dir)
{
	if (e->chunked) {
		if (e->size <= OBJECT_INLINE_MAX)
			return "content in chunks that belongs inline";
		if (e->chunks == 0 || e->chunks > e->size)
			return "a number of chunks that its size cannot have";
	} else if (e->size > OBJECT_INLINE_MAX) {
		return "too much inline content";
	}
	if (e->mode == OBJECT_LINK_MODE || e->link) {
		if (e->mode != OBJECT_LINK_MODE || !e->link)
			return "a link target and mode that do not go together";
		if (e->chunked || e->link_len != e->size || (e->size && memcmp(e->link, e->data, e->link_len) != 0))
			return "a link whose target is not its content";
		return e->size && memchr(e->link, '\0', e->link_len) ? "a link target with a NUL byte" : NULL;
	}
	if ((e->mode & ~PERMISSIONS) == 0)
		return NULL;
	if ((e->mode & ~(S_IFMT | PERMISSIONS)) || e->chunked)
		return "a mode that nothing has";
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		if (!beside_dir || e->size || (e->mode & PERMISSIONS) == OBJECT_DIR_MODE)
			return "a folder's mode where there can be none";
		return NULL;
	case S_IFIFO:
	case S_IFSOCK:
		return e->size ? "a fifo or socket with content" : NULL;
	case S_IFCHR:
	case S_IFBLK:
		return device_ok(e->data, e->size) ? NULL : "a device without its numbers";
	default:
		return "a mode that nothing has";
	}
}

static int name_order(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

static const char *child_fault(const struct child *c, const struct child *before)
{
	if (!object_name_ok(c->name, c->name_len))
		return "a name that cannot be";
	if (before && name_order(before->name, before->name_len, c->name, c->name_len) >= 0)
		return "names out of order";
	if (!c->has_file && !c->has_dir)
		return "a name with nothing behind it";
	return c->has_file ? entry_fault(&c->file, c->has_dir) : NULL;
}

/* ---- reading ---- */

/* What is left of the bytes. A read beyond the end gives zeros and sets failed. */
struct reader {
	const uint8_t *p;
	size_t left;
	bool failed;
};

static const uint8_t *take(struct reader *r, uint64_t n)
{
	if (n > r->left || r->failed) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += n;
	r->left -= (size_t)n;
	return p;
}

static uint8_t get_u8(struct reader *r)
{
	const uint8_t *p = take(r, 1);
	return p ? *p : 0;
}

static uint32_t get_u32(struct reader *r)
{
	uint32_t v = 0;
	const uint8_t *p = take(r, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get_u64(struct reader *r)
{
	uint64_t v = 0;
	const uint8_t *p = take(r, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* A tag that says whether something follows. */
static bool get_flag(struct reader *r)
{
	uint8_t v = get_u8(r);
	if (v > 1)
		r->failed = true;
	return v == 1;
}

static void get_entry(struct reader *r, struct entry *e)
{
	e->mode = get_u32(r);
	e->size = get_u64(r);
	uint32_t tag = get_u32(r);
	uint64_t n = get_u64(r);
	e->chunked = tag == 1;
	if (tag > 1 || (tag == 0 && n != e->size) || (tag == 1 && (n > UINT32_MAX || n > r->left / HASH_LEN)))
		r->failed = true;
	e->chunks = tag == 1 ? (uint32_t)n : 0;
	e->data = take(r, tag == 1 ? n * HASH_LEN : n);
	if (get_flag(r)) {
		n = get_u64(r);
		e->link = (const char *)take(r, n);
		e->link_len = (size_t)n;
	}
}

static void get_child(struct reader *r, struct child *c)
{
	uint64_t len = get_u64(r);
	if (len > OBJECT_NAME_MAX)
		r->failed = true;
	c->name = (const char *)take(r, len);
	c->name_len = (uint16_t)len;
	c->has_file = get_flag(r);
	if (c->has_file)
		get_entry(r, &c->file);
	c->has_dir = get_flag(r);
	if (c->has_dir) {
		const uint8_t *id = take(r, HASH_LEN);
		if (id)
			memcpy(c->dir.b, id, HASH_LEN);
	}
}

int node_decode(const void *data, size_t n, struct node *out, struct err *err)
{
	struct reader r = { data, n, false };
	uint64_t count = get_u64(&r);
	*out = (struct node){ 0 };
	if (r.failed || count > r.left / CHILD_MIN)
		return err_set(
			err, ERR_INVALID, "no tree node: it says %llu entries and has %zu bytes", (unsigned long long)count, n);
	struct child *children = mem_try((size_t)count * sizeof(*children));
	if (!children)
		return err_set(err, ERR_INTERNAL, "no memory for a tree node of %llu entries", (unsigned long long)count);
	for (uint64_t i = 0; i < count; i++) {
		struct child *c = &children[i];
		*c = (struct child){ 0 };
		get_child(&r, c);
		const char *fault = r.failed ? "malformed or cut" : child_fault(c, i ? c - 1 : NULL);
		if (fault) {
			free(children);
			return err_set(err, ERR_INVALID, "no tree node: entry %llu: %s", (unsigned long long)i, fault);
		}
	}
	if (r.left) {
		free(children);
		return err_set(err, ERR_INVALID, "no tree node: %zu bytes too many", r.left);
	}
	out->children = children;
	out->count = (uint32_t)count;
	return 0;
}

void node_free(struct node *node)
{
	free(node->children);
	*node = (struct node){ 0 };
}

const struct child *node_find(const struct node *node, const char *name, size_t len)
{
	uint32_t low = 0, high = node->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct child *c = &node->children[middle];
		int order = name_order(c->name, c->name_len, name, len);
		if (order == 0)
			return c;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- writing ---- */

static uint8_t *put(uint8_t *p, const void *data, size_t n)
{
	if (n)
		memcpy(p, data, n);
	return p + n;
}

static uint8_t *put_u8(uint8_t *p, uint8_t v)
{
	*p = v;
	return p + 1;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	return put(p, &v, sizeof(v));
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	return put(p, &v, sizeof(v));
}

static size_t content_len(const struct entry *e)
{
	return e->chunked ? (size_t)e->chunks * HASH_LEN : (size_t)e->size;
}

static size_t entry_len(const struct entry *e)
{
	return 4 + 8 + 4 + 8 + content_len(e) + 1 + (e->link ? 8 + e->link_len : 0);
}

static uint8_t *put_entry(uint8_t *p, const struct entry *e)
{
	p = put_u32(p, e->mode);
	p = put_u64(p, e->size);
	p = put_u32(p, e->chunked);
	p = put_u64(p, e->chunked ? e->chunks : e->size);
	p = put(p, e->data, content_len(e));
	p = put_u8(p, e->link != NULL);
	if (e->link) {
		p = put_u64(p, e->link_len);
		p = put(p, e->link, e->link_len);
	}
	return p;
}

static uint8_t *put_child(uint8_t *p, const struct child *c)
{
	p = put_u64(p, c->name_len);
	p = put(p, c->name, c->name_len);
	p = put_u8(p, c->has_file);
	if (c->has_file)
		p = put_entry(p, &c->file);
	p = put_u8(p, c->has_dir);
	return c->has_dir ? put(p, c->dir.b, HASH_LEN) : p;
}

int node_encode(const struct child *children, uint32_t count, struct buf *out, struct err *err)
{
	size_t n = 8;
	for (uint32_t i = 0; i < count; i++) {
		const struct child *c = &children[i];
		const char *fault = child_fault(c, i ? c - 1 : NULL);
		if (fault)
			return err_set(err, ERR_INVALID, "cannot make a tree node: '%.*s': %s", (int)c->name_len, c->name, fault);
		n += 8 + c->name_len + 2 + (c->has_file ? entry_len(&c->file) : 0) + (c->has_dir ? HASH_LEN : 0);
	}
	uint8_t *p = (uint8_t *)buf_reserve(out, n);
	if (!p)
		return err_set(err, ERR_TOO_LARGE, "a folder of %u entries is too large for one tree node", count);
	p = put_u64(p, count);
	for (uint32_t i = 0; i < count; i++)
		p = put_child(p, &children[i]);
	buf_commit(out, n);
	return 0;
}

void entry_encode(const struct entry *e, struct buf *out)
{
	size_t n = entry_len(e);
	uint8_t *p = (uint8_t *)buf_reserve(out, n);
	if (!p)
		return;
	put_entry(p, e);
	buf_commit(out, n);
}

void entry_id(const struct entry *e, struct hash *out)
{
	uint8_t head[4 + 8 + 4 + 8], tail[1 + 8];
	uint8_t *p = put_u32(head, e->mode);
	p = put_u64(p, e->size);
	p = put_u32(p, e->chunked);
	put_u64(p, e->chunked ? e->chunks : e->size);
	put_u64(put_u8(tail, e->link != NULL), e->link_len);

	struct hasher h;
	hasher_init(&h);
	hasher_add(&h, head, sizeof(head));
	hasher_add(&h, e->data, content_len(e));
	hasher_add(&h, tail, e->link ? sizeof(tail) : 1);
	if (e->link)
		hasher_add(&h, e->link, e->link_len);
	hasher_end(&h, out);
}

bool entry_eq(const struct entry *a, const struct entry *b)
{
	if (a->mode != b->mode || a->size != b->size || a->chunked != b->chunked || a->chunks != b->chunks || !a->link != !b->link)
		return false;
	/* A link's target is its content. */
	size_t n = content_len(a);
	return n == 0 || memcmp(a->data, b->data, n) == 0;
}

bool child_eq(const struct child *a, const struct child *b)
{
	if (a->has_file != b->has_file || a->has_dir != b->has_dir || name_order(a->name, a->name_len, b->name, b->name_len) != 0)
		return false;
	return (!a->has_dir || hash_eq(&a->dir, &b->dir)) && (!a->has_file || entry_eq(&a->file, &b->file));
}
