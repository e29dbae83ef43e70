/* SPDX-License-Identifier: MIT */
/* origin: may a page of this origin open a WebSocket here? A browser names the origin of the page
 * in every handshake (RFC 6454, section 7; RFC 6455, section 10.2), and it is all that keeps
 * somebody else's page from using its visitor's access. Pure. */
#ifndef GATEWAY_EDGE_ORIGIN_H
#define GATEWAY_EDGE_ORIGIN_H

#include "common/base.h"

struct config_list;

/* origin is the header as received, host the Host header. allowed holds origins
 * (scheme://host[:port]), compared exactly but for the case of scheme and host and a default port,
 * or "*". Empty: the origin's host and port must be those of host. What is not one well-formed
 * origin ("null", two of them, a path, a user) is refused, except under "*". */
bool origin_allowed(const struct config_list *allowed, struct str origin, struct str host);

#endif
