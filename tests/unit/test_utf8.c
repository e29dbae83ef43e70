/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"

#include "common/alloc.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

/* The cases of Autobahn's group 6 (UTF-8 handling), which come from Markus Kuhn's stress test. */
static const struct {
    struct str text;
    bool valid;
} rows[] = {
    {{"", 0}, true},
    {{NULL, 0}, true},
    {{"\0", 1}, true},
    {TEXT("Hello-\xC2\xB5@\xC3\x9F\xC3\xB6\xC3\xA4\xC3\xBC\xC3\xA0\xC3\xA1-UTF-8!!"), true},
    {TEXT("\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5"), true},
    {TEXT("\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80"
          "edited"),
     false},
    {TEXT("\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80"
          "edited"),
     false},
    /* the first and the last of each length */
    {TEXT("\x7F"), true},
    {TEXT("\xC2\x80"), true},
    {TEXT("\xDF\xBF"), true},
    {TEXT("\xE0\xA0\x80"), true},
    {TEXT("\xEF\xBF\xBF"), true},
    {TEXT("\xF0\x90\x80\x80"), true},
    {TEXT("\xF4\x8F\xBF\xBF"), true},
    {TEXT("\xF4\x90\x80\x80"), false},
    {TEXT("\xF7\xBF\xBF\xBF"), false},
    {TEXT("\xF8\x88\x80\x80\x80"), false},
    {TEXT("\xFB\xBF\xBF\xBF\xBF"), false},
    {TEXT("\xFC\x84\x80\x80\x80\x80"), false},
    {TEXT("\xFD\xBF\xBF\xBF\xBF\xBF"), false},
    /* around the surrogates, and the replacement character */
    {TEXT("\xED\x9F\xBF"), true},
    {TEXT("\xEE\x80\x80"), true},
    {TEXT("\xEF\xBF\xBD"), true},
    {TEXT("\xED\xA0\x80"), false},
    {TEXT("\xED\xAD\xBF"), false},
    {TEXT("\xED\xAE\x80"), false},
    {TEXT("\xED\xAF\xBF"), false},
    {TEXT("\xED\xB0\x80"), false},
    {TEXT("\xED\xBE\x80"), false},
    {TEXT("\xED\xBF\xBF"), false},
    {TEXT("\xED\xA0\x80\xED\xB0\x80"), false},
    {TEXT("\xED\xAF\xBF\xED\xBF\xBF"), false},
    /* continuation bytes alone */
    {TEXT("\x80"), false},
    {TEXT("\xBF"), false},
    {TEXT("\x80\xBF\x80\xBF\x80\xBF"), false},
    {TEXT("a\x80z"), false},
    /* a first byte and then a space, or nothing */
    {TEXT("\xC0 \xC1 \xC2 \xDF "), false},
    {TEXT("\xE0 \xEF "), false},
    {TEXT("\xF0 \xF4 "), false},
    {TEXT("\xC3"), false},
    {TEXT("\xE0\xA0"), false},
    {TEXT("\xEF\xBF"), false},
    {TEXT("\xF0\x90\x80"), false},
    {TEXT("\xF4\x8F\xBF"), false},
    {TEXT("\xE2\x82 z"), false},
    {TEXT("\xF0\x9F\x98z"), false},
    /* impossible bytes */
    {TEXT("\xFE"), false},
    {TEXT("\xFF"), false},
    {TEXT("\xFE\xFE\xFF\xFF"), false},
    {TEXT("\xF5\x80\x80\x80"), false},
    /* overlong forms of /, of NUL, and the longest ones */
    {TEXT("\xC0\xAF"), false},
    {TEXT("\xE0\x80\xAF"), false},
    {TEXT("\xF0\x80\x80\xAF"), false},
    {TEXT("\xF8\x80\x80\x80\xAF"), false},
    {TEXT("\xFC\x80\x80\x80\x80\xAF"), false},
    {TEXT("\xC1\xBF"), false},
    {TEXT("\xE0\x9F\xBF"), false},
    {TEXT("\xF0\x8F\xBF\xBF"), false},
    {TEXT("\xC0\x80"), false},
    {TEXT("\xE0\x80\x80"), false},
    {TEXT("\xF0\x80\x80\x80"), false},
    /* non-characters are characters to UTF-8 */
    {TEXT("\xEF\xB7\x90"), true},
    {TEXT("\xF0\x9F\xBF\xBE"), true},
    {TEXT("\xF4\x8F\xBF\xBE"), true},
};

