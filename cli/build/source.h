/* source: the image of a FROM: one of the daemon's, or of a registry, which is pulled. */
#ifndef SBX_CLI_BUILD_SOURCE_H
#define SBX_CLI_BUILD_SOURCE_H

#include "cli/build/config.h"
#include "cli/endpoint/client.h"

/* name: for a create; digest: of what it is made of. Both allocated. */
int source_find(struct client *c, const char *reference, char **name, char **digest, struct image_config *config, struct err *err);

#endif
