/* Templates: what capsules start from, and what is made of capsules. */
#include "daemon/api/wrenn/wrenn.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/core/catalog.h"
#include "daemon/core/snapshot.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BUILDS "build." /* begins the names of those that builds of images keep */

struct template
{
	const char *name, *type;
	int64_t vcpus, memory_mb, size, created_ms;
	bool platform;
};

static void write_template(struct jw *w, const struct template *t)
{
	jw_obj(w);
	jw_kstr(w, "name", t->name);
	jw_kstr(w, "type", t->type);
	if (t->vcpus)
		jw_kint(w, "vcpus", t->vcpus);
	if (t->memory_mb)
		jw_kint(w, "memory_mb", t->memory_mb);
	jw_kint(w, "size_bytes", t->size);
	wrenn_ktime(w, "created_at", t->created_ms);
	jw_kbool(w, "platform", t->platform);
	jw_obj_end(w);
}

/* Its name is that of s. One of which nobody has counted what it takes is as large as its disk. */
static struct template template_of(const struct snapshot *s)
{
	return (struct template){ .name = s->name,
		.type = "snapshot",
		.vcpus = s->vcpus,
		.memory_mb = s->memory_mb,
		.size = s->stored ? s->stored : (int64_t)s->disk,
		.created_ms = s->created_ms };
}

static void write_snapshot(struct jw *w, const struct snapshot *s)
{
	const struct template t = template_of(s);
	write_template(w, &t);
}

/* ---- create ---- */

/* Look whether the name is free; pause the capsule, if it runs; keep its state. What was begun goes on when the client leaves. */
struct take_call {
	struct call call; /* first */
	struct core *core;
	struct identity who;
	char *name, *sandbox;
	bool replace, paused;
};

static void take_end(struct take_call *c, const struct snapshot *s, const struct err *err)
{
	struct http_req *r = call_end(&c->call);
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	if (s) {
		audit_note(c->core, AUDIT_SNAPSHOT_CREATE, &c->who, c->who.team, c->name, NULL);
		write_snapshot(&w, s);
	}
	if (r && err)
		http_reply_err(r, err);
	else if (r)
		http_reply_json(r, 201, &out);
	free(c->name);
	free(c->sandbox);
	free(c);
}

static void on_taken(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct take_call *c = arg;
	struct sandbox *sb = sandbox_find(c->core, c->who.team, c->sandbox, NULL);
	struct err said = err ? wrenn_failure(err) : (struct err)ERR_INIT;
	if (err && c->paused && sb)
		sandbox_resume(sb, NULL, NULL, NULL); /* as it was */
	take_end(c, n ? &list[0] : NULL, err ? &said : NULL);
}

static void take(struct take_call *c)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = sandbox_find(c->core, c->who.team, c->sandbox, NULL);
	if (!sb)
		err_set(&err, ERR_NOT_FOUND, "sandbox not found");
	if (!sb || sandbox_snapshot(sb, c->name, c->replace, on_taken, c, &err))
		take_end(c, NULL, &err);
}

static void on_paused(void *arg, struct sandbox *sb, const struct err *err)
{
	struct take_call *c = arg;
	(void)sb;
	if (err) {
		struct err said = wrenn_failure(err);
		take_end(c, NULL, &said);
		return;
	}
	c->paused = true;
	take(c);
}

/* The name is free. */
static void begin(struct take_call *c)
{
	struct err err = ERR_INIT;
	struct sandbox *sb = sandbox_find(c->core, c->who.team, c->sandbox, NULL);
	struct db_past past;
	if (!sb || strcmp(sandbox_row(sb)->id, c->sandbox) != 0) {
		err_set(&err, ERR_NOT_FOUND, "sandbox not found");
		if (sandbox_past(c->core, c->who.team, c->sandbox, &past, NULL) == 1) {
			db_past_release(&past);
			err_set(&err, ERR_STATE, "sandbox is over");
		}
		take_end(c, NULL, &err);
	} else if (sandbox_state(sb) == SANDBOX_PAUSED) {
		take(c);
	} else if (sandbox_state(sb) != SANDBOX_RUNNING) {
		err_set(&err, ERR_STATE, "sandbox is not running or paused");
		take_end(c, NULL, &err);
	} else if (sandbox_pause(sb, false, on_paused, c, &err)) {
		err.code = ERR_STATE;
		take_end(c, NULL, &err);
	}
}

static void on_looked(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct take_call *c = arg;
	struct err said = ERR_INIT;
	(void)list;
	if (n > 0) {
		err_set(&said, ERR_CONFLICT, "a template named '%s' already exists", c->name);
		err_word(&said, "already_exists");
		err_hint(&said, "choose another name, or send overwrite=true");
		take_end(c, NULL, &said);
	} else if (err && err->code != ERR_NOT_FOUND) {
		take_end(c, NULL, err);
	} else {
		begin(c);
	}
}

