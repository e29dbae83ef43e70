/* SPDX-License-Identifier: MIT */
/* Every message that a gateway says, byte by byte. */
#include "gateway/chat/message.h"

#include "common/buf.h"
#include "gateway/bus/bus.h"
#include "tests/unit/unit.h"

static struct buf out;

static const struct str no_id = {NULL, 0};

/* out holds that message and nothing else, whatever it held before. */
static void expect_out(const char *text)
{
    ck_assert_str_is(buf_str(&out), str_from(text));
    buf_clear(&out);
    BUF_LIT(&out, "left from before");
}

static struct bus_position position_at(uint64_t offset)
{
    struct bus_position p = {.offset = offset};
    memcpy(p.epoch, "0123456789abcdef", BUS_EPOCH_LEN);
    return p;
}

START_TEST(welcome_tells_all_that_a_client_needs)
{
    struct message_welcome w = {.id = STR("\"j1\""),
                                .room = STR("general"),
                                .user = STR("alice"),
                                .online = 12,
                                .epoch = STR("0123456789abcdef"),
                                .offset = 9007199254740991,
                                .heartbeat_s = 25,
                                .connection = 0xabc123,
                                .gateway = STR("gw-1")};
    message_welcome(&out, &w);
    expect_out(
        "{\"type\":\"welcome\",\"id\":\"j1\",\"data\":{\"room\":\"general\",\"user\":\"alice\","
        "\"online\":12,\"epoch\":\"0123456789abcdef\",\"offset\":9007199254740991,"
        "\"recovered\":false,\"heartbeat\":25,\"connection\":\"abc123\",\"gateway\":\"gw-1\"}}");
    w.id = no_id;
    w.recovered = true;
    w.room = STR("a\"b\\c/\xc3\xa9");
    message_welcome(&out, &w);
    expect_out(
        "{\"type\":\"welcome\",\"data\":{\"room\":\"a\\\"b\\\\c/\xc3\xa9\",\"user\":\"alice\","
        "\"online\":12,\"epoch\":\"0123456789abcdef\",\"offset\":9007199254740991,"
        "\"recovered\":true,\"heartbeat\":25,\"connection\":\"abc123\",\"gateway\":\"gw-1\"}}");
    buf_fini(&out);
}
END_TEST

START_TEST(replies_repeat_the_id_as_it_was_written)
{
    const struct bus_position p = position_at(42);
    message_left(&out, STR("17"), STR("general"));
    expect_out("{\"type\":\"left\",\"id\":17,\"data\":{\"room\":\"general\"}}");
    message_pong(&out, STR("\"a\\u0041\""));
    expect_out("{\"type\":\"pong\",\"id\":\"a\\u0041\"}");
    message_pong(&out, no_id);
    expect_out("{\"type\":\"pong\"}");
    message_ack_chat(&out, STR("-3"), STR("general"), &p, 1700000000);
    expect_out("{\"type\":\"ack\",\"id\":-3,\"data\":{\"room\":\"general\",\"offset\":42,"
               "\"epoch\":\"0123456789abcdef\",\"ts\":1700000000}}");
    message_ack(&out, STR("1"), "to", STR("bob"));
    expect_out("{\"type\":\"ack\",\"id\":1,\"data\":{\"to\":\"bob\"}}");
    buf_fini(&out);
}
END_TEST

START_TEST(an_error_has_its_code_a_sentence_and_perhaps_a_wait)
{
    message_error(&out, no_id, ERROR_NOT_JOINED, NULL, 0);
    expect_out("{\"type\":\"error\",\"data\":{\"code\":\"not_joined\",\"message\":\"join the room "
               "first\"}}");
    message_error(&out, STR("5"), ERROR_BAD_ENVELOPE, "data must be an object", 0);
    expect_out(
        "{\"type\":\"error\",\"id\":5,\"data\":{\"code\":\"bad_envelope\",\"message\":\"data "
        "must be an object\"}}");
    message_error(&out, STR("5"), ERROR_RATE_LIMITED, NULL, 250);
    expect_out(
        "{\"type\":\"error\",\"id\":5,\"data\":{\"code\":\"rate_limited\",\"message\":\"too many "
        "messages; wait\",\"retry_after\":250}}");
    buf_fini(&out);
}
END_TEST

