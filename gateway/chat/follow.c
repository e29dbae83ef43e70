/* SPDX-License-Identifier: MIT */
#include "gateway/chat/follow.h"

#include "common/alloc.h"
#include "gateway/chat/context.h"
#include "gateway/stats.h"

#include <assert.h>
#include <stdlib.h>

/* Batches held for one room while a hole is filled. */
#define HELD_MAX_BYTES (256 * 1024)

struct held {
    struct list link;
    struct bus_position position;
    uint64_t first;
    size_t count, bytes;
    bool asked;         /* the state is asked for, or was, after it came */
    struct str lines[]; /* their text stands behind them */
};

static void start_fill(struct follow *f, uint64_t to);
static void drain(struct follow *f);

static void drop_held(struct follow *f, struct held *h)
{
    f->held_bytes -= h->bytes;
    list_remove(&h->link);
    free(h);
}

static void drop_all_held(struct follow *f)
{
    while (!list_empty(&f->held)) {
        drop_held(f, container_of(f->held.next, struct held, link));
    }
}

static void hold(struct follow *f, const struct bus_position *position, uint64_t first,
                 const struct str *lines, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += lines[i].len;
    }
    if (f->held_bytes + bytes > HELD_MAX_BYTES) {
        f->ctx->stats->dropped[DROP_OVERFLOW] += count;
        f->overflowed = true;
        return;
    }
    struct held *h = xmalloc(sizeof(*h) + count * sizeof(h->lines[0]) + bytes);
    char *text = (char *)&h->lines[count];
    *h = (struct held){.position = *position, .first = first, .count = count, .bytes = bytes};
    for (size_t i = 0; i < count; i++) {
        h->lines[i] = (struct str){text, lines[i].len};
        memcpy(text, lines[i].ptr, lines[i].len);
        text += lines[i].len;
    }
    list_push(&f->held, &h->link);
    f->held_bytes += bytes;
}

static bool same_epoch(const struct bus_position *a, const struct bus_position *b)
{
    return memcmp(a->epoch, b->epoch, BUS_EPOCH_LEN) == 0;
}

static void pass_on(struct follow *f, uint64_t first, const struct str *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = first + i;
        if (offset <= f->last.offset) {
            f->ctx->stats->dropped[DROP_STALE]++;
            continue;
        }
        f->last.offset = offset;
        f->handlers->on_message(f->owner, lines[i], offset);
    }
}

enum verdict { PASS, HOLE, OTHER_EPOCH };

static enum verdict judge(const struct follow *f, const struct bus_position *position,
                          uint64_t first)
{
    if (!same_epoch(position, &f->last)) {
        return OTHER_EPOCH;
    }
    return first <= f->last.offset + 1 ? PASS : HOLE;
}

static void start_sync(struct follow *f)
{
    f->phase = FOLLOW_SYNCING;
    list_each (it, &f->held) {
        container_of(it, struct held, link)->asked = true;
    }
    bus_sync_room(f->ctx->bus, f->bus);
}

static void tell_gap(struct follow *f, uint64_t from, uint64_t to)
{
    struct follow_gap gap = {.position = &f->last, .from = from, .to = to};
    f->handlers->on_gap(f->owner, &gap);
}

/* The log was followed up to here; what was held goes on from here. */
static void become_live(struct follow *f)
{
    f->phase = FOLLOW_LIVE;
    drain(f);
    if (f->phase == FOLLOW_LIVE) {
        f->handlers->on_live(f->owner);
    }
}

/* What was held, as far as it goes on from the last one: else the phase changes. */
static void drain(struct follow *f)
{
    while (f->phase == FOLLOW_LIVE && !list_empty(&f->held)) {
        struct held *h = container_of(f->held.next, struct held, link);
        switch (judge(f, &h->position, h->first)) {
        case PASS:
            pass_on(f, h->first, h->lines, h->count);
            drop_held(f, h);
            break;
        case HOLE:
            start_fill(f, h->first - 1);
            break;
        case OTHER_EPOCH:
            if (h->asked) {
                drop_held(f, h); /* the room's meta has our epoch: this one is past */
            } else {
                start_sync(f);
            }
            break;
        }
    }
    if (f->phase == FOLLOW_LIVE && f->overflowed) {
        f->overflowed = false;
        start_sync(f);
    }
}

/* The end of a completion. */
static void leave_call(struct follow *f)
{
    f->calling = false;
    if (!follow_busy(f)) {
        f->handlers->on_idle(f->owner);
    }
}

static void on_filled(struct follow *f, const struct bus_result *result)
{
    uint64_t from = f->last.offset + 1;
    if (result->line_count == 0) {
        f->last.offset = f->read_to;
        tell_gap(f, from, f->read_to);
    } else {
        if (result->first > from) {
            f->last.offset = result->first - 1;
            tell_gap(f, from, result->first - 1);
        }
        f->ctx->stats->gaps_filled += result->line_count;
        pass_on(f, result->first, result->lines, result->line_count);
    }
    if (f->last.offset < f->fill_to) {
        start_fill(f, f->fill_to);
    } else {
        become_live(f);
    }
}

