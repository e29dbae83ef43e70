/* SPDX-License-Identifier: MIT */
#include "common/span.h"
#include "tests/unit/unit.h"

#define LEN 40

static char text[LEN + 1];

static struct str filled(char with)
{
    memset(text, with, LEN);
    return (struct str){text, LEN};
}

/* Every byte value at every place of a text that is longer than a few words, between neighbours on
 * both sides of the limit. */
static void each_byte_everywhere(size_t (*span)(struct str), bool (*stops)(unsigned char))
{
    static const char neighbours[] = {' ', '!', '~', 'a'};
    for (size_t n = 0; n < ARRAY_LEN(neighbours); n++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            for (size_t at = 0; at < LEN; at++) {
                struct str s = filled(neighbours[n]);
                text[at] = (char)byte;
                size_t expected = stops((unsigned char)byte) ? at : LEN;
                ck_assert_msg(span(s) == expected, "byte %u at %zu: %zu", byte, at, span(s));
            }
        }
    }
}

static bool stops_control(unsigned char c)
{
    return c < 0x20;
}

static bool stops_json(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static bool stops_json_ascii(unsigned char c)
{
    return stops_json(c) || c >= 0x80;
}

static size_t json_any(struct str s)
{
    return span_json_plain(s, false);
}

static size_t json_ascii(struct str s)
{
    return span_json_plain(s, true);
}

START_TEST(every_byte_is_seen_wherever_it_stands)
{
    each_byte_everywhere(span_no_control, stops_control);
    each_byte_everywhere(json_any, stops_json);
    each_byte_everywhere(json_ascii, stops_json_ascii);
}
END_TEST

/* 0x80 and above are no control characters, whatever the subtraction makes of them. */
START_TEST(high_bytes_hide_nothing)
{
    for (unsigned high = 0x80; high < 256; high++) {
        for (size_t at = 0; at < LEN; at++) {
            struct str s = filled((char)high);
            ck_assert_uint_eq(span_no_control(s), LEN);
            text[at] = '\n';
            ck_assert_uint_eq(span_no_control(s), at);
            text[at] = '"';
            ck_assert_uint_eq(span_json_plain(s, false), at);
        }
    }
}
END_TEST

START_TEST(nothing_behind_the_end_counts)
{
    for (size_t len = 0; len <= LEN; len++) {
        struct str s = filled('a');
        text[len] = '\n';
        s.len = len;
        ck_assert_uint_eq(span_no_control(s), len);
        ck_assert_uint_eq(span_json_plain(s, true), len);
    }
}
END_TEST

UNIT_MAIN("span", every_byte_is_seen_wherever_it_stands, high_bytes_hide_nothing,
          nothing_behind_the_end_counts)
