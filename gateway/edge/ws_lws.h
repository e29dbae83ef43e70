/* SPDX-License-Identifier: MIT */
/* ws_lws: the side of ws that libwebsockets' callbacks reach (edge/server.c dispatches to it).
 * Inside gateway/edge only. Where a function returns int, -1 tells libwebsockets to close the
 * socket. */
#ifndef GATEWAY_EDGE_WS_LWS_H
#define GATEWAY_EDGE_WS_LWS_H

#include "common/base.h"

#include <libwebsockets.h>

struct ws;
struct ws_conn;

/* A connection lives in libwebsockets' per-session space: zeroed, of this size, until CLOSED. */
size_t ws_conn_size(void);

/* ip is copied. Sets SO_SNDBUF and TCP_NODELAY on the socket. */
int ws_established(struct ws *ws, struct ws_conn *c, struct lws *wsi, struct str ip);
int ws_receive(struct ws_conn *c, const char *in, size_t len);
int ws_writeable(struct ws_conn *c);
void ws_pong(struct ws_conn *c);
/* The peer's close frame; payload as received (two bytes of code, then a reason). */
int ws_peer_close(struct ws_conn *c, const unsigned char *payload, size_t len);
/* libwebsockets ends the connection by itself; also called for those never established. */
void ws_dropped(struct ws_conn *c);
/* Also called for connections that were never established: then it does nothing. */
void ws_closed(struct ws_conn *c);

#endif
