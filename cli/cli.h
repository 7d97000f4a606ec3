/*
 * cli: what every command is and has: its table row, the global flags, output and the connection.
 *
 * Rules: data goes to cli->out (written to standard output at the end, or by cli_flush), all else to standard error.
 * A command returns its exit code, or -1 with err, which main prints as "sbx <verb>: message" and a hint line, and turns
 * into 2 for code USAGE and 1 for all others.
 */
#ifndef SBX_CLI_CLI_H
#define SBX_CLI_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/config.h"
#include "cli/endpoint/client.h"
#include "cli/opt.h"
#include "cli/where.h"
#include "shared/base/buf.h"
#include "shared/base/err.h"
#include "shared/base/json.h"

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_YAML };

struct globals {
	const char *output, *host, *context, *api_key;
	bool help;
	bool version;
};

struct command;

struct cli {
	const struct command *command; /* that runs, of the hand-written ones */
	const char *words[3];	       /* its name, for messages: "wrenn", "capsule", "create" */
	struct globals globals;
	enum format format;
	struct buf out;
	struct config *config; /* NULL until cli_config */
	struct endpoint endpoint;
	struct buf secret; /* its key, when that came from a file */
	bool endpoint_known;
};

/* Arguments that are no options, in order. */
struct args {
	char **v;
	size_t n;
	size_t plain; /* so many come before "--" */
};

#define NO_LIMIT SIZE_MAX
#define NO_COMMAND (-1)

/* What the arguments of a command are, for the shell's completion. */
enum arg_kind {
	ARG_NONE,
	ARG_SANDBOX,
	ARG_SANDBOX_RUNNING, /* those are offered */
	ARG_SANDBOX_PAUSED,
	ARG_SANDBOX_STOPPED,
	ARG_SANDBOX_ALIVE, /* running or paused */
	ARG_IMAGE,
	ARG_KEY,
	ARG_SNAPSHOT,
	ARG_CONTEXT,
	ARG_COPY, /* SANDBOX:PATH or a file */
	ARG_METHOD,
	ARG_SHELL,
	ARG_REF,      /* of a tree in the local store */
	ARG_REF_FILE, /* that, or a folder of this machine */
	ARG_FILE,     /* of this machine */
	ARG_LABEL,    /* of the local store */
	ARG_TEAM,
	ARG_MEMBER, /* of the team that one works in */
	ARG_HOST,
	ARG_CHANNEL,
	ARG_CHANNEL_OR_PROVIDER, /* of one that is not made */
};

/* What the first argument of some commands is: `sbx fs label set LABEL REF`. */
struct verb {
	const char *name, *alias;
	const char *usage;  /* what follows the name */
	size_t min, max;    /* arguments behind it */
	const char *takes;  /* names of the command's options that it has, with blanks between them; NULL = none */
	enum arg_kind args; /* its first argument, and the others when there is no limit to them */
	int (*run)(struct cli *cli, const void *options, const struct args *args, struct err *err); /* without the verb */
};

struct command {
	const char *group; /* "image" of "sbx image ls", or NULL */
	const char *name, *alias;
	const char *summary;
	const char *usage; /* what follows the name */
	const char *about; /* more lines for the help, or NULL */
	const char *example;
	const struct opt *options; /* or NULL */
	size_t options_size;	   /* of the struct that they fill */
	size_t min_args, max_args;
	int command_after;    /* see struct opt_parse; NO_COMMAND */
	bool hidden;	      /* not listed: for programs */
	bool config_optional; /* runs although the configuration is broken */
	enum arg_kind args;   /* those before a remote command */
	/* Ended by one without a name: the first argument is one of them, and there is no run. NULL: none. */
	const struct verb *verbs;
	int (*run)(struct cli *cli, const void *options, const struct args *args, struct err *err);
};

