/* build: an image made as a Dockerfile says, in a sandbox that comes and goes. */
#ifndef SBX_CLI_BUILD_BUILD_H
#define SBX_CLI_BUILD_BUILD_H

#include "cli/cli.h"

struct build_spec {
	const char *tag, *file;	     /* NAME[:VERSION]; Dockerfile: NULL = by what is given */
	const char *from;	     /* folder of the context, or the Dockerfile in it */
	const struct opt_list *args; /* --build-arg: K=V, or K with our own value */
	bool no_cache;
	int64_t memory_mb, vcpus; /* 0: of the image */
};

/* Does this word mean a folder or file of ours, not an image to be built by its recipe? */
bool build_is_context(const char *word);
/* The exit code, or -1 with err. Prints the name, or the image as a document. */
int build_run(struct cli *cli, const struct build_spec *spec, struct err *err);

#endif
