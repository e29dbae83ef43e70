/* SPDX-License-Identifier: MIT */
/* What a client may say, and each answer to it, byte by byte. */
#include "gateway/chat/requests.h"

#include "gateway/chat/chat.h"
#include "tests/fake/bus.h"
#include "tests/fake/time.h"
#include "tests/fake/world.h"
#include "tests/fake/ws.h"
#include "tests/unit/unit.h"

#define X8 "xxxxxxxx"
#define X64 X8 X8 X8 X8 X8 X8 X8 X8
#define ERROR(code, text) \
    "\n{\"type\":\"error\",\"data\":{\"code\":\"" code "\",\"message\":\"" text "\"}}"
#define ERROR_TO(id, code, text)                                                                   \
    "\n{\"type\":\"error\",\"id\":" id ",\"data\":{\"code\":\"" code "\",\"message\":\"" text "\"" \
    "}}"
#define UNAVAILABLE_TO(id)                                                    \
    "\n{\"type\":\"error\",\"id\":" id ",\"data\":{\"code\":\"unavailable\"," \
    "\"message\":\"the message bus cannot be reached; nothing was done\","    \
    "\"retry_after\":1000}}"
#define UNKNOWN_TO(id)              \
    ERROR_TO(id, "unknown_outcome", \
             "the link broke before the answer; send again with the same key")
#define SHORT "key and kind are strings of 1 to 64 bytes without control characters"
#define BAD_ROOM                                                                            \
    ERROR("bad_room", "a room name is 1 to 128 bytes of UTF-8 without control characters, " \
                      "braces or outer spaces")
#define BAD_USER                                                                           \
    ERROR("bad_user", "a user name is 1 to 64 bytes of UTF-8 without control characters, " \
                      "braces or outer spaces")
#define NOT_JOINED ERROR("not_joined", "join the room first")

static struct world world;
static struct ws_conn *alice;

static void start(void)
{
    world_start(&world);
    alice = world_join(&world, "alice", "general");
}

static void end(void)
{
    fake_bus_asked_nothing();
    world_end(&world);
}

struct exchange {
    const char *says, *hears;
};

/* Each is answered at once, without the bus. */
static void converse(struct ws_conn *c, const struct exchange *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fake_ws_say(c, table[i].says);
        const char *heard = fake_ws_heard(c);
        ck_assert_msg(strcmp(heard, table[i].hears) == 0, "%s was answered by %s, not %s",
                      table[i].says, heard, table[i].hears);
        fake_bus_asked_nothing();
    }
}

START_TEST(what_is_no_envelope_is_answered_by_why)
{
    static const struct exchange table[] = {
        {"", ERROR("bad_json", "syntax error")},
        {"nul", ERROR("bad_json", "syntax error")},
        {"{\"type\":\"ping\"} x", ERROR("bad_json", "text after the end")},
        {"{\"type\":\"ping\",\"type\":\"ping\"}", ERROR("bad_json", "duplicate key in an object")},
        {"{\"type\":\"pi\\u0000ng\"}", ERROR("bad_json", "NUL character in a string")},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}",
         ERROR("bad_json", "nested too deeply")},
        {"[]", ERROR("bad_envelope", "a message is a JSON object")},
        {"\"ping\"", ERROR("bad_envelope", "a message is a JSON object")},
        {"{}", ERROR("bad_envelope", "type must be a string")},
        {"{\"type\":1}", ERROR("bad_envelope", "type must be a string")},
        {"{\"type\":null}", ERROR("bad_envelope", "type must be a string")},
        {"{\"Type\":\"ping\"}", ERROR("bad_envelope", "type must be a string")},
        {"{\"type\":\"PING\"}", ERROR("unknown_type", "a client cannot send this type")},
        {"{\"type\":\"\"}", ERROR("unknown_type", "a client cannot send this type")},
        {"{\"type\":\"welcome\",\"id\":1}",
         ERROR_TO("1", "unknown_type", "a client cannot send this type")},
        {"{\"type\":\"ack\",\"data\":{}}", ERROR("unknown_type", "a client cannot send this type")},
        {"{\"type\":\"error\",\"data\":{}}",
         ERROR("unknown_type", "a client cannot send this type")},
        {"{\"type\":\"chat\"}", ERROR("bad_envelope", "data must be an object")},
        {"{\"type\":\"chat\",\"id\":2,\"data\":[]}",
         ERROR_TO("2", "bad_envelope", "data must be an object")},
        {"{\"type\":\"chat\",\"data\":null}", ERROR("bad_envelope", "data must be an object")},
        {"{\"type\":\"ping\",\"data\":7}", ERROR("bad_envelope", "data must be an object")},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    ck_assert_uint_eq(world.stats.errors[ERROR_BAD_JSON], 6);
    end();
}
END_TEST

