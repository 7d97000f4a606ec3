/*
 * body: the JSON body of a generated command: --input with the flags over it, checked against the contract before it is sent.
 */
#ifndef SBX_CLI_API_BODY_H
#define SBX_CLI_API_BODY_H

#include "cli/api/flags.h"
#include "shared/base/json.h"

/* Read --input: JSON or YAML, from a file or standard input ("-"). USAGE with file and line when it is neither. */
js *body_input(const char *path, struct err *err);

/* Write the body. input may be NULL; nulls are the flags that --null names. USAGE, naming the flag where there is one, when the
 * result is not what the contract wants. */
int body_json(const struct api_flags *f, const js *input, const struct opt_list *nulls, struct buf *out, struct err *err);

/* The text of a flag that is given once: of a secret's "-file" twin, what is in the file. USAGE when both or several are given;
 * NULL without err when it is not given. Free it. */
char *body_text(const struct api_flags *f, const struct api_flag *flag, struct err *err);

/* Check a query or header parameter. USAGE names the flag. */
int body_check_param(const struct api_flags *f, const struct api_flag *flag, const char *text, struct err *err);

/* A file by name, "@name" or "-" (standard input), whole, at most max bytes. USAGE when a file cannot be read or is longer. */
int body_read(const char *path, size_t max, struct buf *out, struct err *err);

#endif
