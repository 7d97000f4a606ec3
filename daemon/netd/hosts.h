/* hosts: the addresses that are the host itself, read again every few seconds. */
#ifndef SBX_NETD_HOSTS_H
#define SBX_NETD_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

#define HOSTS_MAX_AGE_MS 2000

struct hosts {
	uint32_t *addr; /* IPv4, host byte order: own addresses and their networks' broadcast addresses */
	size_t count, cap;
	int64_t read_at; /* clock_mono_ms, 0: never */
};

/* Bring h up to date when it is older than HOSTS_MAX_AGE_MS. -1 with err when the addresses cannot be read: h is then
 * empty and must not be relied upon (refuse everything). */
int hosts_refresh(struct hosts *h, struct err *err);
void hosts_free(struct hosts *h);

#endif