#define BAD_ID ERROR("bad_envelope", "id is a string of 1 to 64 bytes or an integer")

START_TEST(an_id_is_a_short_string_or_an_integer_and_comes_back_as_it_was)
{
    static const struct exchange table[] = {
        {"{\"type\":\"ping\"}", "\n{\"type\":\"pong\"}"},
        {"{\"type\":\"ping\",\"id\":\"a\"}", "\n{\"type\":\"pong\",\"id\":\"a\"}"},
        {"{\"type\":\"ping\",\"id\": \"\\u0061\\/\" }",
         "\n{\"type\":\"pong\",\"id\":\"\\u0061\\/\"}"},
        {"{\"id\":\"" X64 "\",\"type\":\"ping\"}", "\n{\"type\":\"pong\",\"id\":\"" X64 "\"}"},
        {"{\"type\":\"ping\",\"id\":0}", "\n{\"type\":\"pong\",\"id\":0}"},
        {"{\"type\":\"ping\",\"id\":-12}", "\n{\"type\":\"pong\",\"id\":-12}"},
        {"{\"type\":\"ping\",\"id\":18446744073709551615}",
         "\n{\"type\":\"pong\",\"id\":18446744073709551615}"},
        {"{\"type\":\"ping\",\"id\":\"" X64 "x\"}",
         ERROR("too_long", "id is a string of 1 to 64 bytes or an integer")},
        {"{\"type\":\"ping\",\"id\":\"\"}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":\"a\\nb\"}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":1.5}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":1e3}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":123456789012345678901}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":null}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":true}", BAD_ID},
        {"{\"type\":\"ping\",\"id\":{}}", BAD_ID},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    end();
}
END_TEST

START_TEST(ping_is_answered_pong_is_not_and_unknown_members_do_not_matter)
{
    static const struct exchange table[] = {
        {"{\"type\":\"ping\",\"data\":{\"n\":1},\"extra\":[1,2]}", "\n{\"type\":\"pong\"}"},
        {"{\"type\":\"pong\"}", ""},
        {"{\"type\":\"pong\",\"id\":1,\"data\":{}}", ""},
        {"{\"type\":\"history\",\"id\":1,\"data\":{\"room\":\"general\"}}",
         ERROR_TO("1", "history_disabled", "this room keeps no history")},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    ck_assert_uint_eq(world.stats.received[REQUEST_PING], 1);
    ck_assert_uint_eq(world.stats.received[REQUEST_PONG], 2);
    end();
}
END_TEST

START_TEST(a_join_that_makes_no_sense_is_refused)
{
    static const struct exchange nobody[] = {
        {"{\"type\":\"join\",\"data\":{}}", BAD_ROOM},
        {"{\"type\":\"join\",\"data\":{\"room\":7,\"user\":\"bob\"}}", BAD_ROOM},
        {"{\"type\":\"join\",\"data\":{\"room\":\" x\",\"user\":\"bob\"}}", BAD_ROOM},
        {"{\"type\":\"join\",\"data\":{\"room\":\"a{b\",\"user\":\"bob\"}}", BAD_ROOM},
        {"{\"type\":\"join\",\"data\":{\"room\":\"" X64 X64 "x\",\"user\":\"bob\"}}", BAD_ROOM},
        {"{\"type\":\"join\",\"data\":{\"room\":\"general\"}}", BAD_USER},
        {"{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":null}}", BAD_USER},
        {"{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":\"\"}}", BAD_USER},
        {"{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":\"" X64 "x\"}}", BAD_USER},
        {"{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":\"a\\tb\"}}", BAD_USER},
        {"{\"type\":\"join\",\"data\":{\"room\":\"general\",\"user\":\"bob\",\"since\":5}}",
         ERROR("bad_envelope", "since must be an object {epoch, offset}")},
    };
    static const struct exchange somebody[] = {
        {"{\"type\":\"join\",\"id\":1,\"data\":{\"room\":\"x\",\"user\":\"bob\"}}",
         ERROR_TO("1", "already_user", "this connection has another user name already")},
        {"{\"type\":\"join\",\"data\":{\"room\":\"x\",\"user\":5}}", BAD_USER},
    };
    start();
    struct ws_conn *c = fake_ws_open(world.ctx.ws);
    converse(c, nobody, ARRAY_LEN(nobody));
    converse(alice, somebody, ARRAY_LEN(somebody));
    end();
}
END_TEST

