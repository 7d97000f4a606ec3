#include "daemon/core/pool.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum {
	QUIET_MS = 150,	       /* after the last create, before the next VM is made */
	SHAPE_MS = 30 * 60000, /* a shape that nobody asked for in so long is not kept ready */
	RETRY_MS = 30000,
	MEMORY_FLOOR_KB = 512 * 1024, /* of what the kernel calls available, or: */
	MEMORY_FLOOR_PERCENT = 5,
};

struct shape {
	struct shape *next;
	char *image, *digest;
	int64_t vcpus, memory_mb;
	int64_t asked_ms, retry_ms;
};

struct pool {
	struct core *core;
	unsigned size;
	struct shape *shapes;
	uv_timer_t timer;
	int64_t busy_ms;
	bool making;
};

static void on_timer(uv_timer_t *timer)
{
	pool_tick(timer->data, clock_mono_ms());
}

struct pool *pool_new(struct core *core, unsigned size)
{
	struct pool *p = mem_zalloc(sizeof(*p));
	p->core = core;
	p->size = size;
	uv_timer_init(core->config.loop, &p->timer);
	p->timer.data = p;
	return p;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	while (p->shapes) {
		struct shape *s = p->shapes;
		p->shapes = s->next;
		free(s->image);
		free(s->digest);
		free(s);
	}
	uv_close((uv_handle_t *)&p->timer, on_closed);
}

void pool_busy(struct pool *p)
{
	p->busy_ms = clock_mono_ms();
	uv_timer_start(&p->timer, on_timer, QUIET_MS, 0);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool fits(const struct sandbox *sb, const struct shape *s)
{
	const struct db_sandbox *row = &sb->row;
	return sb->state == SANDBOX_POOLED && !strcmp(row->image, s->image) && same_text(row->image_digest, s->digest) &&
		row->vcpus == s->vcpus && row->memory_mb == s->memory_mb;
}

static bool is_shape(const struct shape *s, const struct db_sandbox *want)
{
	return !strcmp(s->image, want->image) && same_text(s->digest, want->image_digest) && s->vcpus == want->vcpus &&
		s->memory_mb == want->memory_mb;
}

static struct shape *find_shape(struct pool *p, const struct db_sandbox *want)
{
	struct shape *s = p->shapes;
	while (s && !is_shape(s, want))
		s = s->next;
	if (s)
		return s;
	s = mem_zalloc(sizeof(*s));
	*s = (struct shape){ .next = p->shapes,
		.image = mem_strdup(want->image),
		.digest = want->image_digest ? mem_strdup(want->image_digest) : NULL,
		.vcpus = want->vcpus,
		.memory_mb = want->memory_mb };
	p->shapes = s;
	return s;
}

struct sandbox *pool_take(struct pool *p, const struct db_sandbox *want)
{
	pool_busy(p);
	if (!p->size || want->net != NET_NONE)
		return NULL;
	struct shape *shape = find_shape(p, want);
	shape->asked_ms = p->busy_ms;
	for (size_t i = p->core->count; i-- > 0;) {
		struct sandbox *sb = p->core->boxes[i];
		if (!fits(sb, shape) || !sb->pool_ready)
			continue;
		if (create_is_current(sb))
			return sb;
		sandbox_delete(sb, NULL, NULL); /* its image was built anew */
	}
	return NULL;
}

void pool_forget(struct pool *p, const char *digest)
{
	for (struct shape **s = &p->shapes, *gone; *s;) {
		gone = *s;
		if (!same_text(gone->digest, digest)) {
			s = &gone->next;
			continue;
		}
		*s = gone->next;
		free(gone->image);
		free(gone->digest);
		free(gone);
	}
	for (size_t i = p->core->count; i-- > 0;) {
		struct sandbox *sb = p->core->boxes[i];
		if (sb->state == SANDBOX_POOLED && same_text(sb->row.image_digest, digest))
			sandbox_delete(sb, NULL, NULL);
	}
}

/* ---- making and giving up ---- */

static void on_made(void *arg, struct sandbox *sb, const struct err *err)
{
	struct pool *p = arg;
	p->making = false;
	if (err)
		log_warn("pool", "cannot make a VM in advance: %s", err->msg);
	else
		log_debug("pool", "%s is ready", sb->row.id);
	if (!p->core->closing)
		uv_timer_start(&p->timer, on_timer, err ? RETRY_MS : 1, 0);
}

static unsigned count(const struct pool *p, const struct shape *s)
{
	unsigned n = 0;
	for (size_t i = 0; i < p->core->count; i++)
		n += fits(p->core->boxes[i], s);
	return n;
}

static bool creates_under_way(const struct pool *p)
{
	for (size_t i = 0; i < p->core->count; i++)
		if (p->core->boxes[i]->launched || p->core->boxes[i]->state == SANDBOX_CREATING)
			return true;
	return false;
}

static int64_t field_kb(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

static bool memory_is_short(void)
{
	auto_buf text = BUF_INIT;
	if (fs_read("/proc/meminfo", 65536, &text, NULL))
		return false;
	int64_t available = field_kb(text.p, "MemAvailable:"), total = field_kb(text.p, "MemTotal:");
	return available < MEMORY_FLOOR_KB || available * 100 < total * MEMORY_FLOOR_PERCENT;
}

/* Those of shapes that nobody asks for, and all of them when memory is short. */
static void give_up(struct pool *p, int64_t now, bool all)
{
	for (size_t i = p->core->count; i-- > 0;) {
		struct sandbox *sb = p->core->boxes[i];
		bool wanted = false;
		if (sb->state != SANDBOX_POOLED || !sb->pool_ready)
			continue;
		for (const struct shape *s = p->shapes; s && !all; s = s->next)
			wanted |= fits(sb, s) && now - s->asked_ms < SHAPE_MS;
		if (wanted)
			continue;
		log_info("pool", "%s is given up%s", sb->row.id, all ? ": memory is short" : "");
		sandbox_delete(sb, NULL, NULL);
	}
}

void pool_tick(struct pool *p, int64_t now_ms)
{
	bool is_short = memory_is_short();

	give_up(p, now_ms, is_short);
	if (!p->size || is_short || p->making || p->core->closing || creates_under_way(p))
		return;
	if (now_ms - p->busy_ms < QUIET_MS) {
		uv_timer_start(&p->timer, on_timer, QUIET_MS, 0);
		return;
	}
	for (struct shape *s = p->shapes; s; s = s->next) {
		struct err err = ERR_INIT;
		if (now_ms - s->asked_ms >= SHAPE_MS || now_ms < s->retry_ms || count(p, s) >= p->size)
			continue;
		const struct sandbox_spec spec = {
			.image = s->image, .vcpus = (unsigned)s->vcpus, .memory_mb = (unsigned)s->memory_mb
		};
		p->making = create_pooled(p->core, &spec, on_made, p, &err) == 0;
		if (!p->making) {
			log_warn("pool", "cannot make a VM in advance: %s", err.msg);
			s->retry_ms = now_ms + RETRY_MS;
		}
		return;
	}
}
