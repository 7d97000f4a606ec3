/* agent configure: what must differ between clones of one memory template. It is on the path of every create: system
 * calls only, no child, and addresses only when there is a network. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/guest/agent.h"
#include "daemon/guest/text.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define CLOCK_SLACK_MS 100
#define SEED_MAX 512
#define HOSTS_MAX 65536
#define LINK_NAME "eth0"
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t) /* of the kernel's fs/ext4/ext4.h, which has no header for users */
#define MACHINE_ID 32
#define MACHINE_ID_FILE "/etc/machine-id"

void configure_clock(const struct agent *a, uint64_t wall_ms)
{
	int64_t off = (int64_t)wall_ms - clock_wall_ms();
	struct timespec t = { .tv_sec = (time_t)(wall_ms / 1000), .tv_nsec = (long)(wall_ms % 1000) * 1000000 };

	if (!a->guest || wall_ms > (uint64_t)INT64_MAX / 2 || (off >= -CLOCK_SLACK_MS && off <= CLOCK_SLACK_MS))
		return;
	if (clock_settime(CLOCK_REALTIME, &t))
		return; /* PID 1 can; if not, a wrong clock is no reason to refuse the request */
}

/*
 * Best effort: a root that is read-only stays as it is. O_NONBLOCK: a fifo in its place must not stop PID 1.
 * Over what is there, not O_TRUNC: ext4 takes a file that is emptied and written for one being replaced and writes it to the disk
 * on close. With that, and with /etc/machine-id made anew, three small files were a third of all the code that a new VM ran.
 */
static void write_file(const char *path, const char *text, size_t n)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	struct stat st;

	if (fd < 0 || write(fd, text, n) != (ssize_t)n || fstat(fd, &st) || st.st_size <= (off_t)n)
		return;
	if (ftruncate(fd, (off_t)n))
		return; /* nor is this a reason to refuse the request */
}

/* Where a link may stand in its place (to what a resolver of systemd would write, which does not run): ours takes it. */
static void replace_file(const char *path, const char *text, size_t n)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISLNK(st.st_mode) && unlink(path))
		return;
	write_file(path, text, n);
}

