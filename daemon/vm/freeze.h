/*
 * freeze: a running machine's state at one instant, in a file.
 *
 * The machine is stopped for as long as it takes to write its devices (2 ms), to find the pages that it has changed (8 ms for each
 * 256 MiB of memory) and to copy them (1 ms for 4 MiB), then goes on, unless it is to end. Its disk is dealt with in the same
 * stop, so that memory and disk are of one instant.
 *
 * Changed pages are those of its private mapping that are present and not of the file, or swapped out: /proc/PID/pagemap, bits 63,
 * 61 and 62. They are read from outside (/proc/PID/mem); QEMU knows nothing of it. Source: reference/vm-lab.md.
 * Blocking: for worker threads. One at a time for a machine.
 */
#ifndef SBX_VM_FREEZE_H
#define SBX_VM_FREEZE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/base/err.h"

struct freeze {
	const char *dir; /* the machine's own: vm.h */
	pid_t pid;
	unsigned memory_mb;
	int out_fd;	  /* the stream (stream.h) goes here, from its current place on */
	bool stay;	  /* leave it stopped */
	int copy_fd;	  /* its disk's top is copied here, or -1 */
	int top_fd;	  /* an empty overlay that its disk goes on with, open for reading and writing; -1: as it was */
	const char *disk; /* path of its disk's top */
	unsigned node;	  /* freeze_repair: the number of that top */
	/* how it went */
	bool switched;	/* its disk is on top_fd, also when something failed after that */
	uint64_t pages; /* changed ones */
	int64_t stopped_us;
};

/* On failure the machine goes on as it did, as far as it can. */
int freeze_run(struct freeze *f, struct err *err);
/* Stop its virtual CPUs (a machine that waits costs nothing then), or let them run. Nothing happens to one that is so already. */
int freeze_hold(const char *dir, struct err *err);
int freeze_release(const char *dir, struct err *err);
/* After the death of a daemon: let the machine run if it is held, and have its disk on the file `disk`, which is to be node `node`
 * (machine.h): if it still writes to the one below, since the switch to a new, empty top never came, it is switched now. Also when
 * that fails it runs on, if QEMU answers at all. */
int freeze_repair(const char *dir, const char *disk, unsigned node, struct err *err);

#endif
