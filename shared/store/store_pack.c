/* store: the records of a pack, and walking over them past whatever is damaged. */
#include "shared/store/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/store/crc.h"

enum { SMALL_WINDOW = 4 << 10, BIG_WINDOW = 1 << 20 };

uint32_t record_crc(const struct pack *p, uint64_t offset, const struct record_header *h)
{
	uint64_t place[2] = { p->nonce, offset };
	uint32_t crc = crc32c(0, place, sizeof(place));
	return crc32c(crc, &h->body_crc, sizeof(*h) - offsetof(struct record_header, body_crc));
}

bool record_header_ok(const struct pack *p, uint64_t offset, const struct record_header *h)
{
	return h->magic == RECORD_MAGIC && h->header_crc == record_crc(p, offset, h) && h->plain <= OBJECT_MAX &&
		h->stored <= OBJECT_MAX;
}

void file_header_fill(struct file_header *h, const char *magic, uint32_t number, uint64_t nonce)
{
	*h = (struct file_header){ .number = number, .nonce = nonce };
	memcpy(h->magic, magic, sizeof(h->magic));
	h->crc = crc32c(0, h, offsetof(struct file_header, crc));
}

int file_header_check(const struct file_header *h, const char *magic, const char *what, struct err *err)
{
	if (h->crc != crc32c(0, h, offsetof(struct file_header, crc)))
		return 1;
	if (!memcmp(h->magic, magic, sizeof(h->magic)))
		return 0;
	/* the digit at the end is the version */
	if (memcmp(h->magic, magic, sizeof(h->magic) - 1) != 0)
		return 1;
	err_set(err, ERR_UNAVAILABLE, "'%s' has a format that this version of sbx does not know", what);
	return err_hint(err, "use a newer sbx with this store");
}

