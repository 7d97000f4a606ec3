#include "cli/fs/progress.h"

#include "cli/render/text.h"
#include "shared/base/util.h"

#define AFTER_MS 1000

void progress_init(struct progress *p, const char *what)
{
	*p = (struct progress){ .what = what, .begun_ms = clock_mono_ms() };
	status_init(&p->status);
}

static bool is_due(const struct progress *p)
{
	return p->status.tty && clock_mono_ms() - p->begun_ms >= AFTER_MS;
}

void progress_work(void *arg, const struct work_progress *w)
{
	struct progress *p = arg;
	if (!is_due(p))
		return;
	auto_buf all = BUF_INIT, new = BUF_INIT;
	text_size(&all, (int64_t)w->bytes);
	text_size(&new, (int64_t)w->new_bytes);
	status_tick(&p->status, "%s: %llu files, %s (%s new)", p->what, (unsigned long long)w->files, all.p, new.p);
}

void progress_count(struct progress *p, const char *noun, uint64_t n, uint64_t bytes)
{
	if (!is_due(p))
		return;
	auto_buf size = BUF_INIT;
	text_size(&size, (int64_t)bytes);
	status_tick(&p->status, "%s: %llu %s%s%s", p->what, (unsigned long long)n, noun, bytes ? ", " : "", bytes ? size.p : "");
}

void progress_end(struct progress *p)
{
	status_clear(&p->status);
}
