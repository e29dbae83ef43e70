/* SPDX-License-Identifier: MIT */
#include "gateway/edge/handshake.h"

#include "gateway/config.h"
#include "tests/unit/unit.h"

#define REPEATED "\x01" /* stands for a field that came twice */
#define TOO_LONG "\x02"

static struct config config;

static void put(struct handshake_request *r, enum handshake_field field, const char *text)
{
    struct handshake_value *v = &r->fields[field];
    v->text = str_from("");
    if (text == NULL) {
        v->state = VALUE_ABSENT;
    } else if (strcmp(text, REPEATED) == 0) {
        v->state = VALUE_REPEATED;
    } else if (strcmp(text, TOO_LONG) == 0) {
        v->state = VALUE_TOO_LONG;
    } else {
        v->state = VALUE_ONE;
        v->text = str_from(text);
    }
}

/* The example of RFC 6455, section 1.3. */
static struct handshake_request good_request(void)
{
    struct handshake_request r = {.method = STR("GET"), .path = STR("/ws")};
    for (enum handshake_field f = 0; f < FIELD_COUNT; f++) {
        put(&r, f, NULL);
    }
    put(&r, FIELD_HTTP_VERSION, "HTTP/1.1");
    put(&r, FIELD_HOST, "server.example.com");
    put(&r, FIELD_UPGRADE, "websocket");
    put(&r, FIELD_CONNECTION, "Upgrade");
    put(&r, FIELD_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
    put(&r, FIELD_WS_VERSION, "13");
    return r;
}

static struct handshake_door open_door(void)
{
    config.client.allow_no_origin = true;
    return (struct handshake_door){.config = &config, .path = "/ws"};
}

static unsigned upgrade_status(const struct handshake_request *r, const struct handshake_door *door)
{
    struct refusal why;
    return handshake_check(r, door, &why) ? 101 : why.status;
}

static const struct {
    enum handshake_field field;
    const char *text;
    unsigned status;
} rows[] = {
    {FIELD_HTTP_VERSION, "HTTP/1.0", 400},
    {FIELD_HTTP_VERSION, "HTTP/9.9", 505},
    {FIELD_HTTP_VERSION, "HTTP/1.10", 505},
    {FIELD_HTTP_VERSION, NULL, 505},
    {FIELD_HOST, NULL, 400},
    {FIELD_HOST, REPEATED, 400},
    {FIELD_HOST, TOO_LONG, 400},
    {FIELD_CONNECTION, NULL, 400},
    {FIELD_CONNECTION, "close", 400},
    {FIELD_CONNECTION, "up", 400},
    {FIELD_CONNECTION, "upgraded", 400},
    {FIELD_CONNECTION, "close upgrade", 400},
    {FIELD_CONNECTION, "upgrade", 101},
    {FIELD_CONNECTION, "keep-alive, Upgrade", 101},
    {FIELD_CONNECTION, "keep-alive,UPGRADE ,x", 101},
    {FIELD_CONNECTION, ",,\tUpgrade\t", 101},
    {FIELD_UPGRADE, NULL, 400},
    {FIELD_UPGRADE, "h2c", 400},
    {FIELD_UPGRADE, "foo", 400},
    {FIELD_UPGRADE, "websocket, h2c", 400},
    {FIELD_UPGRADE, REPEATED, 400},
    {FIELD_UPGRADE, "WebSocket", 101},
    {FIELD_KEY, NULL, 400},
    {FIELD_KEY, "", 400},
    {FIELD_KEY, "abc=", 400},
    {FIELD_KEY, "dGhlIHNhbXBsZSBub25jZQ=", 400},
    {FIELD_KEY, "dGhlIHNhbXBsZSBub25jZQ===", 400},
    {FIELD_KEY, "dGhlIHNhbXBsZSBub25jZXg=", 400}, /* 17 bytes */
    {FIELD_KEY, "dGhlIHNhbXBsZSBub25j!Q==", 400},
    {FIELD_KEY, "dGhlIHNhbXBsZSBub25jZ Q==", 400},
    {FIELD_KEY, REPEATED, 400},
    {FIELD_KEY, TOO_LONG, 400},
    {FIELD_WS_VERSION, NULL, 426},
    {FIELD_WS_VERSION, "8", 426},
    {FIELD_WS_VERSION, "99", 426},
    {FIELD_WS_VERSION, "13, 8", 426},
    {FIELD_WS_VERSION, "013", 426},
    {FIELD_WS_VERSION, REPEATED, 426},
    {FIELD_CONTENT_LENGTH, "0", 101},
    {FIELD_CONTENT_LENGTH, "5", 400},
    {FIELD_CONTENT_LENGTH, "-1", 400},
    {FIELD_CONTENT_LENGTH, "0x0", 400},
    {FIELD_CONTENT_LENGTH, REPEATED, 400},
    {FIELD_TRANSFER_ENCODING, "chunked", 400},
    {FIELD_TRANSFER_ENCODING, "identity", 400},
    {FIELD_EXTENSIONS, "permessage-deflate; server_max_window_bits=99", 101},
    {FIELD_EXTENSIONS, REPEATED, 400},
    {FIELD_EXTENSIONS, TOO_LONG, 400},
    {FIELD_PROTOCOL, "parley.v1", 101},
    {FIELD_ORIGIN, "http://server.example.com", 101},
    {FIELD_ORIGIN, "http://evil.example", 403},
    {FIELD_ORIGIN, "null", 403},
    {FIELD_ORIGIN, "", 403},
    {FIELD_ORIGIN, REPEATED, 403},
    {FIELD_ORIGIN, TOO_LONG, 403},
    {FIELD_PROXY_LINE, "TCP4 1.2.3.4 5.6.7.8 1 2", 400},
};

START_TEST(each_bad_field_gets_its_status)
{
    struct handshake_door door = open_door();
    struct handshake_request r = good_request();
    ck_assert_uint_eq(upgrade_status(&r, &door), 101);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        r = good_request();
        put(&r, rows[i].field, rows[i].text);
        unsigned status = upgrade_status(&r, &door);
        ck_assert_msg(status == rows[i].status, "row %zu (\"%s\"): %u, not %u", i,
                      rows[i].text == NULL ? "absent" : rows[i].text, status, rows[i].status);
    }
}
END_TEST

