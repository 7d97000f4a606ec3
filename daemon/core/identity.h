/*
 * identity: who makes a request, and for which team. What a credential is good for is looked up anew with every request, so what is
 * revoked is worth nothing from then on.
 */
#ifndef SBX_CORE_IDENTITY_H
#define SBX_CORE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

enum identity_kind {
	IDENTITY_LOCAL,	  /* who has the daemon's own socket: its operator */
	IDENTITY_KEY,	  /* an API key: a team's, no person */
	IDENTITY_USER,	  /* a person who logged in, in one of his teams */
	IDENTITY_HOST,	  /* a machine that carries sandboxes for us */
	IDENTITY_CONTROL, /* the control plane that this host carries sandboxes for */
};

enum role { ROLE_NONE, ROLE_MEMBER, ROLE_ADMIN, ROLE_OWNER };

#define TEAM_LOCAL 0 /* the operator's own */
#define TEAM_ANY (-1)
/* On a host, what it adds to the numbers of its control plane's teams, so that they are none of its own. */
#define TEAM_CARRIED ((int64_t)1 << 40)
#define USER_LOCAL 0

#define IDENTITY_TEXT 128

struct identity {
	enum identity_kind kind;
	int64_t team; /* whose things it is about; of a host none; of the control plane whichever it asks for */
	int64_t user; /* of IDENTITY_USER and IDENTITY_LOCAL */
	int64_t host; /* of IDENTITY_HOST */
	enum role role;
	bool admin;		  /* of the whole installation */
	char id[16];		  /* of the key or user, base 36 */
	char name[IDENTITY_TEXT]; /* of the key or user */
};

/* May this one do everything? The control plane may, also while it asks for a team. */
static inline bool identity_is_operator(const struct identity *who)
{
	return who->kind == IDENTITY_CONTROL || (who->team == TEAM_LOCAL && who->kind != IDENTITY_HOST);
}

/* The teams whose things it sees: its own (of the control plane: the one that it asks for), or all. */
static inline int64_t identity_scope(const struct identity *who)
{
	return who->team == TEAM_LOCAL && who->kind != IDENTITY_HOST ? TEAM_ANY : who->team;
}

/* NULL for ROLE_NONE, which is no word of any contract. */
const char *role_name(enum role role);
/* ROLE_NONE for an unknown word. */
enum role role_parse(const char *word);

#endif
