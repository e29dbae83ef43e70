/* SPDX-License-Identifier: MIT */
/* http_lws: the side of http that libwebsockets' callbacks reach (edge/server.c dispatches to it).
 * Inside gateway/edge only. Where a function returns int, -1 tells libwebsockets to close the
 * socket. */
#ifndef GATEWAY_EDGE_HTTP_LWS_H
#define GATEWAY_EDGE_HTTP_LWS_H

#include "common/base.h"
#include "gateway/edge/handshake.h"
#include "gateway/edge/http.h"

#include <libwebsockets.h>

/* Room for the fields' texts while a request is looked at. */
#define HTTP_REQUEST_BYTES 3072

struct http_reader {
    struct handshake_request request;
    char text[HTTP_REQUEST_BYTES];
    size_t used;
};

/* The answer under way on a connection; embedded, zeroed at first. */
struct http_exchange {
    struct buf own;  /* the body that rest points into, when the route made one */
    struct str rest; /* of the body, still to be written */
    bool keep;       /* the connection, after the answer */
    bool busy;
};
void http_exchange_fini(struct http_exchange *x);

/* Fills reader->request with what libwebsockets parsed; it points into the reader. */
void http_read(struct lws *wsi, struct http_reader *reader);
/* A header's text; empty when it is absent or does not fit. */
struct str http_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size);

/* Answers a plain request by the site's routes, or with why. */
int http_serve(struct lws *wsi, struct http_exchange *x, const struct http_site *site,
               const struct handshake_request *request);
int http_writeable(struct lws *wsi, struct http_exchange *x);

/* Writes a whole refusal with its JSON body; the result is -1: the connection closes. */
int http_refuse(struct lws *wsi, const struct refusal *why, bool with_body);

#endif
