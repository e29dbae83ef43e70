/* SPDX-License-Identifier: MIT */
#include "client/cli/bench_check.h"

#include "client/cli/tag.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

START_TEST(a_tag_is_read_as_it_was_written)
{
    static const uint32_t numbers[] = {0, 1, 15, 16, 255, 0x12345678, 0x89abcdef, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char text[TAG_LEN];
        struct tag tag;
        tag_write(text, (struct tag){numbers[i], ~numbers[i]});
        ck_assert(tag_read(text, &tag));
        ck_assert_uint_eq(tag.publisher, numbers[i]);
        ck_assert_uint_eq(tag.number, ~numbers[i]);
        for (size_t k = TAG_MARK_LEN; k < TAG_LEN; k++) {
            ck_assert(text[k] >= '@' && text[k] <= 'O');
        }
    }
}
END_TEST

START_TEST(a_tag_is_found_wherever_it_stands_and_nothing_else_is_taken_for_one)
{
    char text[64];
    struct tag tag;
    for (size_t place = 0; place + TAG_LEN <= sizeof(text); place++) {
        for (size_t hint = 0; hint < 70; hint += 7) {
            size_t at = hint;
            memset(text, '~', sizeof(text));
            tag_write(text + place, (struct tag){7, 9});
            if (place + TAG_LEN < sizeof(text)) {
                text[place + TAG_LEN] = '"';
            }
            ck_assert_quiet(tag_find((struct str){text, sizeof(text)}, &at, &tag));
            ck_assert_quiet(at == place && tag.publisher == 7 && tag.number == 9);
            ck_assert_quiet(place + TAG_LEN > sizeof(text) ||
                            !tag_find((struct str){text, place + TAG_LEN - 1}, &at, &tag));
        }
    }
    static const struct str others[] = {TEXT(""), TEXT("~~"), TEXT("~~@@@@@@@@AAAAAAA"),
                                        TEXT("~~@@@@@@@@AAAAAAAP"), TEXT("~~0000000000000000")};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        size_t at = 0;
        ck_assert_msg(!tag_find(others[i], &at, &tag), "row %zu", i);
    }
}
END_TEST

START_TEST(numbers_in_sequence_leave_nothing_missing)
{
    struct check_track t = {0, 0, NULL};
    for (uint32_t n = 0; n < 1000; n++) {
        ck_assert_quiet(check_number(&t, n) == CHECK_NEXT);
    }
    ck_assert_uint_eq(check_missing(&t, 1000), 0);
    ck_assert_uint_eq(check_missing(&t, 1003), 3);
    ck_assert_uint_eq(t.hole_count, 0);
}
END_TEST

START_TEST(a_number_twice_is_told_at_once_and_in_any_distance)
{
    struct check_track t = {0, 0, NULL};
    for (uint32_t n = 0; n < 100; n++) {
        ck_assert_quiet(check_number(&t, n) == CHECK_NEXT);
    }
    ck_assert_int_eq(check_number(&t, 99), CHECK_REPEATED);
    ck_assert_int_eq(check_number(&t, 0), CHECK_REPEATED);
    ck_assert_int_eq(check_number(&t, 102), CHECK_AHEAD);
    ck_assert_int_eq(check_number(&t, 102), CHECK_REPEATED);
    ck_assert_int_eq(check_number(&t, 100), CHECK_LATE);
    ck_assert_int_eq(check_number(&t, 100), CHECK_REPEATED);
    ck_assert_uint_eq(check_missing(&t, 103), 1);
    check_track_fini(&t);
}
END_TEST

/* Against a plain table of what came. */
START_TEST(any_sequence_of_numbers_is_judged_as_by_a_table)
{
    enum { NUMBERS = 300, STEPS = 3000 };
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct check_track t = {0, 0, NULL};
        bool came[NUMBERS] = {false};
        uint32_t next = 0;
        for (unsigned step = 0; step < STEPS; step++) {
            uint32_t ahead = next + (uint32_t)rand_r(&seed) % 4;
            uint32_t n = rand_r(&seed) % 3 == 0 ? ahead : (uint32_t)rand_r(&seed) % (next + 1);
            n = n < NUMBERS ? n : NUMBERS - 1;
            enum check_verdict want = came[n]    ? CHECK_REPEATED
                                      : n < next ? CHECK_LATE
                                      : n > next ? CHECK_AHEAD
                                                 : CHECK_NEXT;
            ck_assert_quiet(check_number(&t, n) == want);
            came[n] = true;
            next = n >= next ? n + 1 : next;
            uint64_t missing = 0;
            for (uint32_t i = 0; i < NUMBERS; i++) {
                missing += !came[i];
            }
            ck_assert_quiet(check_missing(&t, NUMBERS) == missing);
        }
        check_track_fini(&t);
        ck_assert_ptr_null(t.holes);
    }
}
END_TEST

START_TEST(members_that_see_one_order_agree)
{
    struct check_order o;
    check_order_init(&o, 10);
    uint64_t a = 0, b = 0;
    for (uint64_t id = 100; id < 5000; id++) {
        ck_assert_quiet(check_order_met(&o, &a, id, true));
        ck_assert_quiet(check_order_met(&o, &b, id, false));
    }
    ck_assert_uint_eq(a, b);
    check_order_fini(&o);
}
END_TEST

START_TEST(a_member_that_sees_two_messages_the_other_way_round_diverges)
{
    struct check_order o;
    check_order_init(&o, 10);
    uint64_t a = 0, b = 0;
    ck_assert(check_order_met(&o, &a, 1, true));
    ck_assert(check_order_met(&o, &a, 2, true));
    ck_assert(check_order_met(&o, &b, 2, false));
    ck_assert(!check_order_met(&o, &b, 1, false));
    check_order_fini(&o);
}
END_TEST

START_TEST(who_is_first_with_a_message_has_skipped_what_it_did_not_see)
{
    struct check_order o;
    check_order_init(&o, 10);
    uint64_t a = 0, b = 0;
    ck_assert(check_order_met(&o, &a, 1, true));
    ck_assert(check_order_met(&o, &a, 2, true));
    ck_assert(check_order_met(&o, &b, 3, true));
    ck_assert(!check_order_met(&o, &b, 1, false));
    ck_assert(check_order_met(&o, &a, 3, false));
    check_order_fini(&o);
}
END_TEST

START_TEST(a_member_that_lost_some_is_in_order_with_the_rest)
{
    struct check_order o;
    check_order_init(&o, 10);
    uint64_t a = 0, b = 0;
    for (uint64_t id = 1; id <= 3000; id++) {
        ck_assert_quiet(check_order_met(&o, &a, id, true));
    }
    ck_assert(check_order_met(&o, &b, 2990, false)); /* its place is out of the ring */
    ck_assert(check_order_met(&o, &b, 2995, false));
    ck_assert(!check_order_met(&o, &b, 2993, false));
    ck_assert(check_order_met(&o, &b, 3000, false));
    check_order_fini(&o);
}
END_TEST

UNIT_MAIN("bench_check", a_tag_is_read_as_it_was_written,
          a_tag_is_found_wherever_it_stands_and_nothing_else_is_taken_for_one,
          numbers_in_sequence_leave_nothing_missing,
          a_number_twice_is_told_at_once_and_in_any_distance,
          any_sequence_of_numbers_is_judged_as_by_a_table, members_that_see_one_order_agree,
          a_member_that_sees_two_messages_the_other_way_round_diverges,
          who_is_first_with_a_message_has_skipped_what_it_did_not_see,
          a_member_that_lost_some_is_in_order_with_the_rest)
