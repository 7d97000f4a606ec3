/*
 * keep: frozen machines in the store, and out of it again.
 *
 * A snapshot is one tree (vmstate.h): vm.json (info.h), the devices' state as a stream without pages, the RAM in blocks of 8 KiB
 * and the disk in blocks of 64 KiB (blocks.h). It is whole: nothing of the template or image that it came from is needed to start
 * it elsewhere. What it shares with its template, or with other snapshots, is stored once, and what was never written to costs
 * nothing; so the first snapshot on a template brings the template into the store, and the next ones only what differs. Blocking:
 * for worker threads.
 */
#ifndef SBX_VM_KEEP_H
#define SBX_VM_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/vm/info.h"
#include "shared/store/store.h"

struct keep {
	const char *base;	  /* folder with the files that it stands on: ram; disk.qcow2 over rootfs.ext4, or disk.raw */
	bool booted;		  /* its memory began empty, not as the base's */
	int stream_fd;		  /* its memory and devices (stream.h) */
	const char *const *disks; /* its own qcow2 files, the top first */
	size_t disk_count;
	struct vm_info *info; /* keep_put fills in what is stored */
};

/* The trees of the base are in the store, or put there now: again it costs nothing. For the time before a first snapshot. Within a
 * write that the caller began. */
int keep_base(struct store *s, const char *base, unsigned memory_mb, struct err *err);
/* The tree of a snapshot, put into a write that the caller began. disk: bytes of its disk; may be NULL. k->info->stored becomes
 * what all objects of its memory, its disk and its mounted tree take, compressed, each counted once, and also those that others
 * have too; and the state of its devices: what it would take if it were the only one. */
int keep_put(struct store *s, const struct keep *k, struct hash *out, uint64_t *disk, struct err *err);

/* Make dir, which is empty, a base of its own: ram, state, disk.raw, base.json. The tree may come from anywhere: INVALID for what
 * is no snapshot that could be started. */
int keep_take(struct store *s, const struct hash *id, const char *dir, struct err *err);
/* What a snapshot is: INVALID as keep_take. vm_info_free in any case. disk: bytes of its disk; may be NULL. */
int keep_info(struct store *s, const struct hash *id, struct vm_info *out, uint64_t *disk, struct err *err);

#endif
