/*
 * value: a JSON value as a document for people and programs.
 */
#ifndef SBX_CLI_VALUE_H
#define SBX_CLI_VALUE_H

#include "shared/base/buf.h"
#include "shared/base/json.h"

/* Indented JSON with a newline at the end, members in the order that the daemon sent. */
void render_json(struct buf *out, const js *v);
/* YAML 1.2 (and 1.1: what either would misread is quoted), one document. */
void render_yaml(struct buf *out, const js *v);
/* "Key:  value" lines of an object, aligned; null and empty members are left out. */
void render_block(struct buf *out, const js *v);

#endif
