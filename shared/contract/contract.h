/*
 * contract: the operations of an OpenAPI document as constant tables (written by sbxgen), and what is done with them:
 * find the operation of a request, validate parameters and bodies, describe commands. Used by daemon and CLI.
 *
 * The tables hold 32-bit offsets into one string pool and 16/32-bit indices into flat arrays, never pointers: they need no
 * relocation, are shared between processes and cost nothing until touched.
 */
#ifndef SBX_CONTRACT_CONTRACT_H
#define SBX_CONTRACT_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/base/json.h"

enum ct_type { CT_ANY, CT_NULL, CT_BOOLEAN, CT_INTEGER, CT_NUMBER, CT_STRING, CT_ARRAY, CT_OBJECT };
enum ct_format {
	CT_FMT_NONE,
	CT_FMT_INT32,
	CT_FMT_INT64,
	CT_FMT_FLOAT,
	CT_FMT_DOUBLE,
	CT_FMT_DATE_TIME,
	CT_FMT_DATE,
	CT_FMT_UUID,
	CT_FMT_EMAIL,
	CT_FMT_URI,
	CT_FMT_BYTE /* base64 */,
	CT_FMT_BINARY,
	CT_FMT_PASSWORD,
	CT_FMT_HOSTNAME,
	CT_FMT_IPV4
};
enum ct_in { CT_IN_PATH, CT_IN_QUERY, CT_IN_HEADER, CT_IN_COOKIE };
enum ct_body { CT_BODY_NONE, CT_BODY_JSON, CT_BODY_STREAM /* octet-stream, tar */, CT_BODY_MULTIPART };

typedef uint32_t ct_str; /* offset into the pool; 0 = "" = absent */
#define CT_NONE UINT32_MAX

enum ct_schema_flags {
	CT_NULLABLE = 1u << 0,
	CT_HAS_MIN = 1u << 1,
	CT_HAS_MAX = 1u << 2,
	CT_EXCL_MIN = 1u << 3,
	CT_EXCL_MAX = 1u << 4, /* numbers */
	CT_HAS_DEFAULT = 1u << 5,
	CT_UNIQUE = 1u << 6,
	CT_CLOSED = 1u << 7, /* additionalProperties: false */
	CT_MAP = 1u << 8,    /* additionalProperties: schema, its index is in items; true: items is CT_NONE */
	CT_READ_ONLY = 1u << 9,
	CT_WRITE_ONLY = 1u << 10,
	CT_DEPRECATED = 1u << 11,
	CT_SECRET = 1u << 12, /* format: password, or x-sbx-secret */
};

struct ct_schema {
	uint8_t type, format; /* enum ct_type, enum ct_format */
	uint16_t flags;
	ct_str name; /* of the component, when it has one */
	ct_str description;
	ct_str pattern;		       /* POSIX extended; sbxgen translates \d \w \s and refuses what POSIX cannot say */
	ct_str def, constant;	       /* default and const as JSON text */
	double min, max;	       /* numbers */
	uint32_t min_len, max_len;     /* string length (code points), array items, object members; max UINT32_MAX = none */
	uint32_t items;		       /* array items or map values: schema index, CT_NONE */
	uint32_t fields, field_count;  /* object members: range of ct_field */
	uint32_t enums, enum_count;    /* range of ct_str in enum_pool: JSON text of each value */
	uint32_t one_of, one_of_count; /* oneOf/anyOf alternatives: range of indices in index_pool (allOf is merged by sbxgen) */
	bool any_of;
};

struct ct_field {
	ct_str name;
	uint32_t schema;
	bool required;
};

struct ct_param {
	ct_str name, description;
	uint8_t in;
	bool required, explode, rest; /* explode: one array item a repetition; rest: x-sbx-rest */
	uint32_t schema;
};

/* A way to prove who one is: securitySchemes. */
enum ct_scheme_kind { CT_SCHEME_BEARER, CT_SCHEME_BASIC, CT_SCHEME_KEY /* a value in header, query or cookie */, CT_SCHEME_OTHER };
struct ct_scheme {
	ct_str id;	  /* "apiKeyAuth" */
	ct_str name;	  /* CT_SCHEME_KEY: of the header, query parameter or cookie */
	uint8_t kind, in; /* enum ct_scheme_kind, enum ct_in */
};
#define CT_SCHEME_AND (1u << 31) /* in ct_op.security: the next one must be presented too */

struct ct_response {
	uint16_t status; /* 0 = default; 1..5 = 1XX..5XX */
	ct_str description, media_type;
	uint32_t schema; /* CT_NONE when no body */
};

