/* SPDX-License-Identifier: MIT */
#include "common/clock.h"

#include "tests/unit/unit.h"

#include <time.h>

START_TEST(monotonic_time_never_goes_back_and_both_units_agree)
{
    uint64_t before_us = clock_now_us();
    for (int i = 0; i < 1000; i++) {
        uint64_t ms = clock_now_ms(), us = clock_now_us();
        ck_assert_uint_ge(us, before_us);
        ck_assert_uint_ge(ms, before_us / 1000);
        ck_assert_uint_le(ms, us / 1000);
        before_us = us;
    }
    ck_assert_uint_gt(before_us, 0);
}
END_TEST

START_TEST(wall_time_is_unix_time)
{
    uint64_t before = (uint64_t)time(NULL);
    uint64_t s = clock_wall_s(), ms = clock_wall_ms();
    /* time() reads a coarse clock that may be one tick behind at a second's edge. */
    ck_assert_uint_ge(s, before);
    ck_assert_uint_le(s, (uint64_t)time(NULL) + 1);
    ck_assert_uint_ge(ms / 1000, s);
    ck_assert_uint_le(ms / 1000, s + 1);
}
END_TEST

UNIT_MAIN("clock", monotonic_time_never_goes_back_and_both_units_agree, wall_time_is_unix_time)
