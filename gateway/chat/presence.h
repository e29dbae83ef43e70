/* SPDX-License-Identifier: MIT */
/* presence: how many are in a room, on all gateways together, and who came and went.
 *
 * Each gateway writes only its own register of a room (version, count) and merges what happens
 * within presence_interval into one change; `online` is the own count plus the registers of the
 * others, and the truth at once. What members are told is merged as well: one digest a room and
 * interval, a join and a leave of one name cancel. Grace is about names only: a name whose
 * connection was lost (not: that said leave) is held for rejoin_grace, and a join of that name, on
 * any gateway, cancels it.
 *
 * The room's policy says how much of this there is. presence=count: no names, neither in digests
 * nor in the bus. presence=off: no registers and no digests; `online` is 0. */
#ifndef GATEWAY_CHAT_PRESENCE_H
#define GATEWAY_CHAT_PRESENCE_H

#include "common/list.h"
#include "common/map.h"
#include "gateway/chat/registers.h"
#include "gateway/config.h"
#include "gateway/wheel.h"

struct chat_context;
struct room_policy;

/* A member of the room on this gateway; embedded in the room's member. */
struct presence_member {
    struct list in_presence; /* all members here */
    struct list in_arrivals; /* those the bus was not told of */
    uint64_t connection;
    struct str user; /* borrowed: outlives the membership */
};

struct presence_handlers {
    void (*relay)(void *owner, struct str text); /* one digest, to every member here */
    void (*on_settled)(void *owner); /* the bus knows everything: see presence_settled */
};

/* Embedded in the room. */
struct presence {
    struct chat_context *ctx;                 /* borrowed */
    const struct presence_handlers *handlers; /* borrowed: static */
    void *owner;
    struct str room;                  /* borrowed: the owner's name */
    const struct room_policy *policy; /* borrowed: the owner's, which sets it after init */
    struct bus_room *bus;             /* borrowed: set by the owner when it opened the room */
    struct list members;              /* struct presence_member */
    struct list arrivals;
    struct list departures; /* struct departure */
    uint64_t count;         /* members here */
    struct registers others;
    uint64_t version; /* of the own register as last sent */
    struct map news;  /* struct name_news by name: what the next digest tells */
    struct list news_order;
    struct map held; /* struct held_name by name */
    struct list held_order;
    uint64_t told_online, told_ms;
    struct wheel_timer timer;
    struct bus_call call;
    bool calling; /* the bus holds `call` */
    bool full;    /* the bus may know something else: send the whole register */
    bool more;    /* names were left out of the next digest */
    bool reaped;  /* everybody else was told that the members here left */
};

void presence_init(struct presence *p, struct chat_context *ctx,
                   const struct presence_handlers *handlers, void *owner, struct str room);
void presence_fini(struct presence *p); /* no members, settled or the bus is closed */

void presence_join(struct presence *p, struct presence_member *m);
/* mark: BUS_LEFT or BUS_LOST. */
void presence_leave(struct presence *p, struct presence_member *m, enum bus_mark mark);

uint64_t presence_online(const struct presence *p); /* 0 where nobody counts */
/* Nothing of this gateway's register is on its way or waits: the room may be closed. */
bool presence_settled(const struct presence *p);
/* Sends what waits now, ahead of the interval (before a presence request is passed on). */
void presence_flush(struct presence *p);

void presence_on_digest(struct presence *p, const struct bus_register *reg,
                        const struct bus_name *names, size_t count);
/* The registers as the bus has them. link_was_lost: the own one is checked against it, too. */
void presence_on_state(struct presence *p, const struct bus_room_state *state, bool link_was_lost);
void presence_on_lost(struct presence *p);
/* What Redis holds, from time to time: the own register is written again where somebody altered it,
 * and what a lost digest would have told of the others is made up for. */
void presence_on_check(struct presence *p, const struct bus_check *check);
/* The others were told that the members here left: see bus.h. */
void presence_on_reaped(struct presence *p, bool former);
/* The policy was altered; was: whether its presence was on until then, and how. */
void presence_on_policy(struct presence *p, enum config_presence was);
/* The bus has none of our registers: assert this one again. Its members are named only when others
 * were told that they left. */
void presence_assert(struct presence *p);

#endif
