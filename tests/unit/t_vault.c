/* link: daemon/core/vault?*.c daemon/core/vault.c daemon/core/change_tree.c daemon/image/erofs.c daemon/image/fsimage.c shared/wire/changes.c shared/store/?*.c | -luv -lzstd -lpthread */
/* The vault: what its threads do when others use the store, when callers leave, and when it is closed in the middle. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/core/vault.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/store/tree.h"

struct world {
	char dir[32];
	char *path;
	uv_loop_t loop;
	struct vault *v;
};

static void world_init(struct world *w)
{
	strcpy(w->dir, "/tmp/sbx-v.XXXXXX"); /* lint: allow */
	assert_non_null(mkdtemp(w->dir));
	w->path = fs_join(w->dir, "store");
	uv_loop_init(&w->loop);
	w->v = vault_new(&w->loop, w->path);
}

static void world_free(struct world *w)
{
	struct err err = ERR_INIT;
	vault_close(w->v);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	assert_int_equal(fs_remove_tree(w->dir, &err), 0);
	free(w->path);
}

/* Let the loop run until *what is set. */
static void run_until(struct world *w, const bool *what)
{
	int64_t end = clock_mono_ms() + 20000;
	while (!*what && clock_mono_ms() < end)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_true(*what);
}

/* ---- moves ---- */

struct mover {
	struct vault_move q;
	char name[16];
	bool done;
};

static void on_moved(struct vault_op *op)
{
	((struct mover *)op)->done = true;
}

static void start_move(struct world *w, struct mover *m, const char *name, uint8_t to)
{
	*m = (struct mover){ 0 };
	snprintf(m->name, sizeof(m->name), "%s", name);
	m->q.name = m->name;
	memset(&m->q.to, to, sizeof(m->q.to));
	m->q.when = VAULT_ANY;
	m->q.what = LABEL_PUSH;
	m->q.missing_ok = true;
	m->q.op.done = on_moved;
	vault_move(w->v, &m->q);
}

static void t_moves(void **state)
{
	struct world w;
	static struct mover many[500];
	(void)state;
	world_init(&w);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		char name[16];
		snprintf(name, sizeof(name), "label%zu", i % 7);
		start_move(&w, &many[i], name, (uint8_t)i);
		assert_false(many[i].done);
	}
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		run_until(&w, &many[i].done);
		assert_false(many[i].q.op.failed);
		assert_int_equal(many[i].q.how, VAULT_MOVED);
		assert_int_equal(many[i].q.exists, i >= 7);
	}
	world_free(&w);
}

/* Another process writes: moves wait for it, and it waits for nobody. */
static void t_writer_elsewhere(void **state)
{
	struct world w;
	struct mover m;
	struct err err = ERR_INIT;
	(void)state;
	world_init(&w);
	struct store *other = store_open(w.path, true, &err);
	assert_non_null(other);
	assert_int_equal(store_begin(other, true, &err), 0);
	start_move(&w, &m, "x", 1);
	for (int i = 0; i < 20; i++) {
		uv_run(&w.loop, UV_RUN_NOWAIT);
		usleep(1000);
		assert_false(m.done);
	}
	assert_int_equal(store_end(other, &err), 0);
	run_until(&w, &m.done);
	assert_false(m.q.op.failed);
	store_close(other);
	world_free(&w);
}

static void t_two_daemons(void **state)
{
	struct world w;
	struct mover m;
	(void)state;
	world_init(&w);
	start_move(&w, &m, "x", 1);
	run_until(&w, &m.done);
	struct vault *first = w.v;
	w.v = vault_new(&w.loop, w.path);
	start_move(&w, &m, "x", 2);
	run_until(&w, &m.done);
	assert_true(m.q.op.failed);
	assert_int_equal(m.q.op.err.code, ERR_CONFLICT);
	vault_close(first);
	start_move(&w, &m, "x", 3);
	run_until(&w, &m.done);
	assert_false(m.q.op.failed);
	world_free(&w);
}

