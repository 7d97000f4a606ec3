/*
 * config: the person's settings: $SBX_CONFIG, else $XDG_CONFIG_HOME/sbx/config.yaml, else ~/.config/sbx/config.yaml.
 *
 *   output: table                   # table, json, yaml
 *   context: lab                    # the current one
 *   token: T                        # of the login to the local daemon, as somebody else than its operator
 *   pool: {size: 2}                 # VMs that the local daemon keeps waiting for a create, for each shape in use
 *   contexts:
 *     lab: {endpoint: "ssh://me@box", api: sbx, api-key: K}      # or api-key-file: PATH; token: T, of a login, wins
 *   providers:
 *     wrenn: {base-url: "https://...", api-key: K}               # or api-key-file: PATH
 *
 * No file is an empty one. All else than the above is refused with "FILE:LINE: key: what", so that no setting is silently
 * without effect. Changes are made with config_begin, the setters and config_commit, which keep what the file says (its comments
 * are lost) and cannot lose another process's change.
 */
#ifndef SBX_CLI_CONFIG_H
#define SBX_CLI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define CONFIG_DEFAULT_CONTEXT "default" /* built in: the local daemon */
#define CONFIG_NATIVE_API "sbx"

/* A key, or the file that holds it. */
struct config_key {
	const char *text, *file;
};

struct config_context {
	const char *name, *endpoint;
	const char *api; /* "sbx" unless the file says else */
	struct config_key key;
	const char *token; /* of a login */
};

struct config;

/* Where the file is or would be, allocated. NOT_FOUND when neither the variables nor $HOME say. */
char *config_path(struct err *err);
/* Read it. INVALID with the line for what is wrong in it. Free with config_free. */
struct config *config_load(struct err *err);
/* The same from memory; file is for messages and for the folder of relative paths. */
struct config *config_parse(const char *text, size_t n, const char *file, struct err *err);
void config_free(struct config *c);

const char *config_file(const struct config *c); /* "" when there is no place for one */
/* NULL when the file does not say. */
const char *config_output(const struct config *c);
const char *config_current(const struct config *c);
const char *config_pool_size(const struct config *c); /* digits */
const char *config_token(const struct config *c);     /* of the built-in context */
/* By name, and by number until NULL. The built-in one has no entry. Valid until the next change. */
const struct config_context *config_context(const struct config *c, const char *name);
const struct config_context *config_context_at(const struct config *c, size_t i);
/* key: "base-url", "api-key" or "api-key-file". */
const char *config_provider(const struct config *c, const char *provider, const char *key);
/* The secret itself, appended to out: the text, or the first line of the file. IO, INVALID. Nothing when there is none. */
int config_secret(const struct config *c, const struct config_key *key, struct buf *out, struct err *err);
/* A secret as a person has it in a file or pipe: one line of printable ASCII, blanks around it taken off. INVALID; what: for
 * messages. */
int config_trim_secret(struct buf *text, const char *what, struct err *err);

/* The systems whose API a context may speak, "sbx" first, NULL at the end. */
extern const char *const config_apis[];
/* 0, or USAGE: letters, digits, ".", "_", "-", at most 64, no "-" in front. */
int config_check_name(const char *name, struct err *err);

/* Lock the file and read it. The lock is held until config_free. */
struct config *config_begin(struct err *err);
/* CONFLICT when it exists, USAGE for "default" and bad names. Copies. */
int config_add_context(struct config *c, const struct config_context *add, struct err *err);
/* NOT_FOUND with the nearest name; USAGE for "default". A removed current one leaves none. */
int config_remove_context(struct config *c, const char *name, struct err *err);
/* NOT_FOUND with the nearest name. "default" leaves none. */
int config_use_context(struct config *c, const char *name, struct err *err);
/* Keep the token of a login in a context, the built-in one too; NULL forgets it. NOT_FOUND with the nearest name. */
int config_set_token(struct config *c, const char *name, const char *token, struct err *err);
/* NOT_FOUND that names the nearest context. Returns -1. */
int config_no_context(const struct config *c, const char *name, struct err *err);
/* Write it, atomically, for the owner's eyes only. */
int config_commit(struct config *c, struct err *err);
/* What config_commit writes. */
void config_render(const struct config *c, struct buf *out);

#endif
