/*
 * err: the one error type of the project.
 *
 * A function that can fail takes `struct err *` last and returns 0 or -1 (or a pointer or NULL). On failure it
 * fills the error with what went wrong (msg: lower case, no full stop, subject in single quotes) and, where there
 * is something a person can do, a hint. The struct holds its text inline, so that reporting an error never
 * allocates and never fails. `err` may be NULL when the caller does not care.
 *
 * Threads: an err belongs to one thread at a time.
 */
#ifndef SBX_BASE_ERR_H
#define SBX_BASE_ERR_H

#include <stdarg.h>

/* code, machine-readable name (wire and JSON output), HTTP status */
#define ERR_CODES(X)                                                                                                               \
	X(OK, "ok", 200)                                                                                                           \
	X(INTERNAL, "internal", 500)                                                                                               \
	X(IO, "io", 500)                                                                                                           \
	X(INVALID, "invalid_request", 400)                                                                                         \
	X(USAGE, "usage", 400)                                                                                                     \
	X(UNAUTHORIZED, "unauthorized", 401)                                                                                       \
	X(FORBIDDEN, "forbidden", 403)                                                                                             \
	X(NOT_FOUND, "not_found", 404)                                                                                             \
	X(METHOD, "method_not_allowed", 405)                                                                                       \
	X(CONFLICT, "conflict", 409)                                                                                               \
	X(STATE, "invalid_state", 409)                                                                                             \
	X(TOO_LARGE, "too_large", 413)                                                                                             \
	X(MEDIA_TYPE, "unsupported_media_type", 415)                                                                               \
	X(LIMIT, "limit_exceeded", 429)                                                                                            \
	X(NOT_IMPLEMENTED, "not_implemented", 501)                                                                                 \
	X(PROTOCOL, "protocol_error", 502)                                                                                         \
	X(UNAVAILABLE, "unavailable", 503)                                                                                         \
	X(TIMEOUT, "timeout", 504)                                                                                                 \
	X(NO_SPACE, "no_space", 507)

enum err_code {
#define X(id, name, status) ERR_##id,
	ERR_CODES(X)
#undef X
		ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	int sys; /* errno that caused it, or 0 */
	const char
		*word; /* a constant: which of a code's reasons it is, where a dialect tells them apart ("email_taken"), or NULL */
	char msg[512];
	char hint[256];
};

#define ERR_INIT                                                                                                                   \
	{                                                                                                                          \
		.code = ERR_OK                                                                                                     \
	}

/* Fill err and return -1, so that `return err_set(...)` is the idiom. Too long a message is cut. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *err, enum err_code code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* As err_set, with ": <strerror(sys)>" appended and the code derived from errno (ENOENT -> NOT_FOUND, ENOSPC ->
 * NO_SPACE, EACCES/EPERM -> FORBIDDEN, EEXIST -> CONFLICT, ETIMEDOUT -> TIMEOUT, else IO). Returns -1. */
int err_sys(struct err *err, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "<text>: " before the message that is already there. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set the line that tells the person what to do next. Returns -1. */
int err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set the word for the reason: a string constant. Returns -1. */
int err_word(struct err *err, const char *word);

void err_clear(struct err *err);

/* Lower-case name of a code ("not_found"); never NULL. */
const char *err_name(enum err_code code);
/* The code of such a name; ERR_INTERNAL for an unknown one. */
enum err_code err_from_name(const char *name);
/* HTTP status of a code, and the nearest code of a status. */
int err_status(enum err_code code);
enum err_code err_from_status(int status);

#endif
