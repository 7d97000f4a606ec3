#include "cli/fs/change.h"

#include <string.h>

#include "shared/base/mem.h"

const char *change_name(enum diff_kind kind)
{
	static const char *const names[] = { [DIFF_ADDED] = "added",
		[DIFF_REMOVED] = "removed",
		[DIFF_CHANGED] = "changed",
		[DIFF_MODE] = "mode",
		[DIFF_RENAMED] = "renamed" };
	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "?";
}

char change_letter(enum diff_kind kind)
{
	static const char letters[] = {
		[DIFF_ADDED] = 'A', [DIFF_REMOVED] = 'D', [DIFF_CHANGED] = 'M', [DIFF_MODE] = 'T', [DIFF_RENAMED] = 'R'
	};
	return (size_t)kind < sizeof(letters) ? letters[kind] : '?';
}

static bool is_folder(const struct diff_item *item)
{
	const struct entry *any = item->new ? item->new : item->old;
	return !any || entry_is_dir_mode(any);
}

static void side(struct doc *d, const char *key, const struct entry *e)
{
	auto_buf mode = BUF_INIT;
	struct hash id;
	if (!e)
		return;
	entry_id(e, &id);
	buf_fmt(&mode, "%04o", e->mode & 07777);
	jw_key(&d->w, key);
	jw_obj(&d->w);
	jw_kstr(&d->w, "type", entry_type(e));
	jw_kstr(&d->w, "mode", mode.p);
	jw_kint(&d->w, "size", (int64_t)e->size);
	doc_hash(d, "id", &id);
	jw_obj_end(&d->w);
}

void doc_change(struct doc *d, const struct diff_item *item)
{
	jw_kstr(&d->w, "change", change_name(item->kind));
	doc_name(d, "path", item->path, strlen(item->path));
	if (item->old_path)
		doc_name(d, "oldPath", item->old_path, strlen(item->old_path));
	jw_kbool(&d->w, "folder", is_folder(item));
	side(d, "old", item->old);
	side(d, "new", item->new);
}

void print_change(struct buf *out, const struct diff_item *item)
{
	buf_fmt(out, "%c  ", change_letter(item->kind));
	if (item->old_path) {
		print_path(out, item->old_path, strlen(item->old_path));
		buf_str(out, " -> ");
	}
	print_path(out, item->path, strlen(item->path));
	buf_str(out, is_folder(item) ? "/\n" : "\n");
}

int change_list_add(void *arg, const struct diff_item *item, struct err *err)
{
	struct change_list *l = arg;
	l->count++;
	if (!l->doc) {
		print_change(&l->cli->out, item);
		return l->cli->out.len >= (64 << 10) ? cli_flush(l->cli, err) : 0;
	}
	jw_obj(&l->doc->w);
	doc_change(l->doc, item);
	jw_obj_end(&l->doc->w);
	return 0;
}
