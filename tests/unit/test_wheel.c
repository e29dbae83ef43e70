/* SPDX-License-Identifier: MIT */
/* The wheel alone: loop is a fake below, so time passes only when a test says so. */
#include "gateway/wheel.h"

#include "gateway/loop.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

/* A loop with an invented clock and one timer. */
struct loop {
    uint64_t now_ms;
};

struct loop_timer {
    void (*fire)(void *ctx);
    void *ctx;
    bool set;
    uint64_t due_ms;
};

static struct loop fake_loop;
static struct loop_timer fake_timer;
static unsigned wake_ups;

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx)
{
    (void)l;
    fake_timer = (struct loop_timer){.fire = fire, .ctx = ctx};
    return &fake_timer;
}

void loop_timer_free(struct loop_timer *t)
{
    t->set = false;
}

void loop_timer_start(struct loop_timer *t, uint64_t after_ms)
{
    t->set = true;
    t->due_ms = fake_loop.now_ms + after_ms;
}

/* Lets time pass up to `until`, waking the wheel whenever it asked to be woken. */
static void pass_until(uint64_t until)
{
    while (fake_timer.set && fake_timer.due_ms <= until) {
        if (fake_timer.due_ms > fake_loop.now_ms) {
            fake_loop.now_ms = fake_timer.due_ms;
        }
        fake_timer.set = false;
        wake_ups++;
        fake_timer.fire(fake_timer.ctx);
    }
    fake_loop.now_ms = until;
}

/* A timer that notes when it fired. */
struct probe {
    struct wheel_timer timer;
    unsigned fired;
    uint64_t fired_ms;
    uint64_t again_ms;    /* when not 0: starts itself anew */
    struct probe *victim; /* when not NULL: stopped and freed */
};

static struct wheel *wheel;

static void on_fire(struct wheel_timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    ck_assert(!wheel_timer_set(t));
    p->fired++;
    p->fired_ms = fake_loop.now_ms;
    if (p->again_ms != 0) {
        wheel_start(wheel, t, p->again_ms);
    }
    if (p->victim != NULL) {
        wheel_stop(&p->victim->timer);
        free(p->victim);
        p->victim = NULL;
    }
}

static struct probe *probe_new(void)
{
    struct probe *p = calloc(1, sizeof(*p));
    wheel_timer_init(&p->timer, on_fire);
    return p;
}

static void setup(void)
{
    /* Deep inside the range: ticks start where a clock that ran for weeks stands. */
    fake_loop.now_ms = UINT64_C(3000000017);
    wake_ups = 0;
    wheel = wheel_new(&fake_loop);
}

static void teardown(void)
{
    wheel_free(wheel);
}

START_TEST(a_timer_fires_once_never_early_and_at_most_one_tick_late)
{
    setup();
    static const uint64_t afters[] = {0,     1,     49,    50,    51,     999,    51149,
                                      51199, 51200, 51201, 60000, 102400, 3600000};
    for (size_t i = 0; i < ARRAY_LEN(afters); i++) {
        struct probe *p = probe_new();
        uint64_t start = fake_loop.now_ms, due = start + afters[i];
        wheel_start(wheel, &p->timer, afters[i]);
        ck_assert(wheel_timer_set(&p->timer));
        pass_until(due + 2 * WHEEL_TICK_MS);
        ck_assert_uint_eq(p->fired, 1);
        ck_assert_uint_ge(p->fired_ms, due);
        ck_assert_uint_le(p->fired_ms, due + WHEEL_TICK_MS);
        free(p);
    }
    teardown();
}
END_TEST

START_TEST(a_timer_of_zero_set_right_on_a_tick_that_is_over_fires_with_the_next)
{
    setup();
    struct probe *first = probe_new(), *p = probe_new();
    wheel_start(wheel, &first->timer, 33); /* the clock started 17 ms into a tick */
    pass_until(fake_loop.now_ms + 33);
    ck_assert_uint_eq(first->fired, 1);
    wheel_start(wheel, &p->timer, 0);
    pass_until(fake_loop.now_ms + WHEEL_TICK_MS);
    ck_assert_uint_eq(p->fired, 1);
    free(first);
    free(p);
    teardown();
}
END_TEST

