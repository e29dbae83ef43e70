/* SPDX-License-Identifier: MIT */
#include "client/cli/adapter.h"

#include "client/cli/endpoint.h"
#include "client/cli/upgrade.h"
#include "common/buf.h"
#include "tests/unit/unit.h"

#include <netinet/in.h>

static struct buf said;
static struct adapter_position position;
static struct adapter_member member = {.room = TEXT("r1"), .user = 7};

/* One step of a conversation: what the server says, what it means, and what is answered. */
struct step {
    struct str heard, answer;
    enum adapter_verdict verdict;
};

static void expect_said(struct str text)
{
    ck_assert_str_is(buf_str(&said), text);
    buf_clear(&said);
}

static void converse(const struct adapter *a, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum adapter_verdict verdict = a->heard(&member, steps[i].heard, &said);
        ck_assert_msg(verdict == steps[i].verdict, "%s, step %zu: %d", a->name, i, (int)verdict);
        expect_said(steps[i].answer);
    }
}

#define CONVERSE(a, steps) converse(a, steps, ARRAY_LEN(steps))

START_TEST(every_adapter_is_found_by_its_name)
{
    for (size_t i = 0; i < adapter_count; i++) {
        ck_assert_ptr_eq(adapter_find(adapters[i]->name), adapters[i]);
        ck_assert(adapters[i]->path.ptr[0] == '/');
        ck_assert(adapters[i]->ready_at_once || adapters[i]->heard != NULL);
    }
    ck_assert_ptr_null(adapter_find("nobody"));
}
END_TEST

START_TEST(the_tutorial_is_joined_and_answers_pings)
{
    static const struct step steps[] = {
        {TEXT("{\"type\":\"presence\",\"data\":{\"room\":\"r1\",\"online\":1}}"), TEXT(""),
         ADAPTER_NOTHING},
        {TEXT("{\"type\": \"welcome\", \"data\": {\"room\": \"r1\"}}"), TEXT(""), ADAPTER_READY},
        {TEXT("{\"data\":{\"room\":\"r1\"},\"type\":\"welcome\"}"), TEXT(""), ADAPTER_READY},
        {TEXT("{\"type\":\"ping\"}"), TEXT("{\"type\":\"pong\"}"), ADAPTER_NOTHING},
        {TEXT("{\"type\":\"error\",\"data\":{\"code\":\"bad_room\"}}"), TEXT(""), ADAPTER_ERROR},
        {TEXT("not JSON"), TEXT(""), ADAPTER_NOTHING},
        {TEXT("{\"type\":\"wel"), TEXT(""), ADAPTER_NOTHING},
        {TEXT("{\"type\""), TEXT(""), ADAPTER_NOTHING},
        {TEXT(""), TEXT(""), ADAPTER_NOTHING},
    };
    const struct adapter *a = adapter_find("ws");
    a->opened(&member, &said);
    expect_said(STR("{\"type\":\"join\",\"data\":{\"room\":\"r1\",\"user\":\"m7\"}}"));
    CONVERSE(a, steps);
    a->chat(&member, STR("hi"), &said);
    expect_said(STR("{\"type\":\"chat\",\"data\":{\"room\":\"r1\",\"text\":\"hi\"}}"));
    a->direct(&member, 12, STR("hi"), &said);
    expect_said(STR("{\"type\":\"direct\",\"data\":{\"to\":\"m12\",\"text\":\"hi\"}}"));
}
END_TEST

START_TEST(parley_goes_on_after_its_last_delivery)
{
    const struct step first[] = {{TEXT("{\"type\":\"welcome\",\"data\":{\"epoch\":\"e1\","
                                       "\"offset\":41,\"recovered\":false}}"),
                                  TEXT(""), ADAPTER_READY}};
    const struct step again[] = {{TEXT("{\"type\":\"welcome\",\"data\":{\"epoch\":\"e1\","
                                       "\"offset\":50,\"recovered\":true}}"),
                                  TEXT(""), ADAPTER_RECOVERED}};
    const struct step reset[] = {{TEXT("{\"type\":\"welcome\",\"data\":{\"epoch\":\"e2\","
                                       "\"offset\":3,\"recovered\":false}}"),
                                  TEXT(""), ADAPTER_READY}};
    const struct adapter *a = adapter_find("parley");
    member.position = &position;
    CONVERSE(a, first);
    a->opened(&member, &said);
    expect_said(STR("{\"type\":\"join\",\"data\":{\"room\":\"r1\",\"user\":\"m7\","
                    "\"since\":{\"epoch\":\"e1\",\"offset\":41}}}"));
    a->note(&member, STR("{\"type\":\"chat\",\"offset\":42,\"data\":{\"text\":\"offset\"}}"));
    CONVERSE(a, again);
    ck_assert_str_eq(position.mark, "42");
    CONVERSE(a, reset);
    a->opened(&member, &said);
    expect_said(STR("{\"type\":\"join\",\"data\":{\"room\":\"r1\",\"user\":\"m7\","
                    "\"since\":{\"epoch\":\"e2\",\"offset\":3}}}"));
}
END_TEST

