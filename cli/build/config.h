/*
 * config: what an image says of itself (environment, user, command...), and what the instructions of a Dockerfile make of it. The
 * variables that are put into words are its environment and the arguments of the build.
 */
#ifndef SBX_CLI_BUILD_CONFIG_H
#define SBX_CLI_BUILD_CONFIG_H

#include "cli/build/dockerfile.h"
#include "cli/build/expand.h"
#include "shared/base/json.h"

/* NULL-terminated; v is never NULL once something was added. */
struct strings {
	char **v;
	size_t n;
};
void strings_add(struct strings *s, const char *text);
void strings_copy(struct strings *to, const struct strings *from);
void strings_free(struct strings *s);
/* In a list of "K=V": set K. */
void strings_set(struct strings *s, const char *name, size_t n, const char *value);
/* The value of a name, or NULL. */
const char *strings_value(const struct strings *s, const char *name, size_t n);

struct image_config {
	struct strings env, args, labels; /* "K=V" */
	struct strings ports, entrypoint, cmd;
	char *user, *workdir; /* never NULL; "" when nobody said */
	bool own_cmd;	      /* cmd is not from the image below */
};

/* As the API tells it (ImageConfig), NULL for nothing. */
void image_config_read(const js *v, struct image_config *out);
void image_config_copy(struct image_config *to, const struct image_config *from);
void image_config_free(struct image_config *c);
/* ImageConfig as an object. */
void image_config_write(const struct image_config *c, struct jw *w);

/* Expand a word with the variables of c. Allocated; NULL with err. */
char *image_config_expand(const struct image_config *c, char escape, const char *word, struct err *err);

/* given: --build-arg K=V; outer: the arguments before the first FROM, or NULL. */
struct config_args {
	const struct strings *given, *outer;
};
/* What an instruction does that changes nothing but the configuration; WORKDIR included (its folder is not made here). 1 it is one
 * of those, 0 it is not, -1 with err. */
int image_config_step(
	struct image_config *c, char escape, const struct dockerfile_step *s, const struct config_args *args, struct err *err);

#endif
