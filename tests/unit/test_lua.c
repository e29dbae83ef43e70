/* SPDX-License-Identifier: MIT */
/* The functions that run inside Redis, called directly. */
#include "gateway/bus/parley_lua.h"
#include "tests/unit/bus_fixture.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

/* The file's hash, for the number in its names. Whoever changes the file takes the next number, and
 * then the new hash. While no release has the number, only the hash changes. */
#define NUMBER "parley1"
#define SHA256 "3ceae3aae1a89cba4366f46e574372412ddf30cf65c9a1602edd6fddc580b579"

static struct server server;

#define ROOM "parley:room:{r}"
#define PUBLISH_TO(log, meta) \
    "FCALL parley1_publish 2 " log " " meta " " ROOM " run1 aaaaaaaaaaaaaaaa "
#define PUBLISH PUBLISH_TO(ROOM ":log", ROOM ":meta")
#define KEYED \
    "FCALL parley1_publish 3 " ROOM ":log " ROOM ":meta key " ROOM " run1 aaaaaaaaaaaaaaaa "
#define READ(ttl, range) \
    "FCALL parley1_read 2 " ROOM ":meta " ROOM ":log run1 " ttl " aaaaaaaaaaaaaaaa " range

static void setup(void)
{
    server_open(&server, NULL);
    server_do(&server, "PING");
    redisReply *reply = redisCommand(server.client, "FUNCTION LOAD %b", parley_lua, parley_lua_len);
    ck_assert_msg(reply->type == REDIS_REPLY_STRING, "%s", reply->str);
    freeReplyObject(reply);
}

static void teardown(void)
{
    server_close(&server);
}

static void same_text(const char *words, const char *want)
{
    const char *got = server_text(&server, words);
    ck_assert_msg(strcmp(got, want) == 0, "%s\ngot  %s\nwant %s", words, got, want);
}

