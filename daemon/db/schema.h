/* schema: the steps that bring a database from one version to the next. Only for daemon/db. */
#ifndef SBX_DB_SCHEMA_H
#define SBX_DB_SCHEMA_H

#include <stddef.h>

/* user_version counts how many have been taken. Never change a step that has shipped: add one. They run before foreign keys are
 * enforced, so a table can be made anew. */
extern const char *const schema_steps[];
extern const size_t schema_count;

#endif
