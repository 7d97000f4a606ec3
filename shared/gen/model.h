/*
 * model: an OpenAPI 3.0/3.1 document as the tables of shared/contract/contract.h, still in memory.
 *
 * References are resolved, allOf is merged, equal inline schemas are stored once, schemas refer to each other by index, so
 * recursive ones need nothing special. What the tables cannot say (`not`, patternProperties, ...) is refused, not ignored; so
 * are keys that OpenAPI does not know, since they are typing errors. shared/specs/README.md explains the extension keys.
 */
#ifndef SBX_GEN_MODEL_H
#define SBX_GEN_MODEL_H

#include "shared/contract/contract.h"
#include "shared/gen/table.h"
#include "shared/yaml/yaml_tree.h"

struct model {
	struct yt_doc *doc;
	struct err *err;
	char *name; /* "mcp-v8" */
	ct_str title, version, base_path, description, server, fault_shape;
	uint32_t env_url, env_url_count;
	bool unknown_fields_ok, any_media;
	bool teams; /* operations are marked x-sbx-teams, unless they say no */
	struct cons pool;	       /* strings with their NUL */
	struct cons known_schemas;     /* description of an inline schema -> its index */
	vec(struct ct_schema) schemas; /* first the components, in their order */
	vec(struct ct_field) fields;
	vec(struct ct_param) params;
	vec(struct ct_response) responses;
	vec(struct ct_content) contents;
	vec(struct ct_fault) faults;
	vec(struct ct_tag) tags;
	vec(struct ct_scheme) schemes;
	vec(struct ct_op) ops;
	vec(uint32_t) index_pool;
	vec(ct_str) enum_pool;
	bool strict;
	struct buf warnings;  /* one a line: faults in the document that did not stop us */
	unsigned depth, work; /* bounds on what a malicious document can cost */
};

/* Build the model; doc must outlive the call only. NULL with INVALID, "file:line: key: message". Free with model_free.
 * Two faults that published documents have are only warnings unless strict: a default that does not fit its schema (dropped)
 * and a response that is not defined (left empty). */
struct model *model_build(struct yt_doc *doc, const char *name, bool strict, struct err *err);
void model_free(struct model *m);
/* The tables, ready for router_new and ct_validate; valid as long as the model is. */
struct contract model_contract(const struct model *m);

/* ---- among the model's own files ---- */
ct_str model_str(struct model *m, const char *s); /* NULL = absent */
/* Text of a scalar member without trailing white space; 0 when absent. */
ct_str model_text(struct model *m, const struct yt_node *n, const char *key);
const char *model_s(const struct model *m, ct_str s);
/* Member that must have this kind when it is there. *out NULL when absent. */
int model_member(struct model *m, struct yt_node *n, const char *key, enum yt_kind kind, struct yt_node **out);
/* All keys of n are in this NULL-terminated list or start with "x-". */
int model_check_keys(struct model *m, const struct yt_node *n, const char *const *known, const char *what);
/* A fault of the tolerated kind: -1 with err when strict, else a warning and 0. */
int model_fault(struct model *m, const struct yt_node *n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Follow $ref into components/<kind> until there is none; *n is changed, to NULL for a response that is tolerated missing. */
int model_deref(struct model *m, struct yt_node **n, const char *kind);

/* A list of strings as a range of enum_pool; nothing when absent. */
int model_strings(struct model *m, struct yt_node *n, const char *key, uint32_t *first, uint32_t *count);

/* model_flag.c: after all schemas and operations. */
int model_flags(struct model *m);
/* model_faults.c */
int model_faults(struct model *m);
/* model_schema.c: slots for all components, then their contents, then any inline schema. */
int model_components(struct model *m);
int model_schema(struct model *m, struct yt_node *n, uint32_t *index);
/* model_op.c */
int model_ops(struct model *m);
/* model_command.c: nouns and verbs that were not given. */
int model_commands(struct model *m);
/* pattern.c: ECMA 262 pattern as POSIX extended. INVALID when it cannot be said or does not compile. */
int pattern_translate(const char *pattern, struct buf *out, struct err *err);

#endif
