/* SPDX-License-Identifier: MIT */
/* room: a room as this gateway sees it: its members here, its place in the room's log, its outgoing
 * log.
 *
 * A room exists while somebody here is a member or waits to become one, and until the bus knows
 * that nobody is. It follows the log of the bus without a hole: what it relays is consecutive; a
 * hole is filled from the kept history before anything newer is relayed, and what cannot be filled
 * is told to the members as a `gap`. */
#ifndef GATEWAY_CHAT_ROOM_H
#define GATEWAY_CHAT_ROOM_H

#include "gateway/bus/bus.h"
#include "gateway/chat/presence.h"
#include "gateway/edge/outlog.h"

struct chat_context;
struct room;
struct room_policy;
struct rooms;
struct ws_conn;

/* A connection's membership of one room; the session allocates and frees it. */
struct room_member {
    struct outlog_reader reader;
    struct presence_member presence;
    struct list in_session; /* the session's */
    struct room *room;      /* NULL: no member */
    void *session;          /* borrowed */
};

/* One who waits for the room to come alive; embedded in the session's join. */
struct room_waiter {
    struct list in_room;
    struct room *room; /* NULL: does not wait */
};

struct room_handlers {
    /* May leave the queue, or become a member. Also comes when the state was told again. */
    void (*on_live)(struct room_waiter *w);
    void (*on_failed)(struct room_waiter *w); /* the bus cannot be reached */
    /* The member of this room whose connection that is; NULL when there is none (any more). */
    struct room_member *(*find_member)(void *ctx, uint64_t connection, const struct room *room);
    void *ctx;
};

struct rooms *rooms_new(struct chat_context *ctx, const struct room_handlers *handlers);
void rooms_free(struct rooms *rooms); /* after the bus was freed; no members are left */

/* Opens the room where needed and queues w. Look at room_live at once: on_live comes only for a
 * room that was not. */
struct room *room_wait(struct rooms *rooms, struct str name, struct room_waiter *w);
void room_wait_end(struct room_waiter *w); /* no-op when not waiting */

/* Makes m a member: reads the room's log from its end on. user is borrowed while it is one. */
void room_join(struct room *room, struct room_member *m, struct ws_conn *conn, struct str user);
/* mark: BUS_LEFT (said so) or BUS_LOST (its connection is gone). The room may be gone after it. */
void room_leave(struct room_member *m, enum bus_mark mark);

bool room_live(const struct room *room);
struct str room_name(const struct room *room);
uint64_t room_online(const struct room *room);
struct bus_room *room_bus(const struct room *room); /* to publish to it */
const struct room_policy *room_policy(const struct room *room);
/* False: the place is ahead of this room in its own epoch, so its client was on a gateway that had
 * heard more than this one (or makes it up). The bus is asked for the room's state then, and
 * on_live comes when this room has caught up with it; after that whatever is not there does not
 * exist. *asked is the caller's to keep, 0 at first. */
bool room_reaches(struct room *room, const struct bus_position *place, uint64_t *asked);
/* The position up to which m has read: of the epoch before, if the reset is still ahead of it. */
struct bus_position room_position(const struct room_member *m);
/* The room's epoch is in doubt: members are told if it is another now. */
void room_doubt_epoch(struct room *room);
void room_flush_presence(struct room *room);
bool rooms_settled(const struct rooms *rooms); /* the bus knows that nobody is here any more */

/* For ws_handlers.on_cut, with the reader of a room_member. */
void room_on_cut(struct outlog_reader *reader, const struct outlog_cut *cut);
/* Fills in the room events of the bus; their room_ctx is a struct room. */
void rooms_events(struct bus_events *events);
void rooms_on_identity(struct rooms *rooms);
void rooms_reload(struct rooms *rooms); /* every room takes its policy from the config anew */

#endif
