/*
 * plan: what is to be done for a Dockerfile, with everything put in: its stages, their steps, and a key of each.
 *
 * A key is a hash of all that a disk is made of so far: the image below, each step that changes the disk with what it depends on
 * (RUN: environment, user and folder; COPY and ADD: names, modes and contents). Equal keys, equal disks, so far as commands do the
 * same again. Steps that change the configuration only have the key of the step before.
 */
#ifndef SBX_CLI_BUILD_PLAN_H
#define SBX_CLI_BUILD_PLAN_H

#include "cli/build/config.h"
#include "cli/build/context.h"
#include "cli/build/dockerfile.h"

#define PLAN_NO_STAGE SIZE_MAX

struct plan_step {
	const struct dockerfile_step *step;
	struct image_config config; /* after it */
	struct strings words;	    /* RUN: the command; COPY, ADD: sources and the absolute target; expanded */
	char *chown;		    /* expanded, or NULL */
	int mode;		    /* --chmod, or -1 */
	size_t from;		    /* stage, or PLAN_NO_STAGE */
	struct context_pick pick;
	char key[HASH_HEX + 1];
	bool changes; /* the disk */
};

struct plan_stage {
	const char *as;		  /* or NULL */
	char *image;		  /* it begins with, or NULL: */
	size_t base;		  /* with this stage */
	bool needed;		  /* for the last */
	char start[HASH_HEX + 1]; /* key of what it begins with */
	struct plan_step *steps;
	size_t count;
	struct image_config config; /* in the end, or of what it begins with */
	char key[HASH_HEX + 1];
};

struct plan {
	const struct dockerfile *file;
	struct plan_stage *stages;
	size_t count;
};

struct plan_inputs {
	const struct dockerfile *file;
	const struct context *context;
	const struct strings *args; /* --build-arg, K=V */
	const char *salt;	    /* what else a disk depends on */
	/* The image of a FROM: its name for a create and the hash of what it is (allocated), and its configuration. */
	int (*image)(void *arg, const char *reference, char **name, char **digest, struct image_config *config, struct err *err);
	void *arg;
};
/* Errors of the file begin with FILE:LINE. build_plan_free in any case. */
int build_plan_make(const struct plan_inputs *in, struct plan *out, struct err *err);
void build_plan_free(struct plan *p);
/* The key of what the last stage is in the end, with its configuration. */
void build_plan_key(const struct plan *p, char out[HASH_HEX + 1]);

#endif
