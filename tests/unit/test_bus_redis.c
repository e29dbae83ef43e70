/* SPDX-License-Identifier: MIT */
/* The Redis bus when there are several gateways, and when things go wrong. */
#include "tests/unit/bus_fixture.h"

#include "common/log.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct server server;
static struct loop *loop;
static struct station one, two;
static struct place here, there;
static struct waiter w, w2;

static bool ready(const struct station *st)
{
    struct bus_health health;
    bus_health(st->bus, &health);
    return health.ready;
}

static void setup(void)
{
    server_open(&server, NULL);
    loop = loop_new();
    station_open(&one, loop, server.url, "one");
    station_open(&two, loop, server.url, "two");
    UNTIL(loop, ready(&one) && ready(&two) && one.stats.gateways == 2 && two.stats.gateways == 2);
}

static void teardown(void)
{
    station_free(&one);
    station_free(&two);
    loop_free(loop);
    server_close(&server);
}

static const char *id_of(const struct station *st)
{
    static char ids[4][96];
    static unsigned next;
    char *id = ids[next++ % 4];
    snprintf(id, 96, "%.*s", STR_ARG(bus_gateway_id(st->bus)));
    return id;
}

static void open_both(void)
{
    place_open(&here, &one, "general");
    place_open(&there, &two, "general");
}

START_TEST(all_gateways_hear_one_order)
{
    static struct waiter many[200];
    open_both();
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        struct place *p = i % 2 == 0 ? &here : &there;
        bus_publish(p->station->bus, p->room, STR("u"), STR(""), STR("{}"), waiting(&many[i]));
        if (i % 7 == 0) {
            turn(loop);
        }
    }
    UNTIL(loop, heard(&one, "\"offset\":200,") && heard(&two, "\"offset\":200,"));
    ck_assert_str_eq(one.heard, two.heard);
    ck_assert_uint_eq(one.stats.published + two.stats.published, 200);
}
END_TEST

START_TEST(a_digest_reaches_the_others_and_not_oneself)
{
    char want[256];
    open_both();
    ck_assert_int_eq(be_present(&here, 1, 0xab, "bob"), BUS_OK);
    snprintf(want, sizeof(want), "digest general %s 1:1 +bob\n", id_of(&one));
    UNTIL(loop, heard(&two, want));
    ck_assert_int_eq(be_present(&here, 2, 0xab, ""), BUS_OK);
    snprintf(want, sizeof(want), "digest general %s 2:0 -somebody\n", id_of(&one));
    UNTIL(loop, heard(&two, want));
    ck_assert_str_eq(one.heard, "");
}
END_TEST

START_TEST(registers_are_in_redis_as_documented)
{
    char want[256];
    char ask[256];
    open_both();
    ck_assert_int_eq(be_present(&here, 5, 0xab, "bob"), BUS_OK);
    snprintf(want, sizeof(want), "%s 5:1 ", id_of(&one));
    ck_assert_str_eq(server_text(&server, "HGETALL parley:room:{general}:online"), want);
    snprintf(ask, sizeof(ask), "HGETALL parley:room:{general}:members:%s", id_of(&one));
    ck_assert_str_eq(server_text(&server, ask), "ab bob ");
    snprintf(ask, sizeof(ask), "SMEMBERS parley:gateway:%s:rooms", id_of(&one));
    ck_assert_str_eq(server_text(&server, ask), "general ");
    ck_assert_int_eq(server_int(&server, "PTTL parley:room:{general}:meta"), -1);
    ck_assert_int_eq(be_present(&here, 6, 0xab, ""), BUS_OK);
    UNTIL(loop, server_int(&server, "EXISTS parley:room:{general}:online") == 0);
    UNTIL(loop, strcmp(server_text(&server, ask), "") == 0);
    ck_assert_int_gt(server_int(&server, "PTTL parley:room:{general}:meta"), 3600000);
}
END_TEST

START_TEST(a_lower_version_replaces_nothing)
{
    char want[256];
    open_both();
    ck_assert_int_eq(be_present(&here, 5, 0xab, "bob"), BUS_OK);
    ck_assert_int_eq(be_present(&here, 4, 0xab, "eve"), BUS_OK);
    ck_assert_int_eq(be_present(&here, 5, 0xab, "eve"), BUS_OK);
    snprintf(want, sizeof(want), "HGETALL parley:room:{general}:members:%s", id_of(&one));
    ck_assert_str_eq(server_text(&server, want), "ab bob ");
    ck_assert_uint_eq(heard_times(&two, "digest"), 1);
}
END_TEST

START_TEST(a_signal_is_the_others_on_other_gateways)
{
    open_both();
    bus_signal(one.bus, here.room, 255, STR("{\"type\":\"signal\"}"), waiting(&w));
    UNTIL(loop, heard(&one, "signal general own 255 ") && heard(&two, "signal general other 255 "));
}
END_TEST

