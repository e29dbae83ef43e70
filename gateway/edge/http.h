/* SPDX-License-Identifier: MIT */
/* http: plain HTTP answers on the gateway's listeners: a route table, whole answers from memory. No
 * request bodies yet. libwebsockets parses; nothing here does. */
#ifndef GATEWAY_EDGE_HTTP_H
#define GATEWAY_EDGE_HTTP_H

#include "common/base.h"
#include "common/buf.h"

struct http_request {
    struct str method; /* "GET", "HEAD", … */
    struct str path;   /* without query, as received */
    struct str if_none_match;
};

/* Filled by a route; fields not set keep their defaults. */
struct http_answer {
    unsigned status;          /* default 200 */
    const char *content_type; /* default application/json */
    const char *etag;         /* NULL: none; borrowed until the answer is sent */
    const char *csp;          /* NULL: none */
    unsigned retry_after_s;   /* 0: none */
    struct buf body;          /* filled by the route; freed by http */
    struct str shared_body;   /* or: borrowed for the process's life (static files); wins */
};

struct http_route {
    const char *path; /* exact, or a prefix when it ends in '*' */
    void (*serve)(void *ctx, const struct http_request *request, struct http_answer *answer);
};

/* What one listener serves: the first route that fits; none: 404 with a JSON reason. */
struct http_site {
    const struct http_route *routes;
    size_t route_count;
    void *ctx;
};

/* Makes the answer an error: {"error":{"code":"not_found","message":"…"}}. Both are static texts
 * that need no escaping. */
void http_answer_error(struct http_answer *answer, unsigned status, const char *code,
                       const char *message);

#endif
