/*
 * builder: makes images and templates in a child process (`sbxd --build`), one a time for each thing to build; whoever
 * asks for the same thing meanwhile waits with the first.
 */
#ifndef SBX_CORE_BUILDER_H
#define SBX_CORE_BUILDER_H

#include <stdbool.h>

#include "daemon/core/core.h"
#include "shared/base/err.h"

struct build_wait;

struct build_ops {
	void (*on_progress)(void *arg, const char *phase, const char *text); /* may be NULL */
	void (*on_done)(void *arg, const struct err *err);		     /* err NULL: it is built. The wait is over. */
};

/* What to build: an image, and its template in this shape. */
struct build_goal {
	const char *image;
	unsigned vcpus, memory_mb;
};

struct builder *builder_new(const struct core_config *config);
/* Kill what is under way; no callbacks. */
void builder_free(struct builder *b);
/* NULL with err when the child cannot be started. */
struct build_wait *builder_wait(
	struct builder *b, const struct build_goal *goal, const struct build_ops *ops, void *arg, struct err *err);
/* Stop waiting; the build goes on. */
void builder_forget(struct build_wait *w);
bool builder_is_building(const struct builder *b, const char *image);

#endif
