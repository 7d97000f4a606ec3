/*
 * label: moves. Within an open write they are kept in memory until its end, which first makes the objects durable, then appends the
 * records, so that no label can lead to what a crash took; all moves of one label in one write cost one fdatasync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/label_internal.h"

struct moved {
	char file[HASH_HEX + 1];
	char *name;
	struct buf records;
	struct label_state state; /* after them */
};
struct moves {
	struct moved *v;
	size_t n, cap;
};

void label_drop(struct store *s)
{
	struct moves *m = s->moves;
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		buf_free(&m->v[i].records);
		free(m->v[i].name);
	}
	free(m->v);
	free(m);
	s->moves = NULL;
}

static struct moved *find_moved(struct store *s, const char *name)
{
	struct moves *m = s->moves;
	for (size_t i = 0; m && i < m->n; i++)
		if (!strcmp(m->v[i].name, name))
			return &m->v[i];
	return NULL;
}

static struct moved *add_moved(struct store *s, const char *name, const struct label_state *state)
{
	struct moved *v = find_moved(s, name);
	if (v)
		return v;
	if (!s->moves)
		s->moves = mem_zalloc(sizeof(*s->moves));
	struct moves *m = s->moves;
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 8;
		m->v = mem_grow(m->v, m->cap, sizeof(*m->v));
	}
	v = &m->v[m->n++];
	*v = (struct moved){ .name = mem_strdup(name), .records = BUF_INIT, .state = *state };
	label_file_name(name, v->file);
	return v;
}

