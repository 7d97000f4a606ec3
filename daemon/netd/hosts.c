#include "daemon/netd/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/netd/jail.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static void add(struct hosts *h, const struct sockaddr *sa)
{
	if (!sa || sa->sa_family != AF_INET)
		return;
	struct sockaddr_in in;
	memcpy(&in, sa, sizeof(in));
	if (h->count == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 16;
		h->addr = mem_grow(h->addr, h->cap, sizeof(*h->addr));
	}
	h->addr[h->count++] = ntohl(in.sin_addr.s_addr);
}

static void set_file_limit(rlim_t soft)
{
	const struct rlimit limit = { soft, JAIL_FILES };
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The guest may have used up the descriptors; the last few are not for it. */
static int read_addresses(struct ifaddrs **list)
{
	set_file_limit(JAIL_FILES);
	int rc = getifaddrs(list);
	int sys = errno;
	set_file_limit(JAIL_FILES_GUEST);
	errno = sys;
	return rc;
}

int hosts_refresh(struct hosts *h, struct err *err)
{
	int64_t now = clock_mono_ms();
	if (h->read_at > 0 && now - h->read_at < HOSTS_MAX_AGE_MS)
		return 0;
	struct ifaddrs *list = NULL;
	h->count = 0;
	h->read_at = 0;
	if (read_addresses(&list))
		return err_sys(err, errno, "cannot read the addresses of this host");
	for (const struct ifaddrs *it = list; it; it = it->ifa_next) {
		add(h, it->ifa_addr);
		/* the other end of a point-to-point link shares this field and is not us */
		if (it->ifa_flags & IFF_BROADCAST)
			add(h, it->ifa_broadaddr);
	}
	freeifaddrs(list);
	h->read_at = now;
	return 0;
}

void hosts_free(struct hosts *h)
{
	free(h->addr);
	*h = (struct hosts){ 0 };
}