START_TEST(a_connection_is_in_so_many_rooms_counting_joins_under_way)
{
    start();
    world.config.client.max_rooms = 2;
    fake_ws_say(alice, "{\"type\":\"join\",\"data\":{\"room\":\"two\"}}");
    struct bus_call *open = fake_bus_asked("open two");
    fake_ws_say(alice, "{\"type\":\"join\",\"id\":3,\"data\":{\"room\":\"three\"}}");
    ck_assert_str_eq(fake_ws_heard(alice),
                     ERROR_TO("3", "too_many_rooms", "this connection is in its maximum of rooms"));
    fake_bus_fail(open, BUS_UNAVAILABLE);
    fake_bus_asked("close two");
    ck_assert_str_ne(fake_ws_heard(alice), "");
    fake_ws_say(alice, "{\"type\":\"join\",\"data\":{\"room\":\"three\"}}");
    fake_bus_fail(fake_bus_asked("open three"), BUS_UNAVAILABLE);
    fake_bus_asked("close three");
    fake_ws_say(alice, "{\"type\":\"join\",\"data\":{\"room\":\"general\"}}"); /* again */
    (void)fake_ws_heard(alice);
    fake_ws_say(alice, "{\"type\":\"join\",\"data\":{\"room\":\"four\"}}");
    fake_bus_fail(fake_bus_asked("open four"), BUS_UNAVAILABLE);
    fake_bus_asked("close four");
    end();
}
END_TEST

START_TEST(a_chat_is_published_as_the_gateway_sees_it_and_acked)
{
    start();
    fake_ws_say(alice,
                "{\"type\":\"chat\",\"id\":7,\"offset\":99,\"from\":\"eve\",\"data\":{\"room\":"
                "\"general\",\"text\":\"hi\",\"key\":\"k 1\",\"meta\":{ \"a\" : 1.0 },"
                "\"from\":\"eve\",\"ts\":1,\"offset\":2}}");
    struct bus_call *call = fake_bus_asked(
        "publish general alice k 1 {\"room\":\"general\",\"from\":\"alice\",\"text\":\"hi\","
        "\"ts\":1700000000,\"meta\":{\"a\":1.0}}");
    ck_assert_str_eq(fake_ws_heard(alice), "");
    fake_time_pass(3000); /* ts is that of the asking */
    fake_bus_done(call, &(struct bus_result){.position = fake_position('a', 6)});
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"ack\",\"id\":7,\"data\":{\"room\":\"general\",\"offset\":6,"
                     "\"epoch\":\"aaaaaaaaaaaaaaaa\",\"ts\":1700000000}}");
    end();
}
END_TEST

START_TEST(a_chat_without_id_is_silent_and_without_room_goes_to_the_room_joined_last)
{
    const struct bus_room_state state = {.position = fake_position('a', 0)};
    start();
    fake_ws_say(alice, "{\"type\":\"join\",\"data\":{\"room\":\"two\"}}");
    fake_bus_complete(&state);
    (void)fake_ws_heard(alice);
    fake_ws_say(alice, "{\"type\":\"chat\",\"data\":{\"text\":\"x\"}}");
    fake_bus_fail(fake_bus_asked("publish two alice - {\"room\":\"two\",\"from\":\"alice\","
                                 "\"text\":\"x\",\"ts\":1700000000}"),
                  BUS_OK);
    ck_assert_str_eq(fake_ws_heard(alice), "");
    fake_ws_say(alice, "{\"type\":\"join\",\"data\":{\"room\":\"general\"}}");
    fake_ws_say(alice, "{\"type\":\"chat\",\"data\":{\"text\":\"x\"}}");
    fake_bus_fail(fake_bus_asked_like("publish general alice - "), BUS_OK);
    fake_ws_say(alice, "{\"type\":\"leave\",\"data\":{\"room\":\"general\"}}");
    fake_ws_say(alice, "{\"type\":\"chat\",\"data\":{\"text\":\"x\"}}");
    fake_bus_fail(fake_bus_asked_like("publish two alice - "), BUS_OK);
    end();
}
END_TEST

