/* SPDX-License-Identifier: MIT */
#include "common/protocol.h"

#include "tests/unit/unit.h"

START_TEST(every_request_is_found_by_its_name)
{
    for (int i = 0; i < REQUEST_COUNT; i++) {
        enum request_type found = REQUEST_COUNT;
        ck_assert(request_from_name(str_from(request_name((enum request_type)i)), &found));
        ck_assert_int_eq((int)found, i);
    }
    ck_assert_str_eq(request_name(REQUEST_JOIN), "join");
    ck_assert_str_eq(request_name(REQUEST_PONG), "pong");
}
END_TEST

START_TEST(nothing_else_is_a_request)
{
    /* What only a gateway says, another case, a part, more than a name, no name. */
    static const struct str names[] = {
        {"welcome", 7}, {"ack", 3},    {"error", 5}, {"gap", 3}, {"bye", 3},
        {"left", 4},    {"JOIN", 4},   {"Join", 4},  {"joi", 3}, {"joins", 5},
        {"join ", 5},   {"join\0", 5}, {"", 0},      {NULL, 0},  {"__proto__", 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        enum request_type found;
        ck_assert_msg(!request_from_name(names[i], &found), "row %zu", i);
    }
}
END_TEST

static bool is_word(const char *text)
{
    return text[0] != '\0' && strspn(text, "abcdefghijklmnopqrstuvwxyz_") == strlen(text);
}

START_TEST(every_error_has_its_own_code_and_a_sentence)
{
    for (int i = 0; i < ERROR_COUNT; i++) {
        const char *code = protocol_error_code((enum protocol_error)i);
        ck_assert_msg(is_word(code), "%s", code);
        ck_assert_ptr_nonnull(protocol_error_text((enum protocol_error)i));
        ck_assert(i == ERROR_OK || protocol_error_text((enum protocol_error)i)[0] != '\0');
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(code, protocol_error_code((enum protocol_error)j));
        }
    }
    ck_assert_str_eq(protocol_error_code(ERROR_BAD_JSON), "bad_json");
    ck_assert_str_eq(protocol_error_code(ERROR_INTERNAL), "internal");
}
END_TEST

START_TEST(every_close_has_its_own_word_and_a_code_that_websocket_allows)
{
    for (int i = 0; i < CLOSE_COUNT; i++) {
        const char *word = close_reason_word((enum close_reason)i);
        unsigned code = close_reason_code((enum close_reason)i);
        ck_assert_msg(word[0] != '\0' && strlen(word) <= 123, "%s", word);
        ck_assert((code >= 1000 && code <= 1014) || (code >= 4000 && code <= 4999));
        for (int j = 0; j < i; j++) {
            ck_assert_str_ne(word, close_reason_word((enum close_reason)j));
            ck_assert_uint_ne(code, close_reason_code((enum close_reason)j));
        }
    }
}
END_TEST

START_TEST(the_codes_are_those_of_the_document)
{
    static const struct {
        enum close_reason reason;
        unsigned code;
        const char *word;
    } rows[] = {
        {CLOSE_BINARY, 1003, "binary"},
        {CLOSE_UTF8, 1007, "utf8"},
        {CLOSE_TOO_BIG, 1009, "too_big"},
        {CLOSE_FULL, 1013, "full"},
        {CLOSE_MOVED, 4000, "moved"},
        {CLOSE_HEARTBEAT, 4001, "heartbeat"},
        {CLOSE_SLOW, 4002, "slow"},
        {CLOSE_TOKEN_EXPIRED, 4401, "token_expired"},
        {CLOSE_JOIN_TIMEOUT, 4408, "join_timeout"},
        {CLOSE_FLOOD, 4429, "flood"},
        {CLOSE_PROTOCOL, 4500, "protocol"},
        {CLOSE_UNAUTHORIZED, 4501, "unauthorized"},
        {CLOSE_KICKED, 4503, "kicked"},
        {CLOSE_TOO_MANY, 4504, "too_many"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_uint_eq(close_reason_code(rows[i].reason), rows[i].code);
        ck_assert_str_eq(close_reason_word(rows[i].reason), rows[i].word);
    }
}
END_TEST

UNIT_MAIN("protocol", every_request_is_found_by_its_name, nothing_else_is_a_request,
          every_error_has_its_own_code_and_a_sentence,
          every_close_has_its_own_word_and_a_code_that_websocket_allows,
          the_codes_are_those_of_the_document)
