/* SPDX-License-Identifier: MIT */
/* link: one connection to Redis that comes back by itself: connect with a timeout, AUTH and SELECT,
 * one look at INFO (which must be that of a master that has read its data), reconnect after a
 * back-off with full jitter. Knows nothing of what is sent over it.
 *
 * Promises
 *   1. A request is answered exactly once, in the order of sending: with Redis's reply, or with
 * NULL when the link fell first. All callbacks come from the loop, never from inside a call.
 *   2. on_down comes before the requests under way get their NULL; link_is_up is false by then.
 *   3. A request without a reply for redis.command_timeout drops the link: replies could not be
 * told apart any more (a command that timed out may still have run). So does a reply that nobody
 * asked for, that does not end, or that says that it is longer than any of ours.
 *   4. The log gets one line when the link goes down and one when it is up again; of a link that
 * keeps falling at once only the first, and one more for another cause. The host's name is resolved
 * when connecting, by the C library, which blocks: name Redis by address, or have a resolver that
 * answers at once. */
#ifndef GATEWAY_BUS_LINK_H
#define GATEWAY_BUS_LINK_H

#include "common/list.h"
#include "gateway/bus/args.h"
#include "gateway/bus/url.h"
#include "gateway/config.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

struct link;
struct redisReply;

/* Embedded in what waits for the reply. */
struct link_request {
    struct list link;                                                     /* the link's */
    uint64_t sent_us;                                                     /* the link's */
    void (*done)(struct link_request *r, const struct redisReply *reply); /* reply: borrowed */
};

struct link_events {
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx);
    /* A confirmation or message of a subscription; borrowed for the call. */
    void (*on_push)(void *ctx, const struct redisReply *reply);
    void *ctx;
};

struct link_options {
    struct loop *loop;           /* borrowed: outlives the link */
    const struct config *config; /* borrowed: outlives the link */
    struct stats *stats;         /* borrowed: outlives the link */
    const struct url *url;       /* borrowed: outlives the link */
    enum stats_link which;
};

struct link *link_new(const struct link_options *options, const struct link_events *events);
/* Requests under way are answered with NULL, from inside; no other callback comes. */
void link_free(struct link *l);

void link_start(struct link *l);
bool link_is_up(const struct link *l);        /* NULL: false */
const char *link_state(const struct link *l); /* "ok", "connecting", "down: why" */
/* Names the data that the Redis at the other end holds; while up. It is another after a restart,
 * and after it was made the master: then what it held before may be lost. */
struct str link_fence(const struct link *l);

/* The link is up. Everything sent in one turn of the loop leaves in one write. */
void link_send(struct link *l, struct args *args, struct link_request *r);
/* SUBSCRIBE or UNSUBSCRIBE; what comes of it goes to on_push. From the first on, the link takes
 * nothing else until it falls. */
void link_subscribe(struct link *l, struct args *args);

/* Ends the connection, because of why (a word or two for the log); it will come back. */
void link_drop(struct link *l, enum stats_loss loss, const char *why);

#endif