START_TEST(a_chat_that_makes_no_sense_is_refused)
{
    static const struct exchange table[] = {
        {"{\"type\":\"chat\",\"data\":{\"room\":\"x\",\"text\":\"a\"}}", NOT_JOINED},
        {"{\"type\":\"chat\",\"data\":{\"room\":\"\",\"text\":\"a\"}}", BAD_ROOM},
        {"{\"type\":\"chat\",\"data\":{\"room\":null,\"text\":\"a\"}}", BAD_ROOM},
        {"{\"type\":\"chat\",\"data\":{}}",
         ERROR("bad_text", "text must be a string that is not empty")},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"\"}}",
         ERROR("bad_text", "text must be a string that is not empty")},
        {"{\"type\":\"chat\",\"data\":{\"text\":[\"a\"]}}",
         ERROR("bad_text", "text must be a string that is not empty")},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\",\"key\":\"" X64 "x\"}}",
         ERROR("too_long", SHORT)},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\",\"key\":\"\"}}",
         ERROR("bad_envelope", SHORT)},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\",\"key\":5}}", ERROR("bad_envelope", SHORT)},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\",\"key\":\"a\\u0007\"}}",
         ERROR("bad_envelope", SHORT)},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\",\"meta\":[]}}",
         ERROR("bad_envelope", "meta must be an object")},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\",\"meta\":null}}",
         ERROR("bad_envelope", "meta must be an object")},
    };
    static const struct exchange nobody[] = {
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\"}}", NOT_JOINED},
        {"{\"type\":\"direct\",\"data\":{\"to\":\"bob\",\"text\":\"a\"}}", NOT_JOINED},
        {"{\"type\":\"signal\",\"data\":{\"room\":\"general\",\"kind\":\"a\"}}", NOT_JOINED},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\"}}", NOT_JOINED},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    converse(fake_ws_open(world.ctx.ws), nobody, ARRAY_LEN(nobody));
    end();
}
END_TEST

START_TEST(what_the_bus_could_not_do_is_told_with_or_without_an_id)
{
    static const struct {
        enum bus_err err;
        const char *hears;
    } outcomes[] = {{BUS_UNAVAILABLE, UNAVAILABLE_TO("1")},
                    {BUS_REFUSED, UNAVAILABLE_TO("1")},
                    {BUS_UNKNOWN, UNKNOWN_TO("1")}};
    static const struct {
        const char *says, *asks;
    } requests[] = {
        {"{\"type\":\"chat\",\"id\":1,\"data\":{\"text\":\"a\"}}", "publish "},
        {"{\"type\":\"direct\",\"id\":1,\"data\":{\"to\":\"bob\",\"text\":\"a\"}}", "direct "},
        {"{\"type\":\"signal\",\"id\":1,\"data\":{\"room\":\"general\",\"kind\":\"a\"}}",
         "signal "},
        {"{\"type\":\"presence\",\"id\":1,\"data\":{\"room\":\"general\"}}", "members "},
    };
    start();
    for (size_t r = 0; r < ARRAY_LEN(requests); r++) {
        for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
            fake_ws_say(alice, requests[r].says);
            fake_bus_fail(fake_bus_asked_like(requests[r].asks), outcomes[i].err);
            ck_assert_str_eq(fake_ws_heard(alice), outcomes[i].hears);
        }
    }
    fake_ws_say(alice, "{\"type\":\"chat\",\"data\":{\"text\":\"a\"}}");
    fake_bus_fail(fake_bus_asked_like("publish "), BUS_UNKNOWN);
    ck_assert_str_eq(
        fake_ws_heard(alice),
        ERROR("unknown_outcome", "the link broke before the answer; send again with the same key"));
    end();
}
END_TEST

START_TEST(a_direct_message_is_handed_on_and_acked)
{
    start();
    fake_ws_say(alice,
                "{\"type\":\"direct\",\"id\":\"d\",\"data\":{\"to\":\"bob\",\"text\":\"psst\","
                "\"key\":\"k\",\"meta\":{},\"from\":\"eve\"}}");
    struct bus_call *call = fake_bus_asked(
        "direct bob alice k {\"type\":\"direct\",\"data\":{\"from\":\"alice\",\"to\":\"bob\","
        "\"text\":\"psst\",\"ts\":1700000000,\"meta\":{}}}");
    fake_bus_fail(call, BUS_OK);
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"ack\",\"id\":\"d\",\"data\":{\"to\":\"bob\"}}");
    fake_ws_say(alice, "{\"type\":\"direct\",\"data\":{\"to\":\"bob\",\"text\":\"psst\"}}");
    fake_bus_fail(fake_bus_asked_like("direct bob alice - "), BUS_OK);
    ck_assert_str_eq(fake_ws_heard(alice), "");
    fake_ws_say(alice, "{\"type\":\"direct\",\"data\":{\"to\":\"zoe\",\"text\":\"psst\"}}");
    fake_bus_fail(fake_bus_asked_like("direct zoe alice - "), BUS_NOT_ONLINE);
    ck_assert_str_eq(fake_ws_heard(alice), ERROR("not_online", "that user has no connection now"));
    end();
}
END_TEST

