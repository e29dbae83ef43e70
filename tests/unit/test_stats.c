/* SPDX-License-Identifier: MIT */
#include "gateway/stats.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>

START_TEST(an_observation_counts_in_the_bucket_that_bounds_it)
{
    static const struct {
        uint64_t us;
        size_t bucket;
    } rows[] = {
        {0, 0},      {250, 0},    {251, 1},      {500, 1},      {1000, 2},
        {100000, 8}, {100001, 9}, {1000000, 10}, {1000001, 11}, {UINT64_C(1) << 40, 11},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stats_histogram h = {0};
        stats_observe(&h, rows[i].us);
        ck_assert_uint_eq(h.count, 1);
        ck_assert_uint_eq(h.sum_us, rows[i].us);
        for (size_t b = 0; b < STATS_BUCKETS; b++) {
            ck_assert_uint_eq(h.buckets[b], b == rows[i].bucket);
        }
    }
}
END_TEST

START_TEST(bounds_rise_and_the_last_is_infinite)
{
    for (size_t b = 1; b < STATS_BUCKETS; b++) {
        ck_assert(stats_bucket_bound_s(b - 1) < stats_bucket_bound_s(b));
    }
    ck_assert(stats_bucket_bound_s(0) > 0);
    ck_assert(isinf(stats_bucket_bound_s(STATS_BUCKETS - 1)));
}
END_TEST

START_TEST(counts_and_sums_add_up)
{
    struct stats_histogram h = {0};
    for (uint64_t us = 1; us <= 1000; us++) {
        stats_observe(&h, us);
    }
    uint64_t in_buckets = 0;
    for (size_t b = 0; b < STATS_BUCKETS; b++) {
        in_buckets += h.buckets[b];
    }
    ck_assert_uint_eq(in_buckets, 1000);
    ck_assert_uint_eq(h.count, 1000);
    ck_assert_uint_eq(h.sum_us, 500500);
}
END_TEST

UNIT_MAIN("stats", an_observation_counts_in_the_bucket_that_bounds_it,
          bounds_rise_and_the_last_is_infinite, counts_and_sums_add_up)