START_TEST(a_direct_message_reaches_every_gateway_of_its_user)
{
    static struct place bob, bob2;
    place_open_user(&bob, &one, "bob");
    place_open_user(&bob2, &two, "bob");
    bus_direct(one.bus, STR("bob"), STR("eve"), STR(""),
               STR("{\"type\":\"direct\",\"data\":{\"text\":\"hi\"}}"), waiting(&w));
    UNTIL(loop, heard(&one, "direct bob") && heard(&two, "direct bob"));
    bus_direct(one.bus, STR("bob"), STR("eve"), STR(""), STR("{\"type\":\"chat\"}"), waiting(&w));
    UNTIL(loop, one.stats.dropped[DROP_BAD_PAYLOAD] == 1);
}
END_TEST

START_TEST(pages_of_members_go_over_all_gateways)
{
    char seen[512] = "";
    open_both();
    ck_assert_int_eq(be_present(&here, 1, 1, "bob"), BUS_OK);
    ck_assert_int_eq(be_present(&there, 1, 1, "eve"), BUS_OK);
    do {
        char cursor[256];
        snprintf(cursor, sizeof(cursor), "%s", w.cursor);
        bus_members(one.bus, STR("general"), str_from(cursor), 1, waiting(&w));
        UNTIL(loop, w.times == 1);
        size_t len = strlen(seen);
        snprintf(seen + len, sizeof(seen) - len, "%.100s", w.text);
    } while (w.cursor[0] != '\0');
    ck_assert(strcmp(seen, "bob=1 eve=1 ") == 0 || strcmp(seen, "eve=1 bob=1 ") == 0);
}
END_TEST

START_TEST(a_closed_room_stays_subscribed_for_a_second)
{
    const char *count = "PUBSUB NUMSUB parley:room:{general}";
    place_open(&here, &one, "general");
    bus_close_room(one.bus, here.room);
    let_run(loop, 300);
    ck_assert_str_eq(server_text(&server, count), "parley:room:{general} 1 ");
    place_open(&here, &one, "general");
    let_run(loop, 1200);
    ck_assert_str_eq(server_text(&server, count), "parley:room:{general} 1 ");
    bus_close_room(one.bus, here.room);
    UNTIL(loop, strcmp(server_text(&server, count), "parley:room:{general} 0 ") == 0);
}
END_TEST

