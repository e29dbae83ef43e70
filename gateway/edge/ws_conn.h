/* SPDX-License-Identifier: MIT */
/* ws_conn: what ws.c (the life of a connection) and flush.c (what is written to it, and when)
 * share. Nobody else includes it. */
#ifndef GATEWAY_EDGE_WS_CONN_H
#define GATEWAY_EDGE_WS_CONN_H

#include "common/buf.h"
#include "common/map.h"
#include "gateway/config.h"
#include "gateway/edge/proxies.h"
#include "gateway/edge/sender.h"
#include "gateway/edge/ws.h"
#include "gateway/edge/ws_lws.h"
#include "gateway/gather.h"
#include "gateway/loop.h"
#include "gateway/stats.h"
#include "gateway/wheel.h"

/* Writes of the flush that are offered to their sockets together. */
struct batch {
    struct sender *sender; /* owned */
    size_t count;
    struct send sends[SENDER_MOST];
    struct outlog_reader *readers[SENDER_MOST]; /* whose run it is */
};

struct ws {
    struct loop *loop; /* borrowed: outlives us, as the three below */
    struct wheel *wheel;
    const struct config *config;
    struct stats *stats;
    struct ws_handlers handlers;
    struct map by_id;        /* struct ws_conn: all of them */
    struct list dirty_logs;  /* struct outlog */
    struct list dirty_conns; /* struct ws_conn */
    struct batch batch;      /* empty between turns */
    struct loop_task *flush; /* owned */
    struct loop_timer *wait; /* owned; runs the flush when a log's wait is over */
    struct gather gather;    /* messages in rooms' logs, for the next flush */
    uint64_t next_id;
    struct ws_conn *assembling;   /* whose message stands in `message`; NULL: nobody's */
    struct buf message;           /* a message of which more is to come */
    char ip[PROXIES_ADDRESS_MAX]; /* the last answer of ws_conn_ip */
};

/* Of idle connections there are many, and malloc gives 16 bytes at a time: up to 216 bytes are one
 * size of block. */
struct ws_conn {
    struct ws *ws;   /* borrowed; NULL: not established */
    struct lws *wsi; /* borrowed: libwebsockets owns us both */
    void *session;   /* borrowed */
    uint64_t id;
    struct list in_dirty;
    struct list readers; /* struct outlog_reader */
    struct wheel_timer timer;
    struct buf own;       /* frames for this connection alone, not written yet */
    struct buf *incoming; /* owned; its message while somebody else's stands in ws->message */
    uint64_t seen_ms;     /* when anything last arrived */
    uint64_t blocked_ms;  /* since when the socket takes nothing; 0: it does */
    uint64_t cut_bytes;   /* left out while blocked */
    struct ws_traffic traffic;
    struct in6_addr ip; /* packed: proxies.h */
    int fd;
    uint16_t fragments; /* frames of the message under way; the setting fits */
    uint8_t reason;     /* enum close_reason */
    bool closing : 1;   /* the close frame is queued or written: nothing else goes out */
    bool broken : 1;    /* a write failed */
    bool in_batch : 1;  /* a write of it is in the batch */
    bool heartbeat_sent : 1;
    bool tell_sent : 1; /* the session waits for on_sent */
};

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Ends a connection from outside of libwebsockets' callbacks. */
void conn_kill(struct ws_conn *c);
/* The socket takes something: nothing that was written before waits. */
bool conn_can_write(const struct ws_conn *c);
/* Writes whole frames, in one call. Only while conn_can_write. */
void conn_write(struct ws_conn *c, struct str bytes);
void conn_write_own(struct ws_conn *c); /* no-op when it cannot be written now */
/* What the reader's log holds for it, as far as the socket takes it. */
void conn_write_reader(struct ws_conn *c, struct outlog_reader *r);
/* Frames for this connection alone: written at the end of the turn. */
void conn_add_own(struct ws_conn *c, struct str frames);
/* Whoever waits for on_sent hears it, when nothing waits any more. */
void conn_notify_sent(struct ws_conn *c);
/* The socket takes something again: each reader that was cut hears of it once. */
void conn_tell_cuts(struct ws_conn *c);
uint64_t conn_backlog(const struct ws_conn *c); /* bytes not written, and what was cut */

void flush_schedule(struct ws *ws); /* at the end of this turn */
void flush_run(void *ctx);          /* ctx: struct ws */

#endif
