/* SPDX-License-Identifier: MIT */
#include "common/alloc.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <sys/resource.h>

START_TEST(a_copy_is_owned_and_nul_terminated)
{
    char text[] = "room";
    char *copy = str_dup((struct str){text, 3});
    text[0] = 'z';
    ck_assert_str_eq(copy, "roo");
    free(copy);
    copy = str_dup((struct str){NULL, 0});
    ck_assert_str_eq(copy, "");
    free(copy);
}
END_TEST

START_TEST(nothing_is_still_something_to_free)
{
    void *a = xmalloc(0), *b = xcalloc(0, 8), *c = xrealloc(NULL, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_nonnull(c);
    c = xrealloc(c, 0);
    ck_assert_ptr_nonnull(c);
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(xcalloc_gives_zeroes_and_xrealloc_keeps_what_was_there)
{
    unsigned char *bytes = xcalloc(100, 3);
    for (size_t i = 0; i < 300; i++) {
        ck_assert_uint_eq(bytes[i], 0);
        bytes[i] = (unsigned char)i;
    }
    bytes = xrealloc(bytes, 100000);
    for (size_t i = 0; i < 300; i++) {
        ck_assert_uint_eq(bytes[i], (unsigned char)i);
    }
    free(bytes);
}
END_TEST

/* AddressSanitizer asks the program for its options: here malloc must answer NULL as usual, and not
 * report the request by itself. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* volatile: the compiler knows that no object is this big, and must not say so here. */
static volatile size_t too_much = SIZE_MAX / 2;

static void take_too_much(void)
{
    free(xmalloc(too_much));
}

static void grow_too_much(void)
{
    free(xrealloc(NULL, too_much));
}

static void multiply_past_the_end(void)
{
    free(xcalloc(too_much, 4));
}

START_TEST(out_of_memory_aborts)
{
    ck_assert(unit_aborts(take_too_much));
    ck_assert(unit_aborts(grow_too_much));
    ck_assert(unit_aborts(multiply_past_the_end));
}
END_TEST

UNIT_MAIN("alloc", a_copy_is_owned_and_nul_terminated, nothing_is_still_something_to_free,
          xcalloc_gives_zeroes_and_xrealloc_keeps_what_was_there, out_of_memory_aborts)