/* Closed with work before it: everybody hears of his. */
static void t_close(void **state)
{
	struct world w;
	static struct mover many[200];
	(void)state;
	world_init(&w);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		start_move(&w, &many[i], "x", (uint8_t)i);
	world_free(&w);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_true(many[i].done);
		if (many[i].q.op.failed)
			assert_int_equal(many[i].q.op.err.code, ERR_UNAVAILABLE);
	}
}

/* The folder cannot be made: an error, each time it is asked for; and it works when it can. */
static void t_no_store(void **state)
{
	struct world w;
	struct mover m;
	(void)state;
	world_init(&w);
	int fd = open(w.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	for (int i = 0; i < 2; i++) {
		start_move(&w, &m, "x", 1);
		run_until(&w, &m.done);
		assert_true(m.q.op.failed);
	}
	unlink(w.path);
	start_move(&w, &m, "x", 1);
	run_until(&w, &m.done);
	assert_false(m.q.op.failed);
	world_free(&w);
}

/* ---- streams ---- */

#define BIG ((size_t)3 << 20)

/* A tree with one file of BIG bytes, and what vault_read wants of it. */
static void make_big(struct world *w, struct vault_file *out)
{
	struct err err = ERR_INIT;
	struct store *s = store_open(w->path, true, &err);
	auto_free char *data = mem_array(BIG, 1);
	struct entry e;
	assert_non_null(s);
	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(store_begin(s, true, &err), 0);
	struct tree_file *f = tree_file_new(s, OBJECT_FILE_MODE);
	assert_int_equal(tree_file_add(f, data, BIG, &err), 0);
	assert_int_equal(tree_file_end(f, &e, &err), 0);
	struct tree_edit edit = { .path = "big", .file = &e };
	assert_int_equal(tree_apply(s, &object_empty, &edit, 1, &out->tree, &err), 0);
	tree_file_free(f);
	assert_int_equal(store_end(s, &err), 0);
	store_close(s);
	out->path = "big";
}

struct reader {
	struct vault_stream *st;
	size_t got, pause_at; /* pause once at so much */
	bool paused, ended, failed;
};

static bool on_data(void *arg, const void *data, size_t n)
{
	struct reader *r = arg;
	(void)data;
	assert_false(r->paused);
	r->got += n;
	r->paused = r->pause_at && r->got >= r->pause_at;
	return !r->paused;
}

static void on_end(void *arg, const struct err *err)
{
	struct reader *r = arg;
	assert_false(r->paused);
	r->ended = true;
	r->failed = err != NULL;
}

static const struct vault_stream_ops ops = { .on_data = on_data, .on_end = on_end };

static void t_streams(void **state)
{
	struct world w;
	struct vault_file file = { 0 };
	static struct reader many[VAULT_STREAMS + 20];
	(void)state;
	world_init(&w);
	make_big(&w, &file);
	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].pause_at = i % 3 == 0 ? 1 : 0;
		many[i].st = vault_read(w.v, &file, i, BIG - i, &ops, &many[i]);
	}
	/* some leave, running or waiting for a place */
	for (size_t i = 1; i < ARRAY_LEN(many); i += 7)
		vault_stream_close(many[i].st);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		struct reader *r = &many[i];
		if (i % 7 == 1)
			continue;
		if (r->pause_at) {
			run_until(&w, &r->paused);
			r->pause_at = 0;
			r->paused = false;
			vault_stream_resume(r->st);
		}
		run_until(&w, &r->ended);
		assert_false(r->failed);
		assert_int_equal(r->got, BIG - i);
		vault_stream_close(r->st);
	}
	world_free(&w);
}

/* The vault is closed under streams that are paused, that run and that wait: all end with an error. */
static void t_streams_closed(void **state)
{
	struct world w;
	struct vault_file file = { 0 };
	static struct reader many[VAULT_STREAMS + 5];
	(void)state;
	world_init(&w);
	make_big(&w, &file);
	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].pause_at = 1;
		many[i].st = vault_read(w.v, &file, 0, BIG, &ops, &many[i]);
	}
	run_until(&w, &many[0].paused);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].pause_at = 0;
		many[i].paused = false;
	}
	vault_close(w.v);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		assert_true(many[i].ended);
		assert_true(many[i].failed);
		vault_stream_close(many[i].st);
	}
	w.v = NULL;
	world_free(&w);
}