/* In memory of exactly its size, so that a sanitizer sees a read past the end. */
static bool valid_alone(struct str text)
{
    char *copy = xmalloc(text.len);
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    bool valid = utf8_valid((struct str){copy, text.len});
    free(copy);
    return valid;
}

START_TEST(the_stress_cases_are_told_apart)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(utf8_valid(rows[i].text) == rows[i].valid, "row %zu", i);
        ck_assert_msg(valid_alone(rows[i].text) == rows[i].valid, "row %zu", i);
    }
}
END_TEST

START_TEST(it_makes_no_difference_how_much_ascii_stands_around)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t before = 0; before < 20; before++) {
            char text[64];
            memset(text, 'x', sizeof(text));
            if (rows[i].text.len > 0) {
                memcpy(text + before, rows[i].text.ptr, rows[i].text.len);
            }
            size_t len = before + rows[i].text.len;
            ck_assert_msg(valid_alone((struct str){text, len}) == rows[i].valid, "row %zu", i);
            ck_assert_msg(valid_alone((struct str){text, len + 9}) == rows[i].valid, "row %zu", i);
        }
    }
}
END_TEST

/* Encodes as RFC 3629 section 3 says, with no regard to what is allowed. */
static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t bytes = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    out[0] = (char)((0xF00u >> bytes & 0xF0) | c);
    return bytes;
}

START_TEST(every_code_point_is_decoded_and_every_cut_of_it_refused)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        char text[4];
        uint32_t decoded = 0;
        size_t bytes = encode(c, text);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        size_t got = utf8_decode((struct str){text, bytes}, &decoded);
        ck_assert_quiet(got == (surrogate ? 0 : bytes));
        ck_assert_quiet(surrogate || decoded == c);
        for (size_t cut = 0; cut < bytes; cut++) {
            ck_assert_quiet(utf8_decode((struct str){text, cut}, &decoded) == 0);
        }
    }
}
END_TEST

/* Written another way than the table in utf8.c: decode by the bits, then ask what came out. */
static bool valid_by_value(const unsigned char *p)
{
    uint32_t value = (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
    bool tails = p[1] >> 6 == 2 && p[2] >> 6 == 2 && p[3] >> 6 == 2;
    return p[0] >> 3 == 30 && tails && value >= 0x10000 && value <= 0x10FFFF;
}

START_TEST(four_bytes_are_one_character_only_when_their_value_says_so)
{
    static const unsigned char tails[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0xBF, 0xC0, 0xFF};
    for (unsigned first = 0xF0; first <= 0xFF; first++) {
        for (unsigned second = 0; second <= 0xFF; second++) {
            for (size_t i = 0; i < 64; i++) {
                unsigned char text[] = {(unsigned char)first, (unsigned char)second, tails[i / 8],
                                        tails[i % 8]};
                struct str s = {(const char *)text, 4};
                ck_assert_quiet(utf8_valid(s) == valid_by_value(text));
            }
        }
    }
}
END_TEST

START_TEST(what_no_reader_sees_is_hidden)
{
    static const struct {
        uint32_t code_point;
        bool hidden;
    } points[] = {
        {0, true},       {'\n', true},    {0x1F, true},    {' ', false},     {'~', false},
        {0x7F, true},    {0x80, true},    {0x9F, true},    {0xA0, false},    {0x200D, false},
        {0x2027, false}, {0x2028, true},  {0x2029, true},  {0x202A, true},   {0x202E, true},
        {0x202F, false}, {0x2065, false}, {0x2066, true},  {0x2069, true},   {0x206A, false},
        {0xFEFE, false}, {0xFEFF, true},  {0xFF00, false}, {0x1F600, false}, {0x10FFFF, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        ck_assert_msg(utf8_hidden(points[i].code_point) == points[i].hidden, "row %zu", i);
    }
}
END_TEST

UNIT_MAIN("utf8", the_stress_cases_are_told_apart,
          it_makes_no_difference_how_much_ascii_stands_around,
          every_code_point_is_decoded_and_every_cut_of_it_refused,
          four_bytes_are_one_character_only_when_their_value_says_so, what_no_reader_sees_is_hidden)
