/* SPDX-License-Identifier: MIT */
/* Time is invented here: nobody sleeps. */
#include "gateway/bus/lease.h"

#include "tests/unit/unit.h"

#define SLOW_MS 5000
#define PEER STR("gw-b")

START_TEST(a_counter_that_rises_is_alive_even_when_nobody_subscribes)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 100, 0, 0);
    ck_assert(lease_subscribers(&l, PEER, 0));
    for (uint64_t i = 1; i < 20; i++) {
        ck_assert_int_ne(lease_reading(&l, PEER, 100 + i, i * 700, i * 700), LEASE_DEAD);
    }
    lease_fini(&l);
}
END_TEST

START_TEST(silent_for_700_ms_without_a_subscriber_is_dead)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 990, 1000), LEASE_ALIVE);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 1100, 1101), LEASE_SUSPECT);
    ck_assert_uint_eq(lease_next_look_ms(&l), 1700);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 1699, 1720), LEASE_SUSPECT);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 1700, 1701), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(the_reading_of_a_suspect_that_moved_on_starts_its_time_anew)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0, 0);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(lease_reading(&l, PEER, 9, 2000, 2001), LEASE_SUSPECT);
    ck_assert_uint_eq(lease_next_look_ms(&l), 2701);
    ck_assert_int_eq(lease_reading(&l, PEER, 9, 2701, 2702), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(a_subscriber_saves_from_the_quick_rule_and_not_from_the_slow_one)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0, 0);
    ck_assert(!lease_subscribers(&l, PEER, 1));
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 4999, 5000), LEASE_STANDS);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 5000, 5001), LEASE_DEAD);
    ck_assert_uint_eq(lease_next_look_ms(&l), 0);
    lease_fini(&l);
}
END_TEST

START_TEST(a_counter_that_stands_is_read_again_when_its_time_is_over)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 90, 100);
    (void)lease_reading(&l, STR("gw-c"), 1, 90, 100);
    ck_assert_uint_eq(lease_next_look_ms(&l), 0);
    (void)lease_reading(&l, PEER, 7, 2000, 2001);
    (void)lease_reading(&l, STR("gw-c"), 5, 2000, 2001);
    ck_assert_uint_eq(lease_next_look_ms(&l), 5100);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 5100, 5101), LEASE_DEAD);
    ck_assert_uint_eq(lease_next_look_ms(&l), 0); /* the sentence is under way */
    (void)lease_reading(&l, STR("gw-c"), 5, 5100, 5101);
    ck_assert_uint_eq(lease_next_look_ms(&l), 7001);
    lease_restart(&l, 6000, false);
    ck_assert_uint_eq(lease_next_look_ms(&l), 0);
    lease_fini(&l);
}
END_TEST

START_TEST(a_subscriber_that_comes_back_ends_the_suspicion)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0, 0);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert(!lease_subscribers(&l, PEER, 1));
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 1000, 1000), LEASE_STANDS);
    lease_fini(&l);
}
END_TEST

START_TEST(a_slow_reply_never_makes_a_counter_look_older)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0,
                        4000); /* asked for at 0, and true at some time up to 4000 */
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 4100, 9999), LEASE_SUSPECT);
    lease_fini(&l);
}
END_TEST

START_TEST(after_a_restart_of_the_timers_nobody_is_judged_by_what_was_before)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0, 0);
    ck_assert(lease_subscribers(&l, PEER, 0));
    lease_restart(&l, 60000, false);
    ck_assert_int_ne(lease_reading(&l, PEER, 7, 60001, 60001), LEASE_DEAD);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 60701, 60701), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(after_a_reconnect_only_the_slow_rule_holds_for_a_lease)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0, 0);
    lease_restart(&l, 10000, true);
    (void)lease_reading(&l, PEER, 7, 10000, 10000);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 14999, 14999), LEASE_STANDS);
    ck_assert_uint_eq(lease_next_look_ms(&l), 15000);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 15000, 15000), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

/* The counter of PEER at each tick, from first_ms on. Returns the last verdict. */
static enum lease_verdict ticks(struct lease *l, uint64_t first_ms, uint64_t counter, unsigned n)
{
    enum lease_verdict verdict = LEASE_ALIVE;
    for (unsigned i = 0; i < n; i++) {
        uint64_t now_ms = first_ms + i * 500;
        verdict = lease_reading(l, PEER, counter + i, now_ms, now_ms);
    }
    return verdict;
}

