#include "daemon/guest/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"

#define FILE_MAX (1 << 20)

/* Whole file as a string; empty when it cannot be read. Caller frees. */
static char *slurp(const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	auto_buf b = BUF_INIT;
	ssize_t n = 0;

	while (fd >= 0 && b.len < FILE_MAX) {
		char *p = buf_reserve(&b, 4096);

		if (!p)
			break;
		n = read(fd, p, 4096);
		if (n <= 0)
			break;
		buf_commit(&b, (size_t)n);
	}
	return mem_strndup(b.p, b.len);
}

/* Field i of a colon-separated line, as pointer and length. False when it has fewer. */
static bool field(const char *line, unsigned i, const char **p, size_t *n)
{
	size_t len = strcspn(line, "\n");
	const char *end = line + len;

	for (; i; i--) {
		const char *colon = memchr(line, ':', (size_t)(end - line));

		if (!colon)
			return false;
		line = colon + 1;
	}
	*p = line;
	*n = 0;
	while (line + *n < end && line[*n] != ':')
		++*n;
	return true;
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

static bool field_is(const char *line, unsigned i, const char *want, size_t want_n)
{
	const char *p;
	size_t n;

	return field(line, i, &p, &n) && n == want_n && memcmp(p, want, n) == 0;
}

/* The line whose field i is `want`, or NULL. */
static const char *find_line(const char *text, unsigned i, const char *want)
{
	size_t n = strlen(want);

	for (const char *l = text; *l; l = next_line(l))
		if (n && field_is(l, i, want, n))
			return l;
	return NULL;
}

static void copy_field(const char *line, unsigned i, char *out, size_t size)
{
	const char *p;
	size_t n;

	out[0] = '\0';
	if (!field(line, i, &p, &n))
		return;
	if (n >= size)
		n = size - 1;
	memcpy(out, p, n);
	out[n] = '\0';
}

/* Digits only, below 2^32 - 1 (that one means "no change" to the kernel). */
static bool number(const char *s, uint32_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v >= UINT32_MAX)
			return false;
	}
	*out = (uint32_t)v;
	return true;
}

static uint32_t field_number(const char *line, unsigned i, uint32_t def)
{
	char text[16];
	uint32_t v;

	copy_field(line, i, text, sizeof(text));
	return number(text, &v) ? v : def;
}

/* Is name in the comma-separated member list of a group line? */
static bool is_member(const char *line, const char *name)
{
	const char *p;
	size_t n, len = strlen(name);

	if (!len || !field(line, 3, &p, &n))
		return false;
	while (n) {
		const char *comma = memchr(p, ',', n);
		size_t one = comma ? (size_t)(comma - p) : n;

		if (one == len && memcmp(p, name, len) == 0)
			return true;
		if (!comma)
			return false;
		p += one + 1;
		n -= one + 1;
	}
	return false;
}

static void fill_groups(struct user *u, const char *group)
{
	u->groups[0] = u->gid;
	u->n_groups = 1;
	for (const char *l = group; *l && u->n_groups < USER_GROUPS_MAX; l = next_line(l)) {
		gid_t gid = field_number(l, 2, UINT32_MAX);

		if (gid != UINT32_MAX && gid != u->gid && is_member(l, u->name))
			u->groups[u->n_groups++] = gid;
	}
}

static int fill_user(struct user *u, const char *passwd, const char *name)
{
	const char *line = find_line(passwd, 0, name);
	uint32_t uid;

	*u = (struct user){ .home = "/" };
	if (!line && number(name, &uid)) {
		line = find_line(passwd, 2, name);
		u->uid = uid;
		if (!line) {
			snprintf(u->name, sizeof(u->name), "%u", uid);
			return 0;
		}
	}
	if (!line) {
		if (strcmp(name, "root"))
			return ENOENT;
		snprintf(u->name, sizeof(u->name), "root");
		snprintf(u->home, sizeof(u->home), "/root");
		return 0;
	}
	copy_field(line, 0, u->name, sizeof(u->name));
	u->uid = field_number(line, 2, UINT32_MAX);
	u->gid = field_number(line, 3, UINT32_MAX);
	copy_field(line, 5, u->home, sizeof(u->home));
	copy_field(line, 6, u->shell, sizeof(u->shell));
	if (!u->home[0])
		snprintf(u->home, sizeof(u->home), "/");
	return u->uid == UINT32_MAX || u->gid == UINT32_MAX ? EINVAL : 0;
}