START_TEST(an_offer_that_libwebsockets_would_choke_on_is_refused_with_a_status)
{
    struct handshake_door door = open_door();
    struct handshake_request r = good_request();
    char offer[300];
    memset(offer, 'a', sizeof(offer));
    r.fields[FIELD_EXTENSIONS] = (struct handshake_value){{offer, 250}, VALUE_ONE};
    ck_assert_uint_eq(upgrade_status(&r, &door), 101);
    r.fields[FIELD_EXTENSIONS].text.len = 251;
    ck_assert_uint_eq(upgrade_status(&r, &door), 400);
}
END_TEST

START_TEST(only_the_one_path_upgrades)
{
    static const char *const paths[] = {"/", "/ws/", "/w", "/wsx", "/WS", "ws", "", "http:/h/ws"};
    struct handshake_door door = open_door();
    struct handshake_request r = good_request();
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        r.path = str_from(paths[i]);
        ck_assert_uint_eq(upgrade_status(&r, &door), 404);
    }
    r.path = STR("/ws");
    door.path = NULL; /* the admin listener */
    ck_assert_uint_eq(upgrade_status(&r, &door), 404);
}
END_TEST

START_TEST(only_get_upgrades)
{
    static const char *const methods[] = {"POST", "PUT", "HEAD", "OPTIONS", "get", ""};
    struct handshake_door door = open_door();
    struct handshake_request r = good_request();
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        r.method = str_from(methods[i]);
        ck_assert_uint_eq(upgrade_status(&r, &door), 405);
    }
}
END_TEST

START_TEST(no_origin_passes_only_where_the_setting_says_so)
{
    struct handshake_door door = open_door();
    struct handshake_request r = good_request();
    config.client.allow_no_origin = false;
    ck_assert_uint_eq(upgrade_status(&r, &door), 403);
    put(&r, FIELD_ORIGIN, "https://server.example.com");
    ck_assert_uint_eq(upgrade_status(&r, &door), 101);
}
END_TEST

