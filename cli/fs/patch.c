#include "cli/fs/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/render/text.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define TEXT_MAX ((size_t)32 << 20) /* of a side; what is longer is not compared by lines */

/* ---- content ---- */

static bool is_text_size(const struct entry *e)
{
	return !e || e->size <= TEXT_MAX;
}

/* A file of the folder, as long as it is what it was a moment ago. */
static int read_folder(const struct patcher *p, const char *path, struct buf *out, struct err *err)
{
	auto_free char *full = fs_join(p->folder, path);
	auto_fd int fd = open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "cannot read '%s'", full);
	for (;;) {
		char *room = buf_reserve(out, 64 << 10);
		ssize_t n = room && out->len <= TEXT_MAX ? read(fd, room, 64 << 10) : -1;
		if (!room || out->len > TEXT_MAX)
			return err_set(err, ERR_TOO_LARGE, "'%s' is too long to compare", full);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", full);
		if (n == 0)
			return 0;
		buf_commit(out, (size_t)n);
	}
}

static int read_new(const struct patcher *p, const struct diff_item *item, struct buf *out, struct err *err)
{
	const struct entry *e = item->new;
	if (!e)
		return 0;
	if (p->folder && entry_is_file(e) && (e->chunked || (e->size && !e->data)))
		return read_folder(p, item->path, out, err);
	return tree_read_all(p->s, e, TEXT_MAX, out, err);
}

static int read_old(const struct patcher *p, const struct diff_item *item, struct buf *out, struct err *err)
{
	return item->old ? tree_read_all(p->s, item->old, TEXT_MAX, out, err) : 0;
}

/* Both sides as texts: 1, 0 when they are none, -1. */
static int read_texts(const struct patcher *p, const struct diff_item *item, struct buf *old, struct buf *new, struct err *err)
{
	if (!is_text_size(item->old) || !is_text_size(item->new))
		return 0;
	if (read_old(p, item, old, err) || read_new(p, item, new, err))
		return -1;
	return text_is(old->p, old->len) && text_is(new->p, new->len);
}

/* ---- headers ---- */

/* As git quotes: only where a name would break the line or look quoted itself. */
static void put_name(struct buf *out, const char *prefix, const char *path)
{
	bool odd = false;
	for (const char *c = path; *c && !odd; c++)
		odd = (unsigned char)*c < 32 || *c == 127 || *c == '"' || *c == '\\';
	buf_fmt(out, "%s%s", odd ? "\"" : "", prefix);
	for (const char *c = path; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_fmt(out, "\\%c", *c);
		else if (*c == '\n' || *c == '\t')
			buf_str(out, *c == '\n' ? "\\n" : "\\t");
		else if ((unsigned char)*c < 32 || *c == 127)
			buf_fmt(out, "\\%03o", (unsigned char)*c);
		else
			buf_ch(out, *c);
	}
	if (odd)
		buf_ch(out, '"');
}

static unsigned git_mode(const struct entry *e)
{
	if (entry_is_link(e))
		return 0120000;
	return (e->mode & S_IFMT ? e->mode & S_IFMT : S_IFREG) | (e->mode & 07777);
}

static void put_header(const struct diff_item *item, struct buf *out)
{
	const char *old_path = item->old_path ? item->old_path : item->path;
	buf_str(out, "diff --git ");
	put_name(out, "a/", old_path);
	buf_ch(out, ' ');
	put_name(out, "b/", item->path);
	buf_ch(out, '\n');
	if (!item->old)
		buf_fmt(out, "new file mode %06o\n", git_mode(item->new));
	else if (!item->new)
		buf_fmt(out, "deleted file mode %06o\n", git_mode(item->old));
	else if (git_mode(item->old) != git_mode(item->new))
		buf_fmt(out, "old mode %06o\nnew mode %06o\n", git_mode(item->old), git_mode(item->new));
	if (!item->old_path)
		return;
	buf_str(out, "similarity index 100%\nrename from ");
	put_name(out, "", old_path);
	buf_str(out, "\nrename to ");
	put_name(out, "", item->path);
	buf_ch(out, '\n');
}