/* ---- gc and the hold ---- */

struct collector {
	struct vault_gc q;
	bool done;
};

static void on_swept(struct vault_op *op)
{
	((struct collector *)op)->done = true;
}

struct asker {
	struct vault_have q;
	bool done;
};

static void on_have(struct vault_op *op)
{
	((struct asker *)op)->done = true;
}

static void collect(struct world *w, struct collector *c)
{
	*c = (struct collector){ 0 };
	c->q.op.done = on_swept;
	vault_gc(w->v, &c->q);
	run_until(w, &c->done);
}

static void t_hold(void **state)
{
	struct world w;
	struct collector c;
	struct asker a = { 0 };
	struct vault_file file = { 0 };
	bool have = false;
	(void)state;
	world_init(&w);
	make_big(&w, &file);
	a.q.ids = &file.tree;
	a.q.n = 1;
	a.q.have = &have;
	a.q.op.done = on_have;
	vault_have(w.v, &a.q);
	run_until(&w, &a.done);
	assert_true(have);
	collect(&w, &c); /* somebody was told that the tree is here */
	assert_true(c.q.op.failed);
	assert_int_equal(c.q.op.err.code, ERR_CONFLICT);
	vault_close(w.v);
	w.v = vault_new(&w.loop, w.path);
	collect(&w, &c);
	assert_false(c.q.op.failed);
	assert_true(c.q.out.removed > 1);
	a.done = false;
	vault_have(w.v, &a.q);
	run_until(&w, &a.done);
	assert_false(have);
	world_free(&w);
}

/* ---- uploads ---- */

struct uploader {
	bool ended, failed, room;
	struct remote_counts counts;
};

static void on_room(void *arg)
{
	((struct uploader *)arg)->room = true;
}

static void on_stored(void *arg, const struct remote_counts *counts, const struct err *err)
{
	struct uploader *u = arg;
	u->ended = true;
	u->failed = err != NULL;
	if (counts)
		u->counts = *counts;
}

static int add_bytes(void *arg, const void *data, size_t n, struct err *err)
{
	(void)err;
	buf_add(arg, data, n);
	return 0;
}

static void t_upload(void **state)
{
	static const struct vault_upload_ops upload_ops = { .on_room = on_room, .on_end = on_stored };
	struct world from, to;
	struct vault_file file = { 0 };
	struct err err = ERR_INIT;
	struct remote_counts sent;
	auto_buf stream = BUF_INIT;
	(void)state;
	world_init(&from);
	world_init(&to);
	make_big(&from, &file);
	struct store *s = store_open(from.path, false, &err);
	assert_non_null(s);
	struct remote_peer peer = { .write = add_bytes, .arg = &stream };
	assert_int_equal(remote_send(s, &file.tree, 1, &peer, &sent, &err), 0);
	store_close(s);
	for (size_t cut = 0; cut < 2; cut++) { /* first left in the middle, then to its end */
		struct uploader u = { 0 };
		struct vault_upload *up = vault_upload_new(to.v, &upload_ops, &u, &err);
		size_t end = cut == 0 ? stream.len / 2 : stream.len, at = 0;
		while (at < end) {
			size_t n = vault_upload_write(up, stream.p + at, end - at < 100000 ? end - at : 100000);
			at += n;
			u.room = n > 0;
			run_until(&to, &u.room);
		}
		if (cut > 0) {
			vault_upload_end(up);
			run_until(&to, &u.ended);
			assert_false(u.failed);
			assert_int_equal(u.counts.objects, sent.objects);
		}
		vault_upload_close(up);
		assert_int_equal(u.ended, cut > 0);
	}
	world_free(&from);
	world_free(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_moves),
		cmocka_unit_test(t_writer_elsewhere),
		cmocka_unit_test(t_two_daemons),
		cmocka_unit_test(t_close),
		cmocka_unit_test(t_no_store),
		cmocka_unit_test(t_streams),
		cmocka_unit_test(t_streams_closed),
		cmocka_unit_test(t_hold),
		cmocka_unit_test(t_upload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