START_TEST(a_direct_message_reaches_every_connection_of_its_user)
{
    static const char line[] = "{\"type\":\"direct\",\"data\":{}}";
    start();
    struct ws_conn *second = world_join(&world, "alice", "general");
    struct ws_conn *bob = world_join(&world, "bob", "general");
    (void)fake_ws_heard(alice);
    fake_bus_events()->on_direct(fake_bus_user("alice"), str_from(line));
    ck_assert_str_eq(fake_ws_heard(alice), "\n{\"type\":\"direct\",\"data\":{}}");
    ck_assert_str_eq(fake_ws_heard(bob), "");
    (void)fake_ws_heard(second);
    fake_ws_end(alice, CLOSE_GONE);
    fake_bus_events()->on_direct(fake_bus_user("alice"), str_from(line));
    ck_assert_str_eq(fake_ws_heard(second), "\n{\"type\":\"direct\",\"data\":{}}");
    fake_bus_asked_nothing(); /* the user is still here */
    end();
}
END_TEST

START_TEST(a_direct_or_signal_that_makes_no_sense_is_refused)
{
    static const struct exchange table[] = {
        {"{\"type\":\"direct\",\"data\":{\"text\":\"a\"}}", BAD_USER},
        {"{\"type\":\"direct\",\"data\":{\"to\":\"a}\",\"text\":\"a\"}}", BAD_USER},
        {"{\"type\":\"direct\",\"data\":{\"to\":\"bob\"}}",
         ERROR("bad_text", "text must be a string that is not empty")},
        {"{\"type\":\"signal\",\"data\":{\"kind\":\"typing\"}}", BAD_ROOM},
        {"{\"type\":\"signal\",\"data\":{\"room\":\"x\",\"kind\":\"typing\"}}", NOT_JOINED},
        {"{\"type\":\"signal\",\"data\":{\"room\":\"general\"}}",
         ERROR("bad_envelope", "a signal needs a kind")},
        {"{\"type\":\"signal\",\"data\":{\"room\":\"general\",\"kind\":\"\"}}",
         ERROR("bad_envelope", SHORT)},
        {"{\"type\":\"signal\",\"data\":{\"room\":\"general\",\"kind\":\"" X64 "x\"}}",
         ERROR("too_long", SHORT)},
        {"{\"type\":\"signal\",\"data\":{\"room\":\"general\",\"kind\":\"a\",\"meta\":1}}",
         ERROR("bad_envelope", "meta must be an object")},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    end();
}
END_TEST

START_TEST(a_signal_reaches_the_others_not_its_sender)
{
    static const char line[] = "{\"type\":\"signal\"}";
    start();
    struct ws_conn *bob = world_join(&world, "bob", "general");
    (void)fake_ws_heard(alice);
    fake_ws_say(alice,
                "{\"type\":\"signal\",\"id\":1,\"data\":{\"room\":\"general\",\"kind\":\"typing\","
                "\"meta\":{\"on\":true}}}");
    struct bus_call *call = fake_bus_asked(
        "signal general 1 {\"type\":\"signal\",\"data\":{\"room\":\"general\",\"from\":\"alice\","
        "\"kind\":\"typing\",\"meta\":{\"on\":true}}}");
    fake_bus_events()->on_signal(fake_bus_room("general"), true, 1, str_from(line));
    fake_bus_fail(call, BUS_OK);
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"ack\",\"id\":1,\"data\":{\"room\":\"general\"}}");
    ck_assert_str_eq(fake_ws_heard(bob), "\n{\"type\":\"signal\"}");
    /* The same number on another gateway is somebody else; an outsider has none. */
    fake_bus_events()->on_signal(fake_bus_room("general"), false, 1, str_from(line));
    fake_bus_events()->on_signal(fake_bus_room("general"), false, 0, str_from(line));
    ck_assert_str_eq(fake_ws_heard(alice), "\n{\"type\":\"signal\"}\n{\"type\":\"signal\"}");
    ck_assert_str_eq(fake_ws_heard(bob), "\n{\"type\":\"signal\"}\n{\"type\":\"signal\"}");
    /* The sender may be gone when its signal comes back. */
    fake_ws_end(alice, CLOSE_GONE);
    fake_bus_asked("close-user alice");
    fake_bus_events()->on_signal(fake_bus_room("general"), true, 1, str_from(line));
    ck_assert_str_eq(fake_ws_heard(bob), "\n{\"type\":\"signal\"}");
    end();
}
END_TEST