static void publish_raw(const char *channel, const char *payload, size_t len)
{
    server_do(&server, "PING"); /* opens the connection */
    redisReply *reply = redisCommand(server.client, "PUBLISH %s %b", channel, payload, len);
    ck_assert_int_eq(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
}

static const struct {
    const char *payload;
    size_t len;
} rubbish[] = {
#define P(text)                \
    {                          \
        text, sizeof(text) - 1 \
    }
    P(""),
    P("\n"),
    P("hello"),
    P("log"),
    P("log "),
    P("log 0123456789abcdef"),
    P("log 0123456789abcdef 1"),
    P("log 0123456789abcdef 1\n"),
    P("log 0123456789abcdef 0\n{}"),
    P("log 0123456789abcdef -1\n{}"),
    P("log 0123456789abcdef 1 2\n{}"),
    P("log 0123456789abcdef 18446744073709551616\n{}"),
    P("log 0123456789abcdef 9007199254740993\n{}"),
    P("log 0123456789ABCDEF 1\n{}"),
    P("log 0123456789abcde 1\n{}"),
    P("log 0123456789abcdef 1\n\n{}"),
    P("log 0123456789abcdef 1\nx"),
    P("log 0123456789abcdef 1\n{\"a\":\"\xff\"}"),
    P("log 0123456789abcdef 1\n{\"a\":\"\xed\xa0\x80\"}"),
    P("log 0123456789abcdef 1\n{\0}"),
    P("log 0123456789abcdef 1\n{\t}"),
    P("log 0123456789abcdef 1\n{}\r"),
    P("log 0123456789abcdef 1\n{\"a\":1"),
    P("log 0123456789abcdef 1\n{} "),
    P("pres"),
    P("pres gw"),
    P("pres gw 1"),
    P("pres gw 1 x"),
    P("pres gw 1 1\n"
      "bob"),
    P("pres gw 1 1\n+"),
    P("pres gw 1 1\n+a{b"),
    P("pres gw 1 1\n+a\x01"),
    P("pres gw 1 1\n**"),
    P("pres g/w 1 1"),
    P("pres  1 1"),
    P("pres gw 99999999999999999999 1"),
    P("pres gw 1 1\n+\xff"),
    P("sig"),
    P("sig gw"),
    P("sig gw 12"),
    P("sig gw xyz\n{}"),
    P("sig gw 12\nx"),
    P("sig gw 12\n{}\n{}"),
    P("sig gw 12345678901234567\n{}"),
    P("sig gw 12\n{\"\xc0\xaf\"}"),
    P("{"),
    P("{}"),
    P("{\"type\":\"chat\"}"),
    P("{\"type\":\"chat\",\"data\":{}}"),
    P("{\"type\":\"chat\",\"data\":{\"text\":1}}"),
    P("{\"type\":\"chat\",\"data\":[]}"),
    P("{\"type\":\"chat\",\"offset\":5,\"data\":{\"text\":\"x\"}}"),
    P("{\"type\":\"welcome\",\"data\":{\"text\":\"x\"}}"),
    P("{\"type\":\"signal\",\"data\":{\"text\":\"x\"}}"),
    P("{\"type\":\"chat\",\"data\":{\"text\":\"x\"}} "
      "x"),
    P("{\"type\":\"chat\",\n\"data\":{\"text\":\"x\"}}"),
    P("{\"type\":\"chat\",\"data\":{\"text\":\"\xff\"}}"),
    P("{\"type\":\"chat\",\"type\":\"chat\",\"data\":{\"text\":\"x\"}}"),
    P("{\"type\":\"chat\",\"data\":{\"text\":\"x\\u0000\"}}"),
    P("{\"type\":\"direct\",\"data\":{\"text\":\"x\"}}"),
    P("beat 1"),
#undef P
};

START_TEST(rubbish_on_a_channel_is_counted_and_goes_nowhere)
{
    char *huge = calloc(1, 7 << 20);
    log_set_level(LOG_LEVEL_ERROR);
    place_open(&here, &one, "general");
    for (size_t i = 0; i < ARRAY_LEN(rubbish); i++) {
        publish_raw("parley:room:{general}", rubbish[i].payload, rubbish[i].len);
        UNTIL(loop, one.stats.dropped[DROP_BAD_PAYLOAD] >= i + 1 || one.heard_len > 0);
        ck_assert_msg(one.heard_len == 0, "%zu: %s", i, one.heard);
    }
    memset(huge, 'x', 7 << 20);
    memcpy(huge, "log 0123456789abcdef 1\n{", 24);
    publish_raw("parley:room:{general}", huge, 7 << 20);
    UNTIL(loop, one.stats.dropped[DROP_BAD_PAYLOAD] == ARRAY_LEN(rubbish) + 1);
    ck_assert_int_eq(say(&here, "bob", "", "still here", NULL), BUS_OK);
    UNTIL(loop, heard(&one, "still here"));
    free(huge);
}
END_TEST

/* A fixed stream of pseudo-random numbers: a failure can be repeated. */
static uint32_t drawn(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

START_TEST(broken_payloads_of_all_kinds_crash_nothing)
{
    static const char batch[] = "log 0123456789abcdef 7\n{\"text\":\"hi\"}\n{}";
    static const char *const good[] = {
        batch,
        "pres gw-12345678 3 2\n+bob\n-eve\n~joe\n*",
        "sig gw-12345678 ab12\n{\"type\":\"signal\"}",
        "{\"type\":\"chat\",\"data\":{\"text\":\"hi\"}}",
    };
    uint32_t seed = 1;
    size_t sent = 0;
    place_open(&here, &one, "general");
    for (int i = 0; i < 4000; i++) {
        char text[256];
        const char *from = good[drawn(&seed) % ARRAY_LEN(good)];
        size_t len = strlen(from);
        memcpy(text, from, len);
        for (uint32_t n = drawn(&seed) % 4; n > 0; n--) {
            text[drawn(&seed) % len] = (char)drawn(&seed);
        }
        len -= drawn(&seed) % 3 == 0 ? drawn(&seed) % len : 0;
        publish_raw("parley:room:{general}", text, len);
        sent++;
        if (i % 50 == 0) {
            turn(loop);
            forget(&one);
        }
    }
    UNTIL(loop, say(&here, "bob", "", "the end", NULL) == BUS_OK && heard(&one, "the end"));
    ck_assert_uint_gt(sent, one.stats.dropped[DROP_BAD_PAYLOAD]);
    ck_assert_uint_gt(one.stats.dropped[DROP_BAD_PAYLOAD], 1000);
}
END_TEST

START_TEST(an_outsiders_message_is_relayed_unlogged)
{
    open_both();
    const char *text = "{\"type\":\"chat\",\"data\":{\"text\":\"hello\"}}";
    publish_raw("parley:room:{general}", text, strlen(text));
    UNTIL(loop,
          heard(&one, "signal general other 0 {\"type\":\"chat\",\"data\":{\"text\":\"hello\"}}"));
    UNTIL(loop, heard(&two, "signal general other 0 "));
}
END_TEST

START_TEST(the_documented_redis_cli_line_publishes_with_an_offset)
{
    open_both();
    ck_assert_int_eq(say(&here, "bob", "", "first", NULL), BUS_OK);
    server_do(&server,
              "FCALL parley1_publish 2 parley:room:{general}:log parley:room:{general}:meta "
              "parley:room:{general}   100 3600000 300000 1 "
              "{\"room\":\"general\",\"from\":\"system\",\"text\":\"Hello\",\"ts\":1790000000}");
    UNTIL(loop, heard(&one, "log general 2+1 {\"type\":\"chat\",\"offset\":2,\"data\":{\"room\":"));
    UNTIL(loop, heard(&two, "log general 2+1 "));
    ck_assert_int_eq(say(&here, "bob", "", "third", NULL), BUS_OK);
    UNTIL(loop, heard(&two, "log general 3+1 "));
}
END_TEST

START_TEST(a_forged_beat_proves_nothing)
{
    char channel[128];
    snprintf(channel, sizeof(channel), "parley:gateway:%s", id_of(&one));
    publish_raw(channel, "beat 12", 7);
    publish_raw(channel, "beat", 4);
    publish_raw(channel, "leave", 5);
    UNTIL(loop, one.stats.dropped[DROP_BAD_PAYLOAD] == 2);
    ck_assert(ready(&one));
}
END_TEST

START_TEST(foreign_fields_among_the_registers_are_left_out)
{
    server_do(&server,
              "HSET parley:room:{general}:online bad/gw 1:1 gw-x rubbish gw-y 1: gw-z -1:2 "
              "gw-ok 3:4 gw-huge 99999999999999999999:1");
    place_open(&here, &one, "general");
    ck_assert_str_eq(here.state + BUS_EPOCH_LEN, " 0 gw-ok=3:4");
}
END_TEST

START_TEST(a_full_redis_refuses_and_nothing_is_delivered)
{
    open_both();
    struct bus_health health;
    server_do(&server, "CONFIG SET maxmemory 1");
    ck_assert_int_eq(say(&here, "bob", "", "lost", NULL), BUS_UNAVAILABLE);
    bus_health(one.bus, &health);
    ck_assert_msg(strncmp(health.publish, "publish is refused: OOM", 23) == 0, "%s",
                  health.publish);
    ck_assert(health.ready); /* the other gateways are no better off */
    server_do(&server, "CONFIG SET maxmemory 0");
    ck_assert_int_eq(say(&here, "bob", "", "kept", NULL), BUS_OK);
    UNTIL(loop, heard(&two, "kept"));
    ck_assert(!heard(&two, "lost"));
    ck_assert(heard(&two, "log general 1+1"));
    ck_assert_uint_eq(one.stats.command_errors[COMMAND_PUBLISH], 1);
}
END_TEST

START_TEST(what_was_said_can_be_read_while_redis_refuses_to_write)
{
    static const char *const refusals[][2] = {
        {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"},
        {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
    };
    open_both();
    ck_assert_int_eq(say(&here, "bob", "", "kept", NULL), BUS_OK);
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        server_do(&server, refusals[i][0]);
        ck_assert_int_eq(say(&here, "bob", "", "lost", NULL), BUS_UNAVAILABLE);
        bus_read(one.bus, here.room, (struct str){here.state, BUS_EPOCH_LEN}, 1, 9, waiting(&w));
        UNTIL(loop, w.times == 1);
        ck_assert_int_eq(w.err, BUS_OK);
        ck_assert_uint_eq(w.count, 1);
        ck_assert(strstr(w.text, "kept") != NULL && !w.other_epoch);
        server_do(&server, refusals[i][1]);
    }
}
END_TEST

START_TEST(a_read_tells_that_the_epoch_is_over)
{
    open_both();
    ck_assert_int_eq(say(&here, "bob", "", "gone", NULL), BUS_OK);
    server_do(&server, "DEL parley:room:{general}:meta");
    bus_read(one.bus, here.room, (struct str){here.state, BUS_EPOCH_LEN}, 1, 9, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
    ck_assert(w.count == 0 && w.other_epoch);
}
END_TEST

START_TEST(a_full_redis_for_a_while_reaps_nobody)
{
    one.config.redis.lease_ms = two.config.redis.lease_ms = 1000;
    server_do(&server, "CONFIG SET maxmemory 1");
    let_run(loop, 4000);
    server_do(&server, "CONFIG SET maxmemory 0");
    let_run(loop, 1500);
    ck_assert_str_eq(one.heard, "");
    ck_assert_str_eq(two.heard, "");
    ck_assert_uint_eq(one.stats.gateways, 2);
}
END_TEST

START_TEST(a_redis_that_became_a_replica_is_left_and_comes_back_as_another)
{
    struct bus_position before;
    struct bus_position after;
    struct bus_health health;
    open_both();
    ck_assert_int_eq(say(&here, "bob", "", "first", &before), BUS_OK);
    server_do(&server, "REPLICAOF 127.0.0.1 1");
    ck_assert_int_eq(say(&here, "bob", "", "lost", NULL), BUS_UNAVAILABLE);
    do {
        turn(loop);
        bus_health(one.bus, &health);
    } while (strstr(health.publish, "READONLY") == NULL ||
             strstr(health.subscribe, "READONLY") == NULL);
    ck_assert(!health.ready);
    server_do(&server, "REPLICAOF NO ONE");
    ck_assert_int_eq(say(&here, "bob", "", "kept", &after), BUS_OK);
    ck_assert_mem_ne(before.epoch, after.epoch, BUS_EPOCH_LEN); /* its data may be another's now */
    ck_assert_uint_eq(after.offset, before.offset + 1);
    UNTIL(loop, ready(&one) && ready(&two));
    ck_assert_int_eq(say(&there, "bob", "", "more", &before), BUS_OK);
    ck_assert_mem_eq(before.epoch, after.epoch, BUS_EPOCH_LEN); /* and both see it so */
}
END_TEST

START_TEST(the_requests_that_wait_are_bounded)
{
    static struct waiter many[40];
    static char line[1 << 16];
    static const char text[] = "{\"type\":\"direct\",\"data\":{\"text\":\"x\"}}";
    size_t refused = 0;
    open_both();
    memset(line, ' ', sizeof(line));
    memcpy(line, text, sizeof(text) - 1);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        bus_direct(one.bus, STR("bob"), STR("eve"), STR(""), (struct str){line, sizeof(line)},
                   waiting(&many[i]));
    }
    bus_signal(one.bus, here.room, 1, (struct str){line, sizeof(line)}, waiting(&w));
    bus_members(one.bus, STR("general"), STR(""), 5, waiting(&w2));
    ck_assert_uint_eq(many[39].times, 0); /* never from inside the call */
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        UNTIL(loop, many[i].times == 1);
        refused += many[i].err == BUS_UNAVAILABLE ? 1 : 0;
    }
    ck_assert_uint_eq(refused, 25); /* of 40 times 64 KiB, 15 fit into a MiB */
    ck_assert_int_eq(w.err, BUS_UNAVAILABLE);
    ck_assert_int_eq(w2.err, BUS_OK); /* so little fits beside them */
    bus_signal(one.bus, here.room, 1, STR("{}"), waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
}
END_TEST

START_TEST(a_busy_redis_is_unavailable)
{
    open_both();
    server_do(&server, "CONFIG SET busy-reply-threshold 50");
    redisContext *other = redisConnectUnix(server.url + strlen("unix://"));
    redisAppendCommand(other, "EVAL %s 0", "while true do end");
    int done = 0;
    while (!done) {
        ck_assert_int_eq(redisBufferWrite(other, &done), REDIS_OK);
    }
    let_run(loop, 200);
    ck_assert_int_eq(say(&here, "bob", "", "lost", NULL), BUS_UNAVAILABLE);
    UNTIL(loop, !ready(&one));
    server_do(&server, "SCRIPT KILL");
    uint64_t over_ms = clock_now_ms();
    UNTIL(loop, ready(&one)); /* whatever passes shows it: the renewal */
    ck_assert_uint_lt(clock_now_ms() - over_ms, 2000);
    UNTIL(loop, say(&here, "bob", "", "kept", NULL) == BUS_OK);
    UNTIL(loop, heard(&two, "kept"));
    ck_assert(!heard(&two, "lost"));
    redisFree(other);
}
END_TEST

START_TEST(a_wrong_type_refuses_the_open_and_heals)
{
    here = (struct place){.station = &one, .name = "general"};
    server_do(&server, "SET parley:room:{general}:online x");
    here.room = bus_open_room(one.bus, STR("general"), &here, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_REFUSED);
    server_do(&server, "DEL parley:room:{general}:online");
    UNTIL(loop, heard(&one, "synced general"));
}
END_TEST

START_TEST(flushed_functions_are_loaded_again)
{
    open_both();
    server_do(&server, "FUNCTION FLUSH");
    static struct waiter many[50];
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        bus_publish(one.bus, here.room, STR("bob"), STR(""), STR("{}"), waiting(&many[i]));
        bus_publish(two.bus, there.room, STR("eve"), STR(""), STR("{}"), waiting(&w));
        turn(loop);
    }
    UNTIL(loop, many[49].times == 1 && heard(&one, "\"offset\":100,"));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        ck_assert_int_eq(many[i].err, BUS_OK);
        ck_assert(i == 0 || many[i].position.offset > many[i - 1].position.offset);
    }
}
END_TEST

START_TEST(a_strange_library_of_our_name_ends_in_a_refusal)
{
    open_both();
    server_do(&server, "FUNCTION FLUSH");
    server_do(&server, "PING");
    redisReply *reply = redisCommand(
        server.client, "FUNCTION LOAD %s",
        "#!lua name=parley1\nredis.register_function('other', function() return 1 end)");
    ck_assert_int_eq(reply->type, REDIS_REPLY_STRING);
    freeReplyObject(reply);
    ck_assert_int_eq(say(&here, "bob", "", "lost", NULL), BUS_REFUSED);
}
END_TEST

START_TEST(the_publish_buffer_is_bounded)
{
    static struct waiter many[20];
    static char data[1 << 16];
    size_t refused = 0;
    open_both();
    memset(data, 'x', sizeof(data));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        bus_publish(one.bus, here.room, STR("bob"), STR(""), (struct str){data, sizeof(data)},
                    waiting(&many[i]));
    }
    UNTIL(loop, many[19].times == 1 && many[0].times == 1);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        refused += many[i].err == BUS_UNAVAILABLE ? 1 : 0;
    }
    ck_assert_uint_eq(refused, 5); /* of 20 times 64 KiB, 15 fit into a MiB */
    UNTIL(loop, many[14].times == 1);
    ck_assert_int_eq(say(&here, "bob", "", "fits again", NULL), BUS_OK);
}
END_TEST

