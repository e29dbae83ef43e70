/* SPDX-License-Identifier: MIT */
/* endpoint: where a server is: ws://host[:port][/path[?query]], the host a name, an IPv4 address,
 * or an IPv6 address in brackets. */
#ifndef CLIENT_CLI_ENDPOINT_H
#define CLIENT_CLI_ENDPOINT_H

#include "common/base.h"

#include <sys/socket.h>

#define ENDPOINT_PORT_DEFAULT "80"

struct endpoint {
    struct str host; /* borrowed; with the port, as the Host header has it */
    struct str path; /* borrowed; begins with a slash, or is empty: the adapter's own */
    struct sockaddr_storage address;
    socklen_t address_len;
    bool loopback_v4; /* 127.0.0.0/8: connections may come from any address of it */
};

/* Parses text, which must outlive it, and looks the host up. NULL, or what is wrong. */
const char *endpoint_parse(struct endpoint *e, const char *text) MUST_CHECK;

#endif
