/* SPDX-License-Identifier: MIT */
/* bind: a listening socket from an address as the settings have it. Whoever asks owns what it gets:
 * a gateway's listener, or the parent of several workers, which hands it on. */
#ifndef GATEWAY_EDGE_BIND_H
#define GATEWAY_EDGE_BIND_H

#include "common/base.h"

struct bind_options {
    const char *setting; /* "server.listen": begins the error line */
    unsigned backlog;
    bool shared; /* several sockets may have this TCP address: the kernel spreads what comes */
};

/* address: 0.0.0.0:8080, [::]:8080 (IPv6 alone), unix:/path, fd:3. A non-blocking, close-on-exec,
 * listening descriptor, the caller's; or -1, and err says which address, why, and what to do. A
 * socket file that nobody listens on is replaced. */
int bind_listen(const struct bind_options *options, const char *address, char *err,
                size_t err_size) MUST_CHECK;

/* The file to be removed when nobody listens there any more; NULL: the address makes none. Part of
 * address. */
const char *bind_socket_file(const char *address);

#endif
