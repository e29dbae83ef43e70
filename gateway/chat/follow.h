/* SPDX-License-Identifier: MIT */
/* follow: keeps one room's place in the log of the bus, so that what it passes on is without a hole
 * and without a repetition, whatever the links do. Knows nothing of members.
 *
 *   OPENING  the bus subscribes and reads the state          -> LIVE, or LOST when it cannot
 *   LIVE     consecutive batches are passed on at once
 *   FILLING  a hole was seen: the range is read from the kept log; newer batches are held
 *   SYNCING  another epoch was seen: the room's state is read and decides; batches are held
 *   LOST     the link is away; on_synced brings the state    -> LIVE or FILLING
 *
 * Held batches are bounded; past it they are dropped and read again. */
#ifndef GATEWAY_CHAT_FOLLOW_H
#define GATEWAY_CHAT_FOLLOW_H

#include "common/list.h"
#include "gateway/bus/bus.h"

struct chat_context;

/* position is where the log goes on from; offsets from … to cannot be had. reset: a new epoch
 * begins. */
struct follow_gap {
    const struct bus_position *position;
    uint64_t from, to;
    bool reset;
    const char *epoch_was; /* of a reset: BUS_EPOCH_LEN bytes */
};

struct follow_handlers {
    void (*on_message)(void *owner, struct str line, uint64_t offset);
    void (*on_gap)(void *owner, const struct follow_gap *gap);
    /* The state the bus told, before what it leads to. */
    void (*on_state)(void *owner, const struct bus_room_state *state, bool link_was_lost);
    void (*on_live)(void *owner);   /* became LIVE, or is still when the state was told again */
    void (*on_failed)(void *owner); /* opening failed, or the link is away: for now */
    void (*on_idle)(void *owner);   /* follow_busy became false; may call follow_fini */
};

enum follow_phase { FOLLOW_OPENING, FOLLOW_LIVE, FOLLOW_FILLING, FOLLOW_SYNCING, FOLLOW_LOST };

struct follow {
    struct chat_context *ctx;               /* borrowed */
    const struct follow_handlers *handlers; /* borrowed: static */
    void *owner;
    struct str room; /* borrowed: the owner's name */
    struct bus_room *bus;
    enum follow_phase phase;
    struct bus_position last; /* of what was passed on; offset as the state told before the first */
    bool known;               /* last is set */
    bool reading, opening;    /* the bus holds the call */
    bool overflowed;          /* batches were dropped that should have been held */
    bool calling;             /* inside a completion: not to be freed */
    struct bus_call read, open;
    uint64_t fill_to, read_to; /* the hole's end, and that of the range asked for */
    uint64_t states;           /* that the bus told after the opening */
    struct list held;          /* struct held */
    size_t held_bytes;
};

void follow_init(struct follow *f, struct chat_context *ctx, const struct follow_handlers *handlers,
                 void *owner, struct str room);
void follow_open(struct follow *f);
void follow_fini(struct follow *f); /* not busy; the owner closes f->bus */

bool follow_live(const struct follow *f);
bool follow_busy(const struct follow *f); /* the bus holds a call of ours */

/* From the bus. */
void follow_on_log(struct follow *f, const struct bus_position *position, uint64_t first,
                   const struct str *lines, size_t count);
void follow_on_lost(struct follow *f);
void follow_on_synced(struct follow *f, const struct bus_room_state *state);

#endif
