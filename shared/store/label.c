/* label: names and reading. */
#include "shared/store/label.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/store/label_internal.h"

const char *label_op_name(enum label_op op)
{
	static const char *const names[] = { "create", "push", "reset", "force", "merge", "rename" };
	return (unsigned)op < ARRAY_LEN(names) ? names[op] : "unknown";
}

static int bad_name(struct err *err, const char *rule)
{
	return err_set(err, ERR_INVALID, "the name of a label %s", rule);
}

/* Parts between slashes. */
static bool parts_ok(const char *name)
{
	for (const char *p = name;; p++) {
		size_t n = strcspn(p, "/");
		if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

int label_check(const char *name, struct err *err)
{
	struct hash h;
	size_t n = strlen(name);
	if (!n || n > LABEL_MAX)
		return bad_name(err, "has 1 to 255 bytes");
	for (size_t i = 0; i < n;) {
		size_t step = utf8_len(name + i, n - i);
		unsigned char c = (unsigned char)name[i];
		if (!step)
			return bad_name(err, "is valid UTF-8");
		/* C0, DEL and C1 */
		if (c < 0x20 || c == 0x7f || (step == 2 && c == 0xc2 && (unsigned char)name[i + 1] < 0xa0))
			return bad_name(err, "has no control characters");
		i += step;
	}
	if (hash_parse(name, &h))
		return bad_name(err, "is not 64 hex digits: that is an id");
	if (name[0] == '-' || name[0] == '@')
		return bad_name(err, "does not begin with '-' or '@'");
	if (name[0] == ' ' || name[n - 1] == ' ')
		return bad_name(err, "has no spaces at its ends");
	if (strstr(name, "@{") || strpbrk(name, ":\\?*["))
		return bad_name(err, "has none of '@{', ':', '\\', '?', '*', '['");
	if (!parts_ok(name))
		return bad_name(err, "has no part between slashes that is empty, '.' or '..'");
	return 0;
}

static int no_label(const char *name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no label '%s'", name);
}

int label_head(struct store *s, const char *name, struct hash *out, struct err *err)
{
	struct label_state is;
	char file[HASH_HEX + 1];
	if (label_check(name, err) || label_state_read(s, name, &is, err))
		return -1;
	if (!is.exists)
		return no_label(name, err);
	label_file_name(name, file);
	if (is.damaged)
		return label_damaged(s, name, file, is.keep, err);
	*out = is.head;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

/* 0 taken, 1 none in this file, -1. */
static int take_label(struct store *s, const char *file, struct label *out, struct err *err)
{
	auto_buf bytes = BUF_INIT;
	struct label_record r;
	struct label_file f = { .bytes = BUF_INIT };
	uint64_t keep;
	int rc = label_file_last(s, file, &bytes, &r, &keep, err);
	if (rc == 2) {
		rc = label_file_read(s, file, &f, err);
		if (!rc && f.damaged_last) {
			auto_free char *name = f.n ? mem_strndup(f.v[f.n - 1].name, f.v[f.n - 1].name_len) : mem_strdup("?");
			rc = label_damaged(s, name, file, f.damaged_at, err);
		}
		if (!rc)
			r = f.v[f.n - 1];
	}
	if (!rc)
		*out = (struct label){ .name = mem_strndup(r.name, r.name_len), .head = *r.to, .at = r.at };
	label_file_free(&f);
	return rc;
}

int label_list(struct store *s, struct label_list *out, struct err *err)
{
	char **files;
	size_t n;
	*out = (struct label_list){ 0 };
	if (label_settle(s, err) || label_files(s, &files, &n, err))
		return -1;
	out->v = mem_array(n, sizeof(*out->v));
	int rc = 0;
	for (size_t i = 0; i < n; i++) {
		if (rc >= 0)
			rc = take_label(s, files[i], &out->v[out->n], err);
		out->n += rc == 0;
		free(files[i]);
	}
	free(files);
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_name);
	if (rc >= 0)
		return 0;
	label_list_free(out);
	return -1;
}

void label_list_free(struct label_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
	*l = (struct label_list){ 0 };
}

static int read_history(struct store *s, const char *name, struct label_file *f, struct err *err)
{
	char file[HASH_HEX + 1];
	*f = (struct label_file){ .bytes = BUF_INIT };
	if (label_check(name, err) || label_settle(s, err))
		return -1;
	label_file_name(name, file);
	int rc = label_file_read(s, file, f, err);
	return rc == 1 ? no_label(name, err) : rc;
}

static struct label_entry entry_of(const struct label_record *r)
{
	struct label_entry e = {
		.at = r->at, .op = (enum label_op)r->op, .to = *r->to, .has_from = r->from != NULL, .has_other = r->other != NULL
	};
	if (r->from)
		e.from = *r->from;
	if (r->other)
		e.other = *r->other;
	if (r->flags & LABEL_TEXT)
		e.message = mem_strndup(r->message, r->message_len);
	return e;
}

int label_log(struct store *s, const char *name, size_t limit, struct label_log *out, struct err *err)
{
	struct label_file f;
	*out = (struct label_log){ 0 };
	int rc = read_history(s, name, &f, err);
	if (!rc) {
		out->n = f.n < limit ? f.n : limit;
		out->v = mem_array(out->n, sizeof(*out->v));
		for (size_t i = 0; i < out->n; i++)
			out->v[i] = entry_of(&f.v[f.n - out->n + i]);
	}
	label_file_free(&f);
	return rc;
}

void label_log_free(struct label_log *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].message);
	free(l->v);
	*l = (struct label_log){ 0 };
}

int label_knows(struct store *s, const char *name, const struct hash *id, struct err *err)
{
	struct label_file f;
	int rc = read_history(s, name, &f, err);
	for (size_t i = 0; !rc && i < f.n; i++)
		rc = hash_eq(f.v[i].to, id) || (f.v[i].from && hash_eq(f.v[i].from, id));
	label_file_free(&f);
	return rc;
}