START_TEST(a_killed_subscriber_comes_back_and_tells_the_state)
{
    char want[64];
    open_both();
    server_do(&server, "CLIENT KILL TYPE pubsub");
    UNTIL(loop, heard(&one, "lost general\n") && heard(&two, "lost general\n"));
    ck_assert_int_eq(say(&there, "bob", "", "missed", NULL), BUS_OK);
    UNTIL(loop, heard(&one, "synced general ") && heard(&two, "synced general "));
    snprintf(want, sizeof(want), "synced general %.16s 1", here.state);
    ck_assert(heard(&one, want) || heard(&one, "log general 1+1"));
    ck_assert_int_eq(say(&there, "bob", "", "live", NULL), BUS_OK);
    UNTIL(loop, heard(&one, "live"));
    ck_assert_uint_eq(heard_times(&one, "lost general"), 1);
    ck_assert_uint_eq(heard_times(&one, "synced general"), 1);
    UNTIL(loop, ready(&one));
    ck_assert_uint_eq(one.stats.reconnects[LINK_SUBSCRIBE], 1);
    ck_assert(!heard(&one, "identity"));
}
END_TEST

START_TEST(what_was_denied_counts_until_it_passes)
{
    open_both();
    server_do(&server, "ACL SETUSER default -fcall");
    ck_assert_int_eq(say(&here, "bob", "", "lost", NULL), BUS_UNAVAILABLE);
    ck_assert(!ready(&one));
    let_run(loop, 1200); /* other commands pass, and show nothing */
    ck_assert(!ready(&one));
    server_do(&server, "ACL SETUSER default +fcall");
    ck_assert_int_eq(say(&here, "bob", "", "kept", NULL), BUS_OK);
    ck_assert(ready(&one));
}
END_TEST

