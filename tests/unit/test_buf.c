/* SPDX-License-Identifier: MIT */
#include "common/buf.h"

#include "tests/unit/unit.h"

#include <inttypes.h>

START_TEST(a_zeroed_struct_is_an_empty_buffer)
{
    struct buf b = {NULL, 0, 0};
    ck_assert_str_is(buf_str(&b), STR(""));
    buf_add(&b, STR(""));
    buf_add(&b, (struct str){NULL, 0});
    ck_assert_ptr_null(b.ptr);
    buf_fini(&b);
}
END_TEST

START_TEST(text_is_put_together_in_order)
{
    struct buf b = {NULL, 0, 0};
    BUF_LIT(&b, "{\"n\":");
    buf_add_u64(&b, 42);
    buf_add_char(&b, ',');
    buf_addf(&b, "%s=%d", "x", -7);
    buf_add(&b, STR("\0}"));
    ck_assert_str_is(buf_str(&b), STR("{\"n\":42,x=-7\0}"));
    buf_fini(&b);
    ck_assert_ptr_null(b.ptr);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_uint_eq(b.cap, 0);
}
END_TEST

START_TEST(numbers_are_written_as_printf_does)
{
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 1000000007, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        struct buf ours = {NULL, 0, 0}, printed = {NULL, 0, 0};
        buf_add_u64(&ours, numbers[i]);
        buf_addf(&printed, "%" PRIu64, numbers[i]);
        ck_assert_str_is(buf_str(&ours), buf_str(&printed));
        buf_clear(&ours);
        buf_clear(&printed);
        buf_add_hex(&ours, numbers[i]);
        buf_addf(&printed, "%" PRIx64, numbers[i]);
        ck_assert_str_is(buf_str(&ours), buf_str(&printed));
        buf_fini(&ours);
        buf_fini(&printed);
    }
}
END_TEST

START_TEST(it_grows_by_doubling_and_keeps_every_byte)
{
    struct buf b = {NULL, 0, 0};
    size_t grown = 0;
    for (size_t i = 0; i < 1000000; i++) {
        size_t cap = b.cap;
        buf_add_char(&b, (char)(i % 251));
        grown += b.cap != cap;
    }
    ck_assert_uint_le(grown, 20);
    for (size_t i = 0; i < b.len; i++) {
        ck_assert_quiet(b.ptr[i] == (char)(i % 251));
    }
    buf_fini(&b);
}
END_TEST

START_TEST(reserved_room_is_there_without_moving)
{
    struct buf b = {NULL, 0, 0};
    BUF_LIT(&b, "head");
    buf_reserve(&b, 5000);
    const char *where = b.ptr;
    for (size_t i = 0; i < 5000; i++) {
        buf_add_char(&b, 'x');
    }
    ck_assert_ptr_eq(b.ptr, where);
    ck_assert_uint_eq(b.len, 5004);
    buf_clear(&b);
    ck_assert_str_is(buf_str(&b), STR(""));
    ck_assert_uint_ge(b.cap, 5004);
    buf_fini(&b);
}
END_TEST

START_TEST(a_formatted_piece_may_be_longer_than_what_is_free)
{
    for (int width = 1; width <= 600; width++) {
        struct buf b = {NULL, 0, 0};
        buf_addf(&b, "%*d", width, 5);
        ck_assert_uint_eq(b.len, (size_t)width);
        ck_assert_int_eq(b.ptr[0], width == 1 ? '5' : ' ');
        ck_assert_int_eq(b.ptr[width - 1], '5');
        buf_fini(&b);
    }
}
END_TEST

static void reserve_the_whole_memory(void)
{
    struct buf b = {NULL, 0, 0};
    buf_reserve(&b, SIZE_MAX / 2);
    buf_fini(&b);
}

START_TEST(a_size_that_cannot_be_is_our_bug)
{
    ck_assert(unit_aborts(reserve_the_whole_memory));
}
END_TEST

UNIT_MAIN("buf", a_zeroed_struct_is_an_empty_buffer, text_is_put_together_in_order,
          numbers_are_written_as_printf_does, it_grows_by_doubling_and_keeps_every_byte,
          reserved_room_is_there_without_moving, a_formatted_piece_may_be_longer_than_what_is_free,
          a_size_that_cannot_be_is_our_bug)
