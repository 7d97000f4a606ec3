/*
 * uid: the ids of our records as they are written for people: a prefix that tells the kind, and 25 characters of base 36.
 *
 * Ours are shorter and begin with a letter: they are padded with zeros in front, so that the two forms are one to one and no table
 * is needed between them. Source: reference/wrenn.md 3.1.
 */
#ifndef SBX_CORE_UID_H
#define SBX_CORE_UID_H

#include <stddef.h>

#include "shared/base/err.h"

#define UID_DIGITS 25
#define UID_TEXT (UID_DIGITS + 8) /* with the longest prefix and NUL */

#define UID_CAPSULE "cl-"
#define UID_USER "usr-"
#define UID_TEAM "team-"
#define UID_KEY "key-"
#define UID_HOST "host-"
#define UID_AUDIT "log-"
#define UID_CHANNEL "ch-"

/* The prefix for a kind of thing, as the audit log calls it ("sandbox", "user"); NULL for one that is known by its name alone. */
const char *uid_prefix(const char *type);
/* "cl-0000000000000abcdefghijkl"; returns out. "" for NULL. */
const char *uid_format(const char *prefix, const char *uid, char out[UID_TEXT]);
/* Our id in such a text: points into it. NULL with INVALID when it is not of that form. */
const char *uid_parse(const char *prefix, const char *text, struct err *err);

#endif
