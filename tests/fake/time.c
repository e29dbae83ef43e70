/* SPDX-License-Identifier: MIT */
#include "tests/fake/time.h"

#include "common/clock.h"
#include "common/random.h"
#include "gateway/loop.h"
#include "gateway/wheel.h"

struct loop {
    uint64_t now_ms;
};

struct wheel {
    struct list timers; /* struct wheel_timer; due_tick is in milliseconds here */
};

static struct loop loop;
static struct wheel wheel;

void fake_time_start(void)
{
    loop.now_ms = FAKE_START_MS;
    list_init(&wheel.timers);
}

struct loop *fake_loop(void)
{
    return &loop;
}

struct wheel *fake_wheel(void)
{
    return &wheel;
}

static struct wheel_timer *earliest(void)
{
    struct wheel_timer *found = NULL;
    list_each (it, &wheel.timers) {
        struct wheel_timer *t = container_of(it, struct wheel_timer, link);
        if (found == NULL || t->due_tick < found->due_tick) {
            found = t;
        }
    }
    return found;
}

void fake_time_pass(uint64_t ms)
{
    uint64_t until = loop.now_ms + ms;
    struct wheel_timer *t = earliest();
    while (t != NULL && t->due_tick <= until) {
        loop.now_ms = t->due_tick > loop.now_ms ? t->due_tick : loop.now_ms;
        list_remove(&t->link);
        t->fire(t);
        t = earliest();
    }
    loop.now_ms = until;
}

bool fake_timer_is_set(void)
{
    return !list_empty(&wheel.timers);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

void wheel_timer_init(struct wheel_timer *t, void (*fire)(struct wheel_timer *t))
{
    list_init(&t->link);
    t->due_tick = 0;
    t->fire = fire;
}

void wheel_start(struct wheel *w, struct wheel_timer *t, uint64_t after_ms)
{
    list_remove(&t->link);
    t->due_tick = loop.now_ms + after_ms;
    list_push(&w->timers, &t->link);
}

void wheel_stop(struct wheel_timer *t)
{
    list_remove(&t->link);
}

uint64_t clock_now_ms(void)
{
    return loop.now_ms;
}

uint64_t clock_now_us(void)
{
    return loop.now_ms * 1000;
}

uint64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

uint64_t clock_wall_ms(void)
{
    return FAKE_WALL_S * UINT64_C(1000) + loop.now_ms - FAKE_START_MS;
}

void random_bytes(void *out, size_t len)
{
    memset(out, 0x5a, len);
}

uint64_t random_u64(void)
{
    return UINT64_C(0x5a5a5a5a5a5a5a5a);
}

uint64_t random_below(uint64_t n)
{
    return n / 2;
}

void random_hex(char *out, size_t digits)
{
    memset(out, '5', digits);
}
