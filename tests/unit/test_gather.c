/* SPDX-License-Identifier: MIT */
#include "gateway/gather.h"

#include "tests/unit/unit.h"

#define START_US 1000000

START_TEST(the_first_look_is_followed_by_as_many_as_bring_nothing)
{
    for (unsigned looks = 1; looks <= 3; looks++) {
        struct gather g = {.arrived = 1};
        for (unsigned i = 0; i < looks; i++) {
            ck_assert(gather_waits(&g, looks, START_US));
        }
        ck_assert(!gather_waits(&g, looks, START_US));
    }
}
END_TEST

START_TEST(a_look_that_brings_something_is_followed_by_as_many_again)
{
    struct gather g = {.arrived = 1};
    ck_assert(gather_waits(&g, 2, START_US));
    ck_assert(gather_waits(&g, 2, START_US));
    g.arrived++;
    ck_assert(gather_waits(&g, 2, START_US));
    ck_assert(gather_waits(&g, 2, START_US));
    ck_assert(!gather_waits(&g, 2, START_US));
}
END_TEST

START_TEST(news_that_never_stop_do_not_wait_for_ever)
{
    struct gather g = {0};
    for (uint64_t us = 0; us < GATHER_US; us += 10) {
        g.arrived++;
        ck_assert(gather_waits(&g, 1, START_US + us));
    }
    g.arrived++;
    ck_assert(!gather_waits(&g, 1, START_US + GATHER_US));
}
END_TEST

START_TEST(whoever_acted_begins_anew_when_something_comes)
{
    struct gather g = {.arrived = 1};
    ck_assert(gather_waits(&g, 1, START_US));
    ck_assert(!gather_waits(&g, 1, START_US));
    ck_assert(!gather_waits(&g, 1, START_US + 1));
    g.arrived++;
    ck_assert(gather_waits(&g, 1, START_US + 2 * GATHER_US));
    ck_assert(!gather_waits(&g, 1, START_US + 2 * GATHER_US));
}
END_TEST

UNIT_MAIN("gather", the_first_look_is_followed_by_as_many_as_bring_nothing,
          a_look_that_brings_something_is_followed_by_as_many_again,
          news_that_never_stop_do_not_wait_for_ever, whoever_acted_begins_anew_when_something_comes)
