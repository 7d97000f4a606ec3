/*
 * complete: what can follow the words typed so far, from the tables that parse them. The shells' scripts ask for it with
 * `sbx __complete WORDS...`.
 *
 * The answer is lines of "word<TAB>description", each beginning with what was typed of the last word; the last line is ":" and what
 * the shell does beyond them: "files" and "commands" are offered by the shell itself, "prefix=N" says that so many characters of
 * the word come before the name of the file. A word that ends in ":", "=" or "/" is not finished: no space follows it.
 */
#ifndef SBX_CLI_COMPLETE_H
#define SBX_CLI_COMPLETE_H

#include "cli/cli.h"

/* Names that no table knows: appends lines of "name<TAB>description" that may follow the typed part. Tells no errors. */
typedef void complete_live(struct cli *cli, enum arg_kind kind, const char *typed, struct buf *out);

/* words[n - 1] is being completed. Global options among the words go to cli->globals. */
void complete_words(struct cli *cli, size_t n, char *const *words, complete_live *live, struct buf *out);

/* The hidden command: the exit code. Nothing goes to standard error. */
int complete_run(struct cli *cli, int argc, char **argv);

#endif
