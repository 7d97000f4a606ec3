/*
 * debian: the disks of images `debian` (Debian 12 with systemd and a `user` who may sudo) and `code` (with Node.js on top).
 * Debian comes from its archive by mmdebstrap, Node.js from the npm registry by npm; both check what they get. The Debian
 * tree is kept as $SBX_CACHE/downloads/debian-<version>.tar for a day, so that the second image of it needs no network.
 */
#ifndef SBX_IMAGE_DEBIAN_H
#define SBX_IMAGE_DEBIAN_H

struct disk_job;

/* Not root: only where user namespaces and /etc/subuid let mmdebstrap work, else an error with a hint. */
int debian_disk(const struct disk_job *job);
int debian_code_disk(const struct disk_job *job);

#endif