/* Folders are no part of git's patches: a line for people, which git apply and patch pass over. */
static void put_folder(const struct diff_item *item, struct buf *out)
{
	buf_str(out, "folder ");
	put_name(out, "", item->path);
	if (item->kind == DIFF_ADDED || item->kind == DIFF_REMOVED)
		buf_fmt(out, " was %s\n", item->kind == DIFF_ADDED ? "added" : "removed");
	else
		buf_fmt(out, " has mode %04o, had %04o\n", item->new ? item->new->mode & 07777 : OBJECT_DIR_MODE,
			item->old ? item->old->mode & 07777 : OBJECT_DIR_MODE);
}

static bool is_folder(const struct diff_item *item)
{
	return (!item->old || entry_is_dir_mode(item->old)) && (!item->new || entry_is_dir_mode(item->new));
}

static bool is_same_type(const struct diff_item *item)
{
	return !item->old || !item->new || (git_mode(item->old) & S_IFMT) == (git_mode(item->new) & S_IFMT);
}

static bool is_same_content(const struct entry *a, const struct entry *b)
{
	struct entry x = *a;
	x.mode = b->mode;
	return entry_eq(&x, b);
}

/* ---- the patch ---- */

static int put_content(const struct patcher *p, const struct diff_item *item, struct buf *out, struct err *err)
{
	auto_buf old = BUF_INIT, new = BUF_INIT;
	auto_free char *a = item->old ? mem_printf("a/%s", item->old_path ? item->old_path : item->path) : mem_strdup("/dev/null");
	auto_free char *b = item->new ? mem_printf("b/%s", item->path) : mem_strdup("/dev/null");
	struct diff_options o = { .old_name = a, .new_name = b, .context = 3, .style = DIFF_NATIVE };
	int text = read_texts(p, item, &old, &new, err);
	if (text < 0)
		return -1;
	if (text)
		return diff_text((struct text){ old.p, old.len }, (struct text){ new.p, new.len }, &o, out, err);
	buf_str(out, "Binary files ");
	put_name(out, item->old ? "a/" : "", item->old ? a + 2 : a);
	buf_str(out, " and ");
	put_name(out, item->new ? "b/" : "", item->new ? b + 2 : b);
	buf_str(out, " differ\n");
	return 0;
}

int patch_write(const struct patcher *p, const struct diff_item *item, struct buf *out, struct err *err)
{
	if (is_folder(item)) {
		put_folder(item, out);
		return 0;
	}
	if (!is_same_type(item)) {
		struct diff_item gone = { .kind = DIFF_REMOVED, .path = item->path, .old = item->old };
		struct diff_item came = { .kind = DIFF_ADDED, .path = item->path, .new = item->new };
		return patch_write(p, &gone, out, err) || patch_write(p, &came, out, err) ? -1 : 0; /* NOLINT(misc-no-recursion) */
	}
	put_header(item, out);
	if (item->old && item->new &&is_same_content(item->old, item->new))
		return 0;
	return put_content(p, item, out, err);
}

int patch_measure(const struct patcher *p, const struct diff_item *item, struct patch_size *out, struct err *err)
{
	auto_buf old = BUF_INIT, new = BUF_INIT;
	*out = (struct patch_size){ 0 };
	if (is_folder(item) || (item->old && item->new &&is_same_content(item->old, item->new)))
		return 0;
	int text = read_texts(p, item, &old, &new, err);
	if (text < 0)
		return -1;
	out->binary = !text;
	if (!text)
		return 0;
	return diff_count((struct text){ old.p, old.len }, (struct text){ new.p, new.len }, &out->added, &out->removed, err);
}

/* ---- colours ---- */

static const char *colour_of(const char *line, size_t n, bool in_hunk)
{
	if (n > 1 && line[0] == '@' && line[1] == '@')
		return "\033[36m";
	if (in_hunk && n && (line[0] == '+' || line[0] == '-'))
		return line[0] == '+' ? "\033[32m" : "\033[31m";
	return in_hunk ? "" : "\033[1m";
}

void patch_paint(struct buf *out, const char *text, size_t n)
{
	bool in_hunk = false;
	for (const char *end = text + n; text < end;) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t len = nl ? (size_t)(nl - text) : (size_t)(end - text);
		auto_free char *line = mem_strndup(text, len);
		bool hunk = str_starts(line, "@@");
		if (str_starts(line, "diff --git "))
			in_hunk = false;
		const char *colour = colour_of(line, len, in_hunk || hunk);
		in_hunk |= hunk;
		buf_str(out, colour);
		text_safe(out, line);
		buf_fmt(out, "%s\n", *colour ? "\033[m" : "");
		text += len + (nl != NULL);
	}
}
