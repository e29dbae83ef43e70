/* SPDX-License-Identifier: MIT */
/* bus: the one way between the rooms of this gateway and everybody else's. Two implementations:
 * memory (one gateway, nothing else needed) and redis. The same tests hold both.
 *
 * Promises
 *   1. Every call that takes a struct bus_call completes exactly once, later, from the loop: never
 * from inside the call itself; also when the link is lost, the deadline passes, or the bus closes.
 *   2. Events of one room come in the order in which the bus got them. No event of a room comes
 * before its on_opened, none after bus_close_room.
 *   3. BUS_UNAVAILABLE: certainly not done. BUS_UNKNOWN: sent, and nobody can say. (Redis may
 * have said so: a full disk, no memory, not the master.) BUS_REFUSED: Redis said no to this very
 * call (a key of another type): nothing changed, nothing was delivered.
 *   4. Texts given are copied or used up within the call unless a comment says "borrowed until
 * done".
 *   5. Any call may be made from any event or completion. */
#ifndef GATEWAY_BUS_BUS_H
#define GATEWAY_BUS_BUS_H

#include "common/base.h"
#include "common/list.h"

struct bus;
struct bus_call;
struct bus_room; /* a room this gateway follows */
struct bus_user; /* a user whose direct messages this gateway takes */
struct config;
struct loop;
struct stats;

enum bus_err { BUS_OK, BUS_UNAVAILABLE, BUS_UNKNOWN, BUS_REFUSED, BUS_NOT_ONLINE, BUS_BAD_CURSOR };

#define BUS_EPOCH_LEN 16 /* 64 random bits in lower-case hex */

/* A place in a room's log. */
struct bus_position {
    char epoch[BUS_EPOCH_LEN];
    uint64_t offset; /* of the newest message; 0: none yet */
};

static inline struct str bus_epoch(const struct bus_position *p)
{
    return (struct str){p->epoch, BUS_EPOCH_LEN};
}

/* One gateway's register of a room: only that gateway writes it; a higher version replaces. */
struct bus_register {
    struct str gateway; /* borrowed for the call */
    uint64_t version;
    uint64_t count; /* its connections that are members */
};

/* What the bus knows of a room at one moment. registers includes this gateway's own, if any. */
struct bus_room_state {
    struct bus_position position;
    const struct bus_register *registers;
    size_t register_count;
};

/* What the bus holds of a room when it is looked at in the background: everything that this gateway
 * asked for before is in it. */
struct bus_check {
    const struct bus_register *registers;
    size_t register_count;
    bool members_known;
    uint64_t members; /* connections that are listed as this gateway's members */
};

/* A change of names in a presence digest. */
enum bus_mark {
    BUS_JOINED = '+',
    BUS_LEFT = '-', /* said leave, kicked, reaped: told at once */
    BUS_LOST = '~', /* connection gone: told after the rejoin grace */
    BUS_MORE = '*'  /* the list was cut here; user is empty */
};
struct bus_name {
    enum bus_mark mark;
    struct str user;
};

/* What comes up. Every str and pointer is borrowed for the call. room_ctx and user_ctx are what the
 * caller gave when it opened the room or user. */
struct bus_events {
    /* A batch of a room's log: lines[0] has offset `first`, the next first + 1 …; each line is one
     * whole message as clients get it. position.offset is the last one's. */
    void (*on_log)(void *room_ctx, const struct bus_position *position, uint64_t first,
                   const struct str *lines, size_t count);
    /* A digest of another gateway, or without names of an id that this one had. count 0: its
     * register is gone. */
    void (*on_digest)(void *room_ctx, const struct bus_register *reg, const struct bus_name *names,
                      size_t count);
    /* Somebody took this gateway for dead, and told the others that its members left. former: under
     * an id that it has given up; else on_identity follows. */
    void (*on_reaped)(void *room_ctx, bool former);
    /* A signal; connection is the sender's on its gateway, own tells that the gateway is this one.
     * An outsider's message (a bare PUBLISH, type chat or signal) comes with connection 0 and own
     * false. */
    void (*on_signal)(void *room_ctx, bool own, uint64_t connection, struct str line);
    /* The link that feeds this room was lost: from here on nothing live is known until on_synced.
     */
    void (*on_lost)(void *room_ctx);
    /* The room is fed again, and this is its state now; messages that it covers are not sent.
     * Called once for each on_lost, after an open that failed, after bus_sync_room, and once more
     * when too much came while the state was read. */
    void (*on_synced)(void *room_ctx, const struct bus_room_state *state);
    /* From time to time, of every room that is open and fed. */
    void (*on_check)(void *room_ctx, const struct bus_check *check);
    void (*on_direct)(void *user_ctx, struct str line);
    /* This gateway's registers are not in the bus (any more): it has a new id (or Redis lost its
     * data). Assert every room's register again with bus_presence, `full` set. */
    void (*on_identity)(void *ctx);
    void *ctx;
};

struct bus *bus_memory_new(struct loop *loop, const struct config *config, struct stats *stats);
/* config->redis.url was checked; connects in the background. err: 1 line when the URL cannot be
 * used. */
struct bus *bus_redis_new(struct loop *loop, const struct config *config, struct stats *stats,
                          char *err, size_t err_size);
/* events is copied; called once, before anything else. */
void bus_start(struct bus *b, const struct bus_events *events);
/* The config was changed in place: rooms take their policies from it anew. */
void bus_reload(struct bus *b);
/* Takes this gateway's registers, lease and subscriptions away, as far as it can be done within
 * deadline_ms, then calls on_closed (once, from the loop). */
