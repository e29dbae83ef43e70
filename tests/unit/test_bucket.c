/* SPDX-License-Identifier: MIT */
#include "common/bucket.h"

#include "tests/unit/unit.h"

#define START_MS 1000000

static unsigned take_all(struct bucket *b, const struct rate *rate, uint64_t now_ms, unsigned most)
{
    unsigned taken = 0;
    while (taken < most && bucket_take(b, rate, now_ms, NULL)) {
        taken++;
    }
    return taken;
}

START_TEST(a_new_bucket_is_full)
{
    const struct rate rate = {.per_s = 5, .burst = 20};
    struct bucket b = {0};
    ck_assert_uint_eq(take_all(&b, &rate, START_MS, 100), 20);
}
END_TEST

START_TEST(tokens_come_back_at_the_rate_and_never_past_the_burst)
{
    static const struct {
        uint64_t after_ms;
        unsigned tokens;
    } rows[] = {{0, 0}, {199, 0}, {1, 1}, {1000, 5}, {1100, 5}, {100, 1}, {3600000, 20}, {0, 0}};
    const struct rate rate = {.per_s = 5, .burst = 20};
    struct bucket b = {0};
    uint64_t now_ms = START_MS;
    ck_assert_uint_eq(take_all(&b, &rate, now_ms, 100), 20);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        now_ms += rows[i].after_ms;
        ck_assert_msg(take_all(&b, &rate, now_ms, 100) == rows[i].tokens, "row %zu", i);
    }
}
END_TEST

START_TEST(who_waits_as_told_gets_one_and_who_comes_early_does_not)
{
    static const struct rate rates[] = {{0.01, 1}, {0.1, 3}, {1, 1}, {3, 2}, {7, 40}, {333, 1}};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct bucket b = {0};
        uint64_t now_ms = START_MS, wait_ms = 1;
        for (unsigned round = 0; round < 200; round++) {
            while (bucket_take(&b, &rates[i], now_ms, &wait_ms)) {
                ck_assert_uint_eq(wait_ms, 0);
            }
            ck_assert_uint_gt(wait_ms, 0);
            struct bucket early = b;
            if (wait_ms > 2) {
                ck_assert(!bucket_take(&early, &rates[i], now_ms + wait_ms - 2, NULL));
            }
            now_ms += wait_ms;
            ck_assert(bucket_take(&b, &rates[i], now_ms, &wait_ms));
        }
    }
}
END_TEST

START_TEST(over_a_long_time_the_rate_holds)
{
    const struct rate rate = {.per_s = 10, .burst = 5};
    struct bucket b = {0};
    unsigned taken = 0;
    for (uint64_t ms = 0; ms < 100000; ms += 7) {
        taken += bucket_take(&b, &rate, START_MS + ms, NULL);
    }
    ck_assert_uint_ge(taken, 5 + 999);
    ck_assert_uint_le(taken, 5 + 1000);
}
END_TEST

START_TEST(rate_zero_switches_the_limit_off)
{
    const struct rate off = {.per_s = 0, .burst = 0};
    struct bucket b = {0};
    ck_assert_uint_eq(take_all(&b, &off, START_MS, 100000), 100000);
    ck_assert(b.full_ms <= 0); /* switched on later, it starts full */
}
END_TEST

START_TEST(a_clock_that_steps_back_gives_nothing_away)
{
    const struct rate rate = {.per_s = 1, .burst = 2};
    struct bucket b = {0};
    ck_assert_uint_eq(take_all(&b, &rate, START_MS, 10), 2);
    ck_assert_uint_eq(take_all(&b, &rate, START_MS - 5000, 10), 0);
    ck_assert_uint_eq(take_all(&b, &rate, START_MS, 10), 0);
    ck_assert_uint_eq(take_all(&b, &rate, START_MS + 1000, 10), 1);
}
END_TEST

START_TEST(a_smaller_burst_set_later_cuts_what_was_saved)
{
    const struct rate wide = {.per_s = 1, .burst = 50}, narrow = {.per_s = 1, .burst = 3};
    struct bucket b = {0};
    ck_assert(bucket_take(&b, &wide, START_MS, NULL));
    ck_assert_uint_eq(take_all(&b, &narrow, START_MS, 100), 2); /* the one taken is still missing */
    ck_assert_uint_eq(take_all(&b, &narrow, START_MS + 3000, 100), 3);
}
END_TEST

START_TEST(a_rate_of_almost_nothing_does_not_overflow_the_wait)
{
    const struct rate rate = {.per_s = 1e-300, .burst = 1};
    struct bucket b = {0};
    uint64_t wait_ms = 0;
    ck_assert(bucket_take(&b, &rate, START_MS, &wait_ms));
    ck_assert(!bucket_take(&b, &rate, START_MS, &wait_ms));
    ck_assert_uint_gt(wait_ms, 1000000000);
    ck_assert(!bucket_take(&b, &rate, UINT64_MAX, &wait_ms));
}
END_TEST

UNIT_MAIN("bucket", a_new_bucket_is_full, tokens_come_back_at_the_rate_and_never_past_the_burst,
          who_waits_as_told_gets_one_and_who_comes_early_does_not, over_a_long_time_the_rate_holds,
          rate_zero_switches_the_limit_off, a_clock_that_steps_back_gives_nothing_away,
          a_smaller_burst_set_later_cuts_what_was_saved,
          a_rate_of_almost_nothing_does_not_overflow_the_wait)