/* Else an outage of a few seconds is followed by a few more, in which the last beat is too old. */
START_TEST(a_beat_follows_at_once_when_a_link_is_back)
{
    static const char *const kinds[] = {"CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal"};
    const uint64_t *beats = &one.stats.relay_latency.count;
    one.config.redis.tick_ms = 60000; /* no other beat */
    let_run(loop, 600);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        uint64_t before = *beats;
        server_do(&server, kinds[i]);
        UNTIL(loop, *beats > before);
    }
}
END_TEST

START_TEST(a_killed_command_link_loses_no_idempotent_call)
{
    open_both();
    server_do(&server, "CLIENT PAUSE 300 ALL"); /* so that calls are under way */
    bus_members(one.bus, STR("general"), STR(""), 5, waiting(&w));
    bus_publish(one.bus, here.room, STR("bob"), STR(""), STR("{}"), waiting(&w2));
    let_run(loop, 50);
    ck_assert_uint_eq(w.times + w2.times, 0);
    redisFree(
        server.client); /* it is paused, too: the kernel closes the gateway's sockets instead */
    server.client = NULL;
    server_kill(&server);
    UNTIL(loop, w2.times == 1);
    ck_assert_int_eq(w2.err, BUS_UNKNOWN);
    ck_assert_uint_eq(w.times, 0);
    server_start(&server, NULL);
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
}
END_TEST

