/*
 * config_internal: what the reading and the changing part of config.h share.
 */
#ifndef SBX_CLI_CONFIG_INTERNAL_H
#define SBX_CLI_CONFIG_INTERNAL_H

#include "cli/config.h"

#define CONFIG_PROVIDERS 5

struct config_entry {
	char *name, *endpoint, *api, *key, *key_file, *token;
	struct config_context view; /* the same for callers */
};

struct config_provider {
	char *base_url, *key, *key_file;
};

struct config {
	char *file;
	int lock; /* -1 = not locked */
	char *output, *current, *pool_size, *token;
	struct config_entry *contexts;
	size_t count;
	struct config_provider providers[CONFIG_PROVIDERS]; /* in the order of config_apis, which has "sbx" in front */
};

struct config *config_new(const char *file);
/* The next entry, empty. */
struct config_entry *config_grow(struct config *c);
/* To be called when an entry is complete. */
void config_entry_done(struct config_entry *e);
void config_entry_free(struct config_entry *e);
/* Read c->file into c, which is empty. */
int config_read(struct config *c, struct err *err);

#endif