START_TEST(a_presence_request_is_answered_by_a_page)
{
    static const struct bus_member members[] = {{TEXT("alice"), 2}, {TEXT("bob"), 1}};
    start();
    fake_ws_say(alice, "{\"type\":\"presence\",\"id\":1,\"data\":{\"room\":\"general\"}}");
    fake_bus_done(fake_bus_asked("members general - 100"),
                  &(struct bus_result){.members = members, .member_count = 2});
    ck_assert_str_eq(
        fake_ws_heard(alice),
        "\n{\"type\":\"presence\",\"id\":1,\"data\":{\"room\":\"general\",\"online\":1,"
        "\"users\":2,\"members\":[{\"user\":\"alice\",\"connections\":2},"
        "{\"user\":\"bob\",\"connections\":1}]}}");
    fake_ws_say(alice, "{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":1}}");
    fake_bus_done(fake_bus_asked("members general - 1"),
                  &(struct bus_result){.members = members, .member_count = 1, .cursor = STR("c7")});
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":1,"
                     "\"members\":[{\"user\":\"alice\",\"connections\":2}],\"cursor\":\"c7\"}}");
    fake_ws_say(alice, "{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":1000,"
                       "\"cursor\":\"c7\"}}");
    fake_bus_done(fake_bus_asked("members general c7 1000"),
                  &(struct bus_result){.members = members + 1, .member_count = 1});
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":1,"
                     "\"members\":[{\"user\":\"bob\",\"connections\":1}]}}");
    end();
}
END_TEST

START_TEST(a_presence_request_hears_of_joins_that_were_not_told_yet)
{
    start();
    struct ws_conn *bob = world_join(&world, "bob", "general");
    fake_ws_say(bob, "{\"type\":\"leave\",\"data\":{\"room\":\"general\"}}");
    fake_ws_say(alice, "{\"type\":\"presence\",\"data\":{\"room\":\"general\"}}");
    fake_bus_fail(fake_bus_asked("presence general 1: 2= | -bob"), BUS_OK);
    fake_bus_fail(fake_bus_asked("members general - 100"), BUS_OK);
    end();
}
END_TEST

START_TEST(a_presence_answer_has_the_number_of_now_not_of_the_asking)
{
    start();
    struct ws_conn *bob = world_join(&world, "bob", "general");
    fake_ws_say(alice, "{\"type\":\"presence\",\"data\":{\"room\":\"general\"}}");
    fake_ws_say(bob, "{\"type\":\"leave\",\"data\":{\"room\":\"general\"}}");
    (void)fake_ws_heard(alice);
    fake_bus_done(fake_bus_asked_like("members general - 100"),
                  &(struct bus_result){.err = BUS_OK});
    ck_assert_str_eq(fake_ws_heard(alice),
                     "\n{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"online\":1,"
                     "\"members\":[]}}");
    fake_bus_settle();
    end();
}
END_TEST
START_TEST(a_presence_request_that_makes_no_sense_is_refused)
{
#define BAD_LIMIT ERROR("bad_envelope", "limit is a whole number from 1 to 1000")
    static const struct exchange table[] = {
        {"{\"type\":\"presence\",\"data\":{}}", BAD_ROOM},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"x\"}}", NOT_JOINED},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":0}}", BAD_LIMIT},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":1001}}", BAD_LIMIT},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":-1}}", BAD_LIMIT},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":\"9\"}}", BAD_LIMIT},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"cursor\":\"" X64 X64 X64 X64
         "x\"}}",
         ERROR("too_long", "a field is longer than allowed")},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    end();
}
END_TEST

/* A policy as a reload brings it; what that tells the members is of no interest here. */
static void change_policy(const struct room_policy *policy)
{
    const struct bus_room_state state = {.position = fake_position('a', 5)};
    world.config.room = *policy;
    chat_reload(world.chat);
    fake_time_pass(policy->presence_interval_ms);
    fake_bus_complete(&state);
    (void)fake_ws_heard(alice);
}