START_TEST(a_restarted_redis_begins_a_new_epoch_and_asks_for_all_registers)
{
    char before[BUS_EPOCH_LEN];
    struct bus_position position;
    open_both();
    ck_assert_int_eq(be_present(&here, 1, 1, "bob"), BUS_OK);
    ck_assert_int_eq(say(&here, "bob", "", "old", &position), BUS_OK);
    memcpy(before, position.epoch, sizeof(before));
    server_kill(&server);
    UNTIL(loop, heard(&one, "lost general") && heard(&two, "lost general"));
    bus_publish(one.bus, here.room, STR("bob"), STR(""), STR("{}"), waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_UNAVAILABLE);
    ck_assert(!ready(&one));
    server_start(&server, NULL);
    UNTIL(loop, heard(&one, "synced general") && heard(&one, "identity one-"));
    UNTIL(loop, heard(&two, "synced general") && heard(&two, "identity two-"));
    ck_assert_int_eq(be_present(&here, 2, 1, "bob"), BUS_OK);
    ck_assert_int_eq(say(&here, "bob", "", "new", &position), BUS_OK);
    ck_assert_mem_ne(before, position.epoch, sizeof(before));
    ck_assert_uint_eq(position.offset, 1);
    UNTIL(loop, ready(&one) && ready(&two));
}
END_TEST

