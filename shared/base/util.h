/*
 * util: clock, identifiers, randomness, small string work.
 */
#ifndef SBX_BASE_UTIL_H
#define SBX_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */
/* RFC 3339 UTC with milliseconds, "2026-11-22T04:37:00.123Z"; returns out. */
#define CLOCK_RFC3339_LEN 32
char *clock_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_LEN]);
/* Any RFC 3339 time, parts of milliseconds cut off: 0, or -1. */
int clock_parse(const char *rfc3339, int64_t *wall_ms);

/* Fill with getrandom(2); aborts only if the kernel cannot give any (never seen after boot). */
void rand_bytes(void *out, size_t n);
/* n lower-case base-36 characters and NUL into out[n + 1]; uniformly distributed; the first is a letter. */
void rand_id(char *out, size_t n);
/* n lower-case hex digits and NUL into out[n + 1]. */
void rand_hex(char *out, size_t n);

/* Sandbox and other user-chosen names: [a-z0-9][a-z0-9-]{0,62}, not ending in '-'. */
bool name_valid(const char *s);

bool str_starts(const char *s, const char *prefix);
/* A copy without the blanks around it. */
char *str_trimmed(const char *s) __attribute__((malloc, returns_nonnull));
/* As much of s as fits, and NUL. */
void str_copy(char *out, size_t size, const char *s);
/* Both there and equal. */
bool str_same(const char *a, const char *b);
bool str_ends(const char *s, const char *suffix);
/* Decimal digits only, whole string, min..max. 0 or -1 with err INVALID naming `what`. */
int parse_int(const char *s, const char *what, int64_t min, int64_t max, int64_t *out, struct err *err);
/* Percent-decode in place; false on a bad escape or an encoded NUL. '+' is left alone. */
bool url_decode(char *s);
/* Constant-time equality of n bytes. */
bool mem_equal_ct(const void *a, const void *b, size_t n);
/* Edit distance for "did you mean"; both under 64 bytes, else a large number. */
unsigned str_distance(const char *a, const char *b);

#endif