void bus_close(struct bus *b, uint64_t deadline_ms, void (*on_closed)(void *ctx), void *ctx);
void bus_free(
    struct bus *b); /* outstanding calls complete with BUS_UNAVAILABLE or BUS_UNKNOWN first */

struct str bus_gateway_id(const struct bus *b); /* changes after on_identity; borrowed */

/* Ready: links up and the own beat came back lately. why: a word per check for /readyz. */
struct bus_health {
    bool ready;
    const char *publish; /* "ok" or what is wrong: "down: ECONNREFUSED" */
    const char *subscribe;
};
void bus_health(const struct bus *b, struct bus_health *out);

/* What a completion brings; which members are set depends on the call. Borrowed for the call. */
struct bus_result {
    enum bus_err err;
    struct bus_position position;       /* publish: the message's own; open: the newest */
    const struct bus_room_state *state; /* open */
    const struct bus_register *reg;
    const struct bus_member *members; /* members: a page */
    size_t member_count;
    struct str cursor;       /* members: where the next page begins; empty: no more */
    const struct str *lines; /* read: oldest first, consecutive from `first` */
    size_t line_count;
    uint64_t first;
    bool other_epoch; /* read: that epoch is over; there are no lines, bus_sync_room tells more */
};

struct bus_member {
    struct str user;
    uint64_t connections;
};

/* Embedded in what waits for the answer; the owner keeps it alive until done, and finds itself with
 * container_of. Only the bus writes to it meanwhile. */
struct bus_call {
    struct list link; /* the bus's */
    void (*done)(struct bus_call *call, const struct bus_result *result);
    void *holder;         /* the bus's: what waits with it */
    uint64_t deadline_ms; /* the bus's */
    uint8_t kind;         /* the bus's */
};

/* Follows a room: subscribes, waits for the confirmation, reads its state. On BUS_OK result->state
 * is the room's, and events flow from now on; payloads that state covers are not repeated. On an
 * error the room is still open and comes alive with on_synced when the link does; the caller may
 * close it. name is copied. */
struct bus_room *bus_open_room(struct bus *b, struct str name, void *room_ctx,
                               struct bus_call *call);
/* No event of the room after this. The subscription itself stays for a second, in case. The call of
 * an open still under way completes with BUS_UNAVAILABLE (from the loop). */
void bus_close_room(struct bus *b, struct bus_room *room);
/* Asks for the room's state once more; answers with on_synced (or, the link lost, on_lost and then
 * on_synced). Several at once are one. */
void bus_sync_room(struct bus *b, struct bus_room *room);

/* As rooms: on BUS_OK messages for the user reach this gateway. Unsubscribed at once when closed.
 */
struct bus_user *bus_open_user(struct bus *b, struct str name, void *user_ctx,
                               struct bus_call *call);
void bus_close_user(struct bus *b, struct bus_user *user);

/* Puts one message into the room's log and relays it. How many messages the log keeps, for how
 * long, and how long a key counts, is as the room's policy says (config_policy). data is the text
 * of the chat's `data` member (compact JSON, one line), copied. user and key (empty: none) make it
 * idempotent. Messages of one room keep their order; what arrives while one publish is under way
 * goes out together in the next. A full buffer (redis.publish_buffer) completes with
 * BUS_UNAVAILABLE. Result: position. */
void bus_publish(struct bus *b, struct bus_room *room, struct str user, struct str key,
                 struct str data, struct bus_call *call);

/* Ephemeral; line is the whole message; connection is the sender's id, which on_signal repeats. */
void bus_signal(struct bus *b, struct bus_room *room, uint64_t connection, struct str line,
                struct bus_call *call);

/* To every gateway where `to` is. line is the whole message. BUS_NOT_ONLINE when nowhere. */
void bus_direct(struct bus *b, struct str to, struct str from, struct str key, struct str line,
                struct bus_call *call);

/* One change of this gateway's register of a room, as one step: members that came and went, the new
 * count, the digest for the others. */
struct bus_presence_member {
    uint64_t connection;
    struct str user; /* empty: this connection is no member any more */
};
struct bus_presence {
    bool full;        /* members lists all there are; the bus forgets what it had */
    uint64_t version; /* higher than any before, of this gateway and room */
    uint64_t count;
    const struct bus_presence_member *members;
    size_t member_count;
    const struct bus_name *names; /* the digest's, at most 50 and a BUS_MORE */
    size_t name_count;
};
void bus_presence(struct bus *b, struct bus_room *room, const struct bus_presence *change,
                  struct bus_call *call);

/* One page of who is in the room, over all gateways; cursor empty at first. A user stands once on a
 * page, and may come on several pages. The room need not be open. BUS_BAD_CURSOR: it is not one
 * that an earlier page gave. */
void bus_members(struct bus *b, struct str room, struct str cursor, unsigned limit,
                 struct bus_call *call);

/* Messages from offset `from` to `to` (both included) of the room's log in that epoch, as far as
 * they are kept: the answer may begin later than `from` (result->first) or be empty; it is
 * consecutive, and at most 256 messages. Another epoch: empty, and other_epoch. Works also while
 * Redis refuses to write. */
void bus_read(struct bus *b, struct bus_room *room, struct str epoch, uint64_t from, uint64_t to,
              struct bus_call *call);

const char *bus_library_version(void); /* hiredis' */

#endif