START_TEST(gap_and_bye_say_why)
{
    struct message_gap gap = {
        .room = STR("general"), .epoch = STR("0123456789abcdef"), .from = 3, .to = 9};
    static const char *const words[] = {
        [GAP_HISTORY] = "history", [GAP_SLOW] = "slow", [GAP_RESET] = "reset"};
    for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
        char text[256];
        gap.why = (enum message_gap_why)i;
        snprintf(text, sizeof(text),
                 "{\"type\":\"gap\",\"data\":{\"room\":\"general\",\"epoch\":\"0123456789abcdef\","
                 "\"from\":3,\"to\":9,\"why\":\"%s\"}}",
                 words[i]);
        message_gap(&out, &gap);
        expect_out(text);
    }
    message_bye(&out, "drain", 1234);
    expect_out("{\"type\":\"bye\",\"data\":{\"reason\":\"drain\",\"reconnect_in\":1234}}");
    buf_fini(&out);
}
END_TEST

START_TEST(what_a_client_sends_on_is_escaped_once_and_its_meta_is_compact)
{
    struct message_text m = {.room = STR("general"),
                             .from = STR("alice"),
                             .to = STR("bob"),
                             .text = STR("a \"quote\"\n\x01 \xf0\x9f\x98\x80 </script>"),
                             .meta =
                                 STR("{ \"n\" : 1.50 ,\n\t\"s\" : \" a  b \\u00e9\" , \"l\":[ ] }"),
                             .ts = 1700000000};
    message_chat_data(&out, &m);
    expect_out(
        "{\"room\":\"general\",\"from\":\"alice\","
        "\"text\":\"a \\\"quote\\\"\\n\\u0001 \xf0\x9f\x98\x80 </script>\",\"ts\":1700000000,"
        "\"meta\":{\"n\":1.50,\"s\":\" a  b \\u00e9\",\"l\":[]}}");
    m.meta = no_id;
    m.text = STR("hi");
    message_chat_data(&out, &m);
    expect_out("{\"room\":\"general\",\"from\":\"alice\",\"text\":\"hi\",\"ts\":1700000000}");
    message_direct(&out, &m);
    expect_out("{\"type\":\"direct\",\"data\":{\"from\":\"alice\",\"to\":\"bob\",\"text\":\"hi\","
               "\"ts\":1700000000}}");
    m.meta = STR("{}");
    message_signal(&out, &m);
    expect_out(
        "{\"type\":\"signal\",\"data\":{\"room\":\"general\",\"from\":\"alice\",\"kind\":\"hi\","
        "\"meta\":{}}}");
    buf_fini(&out);
}
END_TEST

START_TEST(a_digest_has_both_lists_also_when_empty)
{
    const struct str names[] = {STR("bob"), STR("bob"), STR("c\"d")};
    struct message_presence p = {.room = STR("general"), .online = 3};
    message_presence(&out, &p);
    expect_out("{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":3,\"joined\":[],"
               "\"left\":[]}}");
    p.joined = names;
    p.joined_count = 3;
    p.left = names;
    p.left_count = 1;
    p.more = true;
    message_presence(&out, &p);
    expect_out("{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":3,"
               "\"joined\":[\"bob\",\"bob\",\"c\\\"d\"],\"left\":[\"bob\"],\"more\":true}}");
    buf_fini(&out);
}
END_TEST

START_TEST(a_page_of_members_may_have_users_and_a_cursor)
{
    const struct bus_member members[] = {{STR("alice"), 2}, {STR("bob"), 1}};
    struct message_members m = {
        .id = STR("9"), .room = STR("general"), .online = 3, .members = members, .count = 2};
    message_members(&out, &m);
    expect_out("{\"type\":\"presence\",\"id\":9,\"data\":{\"room\":\"general\",\"online\":3,"
               "\"members\":[{\"user\":\"alice\",\"connections\":2},{\"user\":\"bob\","
               "\"connections\":1}]}}");
    m.users = 2;
    m.cursor = STR("gw:7");
    m.count = 0;
    message_members(&out, &m);
    expect_out(
        "{\"type\":\"presence\",\"id\":9,\"data\":{\"room\":\"general\",\"online\":3,\"users\":2,"
        "\"members\":[],\"cursor\":\"gw:7\"}}");
    buf_fini(&out);
}
END_TEST

UNIT_MAIN("message", welcome_tells_all_that_a_client_needs, replies_repeat_the_id_as_it_was_written,
          an_error_has_its_code_a_sentence_and_perhaps_a_wait, gap_and_bye_say_why,
          what_a_client_sends_on_is_escaped_once_and_its_meta_is_compact,
          a_digest_has_both_lists_also_when_empty, a_page_of_members_may_have_users_and_a_cursor)
