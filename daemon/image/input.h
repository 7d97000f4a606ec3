/* input: a file that goes into what is cached: the agent, the busybox of this machine. */
#ifndef SBX_IMAGE_INPUT_H
#define SBX_IMAGE_INPUT_H

#include <stdbool.h>

#include "daemon/image/hash.h"
#include "shared/base/err.h"
#include "shared/base/json.h"

struct input {
	char *path;	    /* allocated; NULL: the recipe has no such input */
	char id[96];	    /* size, mtime, inode: equal means unchanged, without reading it */
	char sha[HASH_HEX]; /* "" until input_hash or input_same had to read it */
};

/* The agent that guests get: $SBX_AGENT, or sbx-agent beside the running executable. */
int input_agent(struct input *in, struct err *err);
/* Fill in id. */
int input_stat(struct input *in, struct err *err);
int input_hash(struct input *in, struct err *err);
/* Is this the file of a record (input_write)? Its contents are looked at only when it was touched since. */
bool input_same(struct input *in, const js *recorded);
void input_write(struct jw *w, const char *name, const struct input *in);
void input_free(struct input *in);

#endif
