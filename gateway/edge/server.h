/* SPDX-License-Identifier: MIT */
/* server: the sockets of the gateway: listeners, libwebsockets' context on the loop, and the
 * dispatch of its callbacks to ws (WebSocket), handshake (who may upgrade) and http (everything
 * else). */
#ifndef GATEWAY_EDGE_SERVER_H
#define GATEWAY_EDGE_SERVER_H

#include "common/base.h"

struct config;
struct http_site;
struct loop;
struct server;
struct stats;
struct ws;

/* Everything is borrowed and outlives the server. public_site may be given the static files' site
 * (static.h). NULL and a line in err when libwebsockets cannot start. */
struct server *server_new(struct loop *loop, const struct config *config, struct stats *stats,
                          struct ws *ws, const struct http_site *public_site,
                          const struct http_site *admin_site, char *err, size_t err_size);

/* Opens every listener of server.listen and admin.listen. False: err says which address, why, and
 * what to do ("server.listen=0.0.0.0:8080: address already in use; choose another port with …"). */
bool server_listen(struct server *s, char *err, size_t err_size) MUST_CHECK;

/* The config was changed in place: what was made from it is made anew. */
void server_reload(struct server *s);
/* New WebSocket handshakes are refused with 503 from here on; what is open stays, HTTP goes on. */
void server_drain(struct server *s);
void server_stop_listening(
    struct server *s);              /* the public listeners only: admin answers to the end */
void server_free(struct server *s); /* closes everything at once */

const char *edge_library_version(void); /* libwebsockets' */

#endif