START_TEST(the_number_is_pinned_to_the_hash_of_the_code)
{
    unsigned char digest[32];
    char hex[65];
    ck_assert(EVP_Digest(parley_lua, parley_lua_len, digest, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof(digest); i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    ck_assert_str_eq(hex, SHA256);
    ck_assert(strncmp(parley_lua, "#!lua name=" NUMBER "\n", strlen("#!lua name=" NUMBER "\n")) ==
              0);
}
END_TEST

static redisContext *listen_to(const char *channel)
{
    redisContext *c = redisConnectUnix(server.url + strlen("unix://"));
    freeReplyObject(redisCommand(c, "SUBSCRIBE %s", channel));
    return c;
}

/* The payloads since c began to listen. */
static const char *next_payload(redisContext *c)
{
    static char text[256];
    redisReply *reply;
    ck_assert_int_eq(redisGetReply(c, (void **)&reply), REDIS_OK);
    snprintf(text, sizeof(text), "%s", reply->element[2]->str);
    freeReplyObject(reply);
    return text;
}

START_TEST(a_publish_numbers_logs_and_relays)
{
    static const char text[] = "log aaaaaaaaaaaaaaaa 1\n{}\n{\"a\":1}";
    redisContext *listener = listen_to(ROOM);
    server_do(&server, PUBLISH "10 1000 1000 2 {}\n{\"a\":1}");
    ck_assert_str_eq(next_payload(listener), text);
    redisFree(listener);
    same_text("HMGET " ROOM ":meta epoch offset fence", "aaaaaaaaaaaaaaaa 2 run1 ");
    redisReply *log = server_ask(&server, "XRANGE " ROOM ":log - +");
    ck_assert_uint_eq(log->elements, 1); /* one entry: a batch, the very text that was published */
    ck_assert_str_eq(log->element[0]->element[0]->str, "2-0");
    ck_assert_str_eq(log->element[0]->element[1]->element[1]->str, text);
    freeReplyObject(log);
    ck_assert_int_gt(server_int(&server, "PTTL " ROOM ":log"), 0);
}
END_TEST

START_TEST(offsets_pass_the_point_where_lua_writes_exponents)
{
    server_do(&server,
              "HSET " ROOM ":meta epoch bbbbbbbbbbbbbbbb offset 999999999999999 fence run1");
    same_text(PUBLISH "10 1000 1000 1 {}", "bbbbbbbbbbbbbbbb 1000000000000000 ");
    same_text("HGET " ROOM ":meta offset", "1000000000000000 ");
    same_text("FCALL parley1_read 2 " ROOM ":meta " ROOM ":log run1 1000 bbbbbbbbbbbbbbbb "
              "1000000000000000 1000000000000000 5",
              "1 log bbbbbbbbbbbbbbbb 1000000000000000\n{} ");
}
END_TEST

START_TEST(another_run_of_redis_is_a_new_epoch_that_goes_on_from_the_log)
{
    server_do(&server, PUBLISH "10 1000000 1000 1 {}");
    server_do(&server, PUBLISH "10 1000000 1000 1 {}");
    server_do(&server, PUBLISH "10 1000000 1000 1 {}");
    same_text("FCALL parley1_room 3 " ROOM ":meta " ROOM ":log " ROOM
              ":online run2 cccccccccccccccc 1 1",
              "cccccccccccccccc 3 ");
    same_text("FCALL parley1_room 3 " ROOM ":meta " ROOM ":log " ROOM
              ":online run2 dddddddddddddddd 1 1",
              "cccccccccccccccc 3 ");
    server_do(&server, "DEL " ROOM ":meta");
    same_text("FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM
              " run2 eeeeeeeeeeeeeeee 10 1000000 1 1 {}",
              "eeeeeeeeeeeeeeee 4 ");
    server_do(&server, "XTRIM " ROOM ":log MAXLEN 0"); /* the ids that were there count as well */
    server_do(&server, "DEL " ROOM ":meta");
    same_text("FCALL parley1_room 3 " ROOM ":meta " ROOM ":log " ROOM
              ":online run2 ffffffffffffffff 1 1",
              "ffffffffffffffff 4 ");
}
END_TEST

START_TEST(a_gateway_that_knows_an_older_fence_changes_nothing)
{
    char epoch[17];
    server_do(&server, "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM
                       "  aaaaaaaaaaaaaaaa 10 1000 1000 1 {}"); /* this Redis's own fence */
    same_text(PUBLISH "10 1000000 1 1 {}", "aaaaaaaaaaaaaaaa 2 ");
    same_text("FCALL parley1_room 3 " ROOM ":meta " ROOM ":log " ROOM
              ":online run2 cccccccccccccccc 1 1",
              "aaaaaaaaaaaaaaaa 2 ");
    server_do(&server, "REPLICAOF 127.0.0.1 1");
    server_do(&server, "REPLICAOF NO ONE"); /* what it holds may be another's now */
    snprintf(epoch, sizeof(epoch), "%.16s",
             server_text(&server, "FCALL parley1_room 3 " ROOM ":meta " ROOM ":log " ROOM
                                  ":online run2 cccccccccccccccc 1 1"));
    ck_assert_str_eq(epoch, "cccccccccccccccc");
    same_text(PUBLISH "10 1000000 1 1 {}", "cccccccccccccccc 3 ");
}
END_TEST

START_TEST(a_log_that_somebody_wrote_into_begins_a_new_epoch)
{
    server_do(&server, PUBLISH "10 1000000 1000 1 {}");
    server_do(&server, "XADD " ROOM ":log 50-3 m rubbish");
    same_text("FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM
              " run1 bbbbbbbbbbbbbbbb 10 1000000 1 1 {}",
              "bbbbbbbbbbbbbbbb 51 ");
}
END_TEST

START_TEST(an_outsider_needs_no_fence_and_no_epoch)
{
    const char *epoch = server_text(&server, "FCALL parley1_publish 2 " ROOM ":log " ROOM
                                             ":meta " ROOM "   10 1000 1000 1 {}");
    ck_assert_uint_eq(strspn(epoch, "0123456789abcdef"), 16);
    ck_assert_ptr_nonnull(strstr(epoch, " 1 "));
    server_do(&server, "HSET " ROOM ":meta epoch bbbbbbbbbbbbbbbb fence run9");
    same_text("FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM "   10 1000 1000 1 {}",
              "bbbbbbbbbbbbbbbb 2 ");
}
END_TEST

START_TEST(keys_are_found_again_in_and_between_batches)
{
    const char *words = "FCALL parley1_publish 4 " ROOM ":log " ROOM ":meta k1 k1 " ROOM
                        " run1 aaaaaaaaaaaaaaaa 10 1000 1000 3 {\"n\":1}\n{\"n\":2}\n{} 1 2";
    same_text(words, "aaaaaaaaaaaaaaaa 1 2 aaaaaaaaaaaaaaaa 1 ");
    same_text(words, "aaaaaaaaaaaaaaaa 3 1 aaaaaaaaaaaaaaaa 1 2 aaaaaaaaaaaaaaaa 1 ");
    ck_assert_int_gt(server_int(&server, "PTTL k1"), 0);
    same_text("FCALL parley1_read 2 " ROOM ":meta " ROOM ":log run1 0 aaaaaaaaaaaaaaaa 1 9 10",
              "1 log aaaaaaaaaaaaaaaa 1\n{\"n\":1}\n{} log aaaaaaaaaaaaaaaa 3\n{} ");
}
END_TEST

START_TEST(old_messages_are_not_read)
{
    server_do(&server, "HSET " ROOM ":meta epoch aaaaaaaaaaaaaaaa offset 2 fence run1");
    server_do(&server, "XADD " ROOM ":log 1-0 m old t 1000");
    server_do(&server, "XADD " ROOM ":log 2-0 m ageless");
    same_text(READ("3600000", "1 9 10"), "1 ageless ");
    same_text(READ("0", "1 9 10"), "1 old ageless ");
}
END_TEST

/* Batches 1-3, 4, 5-9. */
START_TEST(a_read_gets_the_batches_that_hold_what_it_asks_for)
{
#define B1 "log aaaaaaaaaaaaaaaa 1\n{}\n{}\n{} "
#define B4 "log aaaaaaaaaaaaaaaa 4\n{} "
#define B5 "log aaaaaaaaaaaaaaaa 5\n{}\n{}\n{}\n{}\n{} "
    server_do(&server, PUBLISH "100 1000000 1000 3 {}\n{}\n{}");
    server_do(&server, PUBLISH "100 1000000 1000 1 {}");
    server_do(&server, PUBLISH "100 1000000 1000 5 {}\n{}\n{}\n{}\n{}");
    same_text(READ("0", "1 9 10"), "1 " B1 B4 B5);
    same_text(READ("0", "2 2 10"), "1 " B1);
    same_text(READ("0", "3 4 10"), "1 " B1 B4);
    same_text(READ("0", "3 5 10"), "1 " B1 B4 B5);
    same_text(READ("0", "4 4 10"), "1 " B4);
    same_text(READ("0", "6 7 10"), "1 " B5);
    same_text(READ("0", "9 99 10"), "1 " B5);
    same_text(READ("0", "10 99 10"), "1 ");
    same_text(READ("0", "1 9 1"), "1 " B1 B4); /* from the end of the first on, one and not less */
    same_text(READ("0", "1 9 0"), "1 ");
    server_do(&server, "XDEL " ROOM ":log 4-0");
    same_text(READ("0", "3 5 10"), "1 " B1 B5);
}
END_TEST

START_TEST(a_log_keeps_as_many_messages_as_it_should_and_not_many_more)
{
    enum { SIZE = 20, BATCH = 3, TIMES = 200, LINE = 1000 };
    static char words[4 * LINE + 256];
    static char line[LINE + 1];
    memset(line, '~', LINE);
    for (int i = 1; i <= TIMES; i++) {
        snprintf(words, sizeof(words),
                 PUBLISH "%d 1000000 1000 3 {\"a\":\"%s\"}\n{\"b\":\"%s\"}\n{\"c\":\"%s\"}", SIZE,
                 line, line, line);
        server_do(&server, words);
        int wanted = i * BATCH < SIZE ? i : SIZE / BATCH;
        long long entries = server_int(&server, "XLEN " ROOM ":log");
        ck_assert_int_ge(entries, wanted);
        ck_assert_int_le(entries * BATCH, 2 * SIZE);
    }
    redisReply *log = server_ask(&server, "XRANGE " ROOM ":log - + COUNT 1");
    long long first_end = strtoll(log->element[0]->element[0]->str, NULL, 10);
    ck_assert_int_le(first_end - BATCH + 1, TIMES * BATCH - SIZE + 1);
    freeReplyObject(log);
}
END_TEST

/* How long a key lives, in seconds rounded up; -1: for ever. */
static long long life(const char *key)
{
    char words[64];
    snprintf(words, sizeof(words), "PTTL %s", key);
    long long ms = server_int(&server, words);
    return ms < 0 ? ms : (ms + 999) / 1000;
}

START_TEST(a_log_lives_as_long_as_its_newest_message_should_and_a_minute)
{
    server_do(&server, PUBLISH "10 3600000 1000 1 {}");
    long long log = life(ROOM ":log");
    ck_assert(log >= 3600 && log <= 3661);
    server_do(&server, "PEXPIRE " ROOM ":log 3650000"); /* is left, as there is time enough */
    server_do(&server, PUBLISH "10 3600000 1000 1 {}");
    ck_assert_int_le(life(ROOM ":log"), 3650);
    server_do(&server, "HINCRBY " ROOM ":meta expiry -70"); /* as if that much time had passed */
    server_do(&server, "PEXPIRE " ROOM ":meta 5000");
    server_do(&server, PUBLISH "10 3600000 1000 1 {}");
    ck_assert_int_gt(life(ROOM ":log"), 3650);
    ck_assert_int_ge(life(ROOM ":meta"), 7200);
    server_do(&server, "DEL " ROOM ":log"); /* a new log knows nothing of that */
    server_do(&server, PUBLISH "10 3600000 1000 1 {}");
    ck_assert_int_ge(life(ROOM ":log"), 3600);
}
END_TEST

START_TEST(a_log_lives_as_its_room_s_policy_says_now)
{
    server_do(&server, PUBLISH "10 3600000 1000 1 {}");
    server_do(&server, PUBLISH "10 60000 1000 1 {}"); /* shorter */
    long long log = life(ROOM ":log");
    ck_assert(log >= 60 && log <= 68);
    server_do(&server, PUBLISH "10 7200000 1000 1 {}"); /* longer */
    log = life(ROOM ":log");
    ck_assert(log >= 7200 && log <= 7261);
    server_do(&server, PUBLISH "10 5000 1000 1 {}"); /* so short that it is exact */
    ck_assert_int_le(life(ROOM ":log"), 5);
    server_do(&server, PUBLISH "10 0 1000 1 {}"); /* for ever */
    ck_assert_int_eq(life(ROOM ":log"), -1);
    ck_assert_int_eq(life(ROOM ":meta"), -1);
    server_do(&server, PUBLISH "10 60000 1000 1 {}");
    ck_assert_int_le(life(ROOM ":log"), 68);
    ck_assert_int_eq(life(ROOM ":meta"), -1); /* has members, for all that a publish knows */
    server_do(&server, PUBLISH "0 0 1000 1 {}");
    ck_assert_int_eq(server_int(&server, "EXISTS " ROOM ":meta"), 1);
}
END_TEST

START_TEST(a_read_begins_no_epoch_and_writes_nothing)
{
    server_do(&server, PUBLISH "10 1000000 1000 2 {}\n{}");
    same_text("FCALL_RO parley1_read 2 " ROOM ":meta " ROOM ":log run1 0 bbbbbbbbbbbbbbbb 1 9 10",
              "0 ");
    same_text("FCALL_RO parley1_read 2 " ROOM ":meta " ROOM ":log run2 0 aaaaaaaaaaaaaaaa 1 9 10",
              "0 ");
    same_text("HMGET " ROOM ":meta epoch offset fence", "aaaaaaaaaaaaaaaa 2 run1 ");
    server_do(&server, "DEL " ROOM ":meta");
    same_text("FCALL_RO parley1_read 2 " ROOM ":meta " ROOM ":log run1 0 aaaaaaaaaaaaaaaa 1 9 10",
              "0 ");
    ck_assert_int_eq(server_int(&server, "EXISTS " ROOM ":meta"), 0);
}
END_TEST

START_TEST(a_sentence_falls_only_on_the_counter_that_was_judged)
{
    server_do(&server, "HSET g a 5");
    ck_assert_int_eq(server_int(&server, "FCALL parley1_sentence 2 g reaping a 4"), 0);
    ck_assert_int_eq(server_int(&server, "HLEN g"), 1);
    ck_assert_int_eq(server_int(&server, "FCALL parley1_sentence 2 g reaping a 5"), 1);
    ck_assert_int_eq(server_int(&server, "FCALL parley1_sentence 2 g reaping a 5"), 0);
    ck_assert_int_eq(server_int(&server, "HEXISTS reaping a"), 1);
}
END_TEST

START_TEST(a_crowd_is_registered_and_reaped_with_fifty_names)
{
    static char words[1 << 17];
    size_t len =
        (size_t)snprintf(words, sizeof(words),
                         "FCALL parley1_presence 3 o m " ROOM ":meta ch gw 1 3000 1 1000 1000 ");
    server_do(&server, "PING");
    const char *argv[6100];
    int argc = 0;
    for (int i = 0; i < 3000; i++) {
        len += (size_t)snprintf(words + len, sizeof(words) - len, " c%d u%d", i, i);
    }
    for (char *at = words, *word; (word = strsep(&at, " ")) != NULL;) {
        argv[argc++] = word;
    }
    redisReply *reply = redisCommandArgv(server.client, argc, argv, NULL);
    ck_assert_msg(reply->type == REDIS_REPLY_INTEGER && reply->integer == 1, "%s", reply->str);
    freeReplyObject(reply);
    ck_assert_int_eq(server_int(&server, "HLEN m"), 3000);
    ck_assert_int_eq(
        server_int(&server, "FCALL parley1_reap 3 o m " ROOM ":meta ch gw 1000 1000 0"), 1);
    ck_assert_int_eq(server_int(&server, "EXISTS o m"), 0);
    ck_assert_int_eq(
        server_int(&server, "FCALL parley1_reap 3 o m " ROOM ":meta ch gw 1000 1000 0"), 0);
}
END_TEST

/* The highest version there is: 2^52. */
#define GONE_FOR_EVER "pres gw 4503599627370496 0"

START_TEST(whoever_only_changes_his_id_is_not_told_to_leave)
{
    redisContext *c = listen_to("ch");
    for (int own = 0; own <= 1; own++) {
        char words[128];
        server_do(&server, "FCALL parley1_presence 3 o m " ROOM ":meta ch gw 1 1 1 9 9  c bob");
        ck_assert_str_eq(next_payload(c), "pres gw 1 1");
        snprintf(words, sizeof(words), "FCALL parley1_reap 3 o m " ROOM ":meta ch gw 9 9 %d", own);
        server_do(&server, words);
        ck_assert_str_eq(next_payload(c), own ? "pres gw 2 0" : "pres gw 2 0\n-bob");
        ck_assert_str_eq(next_payload(c), GONE_FOR_EVER);
        ck_assert_int_eq(server_int(&server, "EXISTS o m"), 0);
    }
    redisFree(c);
}
END_TEST

/* Redis may have lost the register; the others have not. */
START_TEST(who_is_reaped_is_gone_for_ever_though_there_is_no_register)
{
    redisContext *c = listen_to("ch");
    server_do(&server, "HSET m c bob");
    ck_assert_int_eq(
        server_int(&server, "FCALL parley1_reap 3 o m " ROOM ":meta ch gw 1000 1000 0"), 0);
    ck_assert_str_eq(next_payload(c), GONE_FOR_EVER);
    ck_assert_int_eq(server_int(&server, "EXISTS o m"), 0);
    redisFree(c);
}
END_TEST

START_TEST(a_version_that_no_gateway_wrote_stops_nobody)
{
    server_do(&server, "HSET o gw 4503599627370497:3");
    ck_assert_int_eq(
        server_int(&server, "FCALL parley1_presence 3 o m " ROOM ":meta ch gw 5 1 1 9 9  c bob"),
        1);
    same_text("HGET o gw", "5:1 ");
    server_do(&server, "HSET o gw 4503599627370496:3"); /* high, and to be passed */
    ck_assert_int_eq(
        server_int(&server, "FCALL parley1_presence 3 o m " ROOM ":meta ch gw 6 1 1 9 9  c bob"),
        0);
    ck_assert_int_eq(server_int(&server, "FCALL parley1_presence 3 o m " ROOM
                                         ":meta ch gw 4503599627370497 1 1 9 9  c bob"),
                     1);
}
END_TEST

static const char *const bad_calls[] = {
    PUBLISH "10 1000 1000",
    PUBLISH "10 1000 1000 1",
    PUBLISH "10 1000 1000 1 {} 1",
    PUBLISH "x 1000 1000 1 {}",
    PUBLISH "10 -1 1000 1 {}",
    PUBLISH "10 1000 1.5 1 {}",
    PUBLISH "10 1000 1000 0 {}",
    PUBLISH "10 1000 1000 -1 {}",
    PUBLISH "10 1000 1000 x {}",
    PUBLISH "nan 1 1 1 {}",
    PUBLISH "inf 1 1 1 {}",
    KEYED "10 1000 1000 1 {}",
    KEYED "10 1000 1000 1 {} 0",
    KEYED "10 1000 1000 1 {} 2",
    KEYED "10 1000 1000 1 {} x",
    KEYED "10 1000 1000 1 {} 1 1",
    "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM "   10 1000 1000 1 {}\n{}",
    "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM "   10 1000 1000 2 {}",
    "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM "   10 1000 1000 2 {}\n",
    "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM "   10 1000 1000 1 nonsense",
    "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM "   10 1000 1000 1 []",
    "FCALL parley1_publish 2 " ROOM ":log " ROOM ":meta " ROOM
    "   10 1000 1000 1 {\"a\":\"\x7f\x01\"}",
    "FCALL parley1_presence 3 o m x ch gw x 1 0 1 1 ",
    "FCALL parley1_presence 3 o m x ch gw 1 -1 0 1 1 ",
    "FCALL parley1_presence 3 o m x ch gw 1 1 0 1 1  c1",
};

/* One key of each call gets a wrong type; * in words is where its name stands. */
static const struct {
    const char *key, *words;
} plants[] = {
    {"log", PUBLISH_TO("log", "meta") "10 1000 1000 1 {}"},
    {"meta", PUBLISH_TO("log", "meta") "10 1000 1000 1 {}"},
    {"key", "FCALL parley1_publish 4 log meta key2 key " ROOM
            " run1 aaaaaaaaaaaaaaaa 10 1000 1000 2 {}\n{} 1 2"},
    {"meta", "FCALL parley1_room 3 meta log online run1 aaaaaaaaaaaaaaaa 1 1"},
    {"log", "FCALL parley1_room 3 meta log online run1 aaaaaaaaaaaaaaaa 1 1"},
    {"online", "FCALL parley1_room 3 meta log online run1 aaaaaaaaaaaaaaaa 1 1"},
    {"meta", "FCALL parley1_read 2 meta log run1 1 aaaaaaaaaaaaaaaa 1 5 5"},
    {"log", "FCALL parley1_read 2 meta log run1 1 aaaaaaaaaaaaaaaa 1 5 5"},
    {"online", "FCALL parley1_presence 3 online members meta " ROOM " gw 9 1 0 1 1 +bob c1 bob"},
    {"members", "FCALL parley1_presence 3 online members meta " ROOM " gw 9 1 0 1 1 +bob c1 bob"},
    {"members", "FCALL parley1_presence 3 online members meta " ROOM " gw 9 1 1 1 1 +bob c1 bob"},
    {"members", "FCALL parley1_presence 3 online members meta " ROOM " gw 9 0 0 1 1 +bob c1 bob"},
    {"meta", "FCALL parley1_presence 3 online members meta " ROOM " gw 9 1 0 1 1 +bob c1 bob"},
    {"key", "FCALL parley1_direct 1 key " ROOM " 1000 {}"},
    {"gateways", "FCALL parley1_sentence 2 gateways reaping gw 5"},
    {"reaping", "FCALL parley1_sentence 2 gateways reaping gw 5"},
    {"online", "FCALL parley1_reap 3 online members meta " ROOM " gw 1 1 0"},
    {"members", "FCALL parley1_reap 3 online members meta " ROOM " gw 1 1 0"},
    {"meta", "FCALL parley1_reap 3 online members meta " ROOM " gw 1 1 0"},
};

/* Everything there is: each key with its content and whether it expires. */
static char *everything(void)
{
    static const char *const keys[] = {"log",     "meta",     "key",     "key2",      "online",
                                       "members", "gateways", "reaping", ROOM ":log", ROOM ":meta",
                                       "o",       "m",        "x"};
    size_t cap = 1 << 16;
    char *all = calloc(1, cap);
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        redisReply *dump = redisCommand(server.client, "DUMP %s", keys[i]);
        redisReply *ttl = redisCommand(server.client, "PEXPIRETIME %s", keys[i]);
        len += (size_t)snprintf(all + len, cap - len, "%s %lld ", keys[i], ttl->integer);
        for (size_t b = 0; dump->type == REDIS_REPLY_STRING && b < dump->len; b++) {
            len += (size_t)snprintf(all + len, cap - len, "%02x", (unsigned char)dump->str[b]);
        }
        freeReplyObject(dump);
        freeReplyObject(ttl);
    }
    return all;
}

/* Calls words, which must fail, and sees that nothing changed and nothing was published. */
static void fails_without_a_trace(const char *words)
{
    redisContext *listener = redisConnectUnix(server.url + strlen("unix://"));
    redisReply *reply = redisCommand(listener, "PSUBSCRIBE *");
    freeReplyObject(reply);
    server_do(&server, "PING");
    char *before = everything();
    reply = server_ask(&server, words);
    ck_assert_msg(reply->type == REDIS_REPLY_ERROR, "did not fail: %s", words);
    freeReplyObject(reply);
    char *after = everything();
    ck_assert_msg(strcmp(before, after) == 0, "changed something: %s\n%s\n%s", words, before,
                  after);
    free(before);
    free(after);
    server_do(&server, "PUBLISH end end"); /* what comes before this one came from the call */
    ck_assert_int_eq(redisGetReply(listener, (void **)&reply), REDIS_OK);
    ck_assert_msg(strcmp(reply->element[2]->str, "end") == 0, "published something: %s", words);
    freeReplyObject(reply);
    redisFree(listener);
}

static void plant_state(void)
{
    server_do(&server, "FLUSHALL");
    server_do(&server, "HSET meta epoch aaaaaaaaaaaaaaaa offset 2 fence run1");
    server_do(&server, "XADD log 1-0 m one t 1");
    server_do(&server, "XADD log 2-0 m two t 1");
    server_do(&server, "HSET online gw 5:1 other 1:1");
    server_do(&server, "HSET members c0 zoe");
    server_do(&server, "HSET gateways gw 5");
}

START_TEST(a_wrong_type_under_any_key_changes_and_publishes_nothing)
{
    for (size_t i = 0; i < ARRAY_LEN(plants); i++) {
        char plant[64];
        plant_state();
        server_do(&server, "DEL key key2");
        if (strcmp(plants[i].key, "log") == 0 && strstr(plants[i].words, "_r") != NULL) {
            server_do(&server, "DEL meta"); /* only a new epoch looks at the log */
        }
        snprintf(plant, sizeof(plant), "DEL %s", plants[i].key);
        server_do(&server, plant);
        snprintf(plant, sizeof(plant), "RPUSH %s wrong", plants[i].key);
        server_do(&server, plant);
        fails_without_a_trace(plants[i].words);
    }
}
END_TEST

START_TEST(bad_arguments_change_and_publish_nothing)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_calls); i++) {
        plant_state();
        fails_without_a_trace(bad_calls[i]);
    }
}
END_TEST