static void on_read(struct bus_call *call, const struct bus_result *result)
{
    struct follow *f = container_of(call, struct follow, read);
    static const struct bus_result nothing = {.err = BUS_OK};
    f->reading = false;
    f->calling = true;
    if (f->phase == FOLLOW_FILLING) {
        if (result->err == BUS_REFUSED) {
            on_filled(f, &nothing);
        } else if (result->err != BUS_OK || result->other_epoch) {
            start_sync(f);
        } else {
            on_filled(f, result);
        }
    }
    leave_call(f);
}

static void start_fill(struct follow *f, uint64_t to)
{
    if (f->reading) {
        start_sync(f); /* an answer that nobody waits for is still under way: ask later */
        return;
    }
    f->phase = FOLLOW_FILLING;
    f->fill_to = f->read_to = to;
    f->reading = true;
    f->read.done = on_read;
    bus_read(f->ctx->bus, f->bus, bus_epoch(&f->last), f->last.offset + 1, to, &f->read);
}

/* A new epoch begins: it is followed from the first batch of it that was held, else from its end.
 */
static void begin_epoch(struct follow *f, const struct bus_position *now)
{
    uint64_t base = now->offset;
    list_each (it, &f->held) {
        const struct held *h = container_of(it, struct held, link);
        if (same_epoch(&h->position, now)) {
            base = h->first - 1 < base ? h->first - 1 : base;
            break;
        }
    }
    struct bus_position was = f->last;
    f->last = *now;
    f->last.offset = base;
    struct follow_gap gap = {
        .position = &f->last, .to = base, .reset = true, .epoch_was = was.epoch};
    f->handlers->on_gap(f->owner, &gap);
}

/* What the state covers is not sent by the bus: what of it was not held is read. */
static void cover(struct follow *f, uint64_t newest)
{
    if (f->phase == FOLLOW_FILLING && f->fill_to < newest) {
        f->fill_to = newest;
    } else if (f->phase == FOLLOW_LIVE && f->last.offset < newest) {
        start_fill(f, newest);
    }
}

static void apply_state(struct follow *f, const struct bus_room_state *state, bool link_was_lost)
{
    uint64_t newest = state->position.offset;
    f->handlers->on_state(f->owner, state, link_was_lost);
    if (!f->known) {
        f->known = true;
        f->last = state->position;
    } else if (!same_epoch(&f->last, &state->position)) {
        begin_epoch(f, &state->position);
    } else if (newest > f->last.offset) {
        start_fill(f, newest);
        return;
    }
    f->phase = FOLLOW_LIVE;
    drain(f);
    cover(f, newest);
    if (f->phase == FOLLOW_LIVE) {
        f->handlers->on_live(f->owner);
    }
}

static void on_open(struct bus_call *call, const struct bus_result *result)
{
    struct follow *f = container_of(call, struct follow, open);
    f->opening = false;
    f->calling = true;
    if (result->err == BUS_OK) {
        apply_state(f, result->state, false);
    } else {
        if (f->phase == FOLLOW_OPENING) {
            f->phase = FOLLOW_LOST;
        }
        f->handlers->on_failed(f->owner);
    }
    leave_call(f);
}

void follow_init(struct follow *f, struct chat_context *ctx, const struct follow_handlers *handlers,
                 void *owner, struct str room)
{
    *f = (struct follow){
        .ctx = ctx, .handlers = handlers, .owner = owner, .room = room, .phase = FOLLOW_OPENING};
    list_init(&f->held);
}

void follow_open(struct follow *f)
{
    f->opening = true;
    f->open.done = on_open;
    f->bus = bus_open_room(f->ctx->bus, f->room, f->owner, &f->open);
}

void follow_fini(struct follow *f)
{
    assert(!follow_busy(f));
    drop_all_held(f);
}

bool follow_live(const struct follow *f)
{
    return f->phase == FOLLOW_LIVE;
}

bool follow_busy(const struct follow *f)
{
    return f->reading || f->opening || f->calling;
}

void follow_on_log(struct follow *f, const struct bus_position *position, uint64_t first,
                   const struct str *lines, size_t count)
{
    if (f->phase == FOLLOW_LIVE && judge(f, position, first) == PASS) {
        pass_on(f, first, lines, count);
        return;
    }
    hold(f, position, first, lines, count);
    if (f->phase == FOLLOW_LIVE) {
        drain(f);
    }
}

void follow_on_lost(struct follow *f)
{
    drop_all_held(f);
    f->overflowed = false;
    f->phase = FOLLOW_LOST;
}

void follow_on_synced(struct follow *f, const struct bus_room_state *state)
{
    bool link_was_lost = f->phase == FOLLOW_LOST;
    bool same = f->known && same_epoch(&f->last, &state->position);
    uint64_t newest = state->position.offset;
    f->states++;
    if (f->phase == FOLLOW_FILLING && same) {
        f->handlers->on_state(f->owner, state, false);
        f->fill_to =
            newest > f->fill_to ? newest : f->fill_to; /* what the state covers is not sent */
    } else if (f->phase == FOLLOW_LIVE && same && newest <= f->last.offset) {
        f->handlers->on_state(f->owner, state, false);
        f->handlers->on_live(f->owner); /* who asked for the state may wait for it */
    } else {
        apply_state(f, state, link_was_lost);
    }
}
