/* SPDX-License-Identifier: MIT */
#include "common/names.h"

#include "tests/unit/unit.h"

static const struct {
    struct str text;
    bool name, key;
} rows[] = {
    {TEXT("a"), true, true},
    {TEXT("lobby"), true, true},
    {TEXT("kind:name"), true, true},
    {TEXT("two words"), true, true},
    {TEXT(".."), true, true}, /* nothing here makes a path of a name */
    {TEXT("*?[a-z]"), true, true},
    {TEXT("<script>"), true, true},
    {TEXT("%s%n"), true, true},
    {TEXT("a/b\\c\"d'e"), true, true},
    {TEXT("J\xC3\xBCrgen"), true, true},
    {TEXT("Ju\xCC\x88rgen"), true,
     true}, /* compared byte by byte: another name than the one above */
    {TEXT("\xD0\x97\xD0\xB0\xD0\xBB"), true, true},
    {TEXT("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB"), true, true}, /* joined by U+200D */
    {TEXT("\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D"), true, true},
    {TEXT(""), false, false},
    {{NULL, 0}, false, false},
    {TEXT(" "), false, true},
    {TEXT(" a"), false, true},
    {TEXT("a "), false, true},
    {TEXT("\xC2\xA0"
          "a"),
     false, true},
    {TEXT("a\xC2\xA0"), false, true},
    {TEXT("a\xC2\xA0"
          "b"),
     true, true},
    {TEXT("{"), false, true},
    {TEXT("a}b"), false, true},
    {TEXT("{tag}"), false, true},
    {TEXT("a\nb"), false, false},
    {TEXT("a\r"), false, false},
    {TEXT("\ta"), false, false},
    {TEXT("a\0b"), false, false},
    {TEXT("\x1B[31m"), false, false},
    {TEXT("a\x7F"), false, false},
    {TEXT("a\xC2\x85"
          "b"),
     false, false}, /* NEL, of C1 */
    {TEXT("a\xC2\x9B"
          "31m"),
     false, false},                        /* CSI, of C1 */
    {TEXT("a\xE2\x80\xA8"), false, false}, /* U+2028 */
    {TEXT("a\xE2\x80\xA9"
          "b"),
     false, false}, /* U+2029 */
    {TEXT("\xE2\x80\xAE"
          "a"),
     false, false},                        /* right-to-left override */
    {TEXT("a\xE2\x81\xA6"), false, false}, /* U+2066 */
    {TEXT("\xEF\xBB\xBF"
          "a"),
     false, false}, /* byte order mark */
    {TEXT("a\x80"), false, false},
    {TEXT("\xED\xA0\x80"), false, false},
    {TEXT("\xC0\xAF"), false, false},
    {TEXT("a\xF0\x9F\x98"), false, false},
};

START_TEST(names_and_keys_are_told_from_what_may_not_be_one)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(name_valid(rows[i].text, NAMES_USER_MAX_BYTES) == rows[i].name, "row %zu", i);
        ck_assert_msg(name_valid(rows[i].text, NAMES_ROOM_MAX_BYTES) == rows[i].name, "row %zu", i);
        ck_assert_msg(key_valid(rows[i].text) == rows[i].key, "row %zu", i);
    }
}
END_TEST

START_TEST(the_length_counts_bytes)
{
    char text[NAMES_ROOM_MAX_BYTES + 2];
    for (size_t i = 0; i + 1 < sizeof(text); i += 2) {
        memcpy(text + i, "\xC3\xA9", 2);
    }
    ck_assert(name_valid((struct str){text, NAMES_ROOM_MAX_BYTES}, NAMES_ROOM_MAX_BYTES));
    ck_assert(!name_valid((struct str){text, NAMES_ROOM_MAX_BYTES + 2}, NAMES_ROOM_MAX_BYTES));
    ck_assert(name_valid((struct str){text, NAMES_USER_MAX_BYTES}, NAMES_USER_MAX_BYTES));
    ck_assert(!name_valid((struct str){text, NAMES_USER_MAX_BYTES + 2}, NAMES_USER_MAX_BYTES));
    ck_assert(key_valid((struct str){text, NAMES_KEY_MAX_BYTES}));
    ck_assert(!key_valid((struct str){text, NAMES_KEY_MAX_BYTES + 2}));
    memset(text, 'x', sizeof(text));
    ck_assert(!name_valid((struct str){text, NAMES_ROOM_MAX_BYTES + 1}, NAMES_ROOM_MAX_BYTES));
    ck_assert(!key_valid((struct str){text, NAMES_KEY_MAX_BYTES + 1}));
}
END_TEST

UNIT_MAIN("names", names_and_keys_are_told_from_what_may_not_be_one, the_length_counts_bytes)