START_TEST(an_empty_wheel_does_not_wake_the_process)
{
    setup();
    ck_assert(!fake_timer.set);
    struct probe *p = probe_new();
    wheel_start(wheel, &p->timer, 100);
    pass_until(fake_loop.now_ms + 1000);
    ck_assert_uint_eq(p->fired, 1);
    ck_assert(!fake_timer.set);
    ck_assert_uint_eq(wake_ups, 1);
    free(p);
    teardown();
}
END_TEST

START_TEST(a_stopped_timer_costs_at_most_one_wake_up)
{
    setup();
    struct probe *p = probe_new();
    wheel_start(wheel, &p->timer, 100);
    wheel_stop(&p->timer);
    wheel_stop(&p->timer);
    ck_assert(!wheel_timer_set(&p->timer));
    pass_until(fake_loop.now_ms + 600000);
    ck_assert_uint_eq(p->fired, 0);
    ck_assert_uint_eq(wake_ups, 1);
    ck_assert(!fake_timer.set);
    free(p);
    teardown();
}
END_TEST

START_TEST(a_timer_that_is_always_put_off_wakes_the_process_once_a_period)
{
    setup();
    struct probe *p = probe_new();
    for (unsigned i = 0; i < 6000; i++) { /* a message every 100 ms for ten minutes */
        wheel_start(wheel, &p->timer, 25000);
        pass_until(fake_loop.now_ms + 100);
    }
    ck_assert_uint_eq(p->fired, 0);
    ck_assert_uint_le(wake_ups, 600000 / 25000 + 1);
    wheel_stop(&p->timer);
    free(p);
    teardown();
}
END_TEST

START_TEST(starting_anew_replaces_the_earlier_start)
{
    setup();
    struct probe *p = probe_new();
    uint64_t start = fake_loop.now_ms;
    wheel_start(wheel, &p->timer, 10000);
    wheel_start(wheel, &p->timer, 100);
    pass_until(start + 200);
    ck_assert_uint_eq(p->fired, 1);
    pass_until(start + 20000);
    ck_assert_uint_eq(p->fired, 1);
    free(p);
    teardown();
}
END_TEST

START_TEST(an_earlier_timer_beside_a_later_one_fires_in_time)
{
    setup();
    struct probe *late = probe_new(), *early = probe_new();
    uint64_t start = fake_loop.now_ms;
    wheel_start(wheel, &late->timer, 40000);
    wheel_start(wheel, &early->timer, 60);
    pass_until(start + 160);
    ck_assert_uint_eq(early->fired, 1);
    ck_assert_uint_eq(late->fired, 0);
    pass_until(start + 40100);
    ck_assert_uint_eq(late->fired, 1);
    free(late);
    free(early);
    teardown();
}
END_TEST

START_TEST(a_timer_may_start_itself_again_when_it_fires)
{
    setup();
    struct probe *p = probe_new();
    p->again_ms = 1000;
    uint64_t start = fake_loop.now_ms;
    wheel_start(wheel, &p->timer, 1000);
    pass_until(start + 20 * 1000 + 20 * WHEEL_TICK_MS);
    ck_assert_uint_ge(p->fired, 20);
    ck_assert_uint_le(p->fired, 21);
    wheel_stop(&p->timer);
    free(p);
    teardown();
}
END_TEST

START_TEST(a_timer_that_starts_itself_at_once_does_not_hold_up_the_wheel)
{
    setup();
    struct probe *p = probe_new();
    p->again_ms = 1;
    wheel_start(wheel, &p->timer, 0);
    pass_until(fake_loop.now_ms + 1000);
    ck_assert_uint_ge(p->fired, 10);
    ck_assert_uint_le(p->fired, 1000 / WHEEL_TICK_MS + 1);
    wheel_stop(&p->timer);
    free(p);
    teardown();
}
END_TEST

START_TEST(a_timer_may_stop_and_free_another_of_the_same_slot)
{
    setup();
    struct probe *killer = probe_new(), *other = probe_new();
    killer->victim = probe_new();
    wheel_start(wheel, &killer->timer, 100);
    wheel_start(wheel, &killer->victim->timer, 100);
    wheel_start(wheel, &other->timer, 100);
    pass_until(fake_loop.now_ms + 1000);
    ck_assert_uint_eq(killer->fired, 1);
    ck_assert_uint_eq(other->fired, 1);
    free(killer);
    free(other);
    teardown();
}
END_TEST

static void free_own(struct wheel_timer *t)
{
    wake_ups = 1000;
    free(container_of(t, struct probe, timer));
}