START_TEST(socketio_shakes_hands_joins_and_answers_pings)
{
    static const struct step steps[] = {
        {TEXT("0{\"sid\":\"x\",\"pingInterval\":25000}"), TEXT("40"), ADAPTER_NOTHING},
        {TEXT("40{\"sid\":\"y\"}"), TEXT("42[\"join\",{\"room\":\"r1\",\"user\":\"m7\"}]"),
         ADAPTER_NOTHING},
        {TEXT("42[\"other\",{}]"), TEXT(""), ADAPTER_NOTHING},
        {TEXT("42[\"welcome\",{\"room\":\"r1\"}]"), TEXT(""), ADAPTER_READY},
        {TEXT("2"), TEXT("3"), ADAPTER_NOTHING},
        {TEXT("44{\"message\":\"no\"}"), TEXT(""), ADAPTER_ERROR},
    };
    const struct adapter *a = adapter_find("socketio");
    CONVERSE(a, steps);
    a->chat(&member, STR("hi"), &said);
    expect_said(STR("42[\"chat\",{\"room\":\"r1\",\"text\":\"hi\"}]"));
}
END_TEST

START_TEST(socketio_recovers_its_session_or_joins_anew)
{
    static const struct step first[] = {
        {TEXT("0{}"), TEXT("40"), ADAPTER_NOTHING},
        {TEXT("40{\"sid\":\"s1\",\"pid\":\"p1\"}"),
         TEXT("42[\"join\",{\"room\":\"r1\",\"user\":\"m7\"}]"), ADAPTER_NOTHING},
    };
    static const struct step again[] = {
        {TEXT("0{}"), TEXT("40{\"pid\":\"p1\",\"offset\":\"o-9\"}"), ADAPTER_NOTHING},
        {TEXT("40{\"sid\":\"s2\",\"pid\":\"p1\"}"), TEXT(""), ADAPTER_RECOVERED},
    };
    static const struct step refused[] = {
        {TEXT("0{}"), TEXT("40{\"pid\":\"p1\",\"offset\":\"o-9\"}"), ADAPTER_NOTHING},
        {TEXT("40{\"sid\":\"s3\",\"pid\":\"p2\"}"),
         TEXT("42[\"join\",{\"room\":\"r1\",\"user\":\"m7\"}]"), ADAPTER_NOTHING},
        {TEXT("0{}"), TEXT("40"), ADAPTER_NOTHING},
    };
    const struct adapter *a = adapter_find("socketio");
    member.position = &position;
    CONVERSE(a, first);
    a->note(&member, STR("42[\"chat\",{\"text\":\"x\"},\"o-9\"]"));
    a->note(&member, STR("42[\"chat\",{\"text\":\"x\"}]")); /* without an id the last one stays */
    CONVERSE(a, again);
    CONVERSE(a, refused);
}
END_TEST

START_TEST(plain_servers_get_the_bare_text)
{
    static const char *const names[] = {"nchan", "floor"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct adapter *a = adapter_find(names[i]);
        a->chat(&member, STR("hi"), &said);
        expect_said(STR("hi"));
        ck_assert(a->sound(&member, STR("hi"), STR("hi")));
        ck_assert(!a->sound(&member, STR("hi "), STR("hi")));
    }
}
END_TEST

