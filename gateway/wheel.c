/* SPDX-License-Identifier: MIT */
#include "gateway/wheel.h"

#include "common/alloc.h"
#include "gateway/loop.h"

#include <assert.h>
#include <stdlib.h>

/* One round is 51.2 s: longer than the heartbeat, so hardly any timer is looked at twice. */
#define SLOTS 1024
#define WORD_BITS 64

struct wheel {
    struct loop *loop;        /* borrowed: outlives us */
    struct loop_timer *timer; /* owned */
    uint64_t tick;            /* everything due up to here has fired */
    uint64_t armed_tick;      /* the loop timer fires at this tick; UINT64_MAX: it is not set */
    bool advancing;           /* firing timers: the loop timer is set once, after them */
    struct list slots[SLOTS]; /* of struct wheel_timer, by due_tick % SLOTS */
    /* A set bit: the slot may hold a timer. A clear bit: it holds none. wheel_stop leaves bits
     * behind, so that it needs no wheel; next_used clears them. */
    uint64_t used[SLOTS / WORD_BITS];
};

/* The first tick from `from` on whose slot holds a timer; UINT64_MAX when there is none at all. */
static uint64_t next_used(struct wheel *w, uint64_t from)
{
    for (uint64_t tick = from; tick < from + SLOTS;) {
        size_t slot = tick % SLOTS;
        uint64_t bits = w->used[slot / WORD_BITS] >> (slot % WORD_BITS);
        if (bits == 0) {
            tick += WORD_BITS - slot % WORD_BITS;
            continue;
        }
        tick += (uint64_t)__builtin_ctzll(bits);
        slot = tick % SLOTS;
        if (!list_empty(&w->slots[slot])) {
            return tick;
        }
        w->used[slot / WORD_BITS] &= ~(UINT64_C(1) << (slot % WORD_BITS));
    }
    return UINT64_MAX;
}

static void put(struct wheel *w, struct wheel_timer *t)
{
    size_t slot = t->due_tick % SLOTS;
    list_push(&w->slots[slot], &t->link);
    w->used[slot / WORD_BITS] |= UINT64_C(1) << (slot % WORD_BITS);
}

/* Wakes the process at tick, unless it wakes earlier already. */
static void arm(struct wheel *w, uint64_t tick)
{
    if (w->advancing || tick >= w->armed_tick) {
        return;
    }
    w->armed_tick = tick;
    uint64_t now_ms = loop_now_ms(w->loop), due_ms = tick * WHEEL_TICK_MS;
    loop_timer_start(w->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

/* Fires what is due in one slot; what is due in a later round goes back to where it was. A timer
 * that fires may start, stop or free any timer: so each is taken off a list of its own before its
 * call. */
static void fire_slot(struct wheel *w, uint64_t tick)
{
    struct list due;
    list_init(&due);
    list_splice(&due, &w->slots[tick % SLOTS]);
    struct list *first;
    while ((first = list_pop(&due)) != NULL) {
        struct wheel_timer *t = container_of(first, struct wheel_timer, link);
        if (t->due_tick > w->tick) {
            put(w, t);
        } else {
            t->fire(t);
        }
    }
}

static void on_timer(void *ctx)
{
    struct wheel *w = ctx;
    uint64_t from = w->tick + 1, now = loop_now_ms(w->loop) / WHEEL_TICK_MS;
    w->armed_tick = UINT64_MAX;
    w->advancing = true;
    /* From here on a timer starts at a tick after now, so at most in a slot that was visited
     * already or that comes back with a later round. */
    w->tick = now > w->tick ? now : w->tick;
    uint64_t last = now < from + SLOTS - 1 ? now : from + SLOTS - 1;
    for (uint64_t tick = next_used(w, from); tick <= last; tick = next_used(w, tick + 1)) {
        fire_slot(w, tick);
    }
    w->advancing = false;
    uint64_t next = next_used(w, w->tick + 1);
    if (next != UINT64_MAX) {
        arm(w, next);
    }
}

struct wheel *wheel_new(struct loop *loop)
{
    struct wheel *w = xcalloc(1, sizeof(*w));
    w->loop = loop;
    w->timer = loop_timer_new(loop, on_timer, w);
    w->tick = loop_now_ms(loop) / WHEEL_TICK_MS;
    w->armed_tick = UINT64_MAX;
    for (size_t i = 0; i < SLOTS; i++) {
        list_init(&w->slots[i]);
    }
    return w;
}

void wheel_free(struct wheel *w)
{
    if (w == NULL) {
        return;
    }
    assert(!w->advancing);
    /* Their owners may ask after them, or stop them, later. */
    for (size_t i = 0; i < SLOTS; i++) {
        while (list_pop(&w->slots[i]) != NULL) {
        }
    }
    loop_timer_free(w->timer);
    free(w);
}

void wheel_timer_init(struct wheel_timer *t, void (*fire)(struct wheel_timer *t))
{
    list_init(&t->link);
    t->due_tick = 0;
    t->fire = fire;
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t after_ms)
{
    uint64_t now_ms = loop_now_ms(w->loop);
    uint64_t due_tick = (now_ms + after_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    list_remove(&t->link);
    t->due_tick = due_tick > w->tick ? due_tick : w->tick + 1;
    put(w, t);
    arm(w, t->due_tick);
}

void wheel_stop(struct wheel_timer *t)
{
    list_remove(&t->link);
}
