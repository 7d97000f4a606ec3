/*
 * opt: command-line options from tables.
 *
 * A table is an array of struct opt ended by OPT_END; values go into a struct of the command at `off`. Both `--name value`
 * and `--name=value` work, short flags may be bundled, `--` ends the options. An unknown flag or a bad value is an error of
 * code USAGE with a hint. Nothing is copied: values point into argv.
 */
#ifndef SBX_CLI_OPT_H
#define SBX_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/err.h"

enum opt_kind {
	OPT_END,
	OPT_BOOL,   /* bool */
	OPT_STR,    /* const char * */
	OPT_INT,    /* struct opt_num, whole numbers */
	OPT_NUM,    /* struct opt_num */
	OPT_TIME,   /* struct opt_num in whole seconds: 90, 90s, 10m, 2h, 1d */
	OPT_PAIRS,  /* struct opt_list of K=V */
	OPT_ENV,    /* struct opt_list of K=V, or K alone */
	OPT_ENUM,   /* const char *, one of choices */
	OPT_LIST,   /* struct opt_list of any text, one a repetition */
	OPT_SWITCH, /* struct opt_list of "true" and "false": --x, --x=false, --no-x */
	OPT_MAYBE,  /* const char *: --x=value; the next argument only if it is one of choices, or begins with one that ends in
		     * ':'; alone it is the first of them */
};

struct opt {
	enum opt_kind kind;
	char letter;	  /* 0 = none */
	const char *name; /* without the dashes */
	const char *arg;  /* name of the value in the help; NULL for OPT_BOOL */
	const char *help;
	size_t off;
	double min, max;	    /* OPT_INT, OPT_NUM, OPT_TIME */
	const char *const *choices; /* OPT_ENUM, NULL-terminated */
	const char *env;	    /* named in the help only */
};

struct opt_num {
	bool set;
	double v;
};

struct opt_list {
	char **v;
	size_t n;
};

/* How far back a command looks, for a struct of type T. */
#define OPTION_SINCE(T) /* struct opt_num since */                                                                                 \
	{                                                                                                                          \
		.kind = OPT_TIME, .name = "since", .arg = "TIME", .help = "only what is no older than this, as 90, 10m, 2h or 1d", \
		.off = offsetof(T, since), .max = 3153600000                                                                       \
	}

/* Where options are looked for, in this order. */
struct opt_set {
	const struct opt *table;
	void *into;
};

struct opt_parse {
	struct opt_set sets[3];
	/* After so many arguments, the next one and all that follows it is a remote command and no option of ours; -1 = never. */
	int command_after;
	/* out: arguments in order (allocated, opt_parse_free) and how much of argv was used */
	char **args;
	size_t count;
	size_t plain; /* arguments before "--"; count when there was none */
	size_t used;
	bool stop_first; /* stop before the first argument, to parse the flags in front of a verb */
};

/* Parse argv[0..argc), which has no program name. 0, or -1 with USAGE. */
int opt_parse(struct opt_parse *p, int argc, char **argv, struct err *err);
/* Frees what opt_parse made, lists in the sets included. */
void opt_parse_free(struct opt_parse *p);

/* Was this option of the struct given? */
bool opt_is_set(const struct opt *o, const void *into);

/* The nearest of n names for "did you mean", or NULL when none is near. */
const char *opt_nearest(const char *word, const char *const *names, size_t n);

#endif
