/* SPDX-License-Identifier: MIT */
#include "gateway/edge/pace.h"
#include "tests/unit/unit.h"

#define PASS_US 6000 /* of a room of about a thousand members */

static struct pace pace;
static uint64_t now_us = 1000000, frames; /* each test is a process of its own */

/* A pass of so many microseconds, during which so many messages come. */
static void pass(uint64_t took_us, uint64_t arrived)
{
    pace_begin(&pace, now_us, frames);
    now_us += took_us;
    frames += arrived;
    pace_end(&pace, now_us, frames);
}

/* Waits until the next pass may begin; one message comes after each of `after_us` of waiting.
 * Returns how long it waited. */
static uint64_t wait_with_news(const uint64_t *after_us, size_t count)
{
    uint64_t began_us = now_us;
    uint64_t left_us = pace_wait_us(&pace, now_us, ++frames);
    for (size_t i = 0; i < count && left_us > after_us[i]; i++) {
        now_us += after_us[i];
        left_us = pace_wait_us(&pace, now_us, ++frames);
    }
    while (left_us > 0) {
        now_us += left_us;
        left_us = pace_wait_us(&pace, now_us, frames);
    }
    return now_us - began_us;
}

START_TEST(a_room_that_never_waited_begins_at_once)
{
    ck_assert_uint_eq(wait_with_news(NULL, 0), 0);
    pass(PASS_US, 0);
    ck_assert_uint_eq(wait_with_news(NULL, 0), 0);
}
END_TEST

START_TEST(messages_that_come_during_a_pass_make_the_next_one_wait)
{
    pass(PASS_US, 1);
    ck_assert_uint_eq(wait_with_news(NULL, 0), 200);
    pass(PASS_US, 1);
    ck_assert_uint_gt(wait_with_news(NULL, 0), 100);
}
END_TEST

START_TEST(a_wait_grows_until_it_catches_what_comes_close_behind_and_then_fits_it)
{
    static const uint64_t behind[] = {1500};
    uint64_t waited_us = 0;
    for (int i = 0; i < 8 && waited_us <= behind[0]; i++) {
        pass(PASS_US, 1); /* it came too late for the wait: during the pass */
        waited_us = wait_with_news(behind, 1);
    }
    ck_assert_uint_gt(waited_us, behind[0]);
    pass(PASS_US, 0); /* caught: nothing came meanwhile */
    ck_assert_uint_eq(wait_with_news(behind, 1), 2 * behind[0] + 50);
}
END_TEST

START_TEST(a_wait_that_brings_nothing_is_halved_until_there_is_none)
{
    uint64_t last_us = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        pass(PASS_US, 1);
    }
    for (int i = 0; i < 10; i++) {
        uint64_t waited_us = wait_with_news(NULL, 0);
        ck_assert(waited_us == 0 || waited_us < last_us);
        last_us = waited_us;
        pass(PASS_US, 0);
    }
    ck_assert_uint_eq(last_us, 0);
}
END_TEST

START_TEST(a_wait_is_never_longer_than_the_last_pass_nor_than_ten_milliseconds)
{
    for (int i = 0; i < 20; i++) {
        pass(PASS_US, 1);
    }
    ck_assert_uint_eq(wait_with_news(NULL, 0), PASS_US);
    for (int i = 0; i < 20; i++) {
        pass(50000, 1);
    }
    ck_assert_uint_eq(wait_with_news(NULL, 0), PACE_WAIT_MAX_US);
}
END_TEST

START_TEST(a_room_whose_passes_are_short_never_waits)
{
    for (int i = 0; i < 20; i++) {
        pass(PACE_PASS_MIN_US - 1, 3);
        ck_assert_uint_eq(wait_with_news(NULL, 0), 0);
    }
}
END_TEST

UNIT_MAIN("pace", a_room_that_never_waited_begins_at_once,
          messages_that_come_during_a_pass_make_the_next_one_wait,
          a_wait_grows_until_it_catches_what_comes_close_behind_and_then_fits_it,
          a_wait_that_brings_nothing_is_halved_until_there_is_none,
          a_wait_is_never_longer_than_the_last_pass_nor_than_ten_milliseconds,
          a_room_whose_passes_are_short_never_waits)
