/* SPDX-License-Identifier: MIT */
/* addresses: how many connections each address has. Whoever has one address of IPv6 has a /64 of
 * them (RFC 6177), so that counts as one. Peers of a unix socket whose client is not known have no
 * address, and are not counted. Pure. */
#ifndef GATEWAY_EDGE_ADDRESSES_H
#define GATEWAY_EDGE_ADDRESSES_H

#include "common/base.h"

struct addresses;

struct addresses *addresses_new(void);
void addresses_free(struct addresses *a); /* NULL is fine */

/* text: as proxies.h has it. What was added is removed once. */
void addresses_add(struct addresses *a, struct str text);
void addresses_remove(struct addresses *a, struct str text);
unsigned addresses_count(const struct addresses *a, struct str text);

#endif