START_TEST(calls_wait_for_a_short_outage)
{
    open_both();
    server_kill(&server);
    UNTIL(loop, heard(&one, "lost general"));
    bus_publish(one.bus, here.room, STR("bob"), STR(""), STR("{}"), waiting(&w));
    server_start(&server, NULL);
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_OK);
}
END_TEST

START_TEST(a_room_opened_during_an_outage_comes_alive_with_it)
{
    server_kill(&server);
    UNTIL(loop, !ready(&one));
    here = (struct place){.station = &one, .name = "general"};
    here.room = bus_open_room(one.bus, STR("general"), &here, waiting(&w));
    UNTIL(loop, w.times == 1);
    ck_assert_int_eq(w.err, BUS_UNAVAILABLE);
    server_start(&server, NULL);
    UNTIL(loop, heard(&one, "synced general"));
    ck_assert(!heard(&one, "lost general"));
}
END_TEST

START_TEST(lost_data_gives_a_new_identity_and_new_epochs)
{
    const char *was = id_of(&one);
    open_both();
    ck_assert_int_eq(be_present(&here, 1, 1, "bob"), BUS_OK);
    server_do(&server, "FLUSHALL");
    UNTIL(loop, heard(&one, "identity one-") && heard(&two, "identity two-"));
    ck_assert_str_ne(was, id_of(&one));
    ck_assert_int_eq(be_present(&here, 2, 1, "bob"), BUS_OK);
    UNTIL(loop, server_int(&server, "HLEN parley:gateways") == 2);
    ck_assert_int_eq(say(&here, "bob", "", "x", NULL), BUS_OK);
    UNTIL(loop, ready(&one) && server_int(&server, "EXISTS parley:reaping") == 0);
}
END_TEST

START_TEST(many_rooms_come_back_after_an_outage)
{
    enum { ROOMS = 2000 };
    static struct place rooms[ROOMS];
    static struct waiter opens[ROOMS];
    one.config.redis.command_timeout_ms = 5000;
    for (int i = 0; i < ROOMS; i++) {
        rooms[i].station = &one;
        snprintf(rooms[i].name, sizeof(rooms[i].name), "room%d", i);
        rooms[i].room =
            bus_open_room(one.bus, str_from(rooms[i].name), &rooms[i], waiting(&opens[i]));
    }
    for (int i = 0; i < ROOMS; i++) {
        UNTIL(loop, opens[i].times == 1);
        ck_assert_int_eq(opens[i].err, BUS_OK);
    }
    server_do(&server, "CLIENT KILL TYPE pubsub");
    UNTIL(loop, heard_times(&one, "lost room") == ROOMS);
    forget(&one);
    for (int i = 0; i < ROOMS; i++) {
        UNTIL(loop, rooms[i].state[0] != '\0');
    }
}
END_TEST

START_TEST(password_and_database_of_the_url_are_used_over_tcp)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    char port[16];
    char url[64];
    struct server guarded;
    static struct station st;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(bind(fd, (struct sockaddr *)&any, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&any, &len) == 0);
    close(fd);
    snprintf(port, sizeof(port), "%d", ntohs(any.sin_port));
    server_open(&guarded, (const char *const[]){"--port", port, "--requirepass", "se@cret", NULL});
    snprintf(url, sizeof(url), "redis://:se%%40cret@127.0.0.1:%s/3", port);
    station_open(&st, loop, url, "st");
    UNTIL(loop, ready(&st));
    server_do(&guarded, "AUTH se@cret");
    server_do(&guarded, "SELECT 3");
    ck_assert_int_eq(server_int(&guarded, "HLEN parley:gateways"), 1);
    station_free(&st);
    snprintf(url, sizeof(url), "redis://:wrong@127.0.0.1:%s/3", port);
    station_open(&st, loop, url, "st");
    struct bus_health health;
    do {
        turn(loop);
        bus_health(st.bus, &health);
    } while (strstr(health.publish, "WRONGPASS") == NULL);
    ck_assert(!health.ready);
    station_free(&st);
    server_close(&guarded);
}
END_TEST

/* What a stranger at Redis's port may say: at once, or (from the bar on) after it passed for a
 * Redis. */
