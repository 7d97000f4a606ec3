/*
 * dockerfile: reading a Dockerfile: its instructions one by one, nothing put in yet (expand.h), nothing done.
 *
 * Understood: FROM, ARG, RUN, CMD, ENTRYPOINT, ENV, LABEL, EXPOSE, USER, WORKDIR, COPY, ADD; continued lines, comments, the
 * directive escape=. All else is refused by name, since a file that is half understood makes the wrong image. Errors are INVALID
 * and begin with FILE:LINE.
 */
#ifndef SBX_CLI_BUILD_DOCKERFILE_H
#define SBX_CLI_BUILD_DOCKERFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

#define DOCKERFILE_MAX ((size_t)1 << 20)
#define DOCKERFILE_STEPS_MAX 1000u

enum dockerfile_verb {
	DOCKERFILE_FROM,
	DOCKERFILE_ARG,
	DOCKERFILE_RUN,
	DOCKERFILE_CMD,
	DOCKERFILE_ENTRYPOINT,
	DOCKERFILE_ENV,
	DOCKERFILE_LABEL,
	DOCKERFILE_EXPOSE,
	DOCKERFILE_USER,
	DOCKERFILE_WORKDIR,
	DOCKERFILE_COPY,
	DOCKERFILE_ADD,
	DOCKERFILE_VERBS
};

struct dockerfile_step {
	enum dockerfile_verb verb;
	unsigned line; /* where it begins, from 1 */
	char *text;    /* as it stands there, continued lines joined: to show */
	/* Its arguments, NULL-terminated, not expanded. RUN, CMD, ENTRYPOINT in shell form: one, the command line; in JSON form
	 * they are final. ENV, LABEL: NAME=VALUE. ARG: NAME or NAME=VALUE. FROM: the image. COPY, ADD: sources, then the target. */
	char **words;
	size_t count;
	bool json;
	char *from, *chown, *chmod, *as; /* --from, --chown, --chmod, AS, or NULL */
};

struct dockerfile {
	char *name; /* for messages */
	char escape;
	struct dockerfile_step *steps;
	size_t count;
};

/* n bytes of text (at most DOCKERFILE_MAX). dockerfile_free in any case. */
int dockerfile_parse(const char *name, const char *text, size_t n, struct dockerfile *out, struct err *err);
void dockerfile_free(struct dockerfile *d);

/* "RUN" and so on. */
const char *dockerfile_verb(enum dockerfile_verb verb);
/* Put FILE:LINE before an error of this step. Returns -1. */
int dockerfile_at(const struct dockerfile *d, const struct dockerfile_step *step, struct err *err);

#endif