START_TEST(a_sound_delivery_has_the_room_and_the_text)
{
    static const struct {
        const char *adapter;
        struct str delivery;
        bool sound;
    } rows[] = {
        {"parley", TEXT("{\"type\":\"chat\",\"data\":{\"room\":\"r1\",\"text\":\"t\"}}"), true},
        {"parley", TEXT("{\"type\":\"chat\",\"data\":{\"room\":\"r2\",\"text\":\"t\"}}"), false},
        {"parley", TEXT("{\"type\":\"chat\",\"data\":{\"room\":\"r1\",\"text\":\"tt\"}}"), false},
        {"parley", TEXT("{\"type\":\"chat\",\"data\":{\"room\":\"r1\",\"text\":\"t\"}"), false},
        {"parley", TEXT("{\"type\":\"direct\",\"data\":{\"room\":\"r1\",\"text\":\"t\"}}"), false},
        {"socketio", TEXT("42[\"chat\",{\"room\":\"r1\",\"text\":\"t\"}]"), true},
        {"socketio", TEXT("42[\"chat\",{\"room\":\"r1\",\"text\":\"t\"},\"id\"]"), true},
        {"socketio", TEXT("42[\"chat\",{\"room\":\"r1\",\"text\":\"u\"}]"), false},
        {"socketio", TEXT("42[\"chat\","), false},
        {"socketio", TEXT("}"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct adapter *a = adapter_find(rows[i].adapter);
        ck_assert_msg(a->sound(&member, rows[i].delivery, STR("t")) == rows[i].sound, "row %zu", i);
    }
}
END_TEST

START_TEST(the_upgrade_names_the_room_and_its_answer_is_checked)
{
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    static const struct {
        struct str answer;
        enum upgrade_result result;
    } rows[] = {
        {TEXT("HTTP/1.1 101 Switching Protocols\r\n" ACCEPT "\r\n"), UPGRADE_OPEN},
        {TEXT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"), UPGRADE_BAD},
        {TEXT("HTTP/1.1 503 Service Unavailable\r\n"), UPGRADE_REFUSED},
        {TEXT("SSH-2.0-x\r\n\r\n"), UPGRADE_BAD},
    };
    upgrade_request(&said, STR("h:1"), STR("/a/{room}/b"), STR("r1"));
    ck_assert(str_starts(buf_str(&said), STR("GET /a/r1/b HTTP/1.1\r\nHost: h:1\r\n")));
    ck_assert_str_is(((struct str){said.ptr + said.len - 4, 4}), STR("\r\n\r\n"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t used = 0;
        ck_assert_msg(upgrade_read(rows[i].answer, &used) == rows[i].result, "row %zu", i);
        ck_assert(rows[i].result != UPGRADE_OPEN || used == rows[i].answer.len);
    }
    for (size_t cut = 0; cut < rows[0].answer.len; cut++) {
        size_t used = 0;
        ck_assert_int_eq(upgrade_read((struct str){rows[0].answer.ptr, cut}, &used), UPGRADE_PART);
    }
}
END_TEST

START_TEST(an_endpoint_is_a_host_a_port_and_a_path)
{
    static const struct {
        const char *text, *host, *path;
        in_port_t port;
    } rows[] = {
        {"ws://127.0.0.1:8080/ws", "127.0.0.1:8080", "/ws", 8080},
        {"ws://127.0.0.1", "127.0.0.1", "", 80},
        {"ws://[::1]:90/x?y=1", "[::1]:90", "/x?y=1", 90},
        {"ws://[::1]/", "[::1]", "/", 80},
    };
    static const char *const wrong[] = {"",
                                        "http://x/",
                                        "ws://",
                                        "ws://:80/",
                                        "ws://127.0.0.1:/",
                                        "ws://[::1",
                                        "ws://[::1]x",
                                        "ws://127.0.0.1:http/",
                                        "ws://127.0.0.1/a b",
                                        "ws://127.0.0.1/\r\n"};
    struct endpoint e;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_ptr_null(endpoint_parse(&e, rows[i].text));
        ck_assert_str_is(e.host, str_from(rows[i].host));
        ck_assert_str_is(e.path, str_from(rows[i].path));
        in_port_t port = e.address.ss_family == AF_INET6
                             ? ((const struct sockaddr_in6 *)&e.address)->sin6_port
                             : ((const struct sockaddr_in *)&e.address)->sin_port;
        ck_assert_uint_eq(ntohs(port), rows[i].port);
        ck_assert(e.loopback_v4 == (e.address.ss_family == AF_INET));
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(endpoint_parse(&e, wrong[i]) != NULL, "%s", wrong[i]);
    }
}
END_TEST

UNIT_MAIN("adapter", every_adapter_is_found_by_its_name, the_tutorial_is_joined_and_answers_pings,
          parley_goes_on_after_its_last_delivery, socketio_shakes_hands_joins_and_answers_pings,
          socketio_recovers_its_session_or_joins_anew, plain_servers_get_the_bare_text,
          a_sound_delivery_has_the_room_and_the_text,
          the_upgrade_names_the_room_and_its_answer_is_checked,
          an_endpoint_is_a_host_a_port_and_a_path)
