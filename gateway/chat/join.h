/* SPDX-License-Identifier: MIT */
/* join: from a client's request to its welcome, and to the first live message.
 *
 * A join waits for the room to be live, and to have caught up with the client where that knows
 * more, and for the user to be reachable; past the deadline: unavailable.
 *
 * Then it is a member: its cursor in the room's log is set and held, and that is the cut. What it
 * asked for (since its last offset, or the last few) is read from the kept log and sent, up to the
 * cut; the welcome comes before it and says whether it is everything. At the end the cursor is
 * released: live messages follow from the cut on. What cannot be read for now is no gap: before the
 * welcome the join ends as unavailable, after it the rest is read again until it is there. If the
 * epoch of the cut is over, the rest is covered by the reset that follows.
 *
 * Live messages wait in the room's log meanwhile, uncopied, and none can fall between. */
#ifndef GATEWAY_CHAT_JOIN_H
#define GATEWAY_CHAT_JOIN_H

#include "gateway/bus/bus.h"
#include "gateway/chat/room.h"
#include "gateway/wheel.h"

struct session;

/* What the client wants to be told of before live messages. since wins. */
struct join_wish {
    bool resumes;
    struct bus_position since;
    uint64_t history; /* so many of the newest messages; 0: none */
};

/* Owned by its session until it ends. */
struct join {
    struct room_waiter waiter;
    struct list in_session;
    struct session *session;     /* NULL: given up; only the bus still holds `page` */
    struct wheel_timer deadline; /* of the waiting; of a member: for the next try to read */
    struct join_wish wish;
    struct room_member *member; /* borrowed; NULL: waits */
    uint64_t asked;             /* see room_reaches */
    struct bus_position cut;
    uint64_t next; /* the first offset that is still to be read */
    struct bus_call page;
    bool reading; /* the bus holds `page` */
    bool welcomed, holds;
    bool unsure; /* no join of the member was welcomed: it ends if this one is refused */
    bool pauses; /* the next page is read when the socket has taken what was sent */
    size_t id_len;
    char id[]; /* raw JSON */
};

/* Begins a join of that room. id is copied. It may have ended when this returns. */
void join_begin(struct session *s, struct str id, struct str room, const struct join_wish *wish);
/* Something it may wait for has happened: the room came alive, or the user can be reached. */
void join_try(struct join *j);
void join_continue(struct join *j); /* the socket has taken what was sent */
void join_fail(struct join *j);     /* answers unavailable, unless it is a member already */
/* The client leaves that room: ends the joins of it. */
void join_leave(struct session *s, struct str room);
void join_cancel_all(struct session *s); /* without an answer: the connection is gone */

#endif
