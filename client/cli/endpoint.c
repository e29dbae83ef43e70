/* SPDX-License-Identifier: MIT */
#include "client/cli/endpoint.h"

#include "common/alloc.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

/* Splits `host:port`, `[v6]:port` or one without a port. */
static bool split(struct str authority, struct str *name, struct str *port)
{
    *port = STR(ENDPOINT_PORT_DEFAULT);
    const char *end = authority.ptr + authority.len;
    const char *colon = memrchr(authority.ptr, ':', authority.len);
    if (authority.len > 0 && authority.ptr[0] == '[') {
        const char *close = memchr(authority.ptr, ']', authority.len);
        if (close == NULL || (close + 1 != end && close + 1 != colon)) {
            return false;
        }
        *name = (struct str){authority.ptr + 1, (size_t)(close - authority.ptr) - 1};
        colon = close + 1 == end ? NULL : colon;
    } else {
        *name = (struct str){authority.ptr,
                             colon != NULL ? (size_t)(colon - authority.ptr) : authority.len};
    }
    if (colon != NULL) {
        *port = (struct str){colon + 1, (size_t)(end - colon) - 1};
    }
    return name->len > 0 && port->len > 0;
}

static const char *look_up(struct endpoint *e, struct str name, struct str port)
{
    char *host = str_dup(name), *service = str_dup(port);
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, service, &wanted, &found);
    free(host);
    free(service);
    if (error != 0) {
        return gai_strerror(error);
    }
    memcpy(&e->address, found->ai_addr, found->ai_addrlen);
    e->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    if (e->address.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&e->address;
        e->loopback_v4 = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    return NULL;
}

const char *endpoint_parse(struct endpoint *e, const char *text)
{
    struct str rest = str_from(text), name, port;
    *e = (struct endpoint){0};
    if (!str_starts(rest, STR("ws://"))) {
        return "it must begin with ws://";
    }
    rest.ptr += 5;
    rest.len -= 5;
    const char *slash = memchr(rest.ptr, '/', rest.len);
    e->host = (struct str){rest.ptr, slash != NULL ? (size_t)(slash - rest.ptr) : rest.len};
    e->path = (struct str){rest.ptr + e->host.len, rest.len - e->host.len};
    if (memchr(rest.ptr, '\r', rest.len) != NULL || memchr(rest.ptr, '\n', rest.len) != NULL ||
        memchr(rest.ptr, ' ', rest.len) != NULL) {
        return "it must not hold spaces or line ends";
    }
    if (!split(e->host, &name, &port)) {
        return "it must be ws://host[:port][/path]";
    }
    return look_up(e, name, port);
}
