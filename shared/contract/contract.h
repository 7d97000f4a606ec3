/*
 * contract: the operations of an OpenAPI document as constant tables (written by sbxgen), and what is done with them:
 * validate parameters and bodies, fill in paths, describe commands (router.h: find the operation of a request). Used by daemon and
 * CLI.
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
enum ct_body { CT_BODY_NONE, CT_BODY_JSON, CT_BODY_STREAM /* octet-stream, tar, text */, CT_BODY_MULTIPART };

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
	ct_str pattern;			/* POSIX extended; sbxgen translates \d \w \s and refuses what POSIX cannot say */
	ct_str def, constant;		/* default and const as JSON text */
	double min, max;		/* numbers */
	uint32_t min_len, max_len;	/* string length (code points), array items, object members; max UINT32_MAX = none */
	uint32_t items;			/* array items or map values: schema index, CT_NONE */
	uint32_t fields, field_count;	/* object members: range of ct_field */
	uint32_t enums, enum_count;	/* range of ct_str in enum_pool: JSON text of each value */
	uint32_t one_of, one_of_count;	/* oneOf/anyOf alternatives: range of indices in index_pool (allOf is merged by sbxgen) */
	uint32_t columns, column_count; /* x-sbx-columns: range of ct_str in enum_pool, dotted paths */
	ct_str brief;			/* x-sbx-short: "external:internal", how a person types it */
	bool any_of;
};

struct ct_field {
	ct_str name;
	ct_str flag; /* of the command line, without its dashes: "memory-mb"; singular for an array or a map */
	uint32_t schema;
	bool required;
};

struct ct_param {
	ct_str name, description;
	ct_str flag; /* as of a field; "X-<Contract>-" of a header is left out */
	uint8_t in;
	bool required, explode, rest, secret; /* explode: one array item a repetition; rest, secret: x-sbx-... */
	uint32_t schema;
};

/* A way to prove who one is: securitySchemes. */
enum ct_scheme_kind { CT_SCHEME_BEARER, CT_SCHEME_BASIC, CT_SCHEME_KEY /* a value in header, query or cookie */, CT_SCHEME_OTHER };
struct ct_scheme {
	ct_str id;		 /* "apiKeyAuth" */
	ct_str name;		 /* CT_SCHEME_KEY: of the header, query parameter or cookie */
	uint8_t kind, in;	 /* enum ct_scheme_kind, enum ct_in */
	bool routing;		 /* x-sbx-routing: says where a request goes, not who sends it */
	uint32_t env, env_count; /* x-sbx-env: range of ct_str in enum_pool */
};
#define CT_SCHEME_AND (1u << 31) /* in ct_op.security: the next one must be presented too */

/* One content type of a request body, the preferred one first. */
struct ct_content {
	ct_str media;	 /* "application/json" */
	uint8_t kind;	 /* enum ct_body */
	uint32_t schema; /* CT_NONE */
};

/* How a dialect words a kind of fault; the message is the fault's own unless it is given. As text it may hold that one as
 * $message. */
enum ct_fault_as { CT_AS_SHAPE, CT_AS_TEXT, CT_AS_EMPTY };
struct ct_fault {
	ct_str kind; /* name of an err code, an err's word, or "syntax", "schema", "parameter", "route" */
	uint16_t status;
	uint8_t as; /* enum ct_fault_as */
	ct_str code, message;
};

/* A tag of the document: what its operations are about. */
struct ct_tag {
	ct_str name, description;
};

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
	CT_OP_LOCAL = 1u << 5 /* x-sbx-local: Unix socket only */,
	CT_OP_TEAMS = 1u << 7 /* x-sbx-teams: everybody sees his own there; without it: the operator alone */,
	CT_OP_SHARED = 1u << 6 /* x-sbx-shared: another contract has it too, and one answer serves both */
};

struct ct_op {
	ct_str id, method, path; /* path with the base, "/sbx/v1/sandboxes/{id}" */
	ct_str also;		 /* x-sbx-also: another path that leads to it, with the same parameters; 0 = none */
	ct_str tag, summary, description;
	ct_str noun, verb; /* x-sbx-command: "capsule create", or derived */
	uint16_t flags;
	uint32_t bodies, body_count;
	uint32_t body_limit; /* x-sbx-body-limit: bytes of a JSON body; 0 = the server's own */
	ct_str rows;	     /* x-sbx-rows: dotted path to the rows in the answer */
	uint32_t params, param_count;
	uint32_t responses, response_count;
	uint32_t security, security_count; /* alternatives: range of scheme indices in index_pool, some | CT_SCHEME_AND */
};

#define CT_DEPTH_MAX 32 /* segments in a path of a contract */
#define CT_PARAMS_MAX 8 /* parameters in it */

struct contract {
	const char *name; /* "sbx", "mcp-v8" */
	const char *title, *version, *base_path;
	const char *description;
	const char *server;	 /* servers[0].url with a host, without its path; "" when it has none */
	const char *fault_shape; /* x-sbx-faults: JSON text in which "$code" and such stand for the fault's own */
	const char *pool;
	const struct ct_schema *schemas;
	const struct ct_field *fields;
	const struct ct_param *params;
	const struct ct_response *responses;
	const struct ct_content *contents;
	const struct ct_fault *faults;
	const struct ct_tag *tags;
	const struct ct_scheme *schemes;
	const struct ct_op *ops;
	const uint32_t *index_pool;
	const ct_str *enum_pool;
	uint32_t schema_count, op_count, fault_count, tag_count, scheme_count;
	uint32_t env_url, env_url_count; /* x-sbx-env: base-url: range of ct_str in enum_pool */
	bool unknown_fields_ok;		 /* x-sbx-unknown-fields: ignore (default: refuse) */
	bool any_media;			 /* x-sbx-content-types: ignore: what stands where JSON is due is read as JSON */
};

static inline const char *ct_s(const struct contract *c, ct_str s)
{
	return c->pool + s;
}

/* The preferred content type of an operation's body, NULL when it has none; all: contents[op->bodies + i]. */
static inline const struct ct_content *ct_body(const struct contract *c, const struct ct_op *op)
{
	return op->body_count > 0 ? &c->contents[op->bodies] : NULL;
}

/* Its name; "" when the operation takes no body. */
static inline const char *ct_media(const struct contract *c, const struct ct_op *op)
{
	return op->body_count > 0 ? ct_s(c, c->contents[op->bodies].media) : "";
}

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
/* How a dialect says an error. */
struct ct_words {
	int status;
	const char *code, *message, *hint; /* point into e and the tables */
	const char *media;		   /* content type of the body; NULL = it has none */
};
/* Append the body for e to out. stage is "syntax", "schema", "parameter" or "route" where that is what failed, else NULL. */
struct ct_words ct_fault(const struct contract *c, const char *stage, const struct err *e, struct buf *out);
/* Full path of an operation with its {parameters} replaced, percent-encoded, values in order of appearance, appended to out.
 * INVALID when there are too few or too many values or one is empty (a rest parameter may be). */
int ct_path(const struct contract *c, uint32_t op, const char *const *values, size_t n, struct buf *out, struct err *err);

#endif
