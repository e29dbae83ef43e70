/* SPDX-License-Identifier: MIT */
/* ws: WebSocket connections, and the fan-out of rooms' logs to them.
 *
 * Everything outgoing is bytes of ready frames: what belongs to one connection (ws_send) goes
 * through its small private log, what belongs to a room (ws_relay) stands once in the room's
 * outgoing log, which each member reads at its own cursor (outlog.h). At the end of a turn of the
 * loop one flush writes to every connection all it has to read, in one write where possible.
 *
 * Promises of the handlers
 *   1. on_open, then any number of on_text, then on_close exactly once; nothing after it.
 *   2. ws_send, ws_relay and ws_close may be called from any handler and never call back
 * themselves: on_close comes later, from the loop. So a loop over members that sends or closes
 * never sees its list change under it.
 *   3. A connection lives until on_close has returned. The session must have unfollowed all logs by
 * then. */
#ifndef GATEWAY_EDGE_WS_H
#define GATEWAY_EDGE_WS_H

#include "common/base.h"
#include "common/protocol.h"
#include "gateway/edge/outlog.h"

struct config;
struct loop;
struct stats;
struct wheel;
struct ws;
struct ws_conn;

struct ws_handlers {
    /* The handshake is done. The result is the connection's session: handed to the other handlers.
     */
    void *(*on_open)(void *ctx, struct ws_conn *c);
    /* One whole text message, valid UTF-8; text is borrowed for the call. */
    void (*on_text)(void *session, struct str text);
    /* This reader's backlog passed backlog_soft and was cut, maybe several times; now it reads
     * again. What is sent to the connection from here comes before what the log brings next. */
    void (*on_cut)(struct outlog_reader *reader, const struct outlog_cut *cut);
    /* Everything that was sent to it when ws_tell_sent was called has gone to the socket. */
    void (*on_sent)(void *session);
    void (*on_close)(void *session, enum close_reason reason);
    void *ctx;
};

/* All borrowed, and outlive the ws. */
struct ws *ws_new(struct loop *loop, struct wheel *wheel, const struct config *config,
                  struct stats *stats, const struct ws_handlers *handlers);
void ws_free(struct ws *ws); /* every connection was closed before */

/* Sends one text message to this connection alone; text is copied. After ws_close: ignored. A
 * connection that takes nothing, and for which more than backlog_hard waits, is closed. */
void ws_send(struct ws_conn *c, struct str text);
/* Asks for one on_sent: for who has more to send than should wait. */
void ws_tell_sent(struct ws_conn *c);

/* Sends a close frame with the reason's code and word behind what was sent before, then ends the
 * connection: at the peer's answer, or 2 s later. The first reason counts. */
void ws_close(struct ws_conn *c, enum close_reason reason);
bool ws_closing(const struct ws_conn *c);

uint64_t ws_conn_id(const struct ws_conn *c);   /* unique in this process, never 0 */
struct str ws_conn_ip(const struct ws_conn *c); /* borrowed until the next call */

/* What the access log tells of a connection. Frames of rooms and its own ones count alike. */
struct ws_traffic {
    uint64_t opened_ms;
    uint64_t messages_in, bytes_in;
    uint64_t frames_out, bytes_out;
};
const struct ws_traffic *ws_conn_traffic(const struct ws_conn *c);

/* The connection reads the log from its end on. */
void ws_follow(struct ws_conn *c, struct outlog *log, struct outlog_reader *reader);
/* Nothing of the log is written to this reader's connection until as many ws_release. */
void ws_hold(struct outlog_reader *reader);
void ws_release(struct outlog_reader *reader);
void ws_unfollow(struct outlog_reader *reader); /* no-op when not following */

/* Appends one text message to a log; every follower but `except` (may be NULL) gets it. tag is the
 * message's offset, or OUTLOG_NO_TAG. */
void ws_relay(struct ws *ws, struct outlog *log, struct str text, uint64_t tag,
              struct outlog_reader *except);
/* Before outlog_free: no flush will look at the log again. Its readers have unfollowed. */
void ws_forget(struct outlog *log);

/* The session of an open connection by ws_conn_id; NULL when it is not open (any more). */
void *ws_session(struct ws *ws, uint64_t id);

/* Visits every open connection's session (drain). */
void ws_each(struct ws *ws, void (*visit)(void *session, void *ctx), void *ctx);

#endif