START_TEST(a_timer_may_free_its_owner)
{
    setup();
    struct probe *p = probe_new();
    wheel_timer_init(&p->timer, free_own);
    wheel_start(wheel, &p->timer, 100);
    pass_until(fake_loop.now_ms + 1000);
    ck_assert_uint_eq(wake_ups, 1000);
    teardown();
}
END_TEST

START_TEST(a_process_that_slept_fires_everything_that_fell_due)
{
    setup();
    struct probe *p[300];
    uint64_t start = fake_loop.now_ms;
    for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
        p[i] = probe_new();
        wheel_start(wheel, &p[i]->timer, 1000 * (uint64_t)i);
    }
    fake_loop.now_ms = start + 200000; /* stopped for 200 s: almost four rounds */
    pass_until(fake_loop.now_ms);
    for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
        ck_assert_uint_eq(p[i]->fired, i < 200);
    }
    pass_until(start + 400000);
    for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
        ck_assert_uint_eq(p[i]->fired, 1);
        free(p[i]);
    }
    teardown();
}
END_TEST

START_TEST(a_timer_that_woke_too_early_waits_for_the_rest)
{
    setup();
    struct probe *p = probe_new();
    uint64_t start = fake_loop.now_ms;
    wheel_start(wheel, &p->timer, 1000);
    fake_loop.now_ms = start + 500;
    fake_timer.fire(fake_timer.ctx);
    ck_assert_uint_eq(p->fired, 0);
    pass_until(start + 1100);
    ck_assert_uint_eq(p->fired, 1);
    free(p);
    teardown();
}
END_TEST

START_TEST(timers_still_set_are_forgotten_with_the_wheel)
{
    setup();
    struct probe *p = probe_new();
    struct wheel *other = wheel_new(&fake_loop);
    wheel_start(other, &p->timer, 100);
    wheel_free(other);
    ck_assert(!wheel_timer_set(&p->timer));
    wheel_stop(&p->timer);
    free(p);
    teardown();
}
END_TEST

/* A hundred thousand connections with a heartbeat each, against a plain model: every timer fires in
 * its tick, whatever was started, put off and stopped before. */
START_TEST(a_hundred_thousand_timers_fire_in_their_ticks)
{
    setup();
    enum { MANY = 100000 };
    struct probe *p = calloc(MANY, sizeof(*p));
    uint64_t *due = calloc(MANY, sizeof(*due)); /* 0: stopped */
    uint64_t start = fake_loop.now_ms, seed = 88172645463325252U;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            uint64_t after = seed % 120000;
            if (round == 0) {
                wheel_timer_init(&p[i].timer, on_fire);
            }
            if (seed >> 61 == 0) {
                wheel_stop(&p[i].timer);
                due[i] = 0;
            } else if (p[i].fired == 0) {
                wheel_start(wheel, &p[i].timer, after);
                due[i] = fake_loop.now_ms + after;
            }
        }
        pass_until(fake_loop.now_ms + 7);
    }
    pass_until(start + 200000);
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_uint_eq(p[i].fired, due[i] != 0);
        if (due[i] != 0) {
            ck_assert_uint_ge(p[i].fired_ms, due[i]);
            ck_assert_uint_le(p[i].fired_ms, due[i] + WHEEL_TICK_MS);
        }
    }
    ck_assert_uint_le(wake_ups, 200000 / WHEEL_TICK_MS);
    free(p);
    free(due);
    teardown();
}
END_TEST

UNIT_MAIN("wheel", a_timer_fires_once_never_early_and_at_most_one_tick_late,
          a_timer_of_zero_set_right_on_a_tick_that_is_over_fires_with_the_next,
          an_empty_wheel_does_not_wake_the_process, a_stopped_timer_costs_at_most_one_wake_up,
          a_timer_that_is_always_put_off_wakes_the_process_once_a_period,
          starting_anew_replaces_the_earlier_start,
          an_earlier_timer_beside_a_later_one_fires_in_time,
          a_timer_may_start_itself_again_when_it_fires,
          a_timer_that_starts_itself_at_once_does_not_hold_up_the_wheel,
          a_timer_may_stop_and_free_another_of_the_same_slot, a_timer_may_free_its_owner,
          a_process_that_slept_fires_everything_that_fell_due,
          a_timer_that_woke_too_early_waits_for_the_rest,
          timers_still_set_are_forgotten_with_the_wheel,
          a_hundred_thousand_timers_fire_in_their_ticks)
