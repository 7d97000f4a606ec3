/*
 * create: making a sandbox, for `sbx create` and `sbx run`: options, request, status line, interruption.
 */
#ifndef SBX_CLI_CREATE_H
#define SBX_CLI_CREATE_H

#include "cli/cli.h"

struct create_options {
	const char *name, *image, *fs, *snapshot;
	struct opt_num vcpus, memory, timeout, idle;
	struct opt_list env, labels, ports, host_tags;
	const char *net, *on;
};

extern const char *const create_nets[];

/* clang-format off */
#define CREATE_OPTION_FS(type, m) \
	{ .kind = OPT_STR, .name = "fs", .arg = "REF[:/PATH]", \
		.help = "mount a tree of the daemon's store, writable, at PATH (default /work)", .off = offsetof(type, m) }
/* clang-format on */

/* Rows for a table whose struct has a member `m` of struct create_options. */
/* clang-format off */
#define CREATE_OPTIONS(type, m) \
	{ .kind = OPT_STR, .name = "name", .arg = "NAME", .help = "name to call it by", .off = offsetof(type, m.name) }, \
	{ .kind = OPT_STR, .name = "image", .arg = "IMAGE", .help = "image to start from (default base)", \
		.off = offsetof(type, m.image) }, \
	{ .kind = OPT_STR, .name = "snapshot", .arg = "SNAPSHOT", \
		.help = "go on from this snapshot instead of an image, with its memory and CPUs", \
		.off = offsetof(type, m.snapshot) }, \
	{ .kind = OPT_INT, .name = "vcpus", .arg = "N", .help = "virtual CPUs (default 1)", \
		.off = offsetof(type, m.vcpus), .min = 1, .max = 16 }, \
	{ .kind = OPT_INT, .name = "memory", .arg = "MIB", .help = "memory in MiB (default: of the image)", \
		.off = offsetof(type, m.memory), .min = 128, .max = 16384 }, \
	{ .kind = OPT_ENV, .letter = 'e', .name = "env", .arg = "K=V", \
		.help = "environment of its commands, repeatable; K alone takes our value", .off = offsetof(type, m.env) }, \
	{ .kind = OPT_PAIRS, .name = "label", .arg = "K=V", .help = "label to find it by, repeatable", \
		.off = offsetof(type, m.labels) }, \
	{ .kind = OPT_INT, .name = "timeout", .arg = "S", .help = "remove it after so many seconds (default: keep)", \
		.off = offsetof(type, m.timeout), .min = 0, .max = 31536000 }, \
	{ .kind = OPT_MAYBE, .name = "net", .arg = "NET", .choices = create_nets, \
		.help = "outbound network: full, none, or allow:HOST[:PORT],... (never to this machine itself)", \
		.off = offsetof(type, m.net) }, \
	{ .kind = OPT_LIST, .letter = 'p', .name = "port", .arg = "HOST[:GUEST]", \
		.help = "port of this machine that leads to one inside, repeatable", .off = offsetof(type, m.ports) }, \
	{ .kind = OPT_STR, .name = "on", .arg = "HOST", .help = "the host that is to carry it (see: sbx host ls)", \
		.off = offsetof(type, m.on) }, \
	{ .kind = OPT_LIST, .name = "host-tag", .arg = "TAG", .help = "a tag that its host must have, repeatable", \
		.off = offsetof(type, m.host_tags) }, \
	CREATE_OPTION_FS(type, m.fs)
/* clang-format on */

/* "8080:3000" or "8080" (the same inside) as an object {hostPort, guestPort}, with bind unless NULL. -1 with USAGE. */
int create_port(struct jw *w, const char *text, const char *bind, struct err *err);

/* Create and wait. The sandbox object; NULL with err, or NULL with *interrupted = 128 + signal when a signal came on sig_fd
 * (then nothing is left behind). Free with js_free. */
js *create_sandbox(
	struct cli *cli, struct client *c, const struct create_options *o, int sig_fd, int *interrupted, struct err *err);

/* Remove a sandbox (NULL: nothing to do) whose creation is not to stand; a failure is said. */
void create_undo(struct cli *cli, struct client *c, const js *sandbox);

#endif
