/* store: the check of everything. Packs are read from end to end; each index is compared with what was found. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/crc.h"
#include "shared/store/store_internal.h"

struct check {
	struct store *s;
	void (*fault)(void *arg, const char *text);
	void *arg;
	uint64_t faults;
	struct codec *codec;
	struct codec *plain; /* its scratch holds expanded objects */
};
/* What the index file of a pack says, by offset. */
struct listed {
	struct idx_entry *v;
	uint32_t n, next;
	uint64_t covers;
	bool bad;
};

static void say(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct check *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->faults++;
	if (c->fault)
		c->fault(c->arg, text);
}

static void say_object(struct check *c, const struct pack *p, uint64_t offset, const struct hash *id, const char *what)
{
	char hex[HASH_HEX + 1];
	say(c, "pack %u, offset %llu: object %s %s", p->number, (unsigned long long)offset, hash_hex(id, hex), what);
}

/* ---- the index ---- */

static int by_offset(const void *a, const void *b)
{
	const struct idx_entry *x = a, *y = b;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool take_sorted(const uint8_t *p, size_t size, struct listed *l)
{
	struct sort_head h;
	if (size < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	size_t bytes = size - sizeof(h);
	if (h.fanout_crc != crc32c(0, h.fanout, sizeof(h.fanout)) || h.h.count != h.fanout[255] ||
		bytes != (size_t)h.h.count * sizeof(struct idx_entry) || h.entries_crc != crc32c(0, p + sizeof(h), bytes))
		return false;
	l->n = h.h.count;
	l->covers = h.h.end;
	l->v = mem_array(l->n, sizeof(*l->v));
	memcpy(l->v, p + sizeof(h), bytes);
	return true;
}

static bool take_growing(const uint8_t *p, size_t size, struct listed *l)
{
	size_t n = (size - FILE_HEADER) / sizeof(struct grow_entry);
	l->covers = FILE_HEADER;
	l->v = mem_array(n, sizeof(*l->v));
	for (size_t i = 0; i < n; i++) {
		struct grow_entry g;
		memcpy(&g, p + FILE_HEADER + i * sizeof(g), sizeof(g));
		if (g.crc != crc32c(0, &g.e, sizeof(g.e)))
			return false;
		l->v[l->n++] = g.e;
		l->covers = g.e.offset + RECORD_HEADER + (uint64_t)g.e.stored;
	}
	return true;
}

/* An index that is not there is no fault: its writer may have been killed before it came to that. */
static int read_index(struct check *c, const struct pack *p, struct listed *l, struct err *err)
{
	char name[32];
	struct stat st;
	struct file_header h;
	pack_file_name(p->number, "idx", name);
	auto_fd int fd = openat(c->s->packs_fd, name, O_RDONLY | O_CLOEXEC);
	if ((fd < 0 && errno == ENOENT) || (fd >= 0 && !fstat(fd, &st) && st.st_size < FILE_HEADER))
		return 0;
	if (fd < 0)
		return err_sys(err, errno, "cannot read the index of pack %u", p->number);
	auto_free uint8_t *data = mem_try((size_t)st.st_size);
	ssize_t got = data ? read_at(fd, data, (size_t)st.st_size, 0) : -1;
	if (got < FILE_HEADER)
		return err_sys(err, data ? errno : ENOMEM, "cannot read the index of pack %u", p->number);
	memcpy(&h, data, sizeof(h));
	bool sorted = !memcmp(h.magic, SORT_MAGIC, 7);
	int rc = file_header_check(&h, sorted ? SORT_MAGIC : GROW_MAGIC, name, err);
	if (rc < 0)
		return -1;
	bool good = !rc && h.nonce == p->nonce;
	good = good && (sorted ? take_sorted(data, (size_t)got, l) : take_growing(data, (size_t)got, l));
	l->bad = !good;
	if (!good)
		say(c, "the index of pack %u is damaged (reading goes on without it; the next write makes it again)", p->number);
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_offset);
	return 0;
}

/* Entries that lead to nothing before this offset. */
static void skip_listed(struct check *c, const struct pack *p, struct listed *l, uint64_t until, const char *what)
{
	for (; l->next < l->n && l->v[l->next].offset < until; l->next++)
		say_object(c, p, l->v[l->next].offset, &l->v[l->next].id, what);
}

static void compare(struct check *c, const struct pack *p, struct listed *l, const struct scan *sc)
{
	struct idx_entry is = scan_entry(sc);
	skip_listed(c, p, l, sc->at, "is in the index, but not in the pack");
	if (l->next < l->n && l->v[l->next].offset == sc->at) {
		if (memcmp(&l->v[l->next], &is, sizeof(is)) != 0)
			say_object(c, p, sc->at, &is.id, "is another than the index says");
		l->next++;
	} else if (!l->bad && sc->at < l->covers) {
		say_object(c, p, sc->at, &is.id, "is not in the index");
	}
}

/* ---- the pack ---- */

static bool content_ok(struct check *c, const struct scan *sc)
{
	struct hash is;
	const void *plain = sc->body;
	if (sc->h.flags & RECORD_ZSTD) {
		void *out = codec_scratch(c->plain, sc->h.plain);
		if (!out || !codec_expand(c->codec, sc->body, sc->h.stored, out, sc->h.plain))
			return false;
		plain = out;
	} else if (sc->h.stored != sc->h.plain) {
		return false;
	}
	hash_of(plain, sc->h.plain, &is);
	return hash_eq(&is, &sc->h.id);
}

static void check_one(struct check *c, const struct pack *p, struct listed *l, const struct scan *sc, enum scan_kind kind)
{
	if (kind == SCAN_RECORD || kind == SCAN_DAMAGED) {
		compare(c, p, l, sc);
		if (kind == SCAN_DAMAGED || !content_ok(c, sc))
			say_object(c, p, sc->at, &sc->h.id, "is damaged");
		return;
	}
	uint32_t before = l->next;
	uint64_t end = sc->at + sc->length;
	skip_listed(c, p, l, sc->at, "is in the index, but not in the pack");
	skip_listed(c, p, l, end, kind == SCAN_TORN ? "is cut off" : "is damaged");
	if (kind == SCAN_GAP && l->next == before)
		say(c, "pack %u, offset %llu: %llu bytes that are no object", p->number, (unsigned long long)sc->at,
			(unsigned long long)sc->length);
}

static int scan_pack(struct check *c, const struct pack *p, int fd, struct listed *l, uint64_t size, struct err *err)
{
	struct scan sc;
	enum scan_kind kind = SCAN_END;
	int rc;
	scan_init(&sc, p, fd, FILE_HEADER, size, true);
	while (!(rc = scan_next(&sc, &kind, err)) && kind != SCAN_END)
		check_one(c, p, l, &sc, kind);
	scan_free(&sc);
	skip_listed(c, p, l, UINT64_MAX, "is cut off");
	return rc;
}

static int check_open_pack(struct check *c, const struct pack *p, int fd, bool settled, struct err *err)
{
	struct listed l = { 0 };
	struct stat st;
	struct file_header h;
	/* the index first: what it names is in the pack already */
	int rc = read_index(c, p, &l, err);
	if (!rc && fstat(fd, &st))
		rc = err_sys(err, errno, "cannot read pack %u", p->number);
	if (!rc) {
		uint64_t size = (uint64_t)st.st_size;
		ssize_t got = read_at(fd, &h, sizeof(h), 0);
		int head = got == FILE_HEADER ? file_header_check(&h, PACK_MAGIC, "a pack", err) : 1;
		if (head && size >= FILE_HEADER)
			say(c, "pack %u, offset 0: its head is damaged", p->number);
		/* another process is writing: its records are not ours to judge before it is done */
		if (!settled && !p->sealed && size > l.covers)
			size = l.covers;
		rc = scan_pack(c, p, fd, &l, size, err);
	}
	free(l.v);
	return rc;
}

static int check_pack(struct check *c, struct pack *p, struct err *err)
{
	struct store *s = c->s;
	char name[32];
	pack_file_name(p->number, "pack", name);
	auto_fd int fd = openat(s->packs_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot read pack %u", p->number);
	bool lock = !p->sealed && !s->w.on && !s->read_only && !store_open_lock(s, "lock", &s->lock_fd, NULL);
	bool locked = lock && !flock(s->lock_fd, LOCK_EX | LOCK_NB);
	int rc = check_open_pack(c, p, fd, locked || s->read_only, err);
	if (locked)
		flock(s->lock_fd, LOCK_UN);
	return rc;
}

static int ignore_pin(void *arg, const char *name, const struct hash *id)
{
	(void)arg;
	(void)name;
	(void)id;
	return 0;
}

int store_check(struct store *s, void (*fault)(void *arg, const char *text), void *arg, uint64_t *faults, struct err *err)
{
	struct check c = { .s = s, .fault = fault, .arg = arg };
	struct err why = ERR_INIT;
	if (store_hold(s, err))
		return -1;
	c.codec = codec_take(s);
	c.plain = codec_take(s);
	int rc = 0;
	for (size_t i = 0; i < s->count && !rc; i++)
		if (!s->packs[i]->gone)
			rc = check_pack(&c, s->packs[i], err);
	if (!rc && store_each_pin(s, ignore_pin, NULL, &why))
		say(&c, "%s", why.msg);
	codec_give(s, c.plain);
	codec_give(s, c.codec);
	store_release(s);
	*faults = c.faults;
	return rc;
}
