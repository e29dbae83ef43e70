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
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 4999, 5000), LEASE_ALIVE);
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
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 1000, 1000), LEASE_ALIVE);
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
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 14999, 14999), LEASE_ALIVE);
    ck_assert_uint_eq(lease_next_look_ms(&l), 15000);
    ck_assert_int_eq(lease_reading(&l, PEER, 7, 15000, 15000), LEASE_DEAD);
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
    ck_assert_int_eq(lease_reading(&l, STR("b"), 7, 2000, 2000), LEASE_ALIVE);
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
          readings_of_one_do_not_touch_another)
