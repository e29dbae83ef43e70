/* SPDX-License-Identifier: MIT */
/* handshake: may this request become a WebSocket? libwebsockets parses the request and would
 * upgrade much that RFC 6455 forbids (any path, any method, any version, any key); every check it
 * leaves out stands in one table here. What it hides even from us is listed in
 * gateway/decisions/0003-handshake-checks.md. Pure. */
#ifndef GATEWAY_EDGE_HANDSHAKE_H
#define GATEWAY_EDGE_HANDSHAKE_H

#include "common/base.h"
#include "gateway/stats.h"

struct config;

/* The header fields that decide. */
#define HANDSHAKE_FIELDS(X) \
    X(HTTP_VERSION)         \
    X(HOST)                 \
    X(CONNECTION)           \
    X(UPGRADE)              \
    X(KEY)                  \
    X(WS_VERSION)           \
    X(PROTOCOL)             \
    X(EXTENSIONS)           \
    X(ORIGIN)               \
    X(CONTENT_LENGTH)       \
    X(TRANSFER_ENCODING)    \
    X(PROXY_LINE)

enum handshake_field {
#define X(id) FIELD_##id,
    HANDSHAKE_FIELDS(X)
#undef X
        FIELD_COUNT
};

/* How often a field came, and its text when it came once and is of a sane length. */
struct handshake_value {
    struct str text;
    enum { VALUE_ABSENT, VALUE_ONE, VALUE_REPEATED, VALUE_TOO_LONG } state;
};

struct handshake_request {
    struct str method, path; /* path without query, decoded and normalised by libwebsockets */
    struct handshake_value fields[FIELD_COUNT];
};

/* What the gateway's own state says to a newcomer. */
struct handshake_door {
    const struct config *config; /* borrowed */
    const char *path;            /* where the WebSocket lives; NULL: not on this listener */
    bool draining, full;
    bool no_memory; /* the process holds more than server.memory_max */
    bool crowded;   /* the client's address has client.max_per_ip connections */
};

struct refusal {
    enum stats_reject reason;
    unsigned status;
    const char *code, *message; /* static texts of the JSON answer */
    unsigned spread_s;          /* to come back within this time, at random; 0: not at all */
};

/* Who is refused for now comes back within this time, where nothing else is known. */
#define HANDSHAKE_SPREAD_S 5

/* The reason's own status, code and sentence. */
struct refusal refusal_of(enum stats_reject reason);

/* True: upgrade. False: *why. */
bool handshake_check(const struct handshake_request *r, const struct handshake_door *door,
                     struct refusal *why) MUST_CHECK;

/* What the gateway's state alone says, whatever the request. */
bool handshake_is_open(const struct handshake_door *door, struct refusal *why) MUST_CHECK;

/* The same for a request that asks for no upgrade: only what must hold of any request. HEAD is as
 * good as GET here. */
bool handshake_check_plain(const struct handshake_request *r, struct refusal *why) MUST_CHECK;

#endif