START_TEST(at_the_end_of_the_numbers_a_publish_fails)
{
    server_do(&server,
              "HSET " ROOM ":meta epoch aaaaaaaaaaaaaaaa offset 9007199254740990 fence run1");
    fails_without_a_trace(PUBLISH "10 1000 1000 1 {}");
    server_do(&server, "DEL " ROOM ":meta");
    server_do(&server, "XADD " ROOM ":log 18446744073709551615-18446744073709551615 m x");
    fails_without_a_trace(PUBLISH "10 1000 1000 1 {}");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lua");
    TCase *t = tcase_create("lua");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_number_is_pinned_to_the_hash_of_the_code);
    tcase_add_test(t, a_publish_numbers_logs_and_relays);
    tcase_add_test(t, offsets_pass_the_point_where_lua_writes_exponents);
    tcase_add_test(t, another_run_of_redis_is_a_new_epoch_that_goes_on_from_the_log);
    tcase_add_test(t, a_gateway_that_knows_an_older_fence_changes_nothing);
    tcase_add_test(t, a_log_that_somebody_wrote_into_begins_a_new_epoch);
    tcase_add_test(t, an_outsider_needs_no_fence_and_no_epoch);
    tcase_add_test(t, keys_are_found_again_in_and_between_batches);
    tcase_add_test(t, old_messages_are_not_read);
    tcase_add_test(t, a_read_gets_the_batches_that_hold_what_it_asks_for);
    tcase_add_test(t, a_log_keeps_as_many_messages_as_it_should_and_not_many_more);
    tcase_add_test(t, a_log_lives_as_long_as_its_newest_message_should_and_a_minute);
    tcase_add_test(t, a_log_lives_as_its_room_s_policy_says_now);
    tcase_add_test(t, a_read_begins_no_epoch_and_writes_nothing);
    tcase_add_test(t, a_sentence_falls_only_on_the_counter_that_was_judged);
    tcase_add_test(t, a_crowd_is_registered_and_reaped_with_fifty_names);
    tcase_add_test(t, whoever_only_changes_his_id_is_not_told_to_leave);
    tcase_add_test(t, who_is_reaped_is_gone_for_ever_though_there_is_no_register);
    tcase_add_test(t, a_version_that_no_gateway_wrote_stops_nobody);
    tcase_add_test(t, a_wrong_type_under_any_key_changes_and_publishes_nothing);
    tcase_add_test(t, bad_arguments_change_and_publish_nothing);
    tcase_add_test(t, at_the_end_of_the_numbers_a_publish_fails);
    suite_add_tcase(s, t);
    return run_suite(s);
}