static int append_records(struct store *s, const struct moved *m, struct err *err)
{
	struct stat st;
	uint64_t keep = m->state.keep;
	auto_fd int fd = openat(s->labels_fd, m->file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(err, errno, "cannot open label '%s'", m->name);
	/* half a record that a killed writer left */
	if ((uint64_t)st.st_size > keep && ftruncate(fd, (off_t)keep))
		return err_sys(err, errno, "cannot cut the end of label '%s'", m->name);
	ssize_t put = pwrite(fd, m->records.p, m->records.len, (off_t)keep);
	int sys = put == (ssize_t)m->records.len ? 0 : put < 0 ? errno : ENOSPC;
	if (!sys && fdatasync(fd))
		sys = errno;
	if (!sys)
		return 0;
	(void)!ftruncate(fd, (off_t)keep);
	return err_sys(err, sys, "cannot write label '%s'", m->name);
}

int label_flush(struct store *s, struct err *err)
{
	struct moves *m = s->moves;
	bool created = false;
	int rc = 0;
	for (size_t i = 0; m && i < m->n && !rc; i++) {
		created = created || !m->v[i].state.keep;
		rc = buf_failed(&m->v[i].records) ? err_set(err, ERR_IO, "no memory for label '%s'", m->v[i].name)
						  : append_records(s, &m->v[i], err);
	}
	if (!rc && created && fsync(s->labels_fd))
		rc = err_sys(err, errno, "cannot sync the labels of '%s'", s->path);
	label_drop(s);
	return rc;
}

int label_settle(struct store *s, struct err *err)
{
	return s->moves ? store_checkpoint(s, err) : 0;
}

static void state_of(const struct label_record *r, struct label_state *out)
{
	out->exists = true;
	out->head = *r->to;
	out->at = r->at;
}

int label_state_read(struct store *s, const char *name, struct label_state *out, struct err *err)
{
	char file[HASH_HEX + 1];
	auto_buf bytes = BUF_INIT;
	struct label_record r;
	const struct moved *m = find_moved(s, name);
	*out = (struct label_state){ 0 };
	if (m) {
		*out = m->state;
		return 0;
	}
	label_file_name(name, file);
	int rc = label_file_last(s, file, &bytes, &r, &out->keep, err);
	if (!rc)
		state_of(&r, out);
	if (rc != 2)
		return rc < 0 ? -1 : 0;
	struct label_file f;
	rc = label_file_read(s, file, &f, err);
	out->keep = f.keep;
	out->damaged = f.damaged_last;
	if (!rc && f.n)
		state_of(&f.v[f.n - 1], out);
	out->exists = out->exists || f.damaged_last;
	label_file_free(&f);
	return rc < 0 ? -1 : 0;
}

static int check_message(const char *text, struct err *err)
{
	size_t n = text ? strlen(text) : 0;
	if (n > LABEL_MESSAGE_MAX)
		return err_set(err, ERR_INVALID, "the message is too long: %zu bytes (max %d)", n, LABEL_MESSAGE_MAX);
	return n == 0 || utf8_valid(text, n) ? 0 : err_set(err, ERR_INVALID, "the message is not valid UTF-8");
}

static bool as_expected(const struct label_move *m, const struct label_state *is)
{
	if (m->any)
		return true;
	if (m->expected)
		return is->exists && hash_eq(m->expected, &is->head);
	return !is->exists;
}

static void tell(const struct label_state *is, struct hash *current, bool *exists)
{
	if (current)
		*current = is->head;
	if (exists)
		*exists = is->exists;
}

/* The record goes to the open write. */
static void add_record(struct store *s, const struct label_move *m, struct label_state *is, bool absent)
{
	struct moved *v = add_moved(s, m->name, is);
	struct label_record r = { .op = (uint8_t)m->op,
		.at = clock_wall_ms(),
		.to = &m->to,
		.other = m->other,
		.name = m->name,
		.message = m->message,
		.name_len = strlen(m->name),
		.message_len = m->message ? strlen(m->message) : 0 };
	if (m->op == LABEL_PUSH && !is->exists)
		r.op = LABEL_CREATE;
	r.from = is->exists ? &is->head : NULL;
	r.flags = (uint8_t)((r.from ? LABEL_FROM : 0) | (r.other ? LABEL_OTHER : 0) | (r.message ? LABEL_TEXT : 0) |
		(absent ? LABEL_ABSENT : 0));
	label_record_render(&r, &v->records);
	is->exists = true;
	is->damaged = false;
	is->head = m->to;
	is->at = r.at;
	v->state = *is;
}

static int move_now(struct store *s, const struct label_move *m, struct hash *current, bool *exists, struct err *err)
{
	struct label_state is;
	char hex[HASH_HEX + 1], file[HASH_HEX + 1];
	bool absent = !store_has(s, &m->to);
	if (absent && !m->missing_ok)
		return err_set(err, ERR_NOT_FOUND, "tree '%s' is not in the store", hash_hex(&m->to, hex));
	if (label_state_read(s, m->name, &is, err))
		return -1;
	/* whoever moves it whatever it is may mend it so */
	if (is.damaged && !m->any) {
		label_file_name(m->name, file);
		return label_damaged(s, m->name, file, is.keep, err);
	}
	bool moves = as_expected(m, &is);
	if (moves)
		add_record(s, m, &is, absent);
	tell(&is, current, exists);
	return moves ? 0 : 1;
}

int label_move(struct store *s, const struct label_move *m, struct hash *current, bool *exists, struct err *err)
{
	bool own;
	if (label_check(m->name, err) || check_message(m->message, err) || store_enter(s, &own, err))
		return -1;
	int rc = move_now(s, m, current, exists, err);
	if (own && (rc ? (store_abort(s), 0) : store_end(s, err)))
		return -1;
	return rc;
}

int label_remove(struct store *s, const char *name, const struct hash *expected, struct err *err)
{
	bool own;
	struct label_state is;
	char file[HASH_HEX + 1];
	if (label_check(name, err) || store_enter(s, &own, err))
		return -1;
	label_file_name(name, file);
	int rc = label_settle(s, err) || label_state_read(s, name, &is, err) ? -1 : 0;
	if (!rc && !is.exists)
		rc = err_set(err, ERR_NOT_FOUND, "there is no label '%s'", name);
	else if (!rc && expected && (is.damaged || !hash_eq(expected, &is.head)))
		rc = err_set(err, ERR_CONFLICT, "label '%s' has moved meanwhile", name);
	else if (!rc && (unlinkat(s->labels_fd, file, 0) || fsync(s->labels_fd)))
		rc = err_sys(err, errno, "cannot remove label '%s'", name);
	return store_leave(s, own, rc, err);
}

/* The record says the new name before the file has it: until then it does not count. */
static int rename_now(struct store *s, const char *from, const char *to, struct err *err)
{
	struct label_state is, other;
	char old_file[HASH_HEX + 1], new_file[HASH_HEX + 1];
	label_file_name(from, old_file);
	label_file_name(to, new_file);
	if (label_settle(s, err) || label_state_read(s, from, &is, err) || label_state_read(s, to, &other, err))
		return -1;
	if (!is.exists)
		return err_set(err, ERR_NOT_FOUND, "there is no label '%s'", from);
	if (is.damaged)
		return label_damaged(s, from, old_file, is.keep, err);
	if (other.exists)
		return err_set(err, ERR_CONFLICT, "there is a label '%s' already", to);
	struct moved m = { .name = mem_strdup(from), .records = BUF_INIT, .state = is };
	memcpy(m.file, old_file, sizeof(old_file));
	struct label_record r = { .op = LABEL_RENAME,
		.flags = LABEL_FROM,
		.at = clock_wall_ms(),
		.from = &is.head,
		.to = &is.head,
		.name = to,
		.name_len = strlen(to) };
	label_record_render(&r, &m.records);
	int rc = append_records(s, &m, err);
	buf_free(&m.records);
	free(m.name);
	/* at most half a record of a killed writer is replaced */
	if (!rc && (renameat(s->labels_fd, old_file, s->labels_fd, new_file) || fsync(s->labels_fd)))
		rc = err_sys(err, errno, "cannot rename label '%s'", from);
	return rc;
}

int label_rename(struct store *s, const char *from, const char *to, struct err *err)
{
	bool own;
	if (label_check(from, err) || label_check(to, err) || store_enter(s, &own, err))
		return -1;
	return store_leave(s, own, rename_now(s, from, to, err), err);
}