/* The name asked for, or one made up. NULL with err. */
static char *choose_name(struct core *core, const char *asked, struct err *err)
{
	char random[9];
	rand_hex(random, 8);
	if (!*asked)
		return mem_printf("template-%s", random);
	if (snapshot_check_name(asked, err) || str_starts(asked, BUILDS)) {
		err_set(err, ERR_INVALID, "'%.80s' cannot be the name of a template", asked);
		return NULL;
	}
	if (!wrenn_is_platform(core, asked))
		return mem_strdup(asked);
	err_set(err, ERR_CONFLICT, "'%s' is the name of a template for everybody", asked);
	err_word(err, "name_reserved");
	return NULL;
}

void wrenn_createSnapshot(struct http_req *r)
{
	const js *body = http_body(r);
	struct err err = ERR_INIT;
	const char *id = uid_parse(UID_CAPSULE, js_str(js_get(body, "sandbox_id"), ""), &err);
	auto_free char *name = id ? choose_name(wrenn_core(r), js_str(js_get(body, "name"), ""), &err) : NULL;
	if (!name) {
		http_reply_err(r, &err);
		return;
	}
	struct take_call *c = mem_zalloc(sizeof(*c));
	*c = (struct take_call){ .core = wrenn_core(r),
		.who = *http_identity(r),
		.name = mem_steal(&name),
		.sandbox = mem_strdup(id),
		.replace = str_same(http_query(r, "overwrite"), "true") };
	call_begin(&c->call, r);
	if (c->replace)
		begin(c);
	else
		snapshot_list(c->core, c->who.team, c->name, on_looked, c);
}

/* ---- list ---- */

struct list_call {
	struct call call; /* first */
	struct core *core;
	char *type;
	struct template *all;
	size_t n;
};

static void add(struct list_call *c, const struct template *t)
{
	if (c->type && strcmp(c->type, t->type) != 0)
		return;
	c->all = mem_grow(c->all, c->n + 1, sizeof(*c->all));
	c->all[c->n] = *t;
	c->all[c->n++].name = mem_strdup(t->name);
}

/* The images that are there. "base" is what is called minimal here. */
static void add_image(void *arg, const struct catalog_image *image)
{
	if (strcmp(image->state, "built") != 0)
		return;
	const struct template t = { .name = !strcmp(image->name, "base") ? WRENN_MINIMAL : image->name,
		.type = "base",
		.vcpus = 1,
		.memory_mb = 512,
		.size = image->size_bytes,
		.created_ms = image->created_ms,
		.platform = true };
	add(arg, &t);
}

static int newest_first(const void *a, const void *b)
{
	const struct template *x = a, *y = b;
	return x->created_ms > y->created_ms ? -1 : x->created_ms < y->created_ms;
}

static void on_listed(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct list_call *c = arg;
	struct http_req *r = call_end(&c->call);
	auto_buf out = BUF_INIT;
	struct jw w;
	for (size_t i = 0; r && i < n; i++) {
		const struct template t = template_of(&list[i]);
		if (!str_starts(t.name, BUILDS))
			add(c, &t);
	}
	if (r && !err)
		catalog_each(c->core, add_image, c, NULL);
	if (c->n)
		qsort(c->all, c->n, sizeof(*c->all), newest_first);
	jw_init(&w, &out);
	jw_arr(&w);
	for (size_t i = 0; i < c->n; i++) {
		write_template(&w, &c->all[i]);
		free((char *)(uintptr_t)c->all[i].name);
	}
	jw_arr_end(&w);
	if (r && err)
		http_reply_err(r, err);
	else if (r)
		http_reply_json(r, 200, &out);
	free(c->all);
	free(c->type);
	free(c);
}

void wrenn_listSnapshots(struct http_req *r)
{
	const char *type = http_query(r, "type");
	struct list_call *c = mem_zalloc(sizeof(*c));
	*c = (struct list_call){ .core = wrenn_core(r), .type = type && *type ? mem_strdup(type) : NULL };
	call_begin(&c->call, r);
	snapshot_list(c->core, http_team(r), NULL, on_listed, c);
}

/* ---- delete ---- */

struct drop_call {
	struct call call; /* first */
	struct core *core;
	struct identity who;
	char *name;
};

static void on_dropped(void *arg, const struct snapshot *list, size_t n, const struct err *err)
{
	struct drop_call *c = arg;
	struct http_req *r = call_end(&c->call);
	(void)list;
	(void)n;
	if (!err)
		audit_note(c->core, AUDIT_SNAPSHOT_DELETE, &c->who, c->who.team, c->name, NULL);
	if (r)
		wrenn_reply_done(r, err ? -1 : 0, err);
	free(c->name);
	free(c);
}

void wrenn_deleteSnapshot(struct http_req *r)
{
	const char *name = http_param(r, "name");
	struct err err = ERR_INIT;
	if (snapshot_check_name(name, &err)) {
		http_reply_err(r, &err);
		return;
	}
	if (wrenn_is_platform(wrenn_core(r), name)) {
		err_set(&err, ERR_FORBIDDEN, "the template '%s' is for everybody and stays", name);
		http_reply_err(r, &err);
		return;
	}
	struct drop_call *c = mem_zalloc(sizeof(*c));
	*c = (struct drop_call){ .core = wrenn_core(r), .who = *http_identity(r), .name = mem_strdup(name) };
	call_begin(&c->call, r);
	snapshot_remove(c->core, c->who.team, name, on_dropped, c);
}
