#include "daemon/core/builder.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "daemon/core/said.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

struct build_wait {
	struct build_wait *next;
	struct build *build;
	const struct build_ops *ops;
	void *arg;
};

struct build {
	struct build *next;
	struct builder *builder; /* NULL when that is gone */
	char *image;
	unsigned vcpus, memory_mb;
	uv_process_t process;
	uv_pipe_t output;
	struct said said;
	struct build_wait *waits;
	unsigned open; /* handles not yet closed */
	bool exited, drained;
	int64_t status;
};

struct builder {
	struct core_config config;
	struct build *builds;
};

struct builder *builder_new(const struct core_config *config)
{
	struct builder *b = mem_zalloc(sizeof(*b));
	b->config = *config;
	return b;
}

static void build_unlink(struct build *build)
{
	if (!build->builder)
		return;
	for (struct build **p = &build->builder->builds; *p; p = &(*p)->next) {
		if (*p == build) {
			*p = build->next;
			break;
		}
	}
	build->builder = NULL;
}

static void on_handle_closed(uv_handle_t *h)
{
	struct build *build = h->data;
	if (--build->open > 0)
		return;
	said_free(&build->said);
	free(build->image);
	free(build);
}

static void build_close(struct build *build)
{
	build_unlink(build);
	uv_close((uv_handle_t *)&build->process, on_handle_closed);
	uv_close((uv_handle_t *)&build->output, on_handle_closed);
}

/* Over when the process has ended and all it said has been read. */
static void build_settle(struct build *build)
{
	if (!build->exited || !build->drained)
		return;
	const struct err *err = NULL;
	if (build->status != 0) {
		if (build->said.failure.code == ERR_OK)
			err_set(&build->said.failure, ERR_INTERNAL, "building image '%s' ended with status %lld", build->image,
				(long long)build->status);
		err = &build->said.failure;
		log_warn("build", "%s", err->msg);
	}
	build_unlink(build);
	while (build->waits) {
		struct build_wait *w = build->waits;
		build->waits = w->next;
		w->ops->on_done(w->arg, err);
		free(w);
	}
	build_close(build);
}

static void got_line(void *arg, const char *phase, const char *text)
{
	struct build *build = arg;
	log_info("build", "%s: %s: %s", build->image, phase, text);
	for (struct build_wait *w = build->waits, *next; w; w = next) {
		next = w->next;
		if (w->ops->on_progress)
			w->ops->on_progress(w->arg, phase, text);
	}
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	(void)suggested;
	struct build *build = h->data;
	char *p = said_room(&build->said);
	*out = uv_buf_init(p, p ? SAID_LINE_MAX : 0);
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	(void)b;
	struct build *build = s->data;
	if (n < 0) {
		uv_read_stop(s);
		build->drained = true;
		build_settle(build);
		return;
	}
	said_take(&build->said, (size_t)n);
}

static void on_child_exit(uv_process_t *p, int64_t status, int signal)
{
	struct build *build = p->data;
	build->exited = true;
	build->status = signal ? 128 + signal : status;
	build_settle(build);
}

static int build_spawn(struct build *build, struct err *err)
{
	const struct core_config *config = &build->builder->config;
	char vcpus[16], memory[16];
	snprintf(vcpus, sizeof(vcpus), "%u", build->vcpus);
	snprintf(memory, sizeof(memory), "%u", build->memory_mb);
	const char *args[] = { config->program, "--build", build->image, "--vcpus", vcpus, "--memory", memory, "--cache",
		config->cache, "--home", config->home, NULL };
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&build->output },
		{ .flags = UV_INHERIT_FD, .data.fd = 2 },
	};
	uv_process_options_t options = { .exit_cb = on_child_exit,
		.file = config->program,
		.args = (char **)(uintptr_t)args,
		.stdio = stdio,
		.stdio_count = 3 };
	int rc = uv_spawn(config->loop, &build->process, &options);
	return rc < 0 ? err_sys(err, -rc, "cannot start the image builder '%s'", config->program) : 0;
}

static struct build *build_start(struct builder *b, const struct build_goal *goal, struct err *err)
{
	struct build *build = mem_zalloc(sizeof(*build));
	*build = (struct build){
		.builder = b, .image = mem_strdup(goal->image), .vcpus = goal->vcpus, .memory_mb = goal->memory_mb
	};
	said_init(&build->said, got_line, build);
	uv_pipe_init(b->config.loop, &build->output, 0);
	build->process.data = build->output.data = build;
	build->next = b->builds;
	b->builds = build;
	build->open = 2;
	if (build_spawn(build, err)) {
		build_close(build);
		return NULL;
	}
	uv_read_start((uv_stream_t *)&build->output, on_alloc, on_output);
	return build;
}

static struct build *build_find(const struct builder *b, const struct build_goal *goal)
{
	for (struct build *build = b->builds; build; build = build->next)
		if (!strcmp(build->image, goal->image) && build->vcpus == goal->vcpus && build->memory_mb == goal->memory_mb)
			return build;
	return NULL;
}

struct build_wait *builder_wait(
	struct builder *b, const struct build_goal *goal, const struct build_ops *ops, void *arg, struct err *err)
{
	struct build *build = build_find(b, goal);
	if (!build)
		build = build_start(b, goal, err);
	if (!build)
		return NULL;
	struct build_wait *w = mem_zalloc(sizeof(*w));
	*w = (struct build_wait){ .next = build->waits, .build = build, .ops = ops, .arg = arg };
	build->waits = w;
	return w;
}

void builder_forget(struct build_wait *w)
{
	if (!w)
		return;
	for (struct build_wait **p = &w->build->waits; *p; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	free(w);
}

bool builder_is_building(const struct builder *b, const char *image)
{
	for (const struct build *build = b->builds; build; build = build->next)
		if (!strcmp(build->image, image))
			return true;
	return false;
}

void builder_free(struct builder *b)
{
	if (!b)
		return;
	while (b->builds) {
		struct build *build = b->builds;
		for (struct build_wait *w = build->waits, *next; w; w = next) {
			next = w->next;
			free(w);
		}
		build->waits = NULL;
		uv_read_stop((uv_stream_t *)&build->output);
		uv_process_kill(&build->process, SIGTERM);
		build_close(build);
	}
	free(b);
}
