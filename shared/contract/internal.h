/* Between the files of shared/contract. */
#ifndef SBX_CONTRACT_INTERNAL_H
#define SBX_CONTRACT_INTERNAL_H

#include "shared/contract/contract.h"

/* One validation: where it is in the value, and how much it may still cost. */
struct ct_check {
	const struct contract *c;
	struct err *err;
	struct buf path; /* "command[2]"; "" = the whole value */
	unsigned depth, work;
};

/* The object schemas around an alternative that looks at the same value: their members are known to it too. */
struct ct_scope {
	const struct ct_schema *s;
	const struct ct_scope *up;
};

/* value against schema; 0 or -1 with err. */
int ct_check_value(struct ct_check *v, uint32_t schema, const js *value, const struct ct_scope *scope);
/* INVALID "'path' <what>" ("the body <what>" at the top). Returns -1. */
int ct_check_fail(const struct ct_check *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Does the type alone fit? (null counts as fitting where it is allowed) */
bool ct_type_fits(const struct ct_schema *s, const js *value);
const char *ct_type_phrase(uint8_t type); /* "an integer" */

/* object.c */
int ct_check_object(struct ct_check *v, const struct ct_schema *s, const js *value, const struct ct_scope *scope);
/* scalar.c: const and enum; numbers; strings with length, pattern and format. */
int ct_check_listed(const struct ct_check *v, const struct ct_schema *s, const js *value);
int ct_check_number(const struct ct_check *v, const struct ct_schema *s, const js *value);
int ct_check_string(const struct ct_check *v, const struct ct_schema *s, const js *value);
/* value equals this JSON text (numbers as numbers; objects with their members in the same order). */
bool ct_equals_text(const js *value, const char *json);
/* choice.c: oneOf and anyOf. */
int ct_check_choice(struct ct_check *v, const struct ct_schema *s, const js *value, const struct ct_scope *scope);
/* format.c: does s have the format; and what it is called, "a UUID". Formats that say nothing about text are true. */
bool ct_format_ok(enum ct_format format, const char *s);
const char *ct_format_phrase(enum ct_format format);

#endif
