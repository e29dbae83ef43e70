/* SPDX-License-Identifier: MIT */
#include "common/random.h"

#include "tests/unit/unit.h"

START_TEST(every_byte_asked_for_is_drawn)
{
    unsigned char bytes[1000], ever[1000] = {0};
    for (int round = 0; round < 8; round++) {
        memset(bytes, 0, sizeof(bytes));
        random_bytes(bytes, sizeof(bytes) - 1);
        ck_assert_uint_eq(bytes[sizeof(bytes) - 1], 0);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            ever[i] |= bytes[i];
        }
    }
    for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
        ck_assert_uint_ne(ever[i], 0); /* wrong once in 10^16 runs */
    }
    ck_assert_uint_ne(random_u64(), random_u64());
}
END_TEST

START_TEST(below_n_every_number_comes_and_none_past_it)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 10};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        unsigned seen[10] = {0};
        for (int draw = 0; draw < 10000; draw++) {
            uint64_t n = random_below(limits[i]);
            ck_assert_uint_lt(n, limits[i]);
            seen[n]++;
        }
        for (size_t n = 0; n < limits[i]; n++) {
            ck_assert_uint_ge(seen[n], 10000 / limits[i] / 2);
        }
    }
    ck_assert_uint_lt(random_below(UINT64_MAX), UINT64_MAX);
}
END_TEST

START_TEST(big_limits_are_not_skewed)
{
    /* 3/4 of 2^64: a plain remainder would put half of all numbers into the lowest third. */
    const uint64_t limit = (uint64_t)3 << 62;
    unsigned low = 0;
    for (int draw = 0; draw < 30000; draw++) {
        low += random_below(limit) < limit / 3;
    }
    ck_assert_uint_ge(low, 9000);
    ck_assert_uint_le(low, 11000);
}
END_TEST

START_TEST(hex_is_lower_case_of_the_length_asked_for)
{
    static const size_t lengths[] = {0, 1, 2, 15, 16, 63, 64, 65, 200};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        char text[202] = "";
        memset(text, '#', sizeof(text) - 1);
        random_hex(text, lengths[i]);
        ck_assert_uint_eq(strspn(text, "0123456789abcdef"), lengths[i]);
        ck_assert_int_eq(text[lengths[i]], '#');
    }
    char text[4000];
    unsigned seen[16] = {0};
    random_hex(text, sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++) {
        seen[text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        ck_assert_uint_ge(seen[i], 125);
    }
}
END_TEST

UNIT_MAIN("random", every_byte_asked_for_is_drawn, below_n_every_number_comes_and_none_past_it,
          big_limits_are_not_skewed, hex_is_lower_case_of_the_length_asked_for)