START_TEST(who_showed_that_he_is_back_is_judged_quickly_again)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    lease_restart(&l, 10000, true);
    ck_assert(!lease_unproven(&l, 10000)); /* nobody is known */
    (void)ticks(&l, 10000, 7, 2);
    ck_assert(!lease_subscribers(&l, PEER, 1));
    ck_assert(lease_unproven(&l, 10500)); /* one rise may be of a command that was under way */
    (void)ticks(&l, 11000, 9, 1);
    ck_assert(!lease_unproven(&l, 11000));
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(lease_reading(&l, PEER, 9, 11200, 11200), LEASE_SUSPECT);
    ck_assert_uint_eq(lease_next_look_ms(&l), 11700);
    ck_assert_int_eq(lease_reading(&l, PEER, 9, 11700, 11700), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(who_was_not_seen_to_subscribe_again_is_not_judged_quickly)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 1, 0, 0);
    ck_assert(!lease_subscribers(&l, PEER, 1)); /* before the reconnect */
    lease_restart(&l, 10000, true);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(ticks(&l, 10000, 7, 4), LEASE_ALIVE);
    ck_assert(lease_unproven(&l, 11500));
    ck_assert_int_ne(lease_reading(&l, PEER, 10, 14000, 14000), LEASE_DEAD);
    ck_assert_int_eq(lease_reading(&l, PEER, 10, 15000, 15000), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(a_reconnect_takes_away_what_was_shown_before)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    lease_restart(&l, 0, true);
    ck_assert_int_eq(ticks(&l, 0, 7, 4), LEASE_ALIVE);
    ck_assert(!lease_subscribers(&l, PEER, 1));
    lease_restart(&l, 2000, true);
    (void)lease_reading(&l, PEER, 11, 2000, 2000);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_ne(lease_reading(&l, PEER, 11, 3000, 3000), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(a_counter_that_stands_makes_one_look_at_the_channel)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, PEER, 7, 0, 0);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 699, 699), LEASE_ALIVE);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 700, 700), LEASE_STANDS);
    ck_assert(lease_subscribers(&l, PEER, 0));
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 701, 701), LEASE_DEAD);
    lease_fini(&l);
}
END_TEST

START_TEST(readings_of_one_do_not_touch_another)
{
    struct lease l;
    lease_init(&l, SLOW_MS);
    (void)lease_reading(&l, STR("a"), 7, 0, 0);
    (void)lease_reading(&l, STR("b"), 7, 0, 0);
    ck_assert(lease_subscribers(&l, STR("a"), 0));
    ck_assert_int_eq(lease_reading(&l, STR("b"), 7, 2000, 2000), LEASE_STANDS);
    ck_assert_int_eq(lease_reading(&l, STR("a"), 7, 2000, 2000), LEASE_DEAD);
    lease_forget(&l, STR("a"));
    ck_assert_ptr_null(lease_find(&l, STR("a")));
    ck_assert(!lease_subscribers(&l, STR("a"), 0));
    ck_assert_ptr_nonnull(lease_find(&l, STR("b")));
    lease_fini(&l);
}
END_TEST

UNIT_MAIN("bus_lease", a_counter_that_rises_is_alive_even_when_nobody_subscribes,
          silent_for_700_ms_without_a_subscriber_is_dead,
          the_reading_of_a_suspect_that_moved_on_starts_its_time_anew,
          a_subscriber_saves_from_the_quick_rule_and_not_from_the_slow_one,
          a_counter_that_stands_is_read_again_when_its_time_is_over,
          a_subscriber_that_comes_back_ends_the_suspicion,
          a_slow_reply_never_makes_a_counter_look_older,
          after_a_restart_of_the_timers_nobody_is_judged_by_what_was_before,
          after_a_reconnect_only_the_slow_rule_holds_for_a_lease,
          who_showed_that_he_is_back_is_judged_quickly_again,
          who_was_not_seen_to_subscribe_again_is_not_judged_quickly,
          a_reconnect_takes_away_what_was_shown_before,
          a_counter_that_stands_makes_one_look_at_the_channel, readings_of_one_do_not_touch_another)
