/*
 * yaml_tree: a YAML (or JSON) document as a tree that remembers its lines. The only module that includes <yaml.h>.
 *
 * It takes the plain part of YAML that people agree on: one document of mappings, sequences and scalars. Refused: anchors and
 * aliases, tags, merge keys, duplicate keys, keys that are not scalars. Plain scalars are typed as JSON types them: only
 * true and false are booleans, only null and ~ (and nothing) are null, only JSON numbers are numbers; all else is text.
 */
#ifndef SBX_GEN_YAML_TREE_H
#define SBX_GEN_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

enum yt_kind { YT_MAP, YT_SEQ, YT_STRING, YT_NUMBER, YT_BOOL, YT_NULL };

struct yt_node {
	enum yt_kind kind;
	unsigned line; /* from 1; of the key for a member of a mapping */
	char *key;     /* NULL in a sequence and at the root */
	char *text;    /* scalars: as written, without quotes; NULL for the others */
	size_t count;  /* children */
	struct yt_node *parent, *first, *last, *next;
	uint32_t mark; /* for the reader's own use; 0 at first */
};

struct yt_limits {
	size_t bytes, nodes;
	unsigned depth;
};
#define YT_LIMITS_DEFAULT ((struct yt_limits){ .bytes = 8u << 20, .nodes = 400000, .depth = 48 })

struct yt_doc;

/* Parse n bytes. file is only for messages ("file:line: key: what"). NULL with INVALID or TOO_LARGE. Free with yt_free. */
struct yt_doc *yt_parse(const char *text, size_t n, const char *file, struct yt_limits limits, struct err *err);
void yt_free(struct yt_doc *doc);

struct yt_node *yt_root(struct yt_doc *doc);
const char *yt_file(const struct yt_doc *doc);

/* Member of a mapping, NULL when absent, when n is no mapping or n is NULL. */
struct yt_node *yt_get(const struct yt_node *n, const char *key);
/* Text of a string scalar (or of any scalar), NULL for anything else. */
const char *yt_str(const struct yt_node *n);
const char *yt_scalar(const struct yt_node *n);
/* Value of a boolean; def when n is NULL or no boolean. */
bool yt_bool(const struct yt_node *n, bool def);
const char *yt_kind_name(enum yt_kind kind);

/* The node as compact JSON, appended to out. */
void yt_json(const struct yt_node *n, struct buf *out);

/* Fill err with "file:line: key: message", key being that of the node or of the nearest one around it. Returns -1. */
int yt_error(const struct yt_doc *doc, const struct yt_node *n, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
