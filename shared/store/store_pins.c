/* store: pins, one small text file that is replaced as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/store/crc.h"
#include "shared/store/store_internal.h"

enum { PIN_NAME_MAX = 255, PINS_MAX = 256 << 20, HEAD = 20 };

/* "sbx pins 1 0123abcd\n", then "HASH NAME\n" for each; the eight digits are the checksum of what follows. */
static void render_head(const char *text, size_t n, char out[HEAD + 1])
{
	snprintf(out, HEAD + 1, "sbx pins 1 %08x\n", crc32c(0, text, n));
}

static int read_pins(struct store *s, struct buf *out, struct err *err)
{
	auto_free char *path = fs_join(s->path, "pins");
	struct err why = ERR_INIT;
	char head[HEAD + 1] = "";
	if (fs_read(path, PINS_MAX, out, &why)) {
		if (why.sys == ENOENT)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	if (out->len >= HEAD && !strncmp(out->p, "sbx pins ", 9) && strncmp(out->p, "sbx pins 1 ", 11) != 0)
		return err_set(
			err, ERR_UNAVAILABLE, "the pins of '%s' have a format that this version of sbx does not know", s->path);
	if (out->len >= HEAD)
		render_head(out->p + HEAD, out->len - HEAD, head);
	if (out->len < HEAD || memcmp(out->p, head, HEAD) != 0)
		return err_set(err, ERR_IO, "the pins of '%s' are damaged ('%s')", s->path, path);
	buf_drop(out, HEAD);
	return 0;
}

/* The next line: id and name (terminated in place). False at the end. */
static bool next_pin(char **at, struct hash *id, char **name)
{
	char *line = *at, *end = strchr(line, '\n');
	if (!end || end - line < HASH_HEX + 2)
		return false;
	*end = line[HASH_HEX] = '\0';
	*name = line + HASH_HEX + 1;
	*at = end + 1;
	return hash_parse(line, id);
}

static void add_pin(struct buf *out, const struct hash *id, const char *name)
{
	char hex[HASH_HEX + 1];
	buf_fmt(out, "%s %s\n", hash_hex(id, hex), name);
}

/* With id: set it; without: take it away. *had tells whether there was one. */
static int rewrite(struct store *s, const char *name, const struct hash *id, bool *had, struct err *err)
{
	auto_buf old = BUF_INIT;
	auto_buf text = BUF_INIT;
	auto_buf file = BUF_INIT;
	struct hash pinned;
	char *at, *is, head[HEAD + 1];
	if (read_pins(s, &old, err))
		return -1;
	at = old.p;
	*had = false;
	while (next_pin(&at, &pinned, &is)) {
		bool same = !strcmp(is, name);
		*had = *had || same;
		if (!same)
			add_pin(&text, &pinned, is);
	}
	if (id)
		add_pin(&text, id, name);
	if (!id && !*had)
		return err_set(err, ERR_NOT_FOUND, "there is no pin '%s'", name);
	render_head(text.p, text.len, head);
	buf_add(&file, head, HEAD);
	buf_add(&file, text.p, text.len);
	if (buf_failed(&text) || buf_failed(&file))
		return err_set(err, ERR_IO, "no memory for the pins");
	auto_free char *path = fs_join(s->path, "pins");
	return fs_write_atomic(path, file.p, file.len, 0644, err);
}

static int check_name(const char *name, struct err *err)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return err_set(err, ERR_INVALID, "the name of a pin cannot have control characters");
	return n && n <= PIN_NAME_MAX ? 0 : err_set(err, ERR_INVALID, "the name of a pin has 1 to %d bytes", PIN_NAME_MAX);
}

static int change(struct store *s, const char *name, const struct hash *id, struct err *err)
{
	bool own, had;
	char hex[HASH_HEX + 1];
	if (check_name(name, err) || store_enter(s, &own, err))
		return -1;
	int rc = 0;
	if (id && !store_has(s, id))
		rc = err_set(err, ERR_NOT_FOUND, "object '%s' is not in the store", hash_hex(id, hex));
	/* what is pinned must be durable before its pin is */
	if (!rc && id && !own)
		rc = store_checkpoint(s, err);
	if (!rc)
		rc = rewrite(s, name, id, &had, err);
	return store_leave(s, own, rc, err);
}

int store_pin(struct store *s, const char *name, const struct hash *id, struct err *err)
{
	return change(s, name, id, err);
}

int store_unpin(struct store *s, const char *name, struct err *err)
{
	return change(s, name, NULL, err);
}

int store_each_pin(struct store *s, int (*each)(void *arg, const char *name, const struct hash *id), void *arg, struct err *err)
{
	auto_buf text = BUF_INIT;
	struct hash id;
	char *name;
	if (read_pins(s, &text, err))
		return -1;
	char *at = text.p;
	int rc = 0;
	while (!rc && next_pin(&at, &id, &name))
		rc = each(arg, name, &id);
	return rc;
}
