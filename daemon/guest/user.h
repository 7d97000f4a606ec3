/*
 * user: /etc/passwd and /etc/group read by hand. A static program has no NSS, and the guest's files are small.
 */
#ifndef SBX_GUEST_USER_H
#define SBX_GUEST_USER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define USER_NAME_MAX 64
#define USER_GROUPS_MAX 64

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX];
	size_t n_groups;
	char name[USER_NAME_MAX];
	char home[256];
	char shell[128];
};

/* Resolve "name", "uid", "name:group" or "uid:gid"; NULL or "" is root. A number needs no entry (then gid 0, home "/").
 * 0, or ENOENT (unknown user or group), EINVAL (empty part). */
int user_resolve(const char *spec, struct user *u);

/* Become u for good: groups, gid, uid. 0 or -1 with errno. Not root: only oneself is possible. */
int user_become(const struct user *u);

/* Names for ids and back; "" / -1 when there is none. The last answers are remembered by the caller's cache. */
struct user_cache {
	char *passwd, *group;
	uid_t uid;
	gid_t gid;
	char owner[USER_NAME_MAX], group_name[USER_NAME_MAX];
	int have_uid, have_gid;
};
const char *user_name(struct user_cache *c, uid_t uid);
const char *user_group_name(struct user_cache *c, gid_t gid);
int64_t user_id(struct user_cache *c, const char *name);
int64_t user_group_id(struct user_cache *c, const char *name);
void user_cache_free(struct user_cache *c);

#endif