/* Rows of the table in commands.c, one exported by each file of cli/cmd. */
extern const struct command cmd_create, cmd_run, cmd_exec, cmd_pty, cmd_ls, cmd_inspect, cmd_cp, cmd_rm, cmd_logs;
extern const struct command cmd_stats, cmd_watch;
extern const struct command cmd_pause, cmd_resume, cmd_stop, cmd_start, cmd_fork, cmd_resize;
extern const struct command cmd_key_create, cmd_key_ls, cmd_key_rm, cmd_image_ls, cmd_image_build, cmd_image_inspect;
extern const struct command cmd_image_import, cmd_image_pull, cmd_image_tag, cmd_image_rm, cmd_image_commit;
extern const struct command cmd_context_add, cmd_context_use, cmd_context_ls, cmd_context_inspect, cmd_context_rm;
extern const struct command cmd_port_add, cmd_port_ls, cmd_port_rm, cmd_port_url;
extern const struct command cmd_snapshot_create, cmd_snapshot_ls, cmd_snapshot_inspect, cmd_snapshot_rm;
extern const struct command cmd_snapshot_export, cmd_snapshot_import, cmd_snapshot_copy;
extern const struct command cmd_fs_push, cmd_fs_checkout, cmd_fs_status, cmd_fs_ls, cmd_fs_cat, cmd_fs_stat, cmd_fs_show;
extern const struct command cmd_fs_diff, cmd_fs_merge, cmd_fs_reset, cmd_fs_log, cmd_fs_label, cmd_fs_export, cmd_fs_import;
extern const struct command cmd_fs_clone, cmd_fs_fetch, cmd_fs_fsck, cmd_fs_gc, cmd_fs_stats;
extern const struct command cmd_login, cmd_logout, cmd_whoami, cmd_audit;
extern const struct command cmd_team_ls, cmd_team_create, cmd_team_inspect, cmd_team_rename, cmd_team_rm, cmd_team_use;
extern const struct command cmd_team_member;
extern const struct command cmd_host_ls, cmd_host_add, cmd_host_inspect, cmd_host_rm, cmd_host_token, cmd_host_tag;
extern const struct command cmd_channel_ls, cmd_channel_add, cmd_channel_inspect, cmd_channel_update, cmd_channel_config;
extern const struct command cmd_channel_rm, cmd_channel_test;
extern const struct command cmd_config_view, cmd_config_path, cmd_dial_stdio, cmd_api, cmd_up, cmd_down, cmd_doctor, cmd_version,
	cmd_completion;

/* The configuration, read when first needed. NULL with err when it is broken. Freed at the end by main. */
const struct config *cli_config(struct cli *cli, struct err *err);
struct choice cli_choice(const struct cli *cli);

/* A client of the endpoint that the flags, the environment and the configuration name. Close with client_close. */
int cli_client(struct cli *cli, struct client *c, struct err *err);
int cli_endpoint(struct cli *cli, struct err *err);

/* Write cli->out to standard output now. IO with err->sys when it fails. */
int cli_flush(struct cli *cli, struct err *err);

/* From --output. */
int cli_set_format(struct cli *cli, struct err *err);

/* "sbx <verb>: text" on standard error; err_line with the hint on a line of its own. */
void cli_warn(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_error(const struct cli *cli, const struct err *err);

/* One call over a connection of its own. NULL with err. Free with js_free. */
js *cli_ask(struct cli *cli, const struct call *call, struct err *err);

/* v as one JSON or YAML document to cli->out, for these formats only. */
void cli_document(struct cli *cli, const js *v);

/* Ask on the terminal. 1 yes, 0 no, -1 with err and this hint when there is no terminal to ask on. */
int cli_confirm(const char *question, const char *hint, struct err *err);

/* The signals that end a command: INT, TERM, QUIT, and HUP unless it is ignored (nohup). */
void cli_signal_set(sigset_t *set);
/* Block them and return a signalfd for them, or -1. */
int cli_signal_fd(struct err *err);
/* The exit code for the signal that waits in fd (130 for INT), taking it. */
int cli_signal_code(int fd);

#endif