START_TEST(a_gateway_that_drains_or_is_full_says_come_back)
{
    struct handshake_door door = open_door();
    struct handshake_request r = good_request();
    struct refusal why;
    door.draining = true;
    door.full = true;
    ck_assert(!handshake_check(&r, &door, &why));
    ck_assert_uint_eq(why.status, 503);
    ck_assert_str_eq(why.code, "draining");
    door.draining = false;
    ck_assert(!handshake_check(&r, &door, &why));
    ck_assert_uint_eq(why.status, 503);
    ck_assert_str_eq(why.code, "full");
    ck_assert_uint_eq(why.spread_s, HANDSHAKE_SPREAD_S);
    door.full = false;
    door.no_memory = true;
    door.crowded = true;
    ck_assert(!handshake_check(&r, &door, &why));
    ck_assert_str_eq(why.code, "no_memory");
    ck_assert_uint_eq(why.status, 503);
    door.no_memory = false;
    ck_assert(!handshake_check(&r, &door, &why));
    ck_assert_str_eq(why.code, "too_many");
    ck_assert_uint_eq(why.status, 503);
    ck_assert(!handshake_is_open(&door, &why));
    ck_assert_str_eq(why.code, "too_many");
    /* Whoever may not come in at all is not asked to come back. */
    put(&r, FIELD_ORIGIN, "http://evil.example");
    ck_assert(!handshake_check(&r, &door, &why));
    ck_assert_uint_eq(why.status, 403);
    ck_assert_uint_eq(why.spread_s, 0);
    door.crowded = false;
    ck_assert(handshake_is_open(&door, &why));
}
END_TEST

static const struct {
    const char *method;
    enum handshake_field field;
    const char *text;
    unsigned status;
} plain_rows[] = {
    {"GET", FIELD_HOST, "h", 200},
    {"HEAD", FIELD_HOST, "h", 200},
    {"POST", FIELD_HOST, "h", 405},
    {"OPTIONS", FIELD_HOST, "h", 405},
    {"GET", FIELD_HOST, NULL, 400},
    {"GET", FIELD_HOST, REPEATED, 400},
    {"GET", FIELD_UPGRADE, "h2c", 400},
    {"GET", FIELD_CONTENT_LENGTH, "3", 400},
    {"GET", FIELD_TRANSFER_ENCODING, "chunked", 400},
    {"GET", FIELD_HTTP_VERSION, "HTTP/2.0", 505},
    {"GET", FIELD_HTTP_VERSION, "HTTP/1.0", 200},
    {"GET", FIELD_PROXY_LINE, "TCP4", 400},
};

START_TEST(plain_requests_meet_the_same_rules_of_http)
{
    for (size_t i = 0; i < ARRAY_LEN(plain_rows); i++) {
        struct handshake_request r = good_request();
        struct refusal why;
        put(&r, FIELD_UPGRADE, NULL);
        r.path = STR("/");
        r.method = str_from(plain_rows[i].method);
        put(&r, plain_rows[i].field, plain_rows[i].text);
        unsigned status = handshake_check_plain(&r, &why) ? 200 : why.status;
        ck_assert_msg(status == plain_rows[i].status, "row %zu: %u, not %u", i, status,
                      plain_rows[i].status);
    }
    struct handshake_request old = good_request();
    struct refusal why;
    put(&old, FIELD_UPGRADE, NULL);
    put(&old, FIELD_HTTP_VERSION, "HTTP/1.0");
    put(&old, FIELD_HOST, NULL);
    ck_assert_msg(handshake_check_plain(&old, &why), "HTTP/1.0 needs no Host");
}
END_TEST

UNIT_MAIN("handshake", each_bad_field_gets_its_status,
          an_offer_that_libwebsockets_would_choke_on_is_refused_with_a_status,
          only_the_one_path_upgrades, only_get_upgrades,
          no_origin_passes_only_where_the_setting_says_so,
          a_gateway_that_drains_or_is_full_says_come_back,
          plain_requests_meet_the_same_rules_of_http)