int user_resolve(const char *spec, struct user *u)
{
	auto_free char *name = NULL, *passwd = slurp("/etc/passwd"), *group = slurp("/etc/group");
	const char *colon = spec ? strchr(spec, ':') : NULL;
	uint32_t gid;
	int r;

	if (!spec || !*spec) {
		char self[16];

		/* an ordinary user's test run: that user stands in for root */
		snprintf(self, sizeof(self), "%u", geteuid());
		name = mem_strdup(geteuid() ? self : "root");
	} else {
		name = colon ? mem_strndup(spec, (size_t)(colon - spec)) : mem_strdup(spec);
	}
	if (!*name || (colon && !colon[1]))
		return EINVAL;
	r = fill_user(u, passwd, name);
	if (r)
		return r;
	if (colon) {
		const char *line = find_line(group, 0, colon + 1);

		if (line)
			gid = field_number(line, 2, UINT32_MAX);
		else if (!number(colon + 1, &gid))
			return ENOENT;
		u->gid = gid;
		u->groups[0] = gid;
		u->n_groups = 1;
		return 0;
	}
	fill_groups(u, group);
	return 0;
}

int user_become(const struct user *u)
{
	if (geteuid() != 0) {
		if (u->uid == geteuid())
			return 0;
		errno = EPERM;
		return -1;
	}
	if (setgroups(u->n_groups, u->groups) || setresgid(u->gid, u->gid, u->gid) || setresuid(u->uid, u->uid, u->uid))
		return -1;
	return 0;
}

const char *user_name(struct user_cache *c, uid_t uid)
{
	char id[16];
	const char *line;

	if (c->have_uid && c->uid == uid)
		return c->owner;
	if (!c->passwd)
		c->passwd = slurp("/etc/passwd");
	snprintf(id, sizeof(id), "%u", uid);
	line = find_line(c->passwd, 2, id);
	c->owner[0] = '\0';
	if (line)
		copy_field(line, 0, c->owner, sizeof(c->owner));
	c->uid = uid;
	c->have_uid = 1;
	return c->owner;
}

const char *user_group_name(struct user_cache *c, gid_t gid)
{
	char id[16];
	const char *line;

	if (c->have_gid && c->gid == gid)
		return c->group_name;
	if (!c->group)
		c->group = slurp("/etc/group");
	snprintf(id, sizeof(id), "%u", gid);
	line = find_line(c->group, 2, id);
	c->group_name[0] = '\0';
	if (line)
		copy_field(line, 0, c->group_name, sizeof(c->group_name));
	c->gid = gid;
	c->have_gid = 1;
	return c->group_name;
}

static int64_t id_in(char **text, const char *path, const char *name)
{
	const char *line;
	uint32_t id;

	if (!*text)
		*text = slurp(path);
	line = find_line(*text, 0, name);
	id = line ? field_number(line, 2, UINT32_MAX) : UINT32_MAX;
	return id == UINT32_MAX ? -1 : (int64_t)id;
}

int64_t user_id(struct user_cache *c, const char *name)
{
	return id_in(&c->passwd, "/etc/passwd", name);
}

int64_t user_group_id(struct user_cache *c, const char *name)
{
	return id_in(&c->group, "/etc/group", name);
}

void user_cache_free(struct user_cache *c)
{
	free(c->passwd);
	free(c->group);
	*c = (struct user_cache){ 0 };
}
