/*
 * flags: the options of a generated command, made from the operation's tables when the command is run: one a query or header
 * parameter, one a member of the body, dotted for members of members ("--template.vcpu-count").
 */
#ifndef SBX_CLI_API_FLAGS_H
#define SBX_CLI_API_FLAGS_H

#include "cli/opt.h"
#include "shared/contract/contract.h"

/* Members of members deeper than this are given as JSON, or with --input. */
#define FLAG_DEPTH 4

enum flag_place { FLAG_QUERY, FLAG_HEADER, FLAG_BODY, FLAG_FILE /* the whole body is a file */ };

struct api_flag {
	char *name; /* "template.vcpu-count" */
	enum flag_place place;
	const struct ct_param *param; /* FLAG_QUERY, FLAG_HEADER; of a FLAG_BODY too when the query takes the same (raw bodies) */
	const struct ct_field *path[FLAG_DEPTH]; /* FLAG_BODY: the member, from the outside in */
	unsigned depth;
	uint32_t schema; /* of the value; CT_NONE for FLAG_FILE */
	const char *about;
	bool required;		/* it and all around it */
	bool secret, from_file; /* from_file: "--password-file", the twin of a secret: where the value is read from */
};

struct api_flags {
	const struct contract *c;
	const struct ct_op *op;
	const struct ct_content *body; /* the structured one (JSON, multipart); NULL */
	const struct ct_content *raw;  /* the one that is a file; NULL */
	struct api_flag *v;
	size_t n;
	struct opt *table;	 /* for opt_parse, filling values */
	struct opt_list *values; /* of each flag */
};

/* Free with api_flags_free. */
void api_flags_init(struct api_flags *f, const struct contract *c, const struct ct_op *op);
void api_flags_free(struct api_flags *f);

/* The flag of this name (leading dashes allowed), or NULL. */
const struct api_flag *api_flag_find(const struct api_flags *f, const char *name);
/* The flag of the body's member at a dotted path of the contract ("template.vcpuCount"), or of the nearest one around it: a map, or
 * an object that is one value; or NULL. */
const struct api_flag *api_flag_at(const struct api_flags *f, const char *path);
static inline const struct opt_list *api_flag_values(const struct api_flags *f, const struct api_flag *flag)
{
	return &f->values[flag - f->v];
}
/* Can it be given more than once? */
bool api_flag_repeats(const struct contract *c, const struct api_flag *flag);
/* A map of K=V, whose values are of schema items. */
bool api_flag_is_map(const struct contract *c, uint32_t schema);
/* A file, whose bytes are sent as they are. */
bool api_flag_is_binary(const struct contract *c, const struct api_flag *flag);
/* Follow the only alternative, where there is one that is an array or an object: what a flag means is decided by it. */
const struct ct_schema *api_shape(const struct contract *c, uint32_t schema);

#endif
