/* SPDX-License-Identifier: MIT */
#include "client/cli/histogram.h"

#include "tests/unit/unit.h"

static struct histogram h; /* each test is a process of its own */

START_TEST(an_empty_histogram_answers_0)
{
    ck_assert_uint_eq(histogram_at(&h, 0.5), 0);
    ck_assert(histogram_mean(&h) == 0);
}
END_TEST

START_TEST(one_value_is_every_percentile_exactly)
{
    histogram_add(&h, 1234567);
    for (int i = 0; i <= 10; i++) {
        ck_assert_uint_eq(histogram_at(&h, i / 10.0), 1234567);
    }
    ck_assert(histogram_mean(&h) == 1234567);
}
END_TEST

START_TEST(small_values_are_exact)
{
    for (uint64_t v = 1; v <= 100; v++) {
        histogram_add(&h, v);
    }
    ck_assert_uint_eq(histogram_at(&h, 0.5), 50);
    ck_assert_uint_eq(histogram_at(&h, 0.505), 51);
    ck_assert_uint_eq(histogram_at(&h, 0.99), 99);
    ck_assert_uint_eq(histogram_at(&h, 0), 1);
    ck_assert_uint_eq(histogram_at(&h, 1), 100);
    ck_assert_uint_eq(h.max, 100);
}
END_TEST

START_TEST(a_percentile_is_never_too_low_and_at_most_a_step_too_high)
{
    static const uint64_t values[] = {0,   1,   127,  128,        129,         255,
                                      256, 257, 1000, 0xffffffff, 0x100000000, UINT64_MAX / 3};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        memset(&h, 0, sizeof(h));
        histogram_add(&h, values[i]);
        histogram_add(&h, UINT64_MAX);
        uint64_t low = histogram_at(&h, 0.5);
        ck_assert_msg(low >= values[i], "%llu", (unsigned long long)values[i]);
        ck_assert_msg(low - values[i] <= values[i] / HISTOGRAM_STEPS, "%llu",
                      (unsigned long long)values[i]);
        ck_assert_uint_eq(histogram_at(&h, 1), UINT64_MAX);
    }
}
END_TEST

START_TEST(slots_follow_one_another_without_a_hole)
{
    size_t last = histogram_slot(0);
    for (uint64_t v = 1; v < 1 << 16; v++) {
        size_t slot = histogram_slot(v);
        ck_assert_quiet(slot == last || slot == last + 1);
        last = slot;
    }
    ck_assert_uint_eq(histogram_slot(UINT64_MAX), HISTOGRAM_SLOTS - 1);
}
END_TEST

UNIT_MAIN("histogram", an_empty_histogram_answers_0, one_value_is_every_percentile_exactly,
          small_values_are_exact, a_percentile_is_never_too_low_and_at_most_a_step_too_high,
          slots_follow_one_another_without_a_hole)