/* Everything of /etc/hosts but an older line of ours, and the new one. */
static void write_hosts(const char *hostname)
{
	char old[HOSTS_MAX];
	auto_buf text = BUF_INIT;
	auto_fd int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? 0 : read(fd, old, sizeof(old) - 1);
	char *line, *rest = old;

	old[n < 0 ? 0 : n] = '\0';
	if (n <= 0)
		buf_str(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost\n");
	while ((line = strsep(&rest, "\n")))
		if (*line && strncmp(line, "127.0.1.1", 9))
			buf_fmt(&text, "%s\n", line);
	buf_fmt(&text, "127.0.1.1\t%s\n", hostname);
	write_file("/etc/hosts", text.p, text.len);
}

static void set_hostname(const char *name)
{
	auto_free char *line = mem_printf("%s\n", name);

	if (sethostname(name, strlen(name)))
		return;
	write_file("/etc/hostname", line, strlen(line));
	write_hosts(name);
}

/* journald has written below the template's id, and journalctl looks below the clone's. */
static void link_journal(const char *id)
{
	char old[MACHINE_ID + 1];
	auto_fd int fd = open(MACHINE_ID_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	auto_free char *at = mem_printf("/run/log/journal/%s", id);

	if (fd < 0 || read(fd, old, MACHINE_ID) != MACHINE_ID)
		return;
	old[MACHINE_ID] = '\0';
	if (strcmp(old, id) != 0 && strspn(old, "0123456789abcdef") == MACHINE_ID && symlink(old, at))
		return; /* no journal: nothing is lost */
}

/* FNV-1a with an avalanche behind it: ids of sandboxes differ, and so do these. */
static uint64_t mix(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3u;
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
	return h ^ (h >> 29);
}

/* Another one for each clone, and the same whenever a sandbox resumes or boots, as that of a machine of metal is. */
static void set_machine_id(const char *sandbox)
{
	const uint64_t half[2] = { mix(0xcbf29ce484222325u, sandbox), mix(0x9e3779b97f4a7c15u, sandbox) };
	uint8_t id[16];
	auto_buf text = BUF_INIT;

	memcpy(id, half, sizeof(id));
	/* as systemd does it: a valid random UUID */
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	buf_hex(&text, id, 16);
	link_journal(text.p);
	buf_ch(&text, '\n');
	replace_file(MACHINE_ID_FILE, text.p, text.len);
}

/* 0, or -1 with errno: a clone that goes on with its siblings' random numbers must not be used. */
static int set_seed(const uint8_t *seed, size_t n)
{
	struct {
		struct rand_pool_info head;
		uint8_t bytes[SEED_MAX];
	} pool = { 0 };
	auto_fd int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	if (n > SEED_MAX)
		n = SEED_MAX;
	pool.head.entropy_count = (int)n * 8;
	pool.head.buf_size = (int)n;
	memcpy(pool.bytes, seed, n);
	/* What the RNG gives after this depends on the seed, and is no longer what the siblings' gives. */
	return fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG) ? -1 : 0;
}

/* ---- network ---- */

static int set_flags(int s, struct ifreq *r, bool up)
{
	if (ioctl(s, SIOCGIFFLAGS, r))
		return -1;
	r->ifr_flags = (short)(up ? r->ifr_flags | IFF_UP : r->ifr_flags & ~IFF_UP);
	return ioctl(s, SIOCSIFFLAGS, r);
}

/* "52:54:00:12:34:56" */
static int parse_mac(const char *text, uint8_t mac[6])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 17)
		return -1;
	for (int i = 0; i < 17; i++) {
		const char *d = strchr(digits, text[i] | 0x20);

		if (i % 3 == 2 ? text[i] != ':' : !d)
			return -1;
		if (d)
			mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | (d - digits));
	}
	return 0;
}

static int set_mac(int s, struct ifreq *r, const char *text)
{
	uint8_t mac[6] = { 0 };

	if (parse_mac(text, mac)) {
		errno = EINVAL;
		return -1;
	}
	if (set_flags(s, r, false))
		return -1;
	r->ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(r->ifr_hwaddr.sa_data, mac, sizeof(mac));
	return ioctl(s, SIOCSIFHWADDR, r);
}

static void put_addr(struct sockaddr *out, struct in_addr addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = addr };

	memcpy(out, &in, sizeof(in));
}

/* "10.0.2.15/24" */
static int parse_ip(const char *text, struct in_addr *ip, struct in_addr *mask)
{
	char addr[INET_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : 0;
	int64_t bits = 0;

	if (!slash || n >= sizeof(addr) || parse_int(slash + 1, "prefix", 1, 32, &bits, NULL))
		return -1;
	memcpy(addr, text, n);
	addr[n] = '\0';
	mask->s_addr = htonl(UINT32_MAX << (32 - bits));
	return inet_pton(AF_INET, addr, ip) == 1 ? 0 : -1;
}

static int set_address(int s, struct ifreq *r, const char *text)
{
	struct in_addr ip, mask;

	if (parse_ip(text, &ip, &mask)) {
		errno = EINVAL;
		return -1;
	}
	put_addr(&r->ifr_addr, ip);
	if (ioctl(s, SIOCSIFADDR, r))
		return -1;
	put_addr(&r->ifr_netmask, mask);
	if (ioctl(s, SIOCSIFNETMASK, r))
		return -1;
	return set_flags(s, r, true);
}

static int set_gateway(int s, const char *text)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct in_addr gateway, any = { 0 };

	if (inet_pton(AF_INET, text, &gateway) != 1) {
		errno = EINVAL;
		return -1;
	}
	put_addr(&route.rt_gateway, gateway);
	put_addr(&route.rt_dst, any);
	put_addr(&route.rt_genmask, any);
	return ioctl(s, SIOCADDRT, &route) && errno != EEXIST ? -1 : 0;
}

