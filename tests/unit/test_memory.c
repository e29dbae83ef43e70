/* SPDX-License-Identifier: MIT */
#include "gateway/memory.h"

#include "common/alloc.h"
#include "gateway/config.h"
#include "gateway/loop.h"
#include "gateway/stats.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

#define MIB (UINT64_C(1) << 20)
#define HELD (64 * MIB)

START_TEST(over_begins_above_the_limit_and_ends_below_seven_eighths)
{
    static const struct {
        bool was;
        uint64_t resident, max;
        bool is;
    } rows[] = {
        {false, 100 * MIB, 0, false},       {true, 100 * MIB, 0, false},
        {false, 80 * MIB, 80 * MIB, false}, {false, 80 * MIB + 1, 80 * MIB, true},
        {true, 80 * MIB, 80 * MIB, true},   {true, 70 * MIB + 1, 80 * MIB, true},
        {true, 70 * MIB, 80 * MIB, false},  {false, 71 * MIB, 80 * MIB, false},
        {false, 0, 80 * MIB, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(memory_judge(rows[i].was, rows[i].resident, rows[i].max) == rows[i].is,
                      "row %zu", i);
    }
}
END_TEST

/* Written to, so that it is there; in pieces of which the allocator keeps what is freed. */
static void **fill(void)
{
    size_t count = HELD / 4096;
    void **pieces = xcalloc(count, sizeof(*pieces));
    for (size_t i = 0; i < count; i++) {
        pieces[i] = xmalloc(4096);
        memset(pieces[i], 1, 4096);
    }
    return pieces;
}

START_TEST(what_is_used_is_seen)
{
    uint64_t before = memory_resident();
    ck_assert_uint_gt(before, 0);
    void **pieces = fill();
    ck_assert_uint_ge(memory_resident(), before + HELD / 2);
    for (size_t i = 0; i < HELD / 4096; i++) {
        free(pieces[i]);
    }
    free(pieces);
}
END_TEST

struct world {
    struct loop *loop;
    struct config config;
    struct stats stats;
    struct memory *memory;
    struct loop_timer *end;
    uint64_t asked; /* bytes, at the last look */
    unsigned looks;
};

static uint64_t on_over(void *ctx, uint64_t bytes)
{
    struct world *w = ctx;
    w->asked = bytes;
    w->looks++;
    loop_stop(w->loop);
    return 7;
}

static void on_end(void *ctx)
{
    struct world *w = ctx;
    loop_stop(w->loop);
}

static void open_world(struct world *w, uint64_t max)
{
    const struct memory_events events = {on_over, w};
    *w = (struct world){.loop = loop_new()};
    w->config.server.memory_max = max;
    w->end = loop_timer_new(w->loop, on_end, w);
    w->memory = memory_new(w->loop, &w->config, &w->stats, &events);
}

static void close_world(struct world *w)
{
    memory_free(w->memory);
    loop_timer_free(w->end);
    loop_free(w->loop);
}

START_TEST(above_the_limit_backlogs_are_asked_for_and_the_state_is_told)
{
    struct world w;
    open_world(&w, 1 * MIB);
    loop_run(w.loop);
    ck_assert_uint_eq(w.looks, 1);
    ck_assert_uint_gt(w.asked, 1 * MIB / 8);
    ck_assert_uint_lt(w.asked, memory_resident() + 64 * MIB);
    ck_assert_uint_eq(w.stats.memory_over, 1);
    ck_assert_uint_eq(w.stats.memory_given_up, 7);
    loop_run(w.loop); /* it looks again */
    ck_assert_uint_eq(w.looks, 2);
    /* A higher limit holds at once. */
    w.config.server.memory_max = UINT64_C(1) << 40;
    memory_reload(w.memory);
    loop_timer_start(w.end, 50);
    loop_run(w.loop);
    ck_assert_uint_eq(w.stats.memory_over, 0);
    ck_assert_uint_eq(w.looks, 2);
    close_world(&w);
}
END_TEST

START_TEST(without_a_limit_nobody_looks)
{
    struct world w;
    open_world(&w, 0);
    w.stats.memory_over = 1; /* as if it had been switched off while over */
    loop_timer_start(w.end, 2 * MEMORY_LOOK_MS);
    loop_run(w.loop);
    ck_assert_uint_eq(w.looks, 0);
    ck_assert_uint_eq(w.stats.memory_over, 0);
    close_world(&w);
}
END_TEST

UNIT_MAIN("memory", over_begins_above_the_limit_and_ends_below_seven_eighths, what_is_used_is_seen,
          above_the_limit_backlogs_are_asked_for_and_the_state_is_told,
          without_a_limit_nobody_looks)
