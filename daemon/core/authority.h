/*
 * authority: the certificates of this control plane and of its hosts.
 *
 * The authority itself (shared/net/ca.h) is made when the first host registers, and kept in the home: ca.pem, which anybody may
 * read, and ca.key (mode 0600). Whoever has that key can be any host, and the control plane. Thread: the loop's.
 */
#ifndef SBX_CORE_AUTHORITY_H
#define SBX_CORE_AUTHORITY_H

#include <stdint.h>

#include "daemon/core/core.h"
#include "daemon/db/host.h"
#include "shared/net/ca.h"

/* What a host serves with: a certificate in its name and for its address, good for CA_HOST_LIFE_S; its fingerprint is put down in
 * the record. ca: the authority's certificate, appended. INVALID: such an address cannot stand in a certificate. */
int authority_host(struct core *core, struct db_host *host, struct ca_pem *out, struct buf *ca, struct err *err);
/* It is there, and can issue certificates: made if there is none. For before a token is used up. */
int authority_ready(struct core *core, struct err *err);
/* What the control plane comes with, good for CA_CONTROL_LIFE_S. NOT_FOUND: there is no authority yet, so there are no hosts. */
int authority_control(struct core *core, struct ca_pem *out, struct buf *ca, struct err *err);

#endif
