/* SPDX-License-Identifier: MIT */
/* listener: one listening socket, ours rather than libwebsockets': so that it may come from
 * systemd, be a unix socket, and so that running out of descriptors neither spins nor floods the
 * log.
 *
 * Out of descriptors: the listener rests for LISTENER_REST_MS and tries again; what waits stays in
 * the kernel's queue. One log line tells when that begins, one when it is over. */
#ifndef GATEWAY_EDGE_LISTENER_H
#define GATEWAY_EDGE_LISTENER_H

#include "common/base.h"

#include <sys/socket.h>

#define LISTENER_REST_MS 500

struct listener;
struct loop;
struct stats;

/* A new connection: non-blocking, close-on-exec; the callee owns fd now. peer is borrowed. */
typedef void listener_accept(void *ctx, int fd, const struct sockaddr_storage *peer);

struct listener_options {
    struct loop *loop; /* borrowed: outlives the listener, as does the rest */
    struct stats *stats;
    const char *setting; /* "server.listen": begins the error line */
    unsigned backlog;
    listener_accept *on_accept;
    void *ctx;
};

/* address: as bind_listen has it. NULL: err says which address, why, and what to do. */
struct listener *listener_open(const struct listener_options *options, const char *address,
                               char *err, size_t err_size);
void listener_close(struct listener *l); /* NULL is fine; removes the socket file of unix:/path */

#endif
