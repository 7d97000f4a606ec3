#include "cli/fs/print.h"

#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/b64.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- documents ---- */

void doc_init(struct doc *d)
{
	buf_init(&d->text);
	jw_init(&d->w, &d->text);
}

js *doc_take(struct doc *d, struct err *err)
{
	/* our own text: as large as it is */
	struct js_limits limits = { .bytes = BUF_MAX, .depth = 64, .members = UINT_MAX };
	js *v = NULL;
	if (buf_failed(&d->text))
		err_set(err, ERR_LIMIT, "the answer is too long for one document");
	else
		v = js_parse(d->text.p, d->text.len, limits, err);
	buf_free(&d->text);
	return v;
}

int doc_print(struct cli *cli, struct doc *d, struct err *err)
{
	auto_js *v = doc_take(d, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	return 0;
}

int doc_show(struct cli *cli, struct doc *d, struct err *err)
{
	auto_js *v = doc_take(d, err);
	if (!v)
		return -1;
	cli_document(cli, v);
	if (!wants_doc(cli))
		render_block(&cli->out, v);
	return 0;
}

bool wants_doc(const struct cli *cli)
{
	return cli->format != FORMAT_TABLE;
}

void doc_hash(struct doc *d, const char *key, const struct hash *id)
{
	char hex[HASH_HEX + 1];
	jw_kstr(&d->w, key, id ? hash_hex(id, hex) : NULL);
}

void doc_name(struct doc *d, const char *key, const char *name, size_t n)
{
	jw_key(&d->w, key);
	jw_strn(&d->w, name, n);
	if (utf8_valid(name, n))
		return;
	auto_buf raw = BUF_INIT, b64 = BUF_INIT;
	buf_fmt(&raw, "raw%c%s", key[0] - ('a' - 'A'), key + 1);
	b64_encode(&b64, name, n);
	jw_kstr(&d->w, raw.p, b64.p);
}

void doc_time(struct doc *d, const char *key, int64_t wall_ms)
{
	char text[CLOCK_RFC3339_LEN];
	jw_kstr(&d->w, key, clock_rfc3339(wall_ms, text));
}

/* ---- entries ---- */

void print_short(struct buf *out, const struct hash *id)
{
	char hex[HASH_HEX + 1];
	buf_add(out, hash_hex(id, hex), SHORT_ID);
}

const char *entry_type(const struct entry *e)
{
	if (entry_is_link(e))
		return "symlink";
	switch (e->mode & S_IFMT) {
	case S_IFDIR:
		return "folder";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFBLK:
		return "block";
	case S_IFCHR:
		return "char";
	default:
		return "file";
	}
}

uint32_t child_mode(const struct child *c, bool is_dir)
{
	if (!is_dir)
		return c->file.mode & 07777;
	return c->has_file && entry_is_dir_mode(&c->file) ? c->file.mode & 07777 : OBJECT_DIR_MODE;
}

void print_mode(struct buf *out, const char *type, uint32_t mode)
{
	static const char bits[] = "rwxrwxrwx";
	static const struct {
		const char *type;
		char letter;
	} letters[] = { { "folder", 'd' }, { "symlink", 'l' }, { "fifo", 'p' }, { "socket", 's' }, { "block", 'b' },
		{ "char", 'c' } };
	char text[11] = "-";
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (strcmp(type, letters[i].type) == 0)
			text[0] = letters[i].letter;
	for (unsigned i = 0; i < 9; i++)
		text[1 + i] = mode & (0400u >> i) ? bits[i] : '-';
	if (mode & S_ISUID)
		text[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = mode & 0010 ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = mode & 0001 ? 't' : 'T';
	text[10] = '\0';
	buf_str(out, text);
}

void child_id(const struct child *c, bool is_dir, struct hash *out)
{
	if (is_dir)
		*out = c->dir;
	else
		entry_id(&c->file, out);
}

void doc_child(struct doc *d, const char *name, size_t n, const struct child *c, bool is_dir)
{
	auto_buf mode = BUF_INIT;
	struct hash id;
	doc_name(d, "name", name, n);
	jw_kstr(&d->w, "type", is_dir ? "folder" : entry_type(&c->file));
	buf_fmt(&mode, "%04o", child_mode(c, is_dir));
	jw_kstr(&d->w, "mode", mode.p);
	jw_kint(&d->w, "size", is_dir ? 0 : (int64_t)c->file.size);
	child_id(c, is_dir, &id);
	doc_hash(d, "id", &id);
	if (!is_dir && entry_is_link(&c->file))
		doc_name(d, "target", c->file.link, c->file.link_len);
}

void print_path(struct buf *out, const char *path, size_t n)
{
	if (!isatty(STDOUT_FILENO)) {
		buf_add(out, path, n);
		return;
	}
	auto_free char *text = mem_strndup(path, n);
	text_safe(out, text);
}

void print_time(struct buf *out, int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[64];
	if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm))
		buf_str(out, text);
}