START_TEST(who_asks_a_room_that_names_nobody_hears_the_number)
{
#define NOBODY(id, online)                                                                     \
    "\n{\"type\":\"presence\",\"id\":" id ",\"data\":{\"room\":\"general\",\"online\":" online \
    ",\"members\":[]}}"
    static const struct exchange count[] = {
        {"{\"type\":\"presence\",\"id\":1,\"data\":{\"room\":\"general\"}}", NOBODY("1", "1")},
        {"{\"type\":\"presence\",\"data\":{\"room\":\"general\",\"limit\":0}}", BAD_LIMIT},
    };
    static const struct exchange off[] = {
        {"{\"type\":\"presence\",\"id\":1,\"data\":{\"room\":\"general\"}}", NOBODY("1", "0")},
    };
    start();
    struct room_policy policy = world.config.room;
    policy.presence = CONFIG_PRESENCE_COUNT;
    change_policy(&policy);
    converse(alice, count, ARRAY_LEN(count));
    policy.presence = CONFIG_PRESENCE_OFF;
    change_policy(&policy);
    converse(alice, off, ARRAY_LEN(off));
    end();
}
END_TEST

START_TEST(where_only_the_server_publishes_members_may_not)
{
#define NOT_HERE(id) ERROR_TO(id, "forbidden", "only the server publishes in this room")
    static const struct exchange table[] = {
        {"{\"type\":\"chat\",\"id\":1,\"data\":{\"room\":\"general\",\"text\":\"a\"}}",
         NOT_HERE("1")},
        {"{\"type\":\"chat\",\"id\":2,\"data\":{\"text\":\"a\"}}", NOT_HERE("2")},
        {"{\"type\":\"signal\",\"id\":3,\"data\":{\"room\":\"general\",\"kind\":\"a\"}}",
         NOT_HERE("3")},
        {"{\"type\":\"chat\",\"data\":{\"room\":\"x\",\"text\":\"a\"}}", NOT_JOINED},
    };
    start();
    struct room_policy policy = world.config.room;
    policy.publish = CONFIG_PUBLISH_SERVER;
    change_policy(&policy);
    converse(alice, table, ARRAY_LEN(table));
    fake_bus_asked_nothing();
    end();
}
END_TEST

START_TEST(leaving_always_succeeds)
{
    static const struct exchange table[] = {
        {"{\"type\":\"leave\",\"id\":1,\"data\":{\"room\":\"general\"}}",
         "\n{\"type\":\"left\",\"id\":1,\"data\":{\"room\":\"general\"}}"},
        {"{\"type\":\"leave\",\"id\":2,\"data\":{\"room\":\"general\"}}",
         "\n{\"type\":\"left\",\"id\":2,\"data\":{\"room\":\"general\"}}"},
        {"{\"type\":\"leave\",\"data\":{\"room\":\"never joined\"}}",
         "\n{\"type\":\"left\",\"data\":{\"room\":\"never joined\"}}"},
        {"{\"type\":\"leave\",\"data\":{}}", BAD_ROOM},
        {"{\"type\":\"chat\",\"data\":{\"text\":\"a\"}}", NOT_JOINED},
    };
    start();
    converse(alice, table, ARRAY_LEN(table));
    end();
}
END_TEST

#define LIMITED(id, ms)                                                                    \
    "\n{\"type\":\"error\",\"id\":" id ",\"data\":{\"code\":\"rate_limited\",\"message\":" \
    "\"too many messages; wait\",\"retry_after\":" ms "}}"

START_TEST(who_says_too_much_is_told_to_wait_and_then_closed)
{
    static const char ping[] = "{\"type\":\"ping\",\"id\":1}";
    start();
    world.config.client.rate_messages = (struct rate){.per_s = 2, .burst = 3};
    world.config.client.rate_refused = (struct rate){.per_s = 1, .burst = 2};
    for (unsigned i = 0; i < 3; i++) {
        fake_ws_say(alice, ping);
    }
    (void)fake_ws_heard(alice);
    fake_ws_say(alice, ping);
    ck_assert_str_eq(fake_ws_heard(alice), LIMITED("1", "501"));
    fake_time_pass(500);
    fake_ws_say(alice, ping);
    ck_assert_str_eq(fake_ws_heard(alice), "\n{\"type\":\"pong\",\"id\":1}");
    fake_ws_say(alice, "{\"type\":\"pong\"}"); /* costs nothing */
    fake_ws_say(alice, ping);
    ck_assert_str_eq(fake_ws_heard(alice), LIMITED("1", "501"));
    fake_ws_say(alice, ping);
    ck_assert_str_eq(fake_ws_heard(alice), "\nclose 4429");
    end();
}
END_TEST

