/*
 * place: which machine carries a new sandbox.
 *
 * What a team with hosts of its own makes runs there and nowhere else. Everybody else's runs on the operator's (regular) hosts, and
 * as long as there are none on this machine. The operator's own runs here, unless he asks for a host or for tags. What is made from
 * a snapshot runs where that is kept. Of the hosts that are online, have all the tags asked for, and have memory and disk for it,
 * the one with the most left is taken: the fraction of memory, processors or disk, whichever is least, that nobody has reserved.
 * Source: reference/wrenn.md 4.5, whose reserves are for large machines only. Thread: the loop's.
 */
#ifndef SBX_CORE_PLACE_H
#define SBX_CORE_PLACE_H

#include "daemon/core/sandbox.h"
#include "daemon/db/host.h"

/* What is reserved on a host. */
struct place_load {
	double memory_mb, vcpus, disk_mb;
};
/* The least fraction of a host that is free when `want` comes to what is reserved on it: below 0 when it does not fit. What a host
 * has not told of counts as half free. */
double place_free(const struct db_host *host, const struct place_load *load, const struct place_load *want);

/* 1 and a host (db_host_release); 0: here; -1: nowhere, with UNAVAILABLE and the word "no_hosts", or NOT_FOUND for a host that was
 * asked for and is none, or a snapshot that none keeps. */
int place_choose(struct core *core, const struct sandbox_spec *spec, struct db_host *out, struct err *err);

#endif