enum ct_op_flags {
	CT_OP_PUBLIC = 1u << 0 /* security: [] */,
	CT_OP_WEBSOCKET = 1u << 1 /* x-sbx-websocket */,
	CT_OP_BODY_REQUIRED = 1u << 2,
	CT_OP_STREAM = 1u << 3 /* NDJSON, SSE */,
	CT_OP_DEPRECATED = 1u << 4,
	CT_OP_LOCAL = 1u << 5 /* x-sbx-local: Unix socket only */
};

struct ct_op {
	ct_str id, method, path; /* path with the base, "/sbx/v1/sandboxes/{id}" */
	ct_str tag, summary, description;
	ct_str noun, verb; /* x-sbx-command: "capsule create", or derived */
	uint16_t flags;
	uint8_t body; /* enum ct_body */
	ct_str body_media;
	uint32_t body_schema; /* CT_NONE */
	uint32_t params, param_count;
	uint32_t responses, response_count;
	uint32_t security, security_count; /* alternatives: range of scheme indices in index_pool, some | CT_SCHEME_AND */
};

/* Routing trie over path segments: children of a node are contiguous: static segments in strcmp order, then the parameter
 * (segment 0: takes any one segment that is not empty), then the rest parameter. */
#define CT_DEPTH_MAX 32 /* segments in a path of a contract */
struct ct_node {
	ct_str segment; /* 0 = a parameter */
	uint32_t children, child_count;
	uint32_t ops, op_count; /* operations that end here: range in index_pool */
	bool rest;		/* parameter that takes the rest of the path, slashes too (x-sbx-rest) */
};

struct contract {
	const char *name; /* "sbx", "mcp-v8" */
	const char *title, *version, *base_path;
	const char *pool;
	const struct ct_schema *schemas;
	const struct ct_field *fields;
	const struct ct_param *params;
	const struct ct_response *responses;
	const struct ct_scheme *schemes;
	const struct ct_op *ops;
	const struct ct_node *nodes; /* nodes[0] is the root */
	const uint32_t *index_pool;
	const ct_str *enum_pool;
	uint32_t schema_count, op_count, node_count;
	bool unknown_fields_ok; /* x-sbx-unknown-fields: ignore (default: refuse) */
};

static inline const char *ct_s(const struct contract *c, ct_str s)
{
	return c->pool + s;
}

#define CT_PARAMS_MAX 8
struct ct_match {
	uint32_t op;
	unsigned count;
	const char *names[CT_PARAMS_MAX];
	char *values[CT_PARAMS_MAX]; /* decoded; owned: ct_match_free */
};
/* Find the operation of a request; path is raw (still encoded) and without its query. Segments are split first and decoded
 * then, so %2F stays inside one. Static segments win over parameters. 0; -1 with NOT_FOUND (no such path), METHOD (path
 * known; the hint is the list of methods, "GET, POST", as the Allow header wants it), INVALID (bad escape, %00). */
int ct_match(const struct contract *c, const char *method, const char *path, struct ct_match *out, struct err *err);
void ct_match_free(struct ct_match *m);
/* Operation index by operationId, CT_NONE when unknown. */
uint32_t ct_op_by_id(const struct contract *c, const char *id);

/* Check a JSON value against a schema: types, required, unknown members, enums, ranges, lengths, formats, patterns, oneOf.
 * INVALID with the path of the offending field in the message: "'memoryMb' must be at least 64".
 * Unknown members are refused unless the contract ignores them, the schema is a map, or it names no members at all.
 * oneOf is satisfied by the first alternative that fits (as serde and most servers do), so overlapping ones do no harm. */
int ct_validate(const struct contract *c, uint32_t schema, const js *value, struct err *err);
/* Check a parameter given as text (query, path, header): "'limit' must be an integer". An array is comma-separated unless the
 * parameter is exploded: then text is one of its items. */
int ct_validate_text(const struct contract *c, const struct ct_param *p, const char *text, struct err *err);
/* Declared query parameter by name, NULL when the operation has none such. */
const struct ct_param *ct_find_param(const struct contract *c, const struct ct_op *op, enum ct_in in, const char *name);
/* Member of an object schema by name (searches allOf-merged fields); NULL. */
const struct ct_field *ct_find_field(const struct contract *c, uint32_t schema, const char *name);
/* Full path of an operation with its {parameters} replaced, percent-encoded, values in order of appearance, appended to out.
 * INVALID when there are too few or too many values or one is empty (a rest parameter may be). */
int ct_path(const struct contract *c, uint32_t op, const char *const *values, size_t n, struct buf *out, struct err *err);

#endif
