/* SPDX-License-Identifier: MIT */
/* proxies: whose word about a client's address counts. X-Forwarded-For is read from its right end,
 * as long as the hop before is one of server.trusted_proxies; so a client can write into it what it
 * likes. Whoever reaches a unix socket of ours counts as trusted. Pure. */
#ifndef GATEWAY_EDGE_PROXIES_H
#define GATEWAY_EDGE_PROXIES_H

#include "common/base.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define PROXIES_ADDRESS_MAX INET6_ADDRSTRLEN
#define PROXIES_UNIX "unix" /* the address of a peer on a unix socket */

struct config_list;
struct proxies;

/* Each entry is an address or a CIDR block ("10.0.0.0/8", "::1"). NULL: err names the entry that is
 * neither. */
struct proxies *proxies_new(const struct config_list *trusted, char *err, size_t err_size);
void proxies_free(struct proxies *p);

/* The text of a peer's address; an IPv4 address mapped into IPv6 is shown as IPv4. */
void proxies_peer(const struct sockaddr_storage *peer, char address[PROXIES_ADDRESS_MAX]);

/* The bytes in which the text of an address can be kept, and its text again: IPv4 mapped into IPv6,
 * PROXIES_UNIX as "::". Text that is neither becomes PROXIES_UNIX. */
void proxies_pack(struct str text, struct in6_addr *out);
void proxies_unpack(const struct in6_addr *packed, char address[PROXIES_ADDRESS_MAX]);

/* Replaces the peer's address by that of the client it speaks for: the right-most hop that is not
 * trusted. A hop that is no address ends the search at the one before. */
void proxies_client(const struct proxies *p, struct str forwarded_for,
                    char address[PROXIES_ADDRESS_MAX]);

#endif