START_TEST(joins_have_a_limit_of_their_own)
{
    start();
    world.config.client.rate_messages = (struct rate){.per_s = 1, .burst = 1};
    world.config.client.rate_joins = (struct rate){.per_s = 1, .burst = 2};
    static const char join[] = "{\"type\":\"join\",\"id\":1,\"data\":{\"room\":\"general\"}}";
    fake_ws_say(alice, join);
    fake_ws_say(alice, join);
    (void)fake_ws_heard(alice);
    fake_ws_say(alice, join);
    ck_assert_str_eq(fake_ws_heard(alice), LIMITED("1", "1001"));
    fake_ws_say(alice, "{\"type\":\"ping\"}");
    ck_assert_str_eq(fake_ws_heard(alice), "\n{\"type\":\"pong\"}");
    end();
}
END_TEST

START_TEST(who_sends_nonsense_again_and_again_is_closed)
{
    static const char *const nonsense[] = {"{", "[]", "{\"type\":null}", "{\"type\":1}"};
    start();
    world.config.client.rate_errors = (struct rate){.per_s = 0.001, .burst = 3};
    for (unsigned i = 0; i < 3; i++) {
        fake_ws_say(alice, nonsense[i]);
        ck_assert_ptr_null(strstr(fake_ws_heard(alice), "close"));
    }
    fake_ws_say(alice, "{\"type\":\"chat\",\"data\":{\"text\":\"\"}}"); /* well-formed: no matter */
    ck_assert_ptr_null(strstr(fake_ws_heard(alice), "close"));
    fake_ws_say(alice, "{\"type\":\"nope\"}"); /* maybe of a newer protocol: no matter */
    ck_assert_ptr_null(strstr(fake_ws_heard(alice), "close"));
    fake_ws_say(alice, nonsense[3]);
    ck_assert_str_eq(fake_ws_heard(alice),
                     ERROR("bad_envelope", "type must be a string") "\nclose 4500");
    end();
}
END_TEST

START_TEST(a_connection_may_end_while_the_bus_works_for_it)
{
    static const char *const requests[] = {
        "{\"type\":\"chat\",\"id\":1,\"data\":{\"text\":\"a\"}}",
        "{\"type\":\"direct\",\"id\":1,\"data\":{\"to\":\"bob\",\"text\":\"a\"}}",
        "{\"type\":\"signal\",\"id\":1,\"data\":{\"room\":\"general\",\"kind\":\"a\"}}",
        "{\"type\":\"presence\",\"id\":1,\"data\":{\"room\":\"general\"}}",
        "{\"type\":\"join\",\"id\":1,\"data\":{\"room\":\"other\"}}",
        "{\"type\":\"leave\",\"id\":1,\"data\":{\"room\":\"general\"}}",
    };
    const struct bus_room_state state = {.position = fake_position('a', 5)};
    start();
    fake_ws_end(alice, CLOSE_GONE);
    fake_bus_settle();
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        for (unsigned late = 0; late < 2; late++) { /* answered before, or after the room is gone */
            struct ws_conn *c = world_join(&world, "alice", "general");
            fake_ws_say(c, requests[i]);
            fake_ws_say(c, requests[i]);
            fake_ws_end(c, CLOSE_GONE);
            fake_time_pass(late * 10000);
            fake_bus_complete(&state);
            fake_bus_settle();
        }
    }
    end();
}
END_TEST

UNIT_MAIN("requests", what_is_no_envelope_is_answered_by_why,
          an_id_is_a_short_string_or_an_integer_and_comes_back_as_it_was,
          ping_is_answered_pong_is_not_and_unknown_members_do_not_matter,
          a_join_that_makes_no_sense_is_refused,
          a_connection_is_in_so_many_rooms_counting_joins_under_way,
          a_chat_is_published_as_the_gateway_sees_it_and_acked,
          a_chat_without_id_is_silent_and_without_room_goes_to_the_room_joined_last,
          a_chat_that_makes_no_sense_is_refused,
          what_the_bus_could_not_do_is_told_with_or_without_an_id,
          a_direct_message_is_handed_on_and_acked,
          a_direct_message_reaches_every_connection_of_its_user,
          a_direct_or_signal_that_makes_no_sense_is_refused,
          a_signal_reaches_the_others_not_its_sender, a_presence_request_is_answered_by_a_page,
          a_presence_request_hears_of_joins_that_were_not_told_yet,
          a_presence_answer_has_the_number_of_now_not_of_the_asking,
          a_presence_request_that_makes_no_sense_is_refused,
          who_asks_a_room_that_names_nobody_hears_the_number,
          where_only_the_server_publishes_members_may_not, leaving_always_succeeds,
          who_says_too_much_is_told_to_wait_and_then_closed, joins_have_a_limit_of_their_own,
          who_sends_nonsense_again_and_again_is_closed,
          a_connection_may_end_while_the_bus_works_for_it)