/* The MAC address always, since clones must differ in it; the rest when there is a network. 0, or -1 with errno and *what that
 * could not be set. */
static int set_network(struct rec r, const char *ip, const char **what)
{
	auto_fd int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	auto_free char *mac = wire_rec_get_str(r.p, r.n, WT_MAC);
	auto_free char *gateway = wire_rec_get_str(r.p, r.n, WT_GATEWAY);
	auto_free char *dns = wire_rec_get_str(r.p, r.n, WT_DNS);
	struct ifreq ifr = { .ifr_name = LINK_NAME };

	*what = "MAC address";
	if (s < 0 || (mac && *mac && set_mac(s, &ifr, mac)))
		return -1;
	if (!ip || !*ip)
		return 0;
	*what = "IP address";
	if (set_address(s, &ifr, ip))
		return -1;
	*what = "gateway";
	if (gateway && *gateway && set_gateway(s, gateway))
		return -1;
	if (dns && *dns) {
		auto_free char *line = mem_printf("nameserver %s\n", dns);

		replace_file("/etc/resolv.conf", line, strlen(line));
	}
	return 0;
}

/* ---- what the agent keeps ---- */

static void keep_env(struct agent *a, struct rec r)
{
	struct wire_field f;
	size_t at = 0, n = 0;

	for (char **e = a->env; e && *e; e++)
		free(*e);
	a->env = mem_grow(a->env, 1, sizeof(*a->env));
	while (wire_rec_next(r.p, r.n, &at, &f) > 0) {
		if (f.tag != WT_ENV || memchr(f.p, 0, f.n))
			continue;
		a->env = mem_grow(a->env, n + 2, sizeof(*a->env));
		a->env[n++] = mem_strndup((const char *)f.p, f.n);
	}
	a->env[n] = NULL;
}

/* While it is mounted; nothing when it fills its disk already. 0, or -1 with errno. */
static int grow_root(void)
{
	struct statfs fs;
	uint64_t bytes = 0;
	auto_fd int disk = open("/dev/vda", O_RDONLY | O_CLOEXEC);
	auto_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (disk < 0 || root < 0 || fstatfs(root, &fs) || ioctl(disk, BLKGETSIZE64, &bytes))
		return -1;
	uint64_t blocks = bytes / (uint64_t)fs.f_bsize;
	return ioctl(root, EXT4_IOC_RESIZE_FS, &blocks);
}

void configure_open(struct agent *a, struct stream *s, struct rec r)
{
	auto_free char *id = wire_rec_get_str(r.p, r.n, WT_ID);
	auto_free char *hostname = wire_rec_get_str(r.p, r.n, WT_HOSTNAME);
	auto_free char *ip = wire_rec_get_str(r.p, r.n, WT_IP);
	struct wire_field seed;
	char text[TEXT_ERRNO_MAX];
	const char *what;

	if (id) {
		free(a->sandbox_id);
		a->sandbox_id = mem_steal(&id);
	}
	keep_env(a, r);
	if (a->guest) {
		if (hostname && *hostname)
			set_hostname(hostname);
		if (a->sandbox_id)
			set_machine_id(a->sandbox_id);
		what = "random seed";
		if ((wire_rec_find(r.p, r.n, WT_SEED, &seed) && set_seed(seed.p, seed.n)) || set_network(r, ip, &what)) {
			stream_fail(a, s, errno, "cannot set the %s: %s", what, text_errno(errno, text));
			return;
		}
	}
	if (a->guest && wire_rec_get_u64(r.p, r.n, WT_GROW, 0) && grow_root()) {
		stream_fail(a, s, errno, "cannot let the root file system grow: %s", text_errno(errno, text));
		return;
	}
	stream_started(a, s, false);
}
