/*
 * modules: kernel modules that are loaded when something asks for them (a mount of an overlay, /dev/loop-control). They come
 * with the initramfs and wait in memory; the agent is the guest's modprobe, which the kernel itself calls.
 */
#ifndef SBX_GUEST_MODULES_H
#define SBX_GUEST_MODULES_H

#include <stdbool.h>

#define MODULES_STORED "/lib/sbx/modules.d" /* in the initramfs */
#define MODULES_DIR "/run/sbx/modules"	    /* from then on */

/* Load one .ko, whose dependencies are loaded; one that is loaded is fine. 0 or -1 with errno. */
int modules_insert(const char *path);
/* Load a module by its name or an alias of it ("fs-overlay"), and before it what it needs. ENOENT: not one of ours. */
int modules_load(const char *alias);
/* Tell the kernel whom to ask for modules once `root` is the root. */
int modules_announce(const char *root);

/* Are we called as modprobe? Then its main program: "modprobe [-q] [--] NAME", exit code 1 when there is no such module. */
bool modules_is_modprobe(const char *argv0);
int modules_modprobe(int argc, char **argv);

#endif