ssize_t read_at(int fd, void *data, size_t n, uint64_t offset)
{
	size_t done = 0;
	while (done < n) {
		ssize_t r = pread(fd, (char *)data + done, n - done, (off_t)(offset + done));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

void scan_init(struct scan *sc, const struct pack *p, int fd, uint64_t from, uint64_t size, bool bodies)
{
	*sc = (struct scan){ .pack = p, .fd = fd, .pos = from, .size = size, .bodies = bodies };
}

void scan_free(struct scan *sc)
{
	free(sc->window);
	sc->window = NULL;
}

/* Bytes [at, at + n) of the file, fewer at its end: *got. NULL with err. */
static const uint8_t *window_at(struct scan *sc, uint64_t at, size_t n, size_t *got, struct err *err)
{
	if (at < sc->from || at + n > sc->from + sc->have) {
		size_t want = sc->bodies ? BIG_WINDOW : SMALL_WINDOW;
		want = n > want ? n : want;
		if (want > sc->size - at)
			want = (size_t)(sc->size - at);
		if (want > sc->cap || !sc->window) {
			free(sc->window);
			sc->window = mem_try(want);
			sc->cap = sc->window ? want : 0;
			sc->have = 0;
		}
		if (!sc->window) {
			err_set(err, ERR_IO, "no memory to read pack %u", sc->pack->number);
			return NULL;
		}
		ssize_t r = read_at(sc->fd, sc->window, want, at);
		if (r < 0) {
			err_sys(err, errno, "cannot read pack %u", sc->pack->number);
			return NULL;
		}
		sc->from = at;
		sc->have = (size_t)r;
	}
	size_t left = (size_t)(sc->from + sc->have - at);
	*got = left < n ? left : n;
	return sc->window + (at - sc->from);
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && !memcmp(p, p + 1, n - 1));
}

/* Is everything from pos to the end zero? Some file systems leave that after a crash. */
static int zero_to_end(struct scan *sc, bool *zero, struct err *err)
{
	*zero = true;
	for (uint64_t at = sc->pos; at < sc->size && *zero;) {
		size_t got = 0, n = sc->size - at < SMALL_WINDOW ? (size_t)(sc->size - at) : SMALL_WINDOW;
		const uint8_t *p = window_at(sc, at, n, &got, err);
		if (!p)
			return -1;
		if (!got)
			break;
		*zero = all_zero(p, got);
		at += got;
	}
	return 0;
}

/* Where the next header begins after something that is none: the end of the file when there is no more. */
static int resync(struct scan *sc, uint64_t *next, struct err *err)
{
	static const uint32_t magic = RECORD_MAGIC;
	for (uint64_t at = sc->pos + 1; at + RECORD_HEADER <= sc->size;) {
		size_t got = 0, n = sc->size - at < BIG_WINDOW ? (size_t)(sc->size - at) : BIG_WINDOW;
		const uint8_t *p = window_at(sc, at, n, &got, err);
		if (!p)
			return -1;
		if (got < RECORD_HEADER)
			break;
		const uint8_t *end = p + got - RECORD_HEADER + 1, *hit = p;
		while (hit < end && (hit = memmem(hit, (size_t)(p + got - hit), &magic, sizeof(magic))) != NULL && hit < end) {
			struct record_header h;
			memcpy(&h, hit, sizeof(h));
			*next = at + (uint64_t)(hit - p);
			if (record_header_ok(sc->pack, *next, &h))
				return 0;
			hit++;
		}
		at += got - RECORD_HEADER + 1;
	}
	*next = sc->size;
	return 0;
}

static int scan_bad(struct scan *sc, const uint8_t *p, size_t got, enum scan_kind *kind, struct err *err)
{
	static const uint32_t magic = RECORD_MAGIC;
	bool torn = got < RECORD_HEADER && !memcmp(p, &magic, got < sizeof(magic) ? got : sizeof(magic));
	if (!torn && zero_to_end(sc, &torn, err))
		return -1;
	uint64_t next = sc->size;
	if (!torn && resync(sc, &next, err))
		return -1;
	*kind = torn ? SCAN_TORN : SCAN_GAP;
	sc->length = next - sc->pos;
	sc->pos = next;
	return 0;
}

int scan_next(struct scan *sc, enum scan_kind *kind, struct err *err)
{
	sc->at = sc->pos;
	sc->length = 0;
	*kind = SCAN_END;
	if (sc->pos >= sc->size)
		return 0;
	size_t got = 0;
	const uint8_t *p = window_at(sc, sc->pos, RECORD_HEADER, &got, err);
	if (!p)
		return -1;
	if (!got) {
		/* it became shorter while we looked */
		sc->pos = sc->size;
		return 0;
	}
	if (got == RECORD_HEADER)
		memcpy(&sc->h, p, sizeof(sc->h));
	if (got < RECORD_HEADER || !record_header_ok(sc->pack, sc->pos, &sc->h))
		return scan_bad(sc, p, got, kind, err);
	sc->length = RECORD_HEADER + (uint64_t)sc->h.stored;
	*kind = SCAN_TORN;
	if (sc->pos + sc->length <= sc->size) {
		*kind = SCAN_RECORD;
		sc->body = NULL;
	}
	if (*kind == SCAN_RECORD && sc->bodies) {
		p = window_at(sc, sc->pos, (size_t)sc->length, &got, err);
		if (!p)
			return -1;
		sc->body = p + RECORD_HEADER;
		if (got < sc->length || crc32c(0, sc->body, sc->h.stored) != sc->h.body_crc)
			*kind = got < sc->length ? SCAN_TORN : SCAN_DAMAGED;
	}
	sc->pos = *kind == SCAN_TORN ? sc->size : sc->pos + sc->length;
	return 0;
}

struct idx_entry scan_entry(const struct scan *sc)
{
	return (struct idx_entry){ .id = sc->h.id,
		.offset = (uint32_t)sc->at,
		.plain = sc->h.plain,
		.stored = sc->h.stored,
		.kind = sc->h.kind,
		.flags = sc->h.flags };
}