static const char *const strange[] = {
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "$2147483647\r\nxx",
    "*2147483647\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n$1\r\nx\r\n",
    "$-7\r\n",
    ":1\r\n:2\r\n:3\r\n",
    "\x80\x80\x80",
    "|*0\r\n*0\r\n",
    "|*3\r\n$9\r\nsubscribe\r\n:5\r\n$1\r\nx\r\n",
    "|*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n$1\r\nx\r\n",
    "|*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n:1\r\n",
    "|*1\r\n$7\r\nmessage\r\n",
    "|*3\r\n*0\r\n:1\r\n$-1\r\n",
    "|$5\r\nhello\r\n",
    "|-ERR no\r\n-ERR no\r\n",
    "|:281474976710655\r\n:1\r\n:2\r\n",
};

static void serve_strange(int listener, const char *say_what)
{
    static const char info[] = "$44\r\nrun_id:abcdef0123456789\r\nredis_version:7.9\r\n\r\n";
    bool polite = say_what[0] == '|';
    for (;;) {
        char got[4096];
        int fd = accept(listener, NULL, NULL);
        if (fork() == 0) {
            ssize_t n = read(fd, got, sizeof(got));
            if (polite && n > 0) {
                n = write(fd, info, sizeof(info) - 1);
                n = read(fd, got, sizeof(got));
            }
            n = write(fd, say_what + (polite ? 1 : 0), strlen(say_what) - (polite ? 1 : 0));
            n = read(fd, got, sizeof(got));
            _exit(n < 0);
        }
        close(fd);
    }
}

START_TEST(a_stranger_at_the_port_is_survived)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char url[128];
    static struct station st;
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/strange.sock", server.dir);
    snprintf(url, sizeof(url), "unix://%s", at.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 64) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGCHLD, SIG_IGN);
        serve_strange(listener, strange[_i]);
    }
    station_open(&st, loop, url, "st");
    let_run(loop, 400);
    ck_assert(!ready(&st));
    station_free(&st);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(listener);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bus_redis");
    TCase *t = tcase_create("redis");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, all_gateways_hear_one_order);
    tcase_add_test(t, a_digest_reaches_the_others_and_not_oneself);
    tcase_add_test(t, registers_are_in_redis_as_documented);
    tcase_add_test(t, a_lower_version_replaces_nothing);
    tcase_add_test(t, a_signal_is_the_others_on_other_gateways);
    tcase_add_test(t, a_direct_message_reaches_every_gateway_of_its_user);
    tcase_add_test(t, pages_of_members_go_over_all_gateways);
    tcase_add_test(t, a_closed_room_stays_subscribed_for_a_second);
    tcase_add_test(t, rubbish_on_a_channel_is_counted_and_goes_nowhere);
    tcase_add_test(t, broken_payloads_of_all_kinds_crash_nothing);
    tcase_add_test(t, an_outsiders_message_is_relayed_unlogged);
    tcase_add_test(t, the_documented_redis_cli_line_publishes_with_an_offset);
    tcase_add_test(t, a_forged_beat_proves_nothing);
    tcase_add_test(t, foreign_fields_among_the_registers_are_left_out);
    tcase_add_test(t, a_full_redis_refuses_and_nothing_is_delivered);
    tcase_add_test(t, what_was_said_can_be_read_while_redis_refuses_to_write);
    tcase_add_test(t, a_read_tells_that_the_epoch_is_over);
    tcase_add_test(t, a_full_redis_for_a_while_reaps_nobody);
    tcase_add_test(t, a_redis_that_became_a_replica_is_left_and_comes_back_as_another);
    tcase_add_test(t, the_requests_that_wait_are_bounded);
    tcase_add_test(t, a_busy_redis_is_unavailable);
    tcase_add_test(t, a_wrong_type_refuses_the_open_and_heals);
    tcase_add_test(t, flushed_functions_are_loaded_again);
    tcase_add_test(t, a_strange_library_of_our_name_ends_in_a_refusal);
    tcase_add_test(t, the_publish_buffer_is_bounded);
    tcase_add_test(t, a_killed_subscriber_comes_back_and_tells_the_state);
    tcase_add_test(t, what_was_denied_counts_until_it_passes);
    tcase_add_test(t, a_beat_follows_at_once_when_a_link_is_back);
    tcase_add_test(t, a_killed_command_link_loses_no_idempotent_call);
    tcase_add_test(t, a_restarted_redis_begins_a_new_epoch_and_asks_for_all_registers);
    tcase_add_test(t, calls_wait_for_a_short_outage);
    tcase_add_test(t, a_room_opened_during_an_outage_comes_alive_with_it);
    tcase_add_test(t, lost_data_gives_a_new_identity_and_new_epochs);
    tcase_add_test(t, many_rooms_come_back_after_an_outage);
    tcase_add_test(t, password_and_database_of_the_url_are_used_over_tcp);
    tcase_add_loop_test(t, a_stranger_at_the_port_is_survived, 0, (int)ARRAY_LEN(strange));
    suite_add_tcase(s, t);
    return run_suite(s);
}
