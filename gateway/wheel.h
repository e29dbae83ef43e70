/* SPDX-License-Identifier: MIT */
/* wheel: a hashed timing wheel (Varghese and Lauck, 1987, scheme 6): any number of timers on one
 * loop timer, start and stop in O(1). Ticks are WHEEL_TICK_MS long; a timer fires up to one tick
 * late, never early. While no timer is set the wheel does not wake the process. */
#ifndef GATEWAY_WHEEL_H
#define GATEWAY_WHEEL_H

#include "common/list.h"

#define WHEEL_TICK_MS 50

struct loop;
struct wheel;

/* Embedded in its owner, who finds itself with container_of. */
struct wheel_timer {
    struct list link;
    uint64_t due_tick;
    void (*fire)(struct wheel_timer *t);
};

struct wheel *wheel_new(struct loop *loop); /* loop is borrowed and outlives the wheel */
void wheel_free(struct wheel *w);           /* timers still set are simply forgotten */

void wheel_timer_init(struct wheel_timer *t, void (*fire)(struct wheel_timer *t));
static inline bool wheel_timer_set(const struct wheel_timer *t)
{
    return !list_empty(&t->link);
}
void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t after_ms); /* or start anew */
void wheel_stop(struct wheel_timer *t); /* no-op when not set */

#endif
