/* SPDX-License-Identifier: MIT */
#include "common/backoff.h"

#include "tests/unit/unit.h"

#include <limits.h>

/* The ceiling of the next wait, seen from outside: a random number is taken modulo ceiling + 1, so
 * the waits reach the ceiling and never pass it. */
static uint64_t longest_of(const struct backoff *b, uint64_t expected_max)
{
    uint64_t longest = 0;
    for (uint64_t random = 0; random <= 2 * expected_max; random++) {
        struct backoff copy = *b;
        uint64_t wait = backoff_next_ms(&copy, random);
        longest = wait > longest ? wait : longest;
    }
    return longest;
}

START_TEST(each_try_doubles_the_ceiling_up_to_the_maximum)
{
    static const uint64_t ceilings[] = {100, 200, 400, 800, 1000, 1000, 1000};
    struct backoff b = {.min_ms = 100, .max_ms = 1000};
    for (size_t i = 0; i < ARRAY_LEN(ceilings); i++) {
        ck_assert_uint_eq(longest_of(&b, 1000), ceilings[i]);
        ck_assert_uint_eq(backoff_next_ms(&b, 0), 0);
        ck_assert_uint_eq(b.attempt, i + 1);
    }
}
END_TEST

START_TEST(a_reset_starts_over)
{
    struct backoff b = {.min_ms = 100, .max_ms = 1000};
    for (int i = 0; i < 10; i++) {
        (void)backoff_next_ms(&b, 1);
    }
    backoff_reset(&b);
    ck_assert_uint_eq(longest_of(&b, 1000), 100);
}
END_TEST

START_TEST(the_wait_is_spread_evenly)
{
    struct backoff b = {.min_ms = 9, .max_ms = 9};
    unsigned seen[10] = {0};
    for (uint64_t random = 0; random < 10000; random++) {
        seen[backoff_next_ms(&b, random * 2654435761u)]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        ck_assert_uint_ge(seen[i], 900);
        ck_assert_uint_le(seen[i], 1100);
    }
}
END_TEST

START_TEST(nothing_overflows)
{
    static const struct {
        struct backoff b;
        uint64_t random, wait;
    } rows[] = {
        {{UINT64_MAX, UINT64_MAX, UINT_MAX}, UINT64_MAX, UINT64_MAX},
        {{1, UINT64_MAX, UINT_MAX}, UINT64_MAX - 1, UINT64_MAX - 1},
        {{3, UINT64_MAX, 62}, (uint64_t)3 << 62, (uint64_t)3 << 62},
        {{3, UINT64_MAX, 62}, ((uint64_t)3 << 62) + 1, 0},
        {{3, UINT64_MAX, 63}, UINT64_MAX, UINT64_MAX},
        {{1, UINT64_MAX, 63}, (uint64_t)1 << 63, (uint64_t)1 << 63},
        {{1, 500, 64}, 500, 500},
        {{1, 500, 1000}, 501, 0},
        {{0, 500, UINT_MAX}, 12345, 0},
        {{500, 100, 0}, 100, 100}, /* a minimum above the maximum */
        {{500, 100, 0}, 101, 0},
        {{0, 0, 0}, 7, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct backoff b = rows[i].b;
        uint64_t wait = backoff_next_ms(&b, rows[i].random);
        ck_assert_msg(wait == rows[i].wait, "row %zu: %llu", i, (unsigned long long)wait);
        ck_assert_uint_ge(b.attempt, rows[i].b.attempt);
    }
}
END_TEST

UNIT_MAIN("backoff", each_try_doubles_the_ceiling_up_to_the_maximum, a_reset_starts_over,
          the_wait_is_spread_evenly, nothing_overflows)
