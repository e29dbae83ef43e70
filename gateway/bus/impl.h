/* SPDX-License-Identifier: MIT */
/* impl: what the two buses share. A bus is a table of functions (bus_ops) behind bus.h; its own
 * struct begins with a struct bus. Included by gateway/bus only.
 *
 * Two helpers keep promise 1 of bus.h (exactly one completion, later, from the loop): an answer
 * that is known at once is settled, that is queued, and comes out at the end of the loop's turn. */
#ifndef GATEWAY_BUS_IMPL_H
#define GATEWAY_BUS_IMPL_H

#include "gateway/bus/bus.h"
#include "gateway/config.h"
#include "gateway/loop.h"
#include "gateway/stats.h"

#define BUS_BATCH_MAX 128  /* messages in one publish, lines in one on_log */
#define BUS_READ_MAX 256   /* messages in one answer of bus_read */
#define BUS_PAGE_MAX 1000U /* connections in one page of bus_members */
#define BUS_ID_MAX 80      /* gateway name (64), a dash, 8 digits; NUL-terminated */

/* The arguments of the longer calls of bus.h, borrowed for the call. */
struct bus_message {
    struct str user, key, data;
};
struct bus_note {
    struct str to, from, key, line;
};
struct bus_range {
    struct str epoch;
    uint64_t from, to;
};

/* As the functions of bus.h with the same names. */
struct bus_ops {
    void (*start)(struct bus *b);
    void (*reload)(struct bus *b);
    void (*close)(struct bus *b, uint64_t deadline_ms);
    void (*free)(struct bus *b);
    void (*health)(const struct bus *b, struct bus_health *out);
    struct bus_room *(*open_room)(struct bus *b, struct str name, void *ctx, struct bus_call *call);
    void (*close_room)(struct bus *b, struct bus_room *room);
    void (*sync_room)(struct bus *b, struct bus_room *room);
    struct bus_user *(*open_user)(struct bus *b, struct str name, void *ctx, struct bus_call *call);
    void (*close_user)(struct bus *b, struct bus_user *user);
    void (*publish)(struct bus *b, struct bus_room *room, const struct bus_message *message,
                    struct bus_call *call);
    void (*signal)(struct bus *b, struct bus_room *room, uint64_t connection, struct str line,
                   struct bus_call *call);
    void (*direct)(struct bus *b, const struct bus_note *note, struct bus_call *call);
    void (*presence)(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                     struct bus_call *call);
    void (*members)(struct bus *b, struct str room, struct str cursor, unsigned limit,
                    struct bus_call *call);
    void (*read)(struct bus *b, struct bus_room *room, const struct bus_range *range,
                 struct bus_call *call);
};

struct bus {
    const struct bus_ops *ops;
    struct bus_events events;
    struct loop *loop;           /* borrowed: outlives us */
    const struct config *config; /* borrowed: outlives us */
    struct stats *stats;         /* borrowed: outlives us */
    struct list settled;         /* calls whose answer is known and waits for the end of the turn */
    struct loop_task *settle;    /* owned */
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    bool closed;         /* on_closed is due */
    char id[BUS_ID_MAX]; /* this gateway's, NUL-terminated */
};

void bus_base_init(struct bus *b, const struct bus_ops *ops, struct loop *loop,
                   const struct config *config, struct stats *stats);
/* Completes what is settled. The bus's own calls were completed before. */
void bus_base_fini(struct bus *b);

/* Completes call with err, at the end of this turn. call NULL: nobody waits. */
void bus_settle(struct bus *b, struct bus_call *call, enum bus_err err);
/* Completes call now; only from the loop. The call is its owner's again. call NULL: nobody waits.
 */
void bus_done(struct bus_call *call, const struct bus_result *result);
void bus_done_err(struct bus_call *call, enum bus_err err);
/* Lets on_closed be called at the end of this turn. */
void bus_closed(struct bus *b);

struct buf;
/* Adds the chat with that offset to out, as clients get it. */
void bus_add_chat(struct buf *out, uint64_t offset, struct str data);

/* Copies s to *at, moves *at behind it, and returns the copy. */
struct str bus_put(char **at, struct str s);

/* "<gateway name>-<8 random digits>": a name that no gateway had before. */
void bus_id_make(char id[BUS_ID_MAX], const char *gateway_name);

#endif
